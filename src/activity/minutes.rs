//! Use of a session by what CloudWatch says of each minute: from series of values to looks.
//!
//! A minute's data come late, and some never. So a minute is settled once it may not come any more (the policy's latency
//! after it began): with data it was used or it was not; without them nothing is known of it, and nothing after it until
//! there are data again. Use is news as soon as it shows. Guarantees: a minute without data is never called quiet; use
//! counts at the end of its minute, not before; what comes after an outage is taken for its own time.

use std::collections::BTreeMap;

use super::fold::Seen;
use crate::domain::model::{Span, Timestamp};

/// A minute, as CloudWatch counts them.
const MINUTE: Span = Span::from_mins(1);

/// The longest stretch that one question goes back.
const LONGEST: Span = Span::from_mins(12 * 60);

/// What the data of a minute say: what its use was, or that there was none.
pub type Minute = Option<String>;

/// The fold from minutes to looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minutes {
    /// How late a minute's data may come, counted from its beginning.
    latency: Span,
    /// The first minute that is not settled.
    next: Timestamp,
    /// Since when there are data without a hole; none before the first.
    since: Option<Timestamp>,
    /// Whether that is not told yet.
    anew: bool,
}

impl Minutes {
    /// A watch that begins at `at`.
    #[must_use]
    pub fn since(at: Timestamp, latency: Span) -> Self {
        Self { latency: latency.max(MINUTE), next: whole(at), since: None, anew: false }
    }

    /// From when to when data have to be asked for at `at`: whole minutes.
    #[must_use]
    pub fn window(&self, at: Timestamp) -> (Timestamp, Timestamp) {
        let until = whole(at);
        (self.next.max(whole(until - LONGEST)).min(until - MINUTE), until)
    }

    /// Takes in what a question at `at` brought: every minute of the window of which there are data; or why there was no
    /// answer. `what` names the data, for people.
    pub fn take(&mut self, at: Timestamp, read: Result<BTreeMap<Timestamp, Minute>, String>, what: &str) -> Seen {
        let minutes = match read {
            Ok(minutes) => minutes,
            Err(why) => return Seen::Unreadable(why),
        };
        let (from, until) = self.window(at);
        let lost = from > self.next;
        self.next = self.next.max(from);
        let shown = minutes.range(from..until);
        let used = shown.clone().rev().find_map(|(minute, use_of)| Some(((*minute + MINUTE).min(at), use_of.clone()?)));
        self.anew |= self.settle(at, &minutes) || lost;
        if let Some((last, what)) = used {
            // A hole after that use is told once there is no use to tell.
            self.anew &= self.since.is_none_or(|since| since > last);
            return Seen::Used { last, what };
        }
        match self.since {
            None => Seen::Unreadable(format!("there are no data of {what} yet")),
            // What may not come any more did not come.
            Some(_) if self.next + self.latency <= at => {
                Seen::Unreadable(format!("there are no data of {what} after {}", self.next))
            }
            Some(since) if std::mem::take(&mut self.anew) => Seen::Anew(since),
            Some(_) => Seen::Nothing,
        }
    }

    /// Settles what may not change any more; whether the watch begins anew by that.
    fn settle(&mut self, at: Timestamp, minutes: &BTreeMap<Timestamp, Minute>) -> bool {
        let mut anew = false;
        while self.next + self.latency <= at {
            if !minutes.contains_key(&self.next) {
                // A hole, if there is anything after it; else the end of the data so far.
                let Some((after, _)) = minutes.range(self.next..).next() else { break };
                self.next = *after;
                self.since = None;
                if self.next + self.latency > at {
                    break;
                }
            }
            if self.since.is_none() {
                self.since = Some(self.next);
                anew = true;
            }
            self.next = self.next + MINUTE;
        }
        anew
    }
}

