//! What limits the retries of each service's calls.
//!
//! By itself the SDK counts retries for the whole process: one [`Cloud`](super::Cloud) whose calls are throttled would take
//! those of another, and a simulated world would depend on its neighbours.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};

/// One allowance for each service, shared by its operations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retries(Arc<Mutex<BTreeMap<&'static str, RetryPartition>>>);

impl Retries {
    /// That of a service, the SDK's usual one in size.
    pub(crate) fn of(&self, service: &'static str) -> RetryPartition {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || RetryPartition::custom(service).token_bucket(TokenBucket::default()).build();
        known.entry(service).or_insert_with(fresh).clone()
    }
}
