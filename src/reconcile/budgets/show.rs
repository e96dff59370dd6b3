//! Shared budgets as people and programs see them: status, gauges, and a line in the log for each threshold.

use super::{
    percent,
    pools::{Crossing, Key, Pools},
};
use crate::{
    domain::{
        meter,
        model::{Measure, Timestamp},
    },
    reconcile::status::{BudgetStatus, ThresholdStatus},
    telemetry::BudgetGauges,
};

/// One line for each threshold and period.
pub(super) fn tell(crossing: &Crossing) {
    let (reading, threshold) = (&crossing.reading, &crossing.threshold);
    let spent = reading.pool.spent;
    tracing::warn!(
        budget = %reading.name,
        scope = reading.scope.name(),
        of = %reading.of,
        measure = threshold.measure.name(),
        "{} {} has reached {} % of {}: {spent} spent, {} an hour, {} to end its sessions; it {}",
        reading.whose(),
        reading.when(),
        threshold.percent,
        reading.limit.exact(),
        reading.pool.rate,
        reading.pool.teardown,
        threshold.measure.describe(),
    );
}

/// What the metrics say.
pub(super) fn gauges(pools: &Pools, now: Timestamp) -> Vec<BudgetGauges> {
    let gauges = |key: &Key| {
        let reading = pools.reading(key, now)?;
        let (limit, spent) = (reading.limit, reading.pool.spent);
        Some(BudgetGauges { budget: reading.name, of: reading.of, limit, spent, percent: percent(spent, limit) })
    };
    pools.entries.keys().filter_map(gauges).collect()
}

/// Every budget as it stands, by name and whose it is.
pub(super) fn statuses(pools: &Pools, now: Timestamp) -> Vec<BudgetStatus> {
    pools.entries.keys().filter_map(|key| status(pools, key, now)).collect()
}

fn status(pools: &Pools, key: &Key, now: Timestamp) -> Option<BudgetStatus> {
    let reading = pools.reading(key, now)?;
    let (rule, entry) = (pools.rules.get(key.0)?, pools.entries.get(key)?);
    let thresholds: Vec<ThresholdStatus> = reading
        .thresholds
        .iter()
        .map(|threshold| {
            let reached_at = entry.reached.get(threshold).copied();
            ThresholdStatus {
                percent: threshold.percent,
                measure: threshold.measure,
                amount: threshold.amount,
                reached_at,
                due: meter::reaches(&reading, threshold).filter(|_| reached_at.is_none()),
            }
        })
        .collect();
    let coming = thresholds.iter().filter_map(|threshold| Some((threshold.due?, threshold))).min_by_key(|(at, _)| *at);
    let (next, next_at) = match (coming, reading.until) {
        (Some((at, threshold)), _) => (format!("{} ({} %)", threshold.measure.describe(), threshold.percent), Some(at)),
        (None, Some(until)) => ("begins anew".to_owned(), Some(until)),
        (None, None) if thresholds.iter().any(|it| it.measure != Measure::Notify && it.reached_at.is_some()) => {
            ("nothing, until its limit is raised".to_owned(), None)
        }
        (None, None) => ("nothing, as things stand".to_owned(), None),
    };
    let spent = reading.pool.spent_by(now);
    Some(BudgetStatus {
        percent: percent(spent, reading.limit),
        name: reading.name,
        scope: reading.scope,
        of: reading.of,
        period: reading.period,
        zone: rule.zone.clone(),
        from: reading.until.map(|_| reading.from),
        until: reading.until,
        limit: reading.limit,
        spent,
        rate: reading.pool.rate,
        teardown: reading.pool.teardown,
        reserved: reading.pool.reserved,
        overshoot: reading.pool.overshoot,
        thresholds,
        next,
        next_at,
        sessions: entry.members.clone(),
        at: now,
    })
}
