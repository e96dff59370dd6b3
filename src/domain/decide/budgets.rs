//! Shared budgets: when one ends a session, and whether one lets a session begin.
//!
//! Guarantees: of several budgets the tightest counts; a budget that its period ends before ends nothing; a session is
//! let in only where its least lifetime and its end fit beside everything that is spent, running and promised already.
//! What a refusal says adds up.

use crate::domain::{
    meter,
    model::{BudgetReading, Cause, Limit, LimitKind, Measure, Money, Pool, Span, Stage, Threshold, Timestamp},
    policy::Policy,
};

use super::{limits::Due, turn::Turn};

/// The shared budget that ends the session first, or furthest where several have come.
pub(super) fn tightest(turn: &Turn<'_>) -> Option<Due> {
    let stopped = turn.ending_stage() == Some(Stage::Stop);
    let dues = turn.seen.budgets.iter().filter(|reading| stands(reading, turn.now)).flat_map(|reading| {
        reading.thresholds.iter().filter_map(move |threshold| {
            let stage = threshold.measure.stage().filter(|stage| !(stopped && *stage == Stage::Stop))?;
            let again = reading.reached.is_some_and(|reached| reached >= stage);
            let at = if again { Some(turn.now) } else { meter::reaches(reading, threshold) }?;
            Some((at, stage, reading, threshold))
        })
    });
    let mut dues: Vec<(Timestamp, Stage, &BudgetReading, &Threshold)> = dues.collect();
    dues.sort_by_key(|(at, stage, ..)| (*at, std::cmp::Reverse(*stage)));
    let come = dues.iter().filter(|(at, ..)| *at <= turn.now).max_by_key(|(_, stage, ..)| *stage);
    let (at, stage, reading, threshold) = *come.or(dues.first())?;
    let limit = Limit {
        kind: LimitKind::SharedBudget,
        cause: Cause::Budget,
        at,
        why: why(reading, threshold, turn.now),
        moved_by: moved_by(reading),
        spend: Money::ZERO,
    };
    Some(Due { limit, stage, certain: true })
}

/// Whether the reading is still of the present period.
fn stands(reading: &BudgetReading, now: Timestamp) -> bool {
    reading.until.is_none_or(|until| now < until)
}

fn why(reading: &BudgetReading, threshold: &Threshold, now: Timestamp) -> String {
    let pool = &reading.pool;
    let sessions = if pool.sessions == 1 { "session".to_owned() } else { format!("{} sessions", pool.sessions) };
    format!(
        "{} {}: {} spent of {}, and ending its {sessions} will cost {}; at {threshold} it {}",
        reading.whose(),
        reading.when(),
        pool.spent_by(now),
        reading.limit.exact(),
        pool.teardown,
        threshold.measure.describe(),
    )
}

fn moved_by(reading: &BudgetReading) -> String {
    let end = reading.until.map(|until| format!("the end of its {} at {until}, ", reading.period.name()));
    format!("other sessions of it ending, {}or a larger limit in [budgets.{}]", end.unwrap_or_default(), reading.name)
}

/// Why a shared budget lets no session begin (or go on) now that needs that much to live its least lifetime and end;
/// none if it does.
#[must_use]
pub fn refusal(reading: &BudgetReading, policy: &Policy, needed: Money, now: Timestamp) -> Option<String> {
    if !stands(reading, now) {
        return None;
    }
    let next = |reading: &BudgetReading| match reading.until {
        Some(until) => format!("end a session of it, wait for {until}, or raise limit in [budgets.{}]", reading.name),
        None => format!("raise limit in [budgets.{}]", reading.name),
    };
    let (whose, when) = (reading.whose(), reading.when());
    let lowest = reading.thresholds.iter().find(|threshold| threshold.measure != Measure::Notify)?;
    let Pool { teardown, reserved, .. } = reading.pool;
    let spent = reading.pool.spent_by(now);
    if let Some(stage) = reading.reached {
        let did = if stage == Stage::Stop { "stopped" } else { "torn down" };
        return Some(format!(
            "{whose} {when} is used up: {spent} spent of {}, and its sessions were {did}; {}",
            reading.limit.exact(),
            next(reading)
        ));
    }
    let total = spent + teardown + reserved + needed;
    let blocked = lowest.measure == Measure::Block && spent + teardown >= lowest.amount;
    if total <= lowest.amount && !blocked {
        return None;
    }
    let least = policy.limits.min_lifetime;
    Some(format!(
        "{whose} {when} does not cover it: {} spent, {} to end what runs, {} reserved for what has just begun, and {} \
         needed for its least lifetime of {least} and its end make {}, more than the {} ({} % of {}) at which it {}; {}",
        spent.exact(),
        teardown.exact(),
        reserved.exact(),
        needed.exact(),
        total.exact(),
        lowest.amount.exact(),
        lowest.percent,
        reading.limit.exact(),
        lowest.measure.describe(),
        next(reading)
    ))
}

/// How long a session that costs that much an hour lives, once begun, before the shared budget ends it, and how; none
/// if it lives for all of `lifetime`.
#[must_use]
pub fn ends_early(
    reading: &BudgetReading,
    rate: Money,
    teardown: Money,
    lifetime: Span,
    now: Timestamp,
) -> Option<(Span, Measure)> {
    if !stands(reading, now) {
        return None;
    }
    let pool = Pool {
        at: now,
        spent: reading.pool.spent_by(now),
        rate: reading.pool.rate + rate,
        teardown: reading.pool.teardown + teardown,
        ..reading.pool
    };
    let with = BudgetReading { pool, ..reading.clone() };
    let ends = with.thresholds.iter().filter(|threshold| threshold.measure.stage().is_some());
    let first = ends.filter_map(|threshold| Some((meter::reaches(&with, threshold)?, threshold.measure))).min();
    first.map(|(at, measure)| (at.since(now), measure)).filter(|(after, _)| *after < lifetime)
}
