//! Two clocks that do not agree: AWS's, which is the one inside a task, and ours.

use super::time::{Span, Timestamp};

/// Clocks that are less apart than so many milliseconds count as one: it is the way of an answer, and the second that its
/// date does not tell.
const ONE_CLOCK: u64 = 5_000;

/// By how many milliseconds AWS's clock is ahead of ours, where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apart(i64);

impl Apart {
    /// By so many; unknown counts as none.
    #[must_use]
    pub fn by(ahead: Option<i64>) -> Self {
        Self(ahead.filter(|ahead| ahead.unsigned_abs() >= ONE_CLOCK).unwrap_or_default())
    }

    /// An instant of ours by AWS's clock.
    #[must_use]
    pub fn theirs(self, ours: Timestamp) -> Timestamp {
        Timestamp::from_millis(ours.as_millis().saturating_add(self.0))
    }

    /// An instant of AWS's by our clock.
    #[must_use]
    pub fn ours(self, theirs: Timestamp) -> Timestamp {
        Timestamp::from_millis(theirs.as_millis().saturating_sub(self.0))
    }

    /// The same in whole minutes: what is told by the minute stays so.
    #[must_use]
    pub fn in_minutes(self) -> Self {
        let minute = i64::try_from(Span::from_mins(1).as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(self.0.signum() * minute / 2) / minute * minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_go_over_and_back_and_the_way_of_an_answer_counts_as_nothing() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        for one in [None, Some(-2_500), Some(4_999)] {
            assert_eq!(Apart::by(one).theirs(now), now);
        }
        let apart = Apart::by(Some(-590_000));
        assert_eq!(apart.theirs(now).to_string(), "2026-11-25T11:50:10Z");
        assert_eq!(apart.ours(apart.theirs(now)), now);
        assert_eq!(apart.in_minutes(), Apart(-600_000));
        assert_eq!((Apart(89_999).in_minutes(), Apart(-90_000).in_minutes()), (Apart(60_000), Apart(-120_000)));
    }
}
