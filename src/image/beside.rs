//! Work that blocks, such as reading and packing: in a thread of its own, so that nothing waits for it.
//!
//! Guarantee: it begins at once, whoever waits for it or not. A simulated world whose outcome is to hang on its seed alone
//! has it done where it stands: the pace of threads is the machine's.

use std::cell::Cell;

use futures::future::{Either, Future, FutureExt, ready};

use super::content::stopped;
use crate::domain::model::Fault;

thread_local! {
    static IN_PLACE: Cell<bool> = const { Cell::new(false) };
}

/// From now on what this thread's runtime is asked to do beside is done where it stands, as in a simulated world.
pub fn do_in_place() {
    IN_PLACE.set(true);
}

/// Whether it is.
pub(super) fn is_in_place() -> bool {
    IN_PLACE.get()
}

/// Begins it; what comes of it. Must be called inside a tokio runtime.
pub(super) fn begin<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> impl Future<Output = Result<T, Fault>> + Send + 'static {
    if is_in_place() {
        return Either::Left(ready(work()));
    }
    Either::Right(tokio::task::spawn_blocking(work).map(|done| done.unwrap_or_else(|error| Err(stopped(&error)))))
}
