//! The clock boundary: the only place where labguard reads the time of day.
//!
//! Everything else is handed a [`Timestamp`] or a [`Clock`]. Under `tokio::time::pause` a simulated clock
//! moves with tokio's own, so that a whole session runs in milliseconds and always the same way.

use std::time::SystemTime;

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
    },
}

impl Clock {
    /// A clock that starts at `epoch` and moves with tokio's (paused or not).
    #[must_use]
    pub fn simulated(epoch: Timestamp) -> Self {
        Self::Simulated { epoch, base: tokio::time::Instant::now() }
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
            Clock::Simulated { epoch, base } => *epoch + Span::from(base.elapsed()),
        }
    }
}
