//! What many sessions spend together: one session's part of a shared budget, and when a sum is reached.
//!
//! Guarantees: a session's parts of adjacent periods add up to what it spent; a reserve is never less than what the
//! session still needs to live its least lifetime and be taken down.

use crate::domain::{
    model::{BudgetReading, Money, Pool, RateCard, Record, Span, Threshold, Timestamp},
    policy::Policy,
};

use super::{
    accrual::{drain, rate, spend, spent_between, teardown_cost},
    estimate::{own_rate, worst_rate},
    usage::MINIMUM_SECS,
};

/// How old a sum may be when a decision is made by it. Part of a shared budget's stated overshoot.
pub const SUM_AGE: Span = Span::from_secs(1);

/// What a session spent from the beginning of a period on, by `until`.
#[must_use]
pub fn spent_since(record: &Record, card: &RateCard, from: Timestamp, until: Timestamp) -> Money {
    // Most sessions began in the present period: nothing has to be taken off. A period that is over is no present.
    let present = record.opened_at >= from && until >= record.heard_at;
    if present { spend(record, card, until).0 } else { spent_between(record, card, from, until) }
}

/// What a live session adds to every budget that it spends, besides what it has spent.
#[must_use]
pub fn commitment(record: &Record, policy: &Policy, card: &RateCard, now: Timestamp) -> Pool {
    let rate = rate(record, card) + own_rate(record, policy, card);
    let teardown = teardown_cost(record, policy, card);
    Pool {
        at: now,
        spent: Money::ZERO,
        rate,
        teardown,
        reserved: reserved(record, policy, card, teardown, now),
        overshoot: record.overshoot + rate.per_hour_over(SUM_AGE),
        sessions: 1,
    }
}

/// What it still needs until it has lived its least lifetime, with the end where that is not yet in `teardown`.
fn reserved(record: &Record, policy: &Policy, card: &RateCard, teardown: Money, now: Timestamp) -> Money {
    let resumes = record.desired.resume && record.desired.stop.is_none() && record.desired.end.is_none();
    if record.is_closed() || record.ending.is_some() && !resumes {
        return Money::ZERO;
    }
    let begun = if resumes { now } else { record.resumed_at.unwrap_or(record.opened_at) };
    let least = policy.limits.min_lifetime.max(Span::from_secs(MINIMUM_SECS));
    let left = (begun + least).since(now);
    let end = if teardown == Money::ZERO { drain(policy) } else { Span::ZERO };
    if left + end == Span::ZERO { Money::ZERO } else { worst_rate(policy, card).per_hour_over(left + end) }
}

