//! From looks at one source to its sign: a pure fold, the same for every source.
//!
//! Guarantees: a gap is unknown from the last good look on; after one, a source that could not have noticed what
//! happened meanwhile counts as watched from the end of the gap on, but all its gaps together shift that by no more than
//! the longest gap allowed; a step of the clock, either way, changes neither how long it has been quiet nor for how long
//! it could not be asked.

use crate::domain::model::{Sign, Span, Timestamp};

/// What one look at a source brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Use, the latest at that time.
    Used {
        /// When.
        last: Timestamp,
        /// What it was.
        what: String,
    },
    /// No use since the look before.
    Nothing,
    /// No use since that time; what happened before it, since the look before, cannot be told any more.
    Anew(Timestamp),
    /// No answer that makes sense.
    Unreadable(String),
}

/// How a source bears a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// It tells afterwards what happened in between (counters, logs).
    Remembers,
    /// It tells only how things are now (gauges, commands).
    Forgets,
}

/// One source's state between looks.
#[derive(Clone, Debug)]
pub struct Fold {
    memory: Memory,
    max_gap: Span,
    /// The last use, else the beginning of the watch.
    sign: Timestamp,
    /// Since when use goes on.
    active_since: Option<Timestamp>,
    quiet_since: Option<Timestamp>,
    /// The last look that made sense, else the beginning of the watch.
    known_at: Timestamp,
    gap: bool,
    /// The last look by the clock and by one that nobody sets.
    looked: (Timestamp, Span),
}

/// Differences of the two clocks below this are no step.
const STEP: i64 = 2_000;

impl Fold {
    /// A watch that begins at `at`, when the clock that nobody sets shows `ticks`.
    #[must_use]
    pub const fn new(memory: Memory, max_gap: Span, at: Timestamp, ticks: Span) -> Self {
        Self {
            memory,
            max_gap,
            sign: at,
            active_since: None,
            quiet_since: None,
            known_at: at,
            gap: false,
            looked: (at, ticks),
        }
    }

    /// Takes in what a look at `at` brought, and says what that means.
    pub fn take(&mut self, at: Timestamp, ticks: Span, seen: Seen) -> Sign {
        self.follow_clock(at, ticks);
        if let Seen::Unreadable(why) = seen {
            self.gap = true;
            return Sign::Unknown { since: self.known_at, why };
        }
        let forgot = self.memory == Memory::Forgets && (self.gap || self.active_since.is_some());
        self.known_at = at;
        self.gap = false;
        if let Seen::Used { last, what } = seen {
            let last = last.min(at);
            let since = *self.active_since.get_or_insert(last);
            self.sign = self.sign.max(last);
            self.quiet_since = Some(self.sign);
            return Sign::Active { since, last: self.sign, what };
        }
        if self.active_since.take().is_some() && self.memory == Memory::Forgets {
            // What went on at the look before may have gone on until just now.
            self.sign = at;
        }
        let (from, anew) = match seen {
            Seen::Anew(from) => (from.min(at), true),
            _ => (at, false),
        };
        let quiet = self.quiet_since.unwrap_or(from);
        let quiet = if forgot || anew { quiet.max(from.min(self.sign + self.max_gap)) } else { quiet };
        self.quiet_since = Some(quiet);
        Sign::Quiet { since: quiet }
    }

