//! What counts as use: from counts of connections to the moment of the last use, as a pure fold.
//!
//! A count says how many connections there were, not whose. labguard's own probes are told by each renewal, so a growth
//! is open until the next one *settles* it: more connections than probes is use; otherwise nothing happened. A probe
//! that was told in one renewal may still land before the next; what has not landed by then never will, and is
//! forgotten, so that one failed probe does not hide a person for ever. Without a daemon nothing is told, and every
//! growth stays use: it cannot be a probe. Where the count is older than the last settlement, it says nothing of what was
//! told since: then nothing is settled yet, and what is told adds up.
//!
//! A connection that has been open longer than any probe ([`OWN_LONGEST`]) is use at every look, however long it lasts.
//!
//! It must never take what is not known for quiet: [`Watch::watched`] says so.

/// An open connection older than that is no probe's, in milliseconds: probes give up sooner.
pub const OWN_LONGEST: u64 = 10_000;

/// What the namespace's counters say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sample {
    /// Connections accepted since the sentinel's start, its own port's left out.
    pub connections: u64,
    /// Until when `connections` holds all of them, on the monotonic clock in milliseconds; none: until this look.
    pub as_of: Option<u64>,
    /// Connections that the namespace itself opened since then.
    pub opened: Option<u64>,
    /// Open connections to guarded ports.
    pub in_flight: u64,
    /// Since when the oldest of them has been seen, on the monotonic clock in milliseconds.
    pub oldest: Option<u64>,
    /// Connections of strangers that are left out of `connections`; none where everybody's use counts.
    pub strangers: Option<u64>,
    /// Bytes received since the start, loopback left out.
    pub bytes_in: Option<u64>,
    /// Bytes sent since the start, loopback left out.
    pub bytes_out: Option<u64>,
}

/// The fold. Instants are monotonic milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    sample: Sample,
    unknown: Option<String>,
    /// The last growth since the last settlement.
    growth: Option<u64>,
    /// The last use that is sure.
    last_use: Option<u64>,
    /// The count at the last settlement.
    settled: u64,
    /// When that was.
    settled_at: Option<u64>,
    /// Probes as last told.
    probes: u64,
    /// Probes that had been told by the last settlement.
    accounted: u64,
    /// Probes of the last settlement that had not landed by then.
    carried: u64,
    used: u64,
}

impl Watch {
    /// Takes in what was seen at `now`, or why nothing could be seen.
    pub fn take(&mut self, now: u64, seen: Result<Sample, String>) {
        let sample = match seen {
            Ok(sample) => sample,
            Err(why) => {
                self.unknown = Some(why);
                return;
            }
        };
        self.unknown = None;
        if sample.connections > self.sample.connections {
            self.growth = Some(now);
        }
        if sample.oldest.is_some_and(|since| since.saturating_add(OWN_LONGEST) <= now) {
            self.last_use = Some(now);
        }
        self.sample = sample;
    }

    /// Settles what has grown since the last time: a renewal tells how many probes labguard has begun so far.
    pub fn settle(&mut self, now: u64, probes: u64) {
        self.probes = probes;
        let looked = self.sample.as_of.zip(self.settled_at).is_none_or(|(as_of, settled)| as_of > settled);
        if self.unknown.is_some() || !looked {
            // The next settlement with open eyes counts all of it.
            return;
        }
        let grown = self.sample.connections.saturating_sub(self.settled);
        let told = probes.saturating_sub(self.accounted);
        let own = told.saturating_add(self.carried);
        if grown > own {
            self.used = self.used.saturating_add(grown - own);
            self.last_use = self.last_use.max(Some(self.growth.unwrap_or(now)));
        }
        self.carried = own.saturating_sub(grown).min(told);
        self.settled = self.sample.connections;
        self.settled_at = Some(now);
        self.accounted = probes;
        self.growth = None;
    }

    /// The last look that succeeded.
    #[must_use]
    pub const fn sample(&self) -> &Sample {
        &self.sample
    }

    /// Whether use can be seen now.
    #[must_use]
    pub const fn watched(&self) -> bool {
        self.unknown.is_none()
    }

    /// Why it cannot.
    #[must_use]
    pub fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// The last use that is sure: settled, or an open connection.
    #[must_use]
    pub const fn sure(&self) -> Option<u64> {
        self.last_use
    }

    /// A growth since the last settlement, which may be labguard's own.
    #[must_use]
    pub const fn unsettled(&self) -> Option<u64> {
        self.growth
    }

    /// The last use for the fuse, where what is open counts.
    #[must_use]
    pub fn last_use(&self) -> Option<u64> {
        self.last_use.max(self.growth)
    }

