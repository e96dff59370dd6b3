//! The clock boundary: the only place where labguard reads the time of day.
//!
//! Everything else is handed a [`Timestamp`] or a [`Clock`]. Under `tokio::time::pause` a simulated clock
//! moves with tokio's own, so that a whole session runs in milliseconds and always the same way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::SystemTime,
};

use crate::domain::model::{Span, Timestamp};

/// Where the time of day comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's own.
    System,
    /// A fixed instant plus what tokio's clock has moved since.
    Simulated {
        /// The time of day at `base`.
        epoch: Timestamp,
        /// tokio's clock at that moment.
        base: tokio::time::Instant,
        /// Milliseconds by which it was set forwards (or back) since.
        set_by: Arc<AtomicI64>,
    },
}

impl Clock {
    /// A clock that starts at `epoch` and moves with tokio's (paused or not).
    #[must_use]
    pub fn simulated(epoch: Timestamp) -> Self {
        Self::Simulated { epoch, base: tokio::time::Instant::now(), set_by: Arc::default() }
    }

    /// Sets a simulated clock forwards or back, as people and time servers do; all its clones go with it. The machine's
    /// own clock is not labguard's to set.
    pub fn set(&self, millis: i64) {
        if let Clock::Simulated { set_by, .. } = self {
            set_by.fetch_add(millis, Ordering::SeqCst);
        }
    }

    /// The time of day.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock boundary")]
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::System => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Clock::Simulated { epoch, base, set_by } => {
                let now = *epoch + Span::from(base.elapsed());
                Timestamp::from_millis(now.as_millis() + set_by.load(Ordering::SeqCst))
            }
        }
    }
}
