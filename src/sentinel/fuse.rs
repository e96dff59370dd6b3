//! The fuse: when the task ends, as a pure state machine over two clocks.
//!
//! Three ends, and the first one counts: the hard deadline, the lease, the idle time. Guarantees:
//!
//! - Nothing moves the hard deadline. It is met by the wall clock or by the monotonic clock, whichever comes first, so
//!   that a clock set back gives no time, and one set forward ends the task early: it fails closed.
//! - Lease and idle time are measured on the monotonic clock alone; a renewal is relative to the moment it is read.
//! - A renewal counts only with a higher serial than every one before; a lease is never longer than the launch lease.
//!
//! It must never read a clock or check a signature: it is handed [`Clocks`], and renewals whose signature fits.

use super::clocks::Clocks;
pub use crate::domain::model::sentinel::End;
use crate::domain::model::sentinel::{LAST_SERIAL, Renewal};

/// Why a signed renewal does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its serial is not higher than this last one.
    Stale(u64),
    /// Its serial is above [`LAST_SERIAL`].
    TooHigh(u64),
}

/// When the task ends. All instants in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fuse {
    deadline_wall: u64,
    deadline_mono: u64,
    longest_lease: u64,
    lease_end: u64,
    idle: Option<u64>,
    started: u64,
    serial: u64,
}

impl Fuse {
    /// Lights it. `deadline` is wall-clock milliseconds, `lease` and `idle` are lengths.
    #[must_use]
    pub fn new(now: Clocks, deadline: u64, lease: u64, idle: Option<u64>) -> Self {
        Self {
            deadline_wall: deadline,
            deadline_mono: now.mono.saturating_add(deadline.saturating_sub(now.wall)),
            longest_lease: lease,
            lease_end: now.mono.saturating_add(lease),
            idle,
            started: now.mono,
            serial: 0,
        }
    }

    /// Lets the lease end sooner than that, until it is renewed.
    #[must_use]
    pub fn first_lease(self, first: Option<u64>) -> Self {
        let lease = first.map_or(self.longest_lease, |first| first.min(self.longest_lease));
        Self { lease_end: self.started.saturating_add(lease), ..self }
    }

    /// The last accepted serial; 0 before the first.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// When it was lit, on the monotonic clock.
    #[must_use]
    pub const fn started(&self) -> u64 {
        self.started
    }

    /// Takes a renewal whose signature and session fit. Answers whether its lease was cut.
    ///
    /// # Errors
    /// [`Refused`] when its serial does not count; nothing has changed then.
    pub fn renew(&mut self, now: Clocks, renewal: &Renewal) -> Result<bool, Refused> {
        if renewal.serial <= self.serial {
            return Err(Refused::Stale(self.serial));
        }
        if renewal.serial > LAST_SERIAL {
            return Err(Refused::TooHigh(self.serial));
        }
        self.serial = renewal.serial;
        let wished = renewal.lease.saturating_mul(1000);
        self.lease_end = now.mono.saturating_add(wished.min(self.longest_lease));
        self.idle = renewal.idle.map(|secs| secs.saturating_mul(1000));
        Ok(wished > self.longest_lease)
    }

    /// Milliseconds until each end. `last_use` is monotonic, `None` before the first use; `watched` is whether use can
    /// be seen at all: what is not seen is no reason to end.
    #[must_use]
    pub fn left(&self, now: Clocks, last_use: Option<u64>, watched: bool) -> Left {
        let idle_end = |idle: u64| last_use.unwrap_or(self.started).max(self.started).saturating_add(idle);
        Left {
            deadline: self.deadline_wall.saturating_sub(now.wall).min(self.deadline_mono.saturating_sub(now.mono)),
            lease: self.lease_end.saturating_sub(now.mono),
            idle: self.idle.filter(|_| watched).map(|idle| idle_end(idle).saturating_sub(now.mono)),
        }
    }
}