    /// Probes as last told.
    #[must_use]
    pub const fn probes(&self) -> u64 {
        self.probes
    }

    /// Connections that were not labguard's, as far as settled.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(connections: u64) -> Result<Sample, String> {
        Ok(Sample { connections, ..Sample::default() })
    }

    #[test]
    fn growth_is_use_until_a_renewal_says_that_it_was_labguards() {
        let mut watch = Watch::default();
        watch.take(10, count(1));
        assert_eq!((watch.last_use(), watch.sure()), (Some(10), None));
        watch.settle(20, 1);
        assert_eq!((watch.last_use(), watch.used()), (None, 0));
        watch.take(30, count(3));
        watch.settle(40, 2);
        assert_eq!((watch.last_use(), watch.sure(), watch.used()), (Some(30), Some(30), 1));
    }

    #[test]
    fn a_probe_may_land_after_the_renewal_that_told_of_it_and_a_failed_one_hides_nobody_for_ever() {
        let mut watch = Watch::default();
        watch.settle(10, 1);
        watch.take(11, count(1));
        watch.settle(20, 1);
        assert_eq!(watch.used(), 0, "landed late");
        watch.settle(30, 2);
        watch.settle(40, 2);
        watch.take(45, count(2));
        watch.settle(50, 2);
        assert_eq!(watch.used(), 1, "the one told at 30 never landed");
    }

    #[test]
    fn renewals_that_come_faster_than_looks_settle_nothing_and_take_no_probe_for_a_person() {
        let mut watch = Watch::default();
        let looked = |connections, as_of| Ok(Sample { connections, as_of: Some(as_of), ..Sample::default() });
        watch.take(0, looked(0, 0));
        watch.settle(1, 0);
        // A probe each second, a look each ten, a renewal each two.
        for now in 2..200_u64 {
            let seen = now / 10 * 10;
            watch.take(now * 1_000, looked(seen.saturating_sub(2), seen * 1_000));
            if now % 2 == 0 {
                watch.settle(now * 1_000 + 1, now - 2);
                assert_eq!(watch.probes(), now - 2, "as told");
            }
        }
        assert_eq!((watch.used(), watch.sure()), (0, None));
        watch.take(200_000, looked(199, 200_000));
        watch.settle(200_001, 198);
        assert_eq!(watch.used(), 1, "and a person is one");
    }

    #[test]
    fn a_daemon_that_forgot_its_count_hides_no_use() {
        let mut watch = Watch::default();
        watch.take(10, count(50));
        watch.settle(10, 50);
        watch.take(20, count(52));
        watch.settle(20, 1);
        assert_eq!(watch.used(), 2, "a lower count tells of no probe");
        watch.take(30, count(53));
        watch.settle(30, 2);
        assert_eq!(watch.used(), 2);
    }

    #[test]
    fn a_long_request_is_use_at_every_look_and_a_probes_short_one_is_not() {
        let mut watch = Watch::default();
        let open = |since| Ok(Sample { in_flight: 1, oldest: Some(since), ..Sample::default() });
        watch.take(1_000, open(1_000));
        watch.take(10_999, open(1_000));
        assert_eq!(watch.last_use(), None);
        for now in [11_000, 500_000, 9_000_000] {
            watch.take(now, open(1_000));
            assert_eq!(watch.last_use(), Some(now));
        }
    }

    #[test]
    fn an_outage_is_not_quiet_and_what_happened_in_it_is_settled_after_it() {
        let mut watch = Watch::default();
        watch.take(10, Err("no /proc".into()));
        assert!(!watch.watched());
        watch.settle(20, 2);
        watch.settle(30, 3);
        watch.take(40, count(3));
        watch.settle(50, 3);
        assert_eq!((watch.used(), watch.watched()), (0, true));
    }

    proptest! {
        #[test]
        fn of_probes_that_all_land_none_is_taken_for_use_and_no_person_is_missed(
            steps in proptest::collection::vec((0..5_u64, 0..3_u64, any::<bool>()), 1..60),
        ) {
            let mut watch = Watch::default();
            let (mut people, mut begun) = (0, 0);
            for (now, (probes, persons, late)) in steps.into_iter().enumerate() {
                let before = begun;
                begun += probes;
                let landed = if late { before } else { begun };
                people += persons;
                watch.take(now as u64, count(people + landed));
                watch.settle(now as u64, begun);
            }
            watch.take(1_000, count(people + begun));
            watch.settle(1_000, begun);
            // A probe that is late can stand in for a person once, never for two.
            prop_assert!(watch.used() <= people);
            prop_assert!(people == 0 || watch.used() + begun >= people);
            prop_assert!(begun > 0 || watch.used() == people);
            prop_assert!(people > 0 || watch.last_use().is_none());
        }
    }
}
