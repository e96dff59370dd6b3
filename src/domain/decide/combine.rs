//! What several sources of activity say together.
//!
//! Guarantees: use seen by a source that counts is never lost; what is unknown is never taken for idle before
//! `activity.max_gap` has gone by; and it never holds the idle time off for longer. Never decides that a session ends.

use crate::domain::{
    model::{Sign, Source, SourceReading, Span, Timestamp},
    policy::{ActivityPolicy, Combine},
};

/// Something that cannot be known, and until when that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The source, and why it says nothing; none where nothing is watched yet.
    pub source: Option<Source>,
    /// Why.
    pub why: String,
    /// From then on it is not waited for any more.
    pub until: Timestamp,
}

/// All sources as one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Together {
    /// The latest use, or the moment from which all that counts has been watched; absent: nothing is known.
    pub since: Option<Timestamp>,
    /// The latest use, with its source and what it was.
    pub used: Option<(Timestamp, Source, String)>,
    /// How late the news of the slowest source that counts may be.
    pub lag: Span,
    /// Until when all use would be known to every source that counts and can be asked.
    pub complete_until: Option<Timestamp>,
    /// The source that cannot be asked and is waited for longest, while it is waited for.
    pub gap: Option<Gap>,
    /// The one that was waited for as long as it may be.
    pub given_up: Option<Gap>,
}

/// Puts the readings together as the policy says.
#[must_use]
pub fn combine(readings: &[SourceReading], policy: &ActivityPolicy, now: Timestamp) -> Together {
    if readings.is_empty() {
        // Nothing looks at it yet, though something shall: a task that is just being found again.
        let why = "nothing watches its task at present".to_owned();
        let gap = Gap { source: None, why, until: now + policy.max_gap };
        return Together { gap: (!policy.sources().is_empty()).then_some(gap), ..Together::default() };
    }
    let known = |reading: &&SourceReading| !matches!(reading.sign, Sign::Unknown { .. });
    let best = readings.iter().filter(known).map(|reading| reading.source.trust()).min();
    let counts = |reading: &&SourceReading| match policy.combine {
        Combine::Any => true,
        Combine::MostTrusted => best.is_none_or(|best| reading.source.trust() == best),
    };
    let mut together = Together::default();
    for reading in readings.iter().filter(counts) {
        let since = match &reading.sign {
            Sign::Active { last, what, .. } => {
                let last = (*last).min(now);
                if together.used.as_ref().is_none_or(|(known, ..)| last > *known) {
                    together.used = Some((last, reading.source, what.clone()));
                }
                last
            }
            Sign::Quiet { since } => (*since).min(now),
            Sign::Unknown { since, why } => {
                together.wait(reading.source, why, (*since).min(now) + policy.max_gap, now);
                continue;
            }
        };
        together.since = together.since.max(Some(since));
        together.lag = together.lag.max(reading.lag());
        let until = reading.complete_until();
        together.complete_until = Some(together.complete_until.map_or(until, |known| known.min(until)));
    }
    if policy.combine == Combine::MostTrusted && best.is_some() {
        // Whoever counts stands in for whoever cannot be asked.
        together.gap = None;
        together.given_up = None;
    }
    together
}

impl Together {
    fn wait(&mut self, source: Source, why: &str, until: Timestamp, now: Timestamp) {
        let place = if until > now { &mut self.gap } else { &mut self.given_up };
        if place.as_ref().is_none_or(|known| until > known.until) {
            *place = Some(Gap { source: Some(source), why: why.to_owned(), until });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mins: u64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000) + Span::from_mins(mins)
    }

    fn reading(source: Source, sign: Sign) -> SourceReading {
        SourceReading { source, sign, read_at: at(100), latency: Span::ZERO, interval: Span::from_secs(15) }
    }

    fn active(source: Source, last: u64) -> SourceReading {
        reading(source, Sign::Active { since: at(last), last: at(last), what: "used".into() })
    }

    fn quiet(source: Source, since: u64) -> SourceReading {
        reading(source, Sign::Quiet { since: at(since) })
    }

    fn unknown(source: Source, since: u64) -> SourceReading {
        reading(source, Sign::Unknown { since: at(since), why: "no answer".into() })
    }

    fn policy(combine: Combine) -> ActivityPolicy {
        ActivityPolicy { combine, ..ActivityPolicy::counting("/metrics", "c", Span::from_secs(15)) }
    }

    #[test]
    fn with_any_the_latest_use_counts_and_the_quiet_of_all_begins_with_the_last_to_be_quiet() {
        let say = |readings: &[SourceReading]| combine(readings, &policy(Combine::Any), at(100));
        let (requests, logs) = (Source::Requests, Source::Logs);
        let mixed = say(&[quiet(requests, 90), active(logs, 95)]);
        assert_eq!((mixed.since, mixed.used.map(|used| used.1)), (Some(at(95)), Some(logs)));
        assert_eq!(say(&[quiet(requests, 5), quiet(logs, 8)]).since, Some(at(8)));
        let late = SourceReading { latency: Span::from_mins(2), ..quiet(logs, 8) };
        let both = say(&[quiet(requests, 5), late]);
        assert_eq!((both.lag, both.complete_until), (Span::from_millis(135_000), Some(at(98))));
    }

    #[test]
    fn what_cannot_be_asked_is_waited_for_until_its_gap_is_as_long_as_it_may_be_and_no_longer() {
        let say = |readings: &[SourceReading], now| combine(readings, &policy(Combine::Any), at(now));
        let readings = [quiet(Source::Requests, 5), unknown(Source::Logs, 80)];
        let waiting = say(&readings, 100);
        assert_eq!(waiting.gap.map(|gap| (gap.source, gap.until)), Some((Some(Source::Logs), at(110))));
        let done = say(&readings, 110);
        assert_eq!((done.gap, done.since), (None, Some(at(5))));
        assert_eq!(done.given_up.map(|gap| gap.why), Some("no answer".into()));
        assert_eq!(say(&[], 1000).gap.map(|gap| gap.source), Some(None), "not watched yet is a gap, too");
        assert_eq!(combine(&[], &ActivityPolicy::none(), at(9)), Together::default(), "nothing shall be watched");
    }

    #[test]
    fn with_most_trusted_a_guess_counts_only_while_nothing_better_can_be_asked() {
        let say = |readings: &[SourceReading]| combine(readings, &policy(Combine::MostTrusted), at(100));
        let busy = active(Source::Logs, 99);
        assert_eq!(say(&[quiet(Source::Requests, 5), busy.clone()]).since, Some(at(5)));
        let stands_in = say(&[unknown(Source::Requests, 98), busy]);
        assert_eq!((stands_in.since, stands_in.gap), (Some(at(99)), None));
        assert!(say(&[unknown(Source::Requests, 98), unknown(Source::Logs, 99)]).gap.is_some());
    }
}