/// The beginning of its minute.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis().div_euclid(60_000) * 60_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(mins: u64, secs: u64) -> Timestamp {
        Timestamp::from_millis(1_795_000_020_000) + Span::from_secs(mins * 60 + secs)
    }

    fn five() -> Minutes {
        Minutes::since(at(0, 20), Span::from_mins(5))
    }

    /// Data of these minutes; those that are named were used.
    fn data(minutes: impl IntoIterator<Item = u64>, used: &[u64]) -> Result<BTreeMap<Timestamp, Minute>, String> {
        Ok(minutes.into_iter().map(|it| (at(it, 0), used.contains(&it).then(|| "w".to_owned()))).collect())
    }

    fn unknown(seen: &Seen, part: &str) {
        assert!(matches!(seen, Seen::Unreadable(why) if why.contains(part)), "{seen:?}");
    }

    #[test]
    fn nothing_is_known_before_the_first_minute_is_settled_and_then_quiet_reaches_back_to_it() {
        let mut it = five();
        unknown(&it.take(at(0, 30), data([], &[]), "w"), "no data of w yet");
        unknown(&it.take(at(4, 59), data(0..4, &[]), "w"), "yet");
        assert_eq!(it.take(at(5, 0), data(0..4, &[]), "w"), Seen::Anew(at(0, 0)));
        assert_eq!(it.take(at(7, 0), data(1..6, &[]), "w"), Seen::Nothing);
        assert_eq!(it.window(at(7, 10)), (at(3, 0), at(7, 0)), "what is settled is not asked for again");
    }

    #[test]
    fn use_is_news_as_soon_as_it_shows_and_is_of_its_minutes_end() {
        let mut it = five();
        it.take(at(6, 0), data(0..4, &[]), "w");
        let used = |mins| Seen::Used { last: at(mins, 0), what: "w".into() };
        assert_eq!(it.take(at(8, 0), data(2..7, &[6]), "w"), used(7));
        assert_eq!(it.take(at(9, 0), data(4..8, &[6]), "w"), used(7), "it is not settled yet");
        assert_eq!(it.take(at(12, 0), data(5..11, &[6]), "w"), used(7));
        assert_eq!(it.take(at(13, 0), data(8..12, &[]), "w"), Seen::Nothing);
    }

    #[test]
    fn data_that_stop_are_unknown_once_they_may_not_come_any_more_and_what_comes_later_is_of_its_own_time() {
        let mut it = five();
        it.take(at(8, 0), data(0..6, &[]), "w");
        assert_eq!(it.take(at(10, 0), data(4..6, &[]), "w"), Seen::Nothing, "the sixth may still come");
        unknown(&it.take(at(11, 0), data([5], &[]), "w"), "no data of w after");
        unknown(&it.take(at(30, 0), data([], &[]), "w"), "after");
        let late = Seen::Used { last: at(9, 0), what: "w".into() };
        assert_eq!(it.take(at(31, 0), data(6..30, &[8]), "w"), late, "the outage is bridged");
        assert_eq!(it.take(at(32, 0), data(27..31, &[]), "w"), Seen::Nothing);
    }

    #[test]
    fn a_hole_is_watched_anew_from_behind_it() {
        let mut it = five();
        it.take(at(8, 0), data(0..6, &[]), "w");
        unknown(&it.take(at(14, 0), data([4, 5], &[]), "w"), "after");
        assert_eq!(it.take(at(15, 0), data([10, 11, 12], &[]), "w"), Seen::Anew(at(10, 0)));
        assert_eq!(it.take(at(17, 0), data(11..16, &[]), "w"), Seen::Nothing);
    }

    #[test]
    fn a_hole_that_is_crossed_while_use_is_told_is_told_afterwards() {
        let mut it = five();
        it.take(at(6, 0), data(0..4, &[]), "w");
        let seen = it.take(at(18, 0), data([2, 3, 4, 8, 9, 10, 11, 12, 13], &[4]), "w");
        assert_eq!(seen, Seen::Used { last: at(5, 0), what: "w".into() });
        assert_eq!(it.take(at(19, 0), data(14..18, &[]), "w"), Seen::Anew(at(8, 0)));
        assert_eq!(it.take(at(20, 0), data(15..19, &[]), "w"), Seen::Nothing);
    }

    #[test]
    fn an_answer_that_fails_is_unknown_and_costs_nothing_of_what_was_known() {
        let mut it = five();
        it.take(at(8, 0), data(0..6, &[]), "w");
        assert_eq!(it.take(at(10, 0), Err("denied".into()), "w"), Seen::Unreadable("denied".into()));
        assert_eq!(it.take(at(12, 0), data(4..10, &[]), "w"), Seen::Nothing);
    }

    proptest! {
        /// Whatever comes when: nothing is called quiet of a minute of which there never were data, and no use that shows
        /// is lost.
        #[test]
        fn quiet_is_only_said_of_minutes_with_data(
            story in proptest::collection::vec((0u64..8, prop::bool::weighted(0.9), prop::bool::weighted(0.1)), 5..60),
            every in 1u64..5,
        ) {
            let mut it = five();
            let mut last = None;
            for now in (1..story.len() as u64 + 10).step_by(every as usize) {
                let (from, until) = it.window(at(now, 0));
                let there = |minute: &(usize, &(u64, bool, bool))| minute.1.1 && minute.0 as u64 + 1 + minute.1.0 <= now;
                let minutes: BTreeMap<Timestamp, Minute> = story.iter().enumerate().filter(there)
                    .map(|(minute, (.., used))| (at(minute as u64, 0), used.then(|| "w".to_owned())))
                    .filter(|(minute, _)| (from..until).contains(minute)).collect();
                let newest = minutes.iter().rev().find(|(_, used)| used.is_some()).map(|(minute, _)| *minute + MINUTE);
                let seen = it.take(at(now, 0), Ok(minutes), "w");
                match (&seen, newest) {
                    (Seen::Used { last, .. }, newest) => prop_assert_eq!(Some(*last), newest),
                    (_, newest) => prop_assert_eq!(newest, None),
                }
                let since = match seen { Seen::Anew(since) => Some(since), Seen::Nothing => last, _ => None };
                if let Some(since) = since {
                    let mut minute = since;
                    while minute + it.latency <= at(now, 0) {
                        let place = minute.since(at(0, 0)).as_secs() as usize / 60;
                        prop_assert!(story.get(place).is_some_and(|(_, there, _)| *there), "{minute} has no data");
                        minute = minute + MINUTE;
                    }
                }
                last = match seen { Seen::Anew(at) | Seen::Used { last: at, .. } => Some(at), _ => last };
            }
        }
    }
}