    /// A step of the clock moves everything remembered with it.
    fn follow_clock(&mut self, at: Timestamp, ticks: Span) {
        let went_by = ticks.saturating_sub(self.looked.1);
        let step = at.as_millis() - (self.looked.0 + went_by).as_millis();
        self.looked = (at, ticks);
        if step.abs() < STEP {
            return;
        }
        let moved = |then: Timestamp| Timestamp::from_millis(then.as_millis().saturating_add(step));
        self.sign = moved(self.sign);
        self.known_at = moved(self.known_at);
        self.active_since = self.active_since.map(moved);
        self.quiet_since = self.quiet_since.map(moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Span = Span::from_mins(1);

    fn at(mins: u64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000) + Span::from_mins(mins)
    }

    fn used(mins: u64) -> Seen {
        Seen::Used { last: at(mins), what: "w".into() }
    }

    fn gone() -> Seen {
        Seen::Unreadable("no answer".into())
    }

    fn fold(memory: Memory) -> Fold {
        Fold::new(memory, Span::from_mins(30), at(0), Span::ZERO)
    }

    fn take(fold: &mut Fold, mins: u64, seen: Seen) -> Sign {
        fold.take(at(mins), Span::from_mins(mins), seen)
    }

    fn quiet(mins: u64) -> Sign {
        Sign::Quiet { since: at(mins) }
    }

    #[test]
    fn a_counter_bridges_a_gap_and_a_gauge_is_watched_anew_after_it() {
        for (memory, after) in [(Memory::Remembers, 1), (Memory::Forgets, 9)] {
            let mut it = fold(memory);
            assert_eq!(take(&mut it, 1, Seen::Nothing), quiet(1));
            assert_eq!(take(&mut it, 2, gone()), Sign::Unknown { since: at(1), why: "no answer".into() });
            assert_eq!(take(&mut it, 8, gone()), Sign::Unknown { since: at(1), why: "no answer".into() });
            assert_eq!(take(&mut it, 9, Seen::Nothing), quiet(after), "{memory:?}");
        }
    }

    #[test]
    fn gaps_that_come_again_and_again_do_not_hold_it_for_ever() {
        let mut it = fold(Memory::Forgets);
        take(&mut it, 1, used(1));
        let mut last = quiet(1);
        for round in 1..100 {
            take(&mut it, round * 3, gone());
            last = take(&mut it, round * 3 + 1, Seen::Nothing);
        }
        // The use may have gone on until the first good look after it; thirty minutes of gaps count from there.
        assert_eq!(last, quiet(34));
    }

    #[test]
    fn what_goes_on_is_use_from_its_first_look_to_the_look_that_finds_it_over() {
        let mut it = fold(Memory::Forgets);
        for mins in 1..90 {
            let since = at(1);
            assert_eq!(take(&mut it, mins, used(mins)), Sign::Active { since, last: at(mins), what: "w".into() });
        }
        assert_eq!(take(&mut it, 90, Seen::Nothing), quiet(90));
        assert_eq!(take(&mut it, 91, Seen::Nothing), quiet(90));
        let mut counter = fold(Memory::Remembers);
        take(&mut counter, 5, used(5));
        assert_eq!(take(&mut counter, 6, Seen::Nothing), quiet(5));
        assert_eq!(take(&mut counter, 7, Seen::Anew(at(7))), quiet(7), "what was lost is not called quiet");
    }

    #[test]
    fn a_watch_that_is_known_to_reach_back_is_quiet_from_there_on() {
        let mut it = fold(Memory::Remembers);
        take(&mut it, 4, gone());
        assert_eq!(take(&mut it, 6, Seen::Anew(at(1))), quiet(1));
        assert_eq!(take(&mut it, 8, Seen::Nothing), quiet(1));
        take(&mut it, 20, gone());
        assert_eq!(take(&mut it, 22, Seen::Anew(at(17))), quiet(17), "a hole before it");
        assert_eq!(take(&mut it, 24, Seen::Anew(at(90))), quiet(24), "never ahead");
    }

    #[test]
    fn a_step_of_the_clock_neither_makes_it_idle_nor_keeps_it_from_being() {
        for step in [-40i64, 40] {
            let moved = |mins: u64| Timestamp::from_millis(at(mins + 60).as_millis() + step * 60_000);
            let mut it = Fold::new(Memory::Remembers, MINUTE, at(60), Span::ZERO);
            it.take(at(62), Span::from_mins(2), used(62));
            let sign = it.take(moved(10), Span::from_mins(10), Seen::Nothing);
            assert_eq!(sign, Sign::Quiet { since: moved(2) }, "{step}");
        }
    }
}