/// When the spend of a budget, with what ending its sessions still costs, reaches a threshold within the present
/// period, if what costs now goes on costing. None if it does not: the next period begins with nothing spent.
#[must_use]
pub fn reaches(reading: &BudgetReading, threshold: &Threshold) -> Option<Timestamp> {
    let pool = &reading.pool;
    // What is only told or asked before a session needs no drain to be kept.
    let drain = threshold.measure.stage().map_or(Money::ZERO, |_| pool.teardown);
    let committed = pool.spent + drain;
    let at = if committed >= threshold.amount {
        pool.at
    } else {
        pool.at + super::time_to_spend(threshold.amount.less(committed), pool.rate)?
    };
    reading.until.is_none_or(|until| at < until).then_some(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        decide::world::{World, at, opened, policy},
        meter::{RateBook, least_cost},
        model::{Cause, Event, Measure, Period, Phase, Scope, Stage},
    };

    fn card() -> RateCard {
        RateBook::embedded().card("us-east-1")
    }

    fn running_record(policy: &Policy) -> (Record, Timestamp) {
        let mut world = World::new(policy.clone(), 1);
        world.run_until(1000, |record| record.phase == Phase::Running);
        (world.record, world.now)
    }

    fn usd(text: &str) -> Money {
        format!("{text} USD").parse().unwrap()
    }

    fn reading(spent: &str, teardown: &str, rate: &str, until: Option<Timestamp>) -> BudgetReading {
        let pool = Pool { at: at(0), spent: usd(spent), teardown: usd(teardown), rate: usd(rate), ..Pool::default() };
        BudgetReading {
            name: "class".into(),
            scope: Scope::Owner,
            of: "ada".into(),
            period: Period::Day,
            from: at(0),
            until,
            limit: usd("1.00"),
            thresholds: Vec::new(),
            pool,
            reached: None,
        }
    }

    #[test]
    fn a_threshold_is_reached_when_spend_and_teardown_are_it_and_not_beyond_the_period() {
        let stop = Threshold { percent: 90, measure: Measure::Stop, amount: usd("0.90") };
        let block = Threshold { measure: Measure::Block, ..stop };
        type Case = (&'static str, &'static str, &'static str, Option<i64>, Option<i64>, Option<i64>);
        let cases: [Case; 7] = [
            // spent, teardown, rate, the period's end; stop at, block at
            ("0.50", "0.10", "0.30", None, Some(3600), Some(4800)),
            ("0.50", "0.10", "0.30", Some(3601), Some(3600), None),
            ("0.50", "0.10", "0.30", Some(3600), None, None),
            ("0.85", "0.05", "0.30", Some(60), Some(0), None),
            ("0.90", "0.00", "0.00", Some(60), Some(0), Some(0)),
            ("0.89", "0.00", "0.00", None, None, None),
            ("2.00", "0.00", "1.00", None, Some(0), Some(0)),
        ];
        for (spent, teardown, rate, until, stops, blocks) in cases {
            let reading = reading(spent, teardown, rate, until.map(at));
            let case = format!("{spent} {teardown} {rate} {until:?}");
            assert_eq!(reaches(&reading, &stop), stops.map(at), "{case}");
            assert_eq!(reaches(&reading, &block), blocks.map(at), "{case}");
        }
    }

    #[test]
    fn a_session_that_has_just_begun_reserves_its_least_cost_and_one_that_ends_nothing() {
        let mut policy = policy();
        policy.limits.min_lifetime = Span::from_mins(10);
        let record = opened(&policy);
        let begun = commitment(&record, &policy, &card(), record.opened_at);
        assert_eq!(begun.reserved, least_cost(&policy, &card()));
        assert_eq!((begun.spent, begun.teardown, begun.sessions), (Money::ZERO, Money::ZERO, 1));

        let (running, now) = running_record(&policy);
        let later = commitment(&running, &policy, &card(), now);
        assert!(later.reserved > Money::ZERO && later.reserved < begun.reserved && later.teardown > Money::ZERO);
        let old = commitment(&running, &policy, &card(), now + Span::from_mins(20));
        assert_eq!(old.reserved, Money::ZERO, "it has lived long enough, and its end is in the teardown");
        let mut ending = running.clone();
        ending.apply(now, &Event::Ending { cause: Cause::Operator, detail: String::new(), stage: Stage::Stop });
        assert_eq!(commitment(&ending, &policy, &card(), now).reserved, Money::ZERO);
    }

    #[test]
    fn the_rate_without_its_lines_is_the_lines_sum() {
        let mut policy = policy();
        for free_tier in [false, true] {
            policy.accounting.free_tier = free_tier;
            policy.accounting.logs_mib_per_hour = 7;
            policy.accounting.ipv4_by_hour = !free_tier;
            policy.task.run = crate::domain::policy::RunMode::Service { desired: 3 };
            policy.metrics.cloudwatch = vec!["session_spend_dollars".into(), "session_healthy".into()];
            let lines = crate::domain::meter::estimate(&policy, &card()).rate;
            assert_eq!(worst_rate(&policy, &card()), lines, "free tier: {free_tier}");
        }
    }

    #[test]
    fn a_period_that_ended_as_the_session_began_has_nothing_of_it() {
        let (record, now) = running_record(&policy());
        assert_eq!(spent_since(&record, &card(), Timestamp::default(), record.opened_at), Money::ZERO);
        assert_eq!(spent_since(&record, &card(), record.opened_at, now), spend(&record, &card(), now).0);
    }

    proptest! {
        #[test]
        fn parts_of_adjacent_periods_add_up_to_what_was_spent(
            cuts in proptest::collection::vec(0i64..90_000, 0..6),
            now in 0i64..90_000,
        ) {
            let (record, began) = running_record(&policy());
            let end = began + Span::from_secs(now.unsigned_abs());
            let mut cuts: Vec<Timestamp> = cuts.into_iter().map(at).filter(|cut| *cut < end).collect();
            cuts.sort_unstable();
            cuts.insert(0, Timestamp::default());
            cuts.push(end);
            let parts: Money = cuts.windows(2).map(|it| spent_since(&record, &card(), it[0], it[1])).sum();
            prop_assert_eq!(parts, spend(&record, &card(), end).0);
        }
    }
}
