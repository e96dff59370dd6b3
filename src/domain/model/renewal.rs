//! How the renewals of a sentinel's lease go: what the watcher writes down, and the loop reads.
//!
//! Guarantee: a verdict changes only after a quarter of a lease without an exception, so that one lost answer is no news,
//! and a sentinel that answers now and then does not flap.

use serde::{Deserialize, Serialize};

use super::{
    resource::ResourceKey,
    time::{Span, Timestamp},
};

/// Renewals of one task's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalReading {
    /// Whose.
    pub task: ResourceKey,
    /// Since when they are asked for.
    pub since: Timestamp,
    /// When the lease ends by the last one that was accepted; none before the first.
    pub lease_ends: Option<Timestamp>,
    /// Since when every one is accepted.
    pub good_since: Option<Timestamp>,
    /// Since when none is, and why the last was not.
    pub failing: Option<(Timestamp, String)>,
}

impl RenewalReading {
    /// None asked for yet.
    #[must_use]
    pub const fn new(task: ResourceKey, since: Timestamp) -> Self {
        Self { task, since, lease_ends: None, good_since: None, failing: None }
    }

    /// One was accepted; that much is left of the lease.
    pub fn accepted(&mut self, at: Timestamp, left: Span) {
        self.lease_ends = Some(at + left);
        self.good_since = self.good_since.or(Some(at));
        self.failing = None;
    }

    /// One was not.
    pub fn failed(&mut self, at: Timestamp, why: String) {
        let since = self.failing.as_ref().map_or(at, |(since, _)| *since);
        self.failing = Some((since, why));
        self.good_since = None;
    }

    /// Whether renewals are accepted (true) or not (false), for a quarter of a lease now; none: that is not settled.
    #[must_use]
    pub fn verdict(&self, lease: Span, now: Timestamp) -> Option<bool> {
        let settled = |since: Timestamp| now.since(since) >= Span::from_millis(lease.as_millis() / 4);
        match (&self.failing, self.good_since) {
            (Some((since, _)), _) if settled(*since) => Some(false),
            (None, Some(since)) if settled(since) => Some(true),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::ResourceKind;

    #[test]
    fn only_a_quarter_of_a_lease_without_an_exception_settles_how_renewals_go() {
        let at = |secs: u64| Timestamp::from_millis(1_795_000_000_000) + Span::from_secs(secs);
        let lease = Span::from_mins(10);
        let mut reading = RenewalReading::new(ResourceKey::only(ResourceKind::Task), at(0));
        assert_eq!(reading.verdict(lease, at(1_000)), None, "nothing was asked");
        // Every other one is lost, for an hour.
        for minute in 0..60 {
            if minute % 2 == 0 {
                reading.failed(at(minute * 60), "no answer".into());
            } else {
                reading.accepted(at(minute * 60), lease);
            }
            assert_eq!(reading.verdict(lease, at(minute * 60 + 59)), None, "{minute}");
        }
        reading.failed(at(4_000), "no answer".into());
        reading.failed(at(4_140), "refused".into());
        assert_eq!(reading.verdict(lease, at(4_149)), None);
        assert_eq!(reading.verdict(lease, at(4_150)), Some(false));
        assert_eq!(reading.lease_ends, Some(at(59 * 60 + 600)));
        reading.accepted(at(4_200), lease);
        assert_eq!(reading.verdict(lease, at(4_349)), None);
        assert_eq!(reading.verdict(lease, at(4_350)), Some(true));
    }
}