/// Milliseconds until each end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Until the hard deadline.
    pub deadline: u64,
    /// Until the lease ends.
    pub lease: u64,
    /// Until the idle end, if there is one.
    pub idle: Option<u64>,
}

impl Left {
    /// The end that is reached, the hardest first.
    #[must_use]
    pub fn ended(&self) -> Option<End> {
        (self.soonest() == 0).then(|| self.first())
    }

    /// The end that comes first if nothing changes; of two at once the harder.
    #[must_use]
    pub fn first(&self) -> End {
        let soonest = self.soonest();
        if self.deadline == soonest {
            End::Deadline
        } else if self.lease == soonest {
            End::Lease
        } else {
            End::Idle
        }
    }

    /// Milliseconds until the first end.
    #[must_use]
    pub fn soonest(&self) -> u64 {
        self.deadline.min(self.lease).min(self.idle.unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: u64 = 1_795_400_000_000;
    const MINUTE: u64 = 60_000;

    fn at(minutes: u64) -> Clocks {
        Clocks { mono: 5_000 + minutes * MINUTE, wall: NOON + minutes * MINUTE }
    }

    /// An hour's deadline, five minutes of lease.
    fn fuse(idle: Option<u64>) -> Fuse {
        Fuse::new(at(0), NOON + 60 * MINUTE, 5 * MINUTE, idle)
    }

    fn renewal(serial: u64, lease: u64) -> Renewal {
        Renewal { session: "lab".into(), serial, lease, idle: None, probes: 0 }
    }

    fn ended(fuse: &Fuse, now: Clocks, last_use: Option<u64>) -> Option<End> {
        fuse.left(now, last_use, true).ended()
    }

    #[test]
    fn without_renewals_the_lease_ends_it() {
        let fuse = fuse(None);
        let last = Clocks { mono: at(5).mono - 1, ..at(5) };
        assert_eq!(ended(&fuse, last, None), None);
        assert_eq!(ended(&fuse, at(5), None), Some(End::Lease));
    }

    #[test]
    fn a_first_lease_that_is_cut_holds_until_the_first_renewal_alone() {
        let cut = |first| fuse(None).first_lease(Some(first));
        assert_eq!(ended(&cut(MINUTE), at(1), None), Some(End::Lease));
        let mut renewed = cut(MINUTE);
        assert_eq!(renewed.renew(at(0), &renewal(1, 300)), Ok(false), "as long as it was meant to be");
        assert_eq!(ended(&renewed, at(4), None), None);
        assert_eq!(ended(&cut(60 * MINUTE), at(5), None), Some(End::Lease), "never longer than the longest");
    }

    #[test]
    fn with_renewals_the_hard_deadline_ends_it_to_the_millisecond() {
        let mut fuse = fuse(None);
        for minute in 0..60 {
            assert_eq!(ended(&fuse, at(minute), None), None, "{minute}");
            assert_eq!(fuse.renew(at(minute), &renewal(minute + 1, u64::MAX)), Ok(true), "cut to five minutes");
            assert_eq!(fuse.left(at(minute), None, true).lease, 5 * MINUTE);
        }
        assert_eq!(ended(&fuse, at(60), None), Some(End::Deadline));
    }

    #[test]
    fn a_clock_set_back_gives_no_time_and_one_set_forward_takes_some() {
        let fuse = Fuse::new(at(0), NOON + 60 * MINUTE, 100 * MINUTE, None);
        let skewed = |minutes: u64, by: i64| Clocks {
            wall: at(minutes).wall.saturating_add_signed(by * 10 * i64::try_from(MINUTE).unwrap()),
            ..at(minutes)
        };
        assert_eq!(ended(&fuse, skewed(59, -1), None), None);
        assert_eq!(ended(&fuse, skewed(60, -1), None), Some(End::Deadline), "the monotonic clock holds");
        assert_eq!(ended(&fuse, skewed(49, 1), None), None);
        assert_eq!(ended(&fuse, skewed(50, 1), None), Some(End::Deadline), "closed, if early");
    }

    #[test]
    fn a_deadline_that_is_past_at_the_start_ends_it_at_once() {
        assert_eq!(ended(&Fuse::new(at(61), NOON, 5 * MINUTE, None), at(61), None), Some(End::Deadline));
    }

    #[test]
    fn idle_counts_from_the_last_use_or_the_start_and_only_while_use_can_be_seen() {
        let fuse = Fuse::new(at(0), NOON + 60 * MINUTE, 59 * MINUTE, Some(10 * MINUTE));
        assert_eq!(ended(&fuse, at(10), None), Some(End::Idle));
        assert_eq!(ended(&fuse, at(10), Some(at(3).mono)), None);
        assert_eq!(ended(&fuse, at(13), Some(at(3).mono)), Some(End::Idle));
        assert_eq!(fuse.left(at(30), None, false).ended(), None, "not seen is not idle");
    }

    #[test]
    fn a_renewal_can_end_it_at_once_and_switch_the_idle_end_on_and_off() {
        let mut fuse = fuse(Some(MINUTE));
        fuse.renew(at(0), &renewal(1, 300)).unwrap();
        assert_eq!(fuse.left(at(2), None, true).idle, None);
        fuse.renew(at(2), &Renewal { idle: Some(180), ..renewal(2, 300) }).unwrap();
        assert_eq!(fuse.left(at(2), None, true).idle, Some(MINUTE));
        fuse.renew(at(2), &renewal(3, 0)).unwrap();
        assert_eq!(ended(&fuse, at(2), None), Some(End::Lease));
    }

    #[test]
    fn an_old_serial_or_one_beyond_all_changes_nothing_and_the_last_one_is_told() {
        let mut fuse = fuse(None);
        fuse.renew(at(1), &renewal(7, 300)).unwrap();
        let before = fuse.clone();
        for serial in [0, 1, 6, 7] {
            assert_eq!(fuse.renew(at(3), &renewal(serial, 300)), Err(Refused::Stale(7)));
        }
        for serial in [LAST_SERIAL + 1, u64::MAX] {
            assert_eq!(fuse.renew(at(3), &renewal(serial, 300)), Err(Refused::TooHigh(7)));
        }
        assert_eq!(fuse, before);
    }

    /// A renewal's serial, lease and idle time.
    type Asked = (u64, u64, Option<u64>);

    /// What may happen to a fuse: time goes on, the wall clock is set, a renewal comes.
    fn story() -> impl Strategy<Value = Vec<(u64, i64, Option<Asked>)>> {
        let renewal = proptest::option::of((0..40_u64, any::<u64>(), any::<Option<u64>>()));
        proptest::collection::vec((0..20 * MINUTE, -700_000..700_000_i64, renewal), 1..40)
    }

    proptest! {
        #[test]
        fn no_story_takes_it_past_its_hard_deadline_or_a_lease_past_the_last_renewal(
            story in story(), idle: Option<u64>,
        ) {
            let mut fuse = fuse(idle);
            let (mut now, mut renewed, mut last) = (at(0), at(0).mono, 0);
            for (passed, set, wish) in story {
                now.mono += passed;
                now.wall = now.wall.saturating_add(passed).saturating_add_signed(set);
                let left = fuse.left(now, None, true);
                let over = now.mono >= at(60).mono || now.wall >= at(60).wall;
                prop_assert_eq!(left.ended() == Some(End::Deadline), over);
                prop_assert!(left.ended().is_some() || now.mono < renewed + 5 * MINUTE);
                if left.ended().is_some() {
                    break;
                }
                prop_assert!(left.soonest() > 0);
                if let Some((serial, lease, idle)) = wish {
                    let taken = fuse.renew(now, &Renewal { idle, ..renewal(serial, lease) }).is_ok();
                    prop_assert_eq!(taken, serial > last);
                    if taken {
                        (renewed, last) = (now.mono, serial);
                    }
                }
            }
        }
    }
}
