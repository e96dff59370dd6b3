//! Whether the loop goes round.
//!
//! The driver stamps it each round, and goes round every few seconds even where nothing is due. Whoever must not
//! mistake a dead loop for a quiet one (the watchdog, `/readyz`) asks how long the last stamp is ago.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// The longest time between two rounds of a loop that lives.
pub(super) const ROUND: Duration = Duration::from_secs(10);

/// A loop that did not go round for so long does not live.
const STILL: Duration = Duration::from_secs(45);

/// The loop's stamp.
#[derive(Debug)]
pub(super) struct Pulse {
    began: Instant,
    /// Milliseconds after `began`.
    last: AtomicU64,
}

impl Pulse {
    /// As if it had just gone round.
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0) }
    }

    /// It goes round now.
    pub(super) fn beat(&self) {
        self.last.store(self.since_it_began(), Ordering::Relaxed);
    }

    /// Whether it went round lately.
    pub(super) fn lives(&self) -> bool {
        let still = self.since_it_began().saturating_sub(self.last.load(Ordering::Relaxed));
        Duration::from_millis(still) < STILL
    }

    fn since_it_began(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stands_still_is_told_from_one_that_goes_round() {
        let pulse = Pulse::new();
        assert!(pulse.lives());
        for _ in 0..20 {
            tokio::time::sleep(ROUND).await;
            pulse.beat();
            assert!(pulse.lives());
        }
        tokio::time::sleep(STILL).await;
        assert!(!pulse.lives());
        pulse.beat();
        assert!(pulse.lives());
    }
}
