//! Budgets that sessions share, in the engine: summed once a second, read by every turn, asked before anything begins.
//!
//! Closed sessions are summed once, from the journal at the start, and then as they close; live ones in one pass at
//! most once a second, and extrapolated by their rate in between. What is let in counts from that very instant, so
//! that two sessions never take the same room.
//! Must never hold a session up for longer than a pass, or end anything itself: that is the sessions' own turns' work.

mod pools;
#[cfg(test)]
mod pools_tests;
mod show;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use tokio::sync::{Mutex as Passes, Notify};
use tokio_util::sync::CancellationToken;

use super::{
    engine::{Engine, lock},
    handle::CommandError,
    status::BudgetStatus,
};
use crate::{
    domain::{
        decide::budgets::{ends_early, refusal},
        meter::{self, SUM_AGE},
        model::{BudgetReading, Estimate, Measure, Money, Record, SessionId, Stage},
        policy::{Policy, SharedBudget},
    },
    journal::{JournalError, Which},
};
use pools::{Key, Pools};

/// The engine's part of shared budgets.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    pools: Mutex<Pools>,
    /// Closed sessions that are in the sums. Held by whoever makes a pass.
    folded: Passes<HashSet<SessionId>>,
    /// There are rules to keep.
    changed: Notify,
}

/// Room that was given to a session which is not in any sum yet. Dropped once it is, or never will be.
#[derive(Debug)]
pub(super) struct Room<'a> {
    pools: &'a Mutex<Pools>,
    number: u64,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        lock(self.pools).settle(self.number);
    }
}

impl Engine {
    /// Takes other shared budgets: from now on they hold for every session. Whether they differ from those in force.
    ///
    /// # Errors
    /// [`JournalError`] when closed sessions cannot be summed; the old budgets stay in force then.
    pub async fn replace_budgets(&self, rules: Vec<SharedBudget>) -> Result<bool, JournalError> {
        let mut folded = self.budgets.folded.lock().await;
        if *lock(&self.budgets.pools).rules == rules[..] {
            return Ok(false);
        }
        let closed = if rules.is_empty() { Vec::new() } else { self.closed_records().await? };
        lock(&self.budgets.pools).replace(rules);
        self.pass(&mut folded, Some(closed)).await;
        drop(folded);
        self.budgets.changed.notify_one();
        for slot in self.slots() {
            self.wake(&slot.id);
        }
        Ok(true)
    }

    async fn closed_records(&self) -> Result<Vec<Record>, JournalError> {
        self.journal.records(Which::Closed { limit: usize::MAX }).await
    }

    /// Makes sure that the sums are young enough to decide by.
    pub(super) async fn sum_budgets(&self) {
        if lock(&self.budgets.pools).is_fresh(self.clock.now()) {
            return;
        }
        let mut folded = self.budgets.folded.lock().await;
        let (fresh, back) = {
            let pools = lock(&self.budgets.pools);
            let now = self.clock.now();
            (pools.is_fresh(now), pools.went_back(now))
        };
        if fresh {
            return;
        }
        let mut closed = None;
        if back {
            match self.closed_records().await {
                Ok(records) => closed = Some(records),
                Err(error) => {
                    tracing::error!(%error, "the journal cannot be read, so that closed sessions of an earlier period are missing in shared budgets");
                }
            }
        }
        self.pass(&mut folded, closed).await;
    }

    /// One pass over all sessions; with the closed ones of the journal where those must be summed anew.
    async fn pass(&self, folded: &mut HashSet<SessionId>, closed: Option<Vec<Record>>) {
        let (now, card) = (self.clock.now(), self.card());
        let mut sum = lock(&self.budgets.pools).begin_sum(now);
        let whole = closed.is_some();
        if let Some(closed) = closed {
            folded.clear();
            for record in closed {
                sum.closed(&record, &card);
                folded.insert(record.id);
            }
        }
        for slot in self.slots() {
            if folded.contains(&slot.id) {
                continue;
            }
            let seen = slot.snapshot().await;
            if seen.record.is_closed() {
                sum.closed(&seen.record, &card);
                folded.insert(slot.id.clone());
            } else {
                sum.live(&seen.record, &seen.policy, &card);
            }
        }
        let (untold, ending, gauges) = {
            let mut pools = lock(&self.budgets.pools);
            pools.take(sum, whole);
            (pools.untold(), pools.ending(now), show::gauges(&pools, now))
        };
        untold.iter().for_each(show::tell);
        self.metrics.budgets(gauges);
        for (session, stage) in ending {
            let Some(slot) = self.slot(&session) else { continue };
            let goes_on = {
                let status = slot.status.borrow();
                status.ending.is_none() || stage == Stage::Teardown && !status.phase.is_dismantling()
            };
            if goes_on {
                self.wake(&session);
            }
        }
    }

    /// What a decision about a session sees of the budgets that it shares.
    pub(super) fn budgets_of(&self, record: &Record) -> Vec<BudgetReading> {
        let mut pools = lock(&self.budgets.pools);
        if pools.rules.is_empty() { Vec::new() } else { pools.readings(record, self.clock.now()) }
    }

    /// Gives a session room in every budget that it would spend, or says why not. `record` is there already when a
    /// stopped session goes on.
    pub(super) async fn make_room(&self, policy: &Policy, record: Option<&Record>) -> Result<Room<'_>, CommandError> {
        self.sum_budgets().await;
        let (now, needed) = (self.clock.now(), meter::least_cost(policy, &self.card()));
        let mut pools = lock(&self.budgets.pools);
        let keys = keys(&pools, policy, record);
        let readings = keys.iter().filter_map(|key| pools.reading(key, now));
        let refused = readings.filter_map(|reading| refusal(&reading, policy, needed, now)).next();
        if let Some(why) = refused {
            return Err(CommandError::Refused(format!("nothing was done: {why}")));
        }
        let number = pools.promise(keys, needed);
        Ok(Room { pools: &self.budgets.pools, number })
    }

    /// What a person should know of shared budgets before starting a session of a policy.
    pub(super) fn budget_warnings(&self, policy: &Policy, estimate: &Estimate) -> Vec<String> {
        let (now, card) = (self.clock.now(), self.card());
        let (needed, rate) = (meter::least_cost(policy, &card), estimate.rate);
        let teardown = rate.per_hour_over(policy.task.stop_timeout + policy.end.stop_allowance);
        let pools = lock(&self.budgets.pools);
        let mut warnings = Vec::new();
        for key in keys(&pools, policy, None) {
            let Some(reading) = pools.reading(&key, now) else { continue };
            if let Some(why) = refusal(&reading, policy, needed, now) {
                warnings.push(format!("it would be refused now: {why}"));
            } else if let Some((after, measure)) = ends_early(&reading, rate, teardown, policy.limits.lifetime, now) {
                let does = if measure == Measure::Stop { "stops it" } else { "tears it down" };
                let spent = reading.pool.spent_by(now);
                warnings.push(format!(
                    "{} {does} after {after}, before its lifetime of {}: {spent} of {} are spent {}, and its sessions \
                     cost {} an hour",
                    reading.whose(),
                    policy.limits.lifetime,
                    reading.limit.exact(),
                    reading.when(),
                    reading.pool.rate + rate,
                ));
            }
        }
        warnings
    }

    /// Every shared budget as it stands.
    pub(super) async fn budget_statuses(&self) -> Vec<BudgetStatus> {
        self.sum_budgets().await;
        let now = self.clock.now();
        show::statuses(&lock(&self.budgets.pools), now)
    }
}

fn keys(pools: &Pools, policy: &Policy, record: Option<&Record>) -> Vec<Key> {
    match record {
        Some(record) => {
            let account = record.identity.as_ref().map(|identity| identity.account.as_str());
            pools.keys(&record.owner, &record.group, account)
        }
        None => pools.keys(&policy.owner, &policy.group, None),
    }
}

/// Sums once a second while there are budgets, and wakes the sessions that one ends, until `stop`.
pub async fn keep(engine: Arc<Engine>, stop: CancellationToken) {
    loop {
        let none = lock(&engine.budgets.pools).rules.is_empty();
        let due = async {
            if none {
                engine.budgets.changed.notified().await;
            } else {
                tokio::time::sleep(SUM_AGE.as_duration()).await;
            }
        };
        if stop.run_until_cancelled(due).await.is_none() {
            return;
        }
        engine.sum_budgets().await;
    }
}

/// A budget's sum in hundredths of its limit, rounded down.
fn percent(spent: Money, limit: Money) -> u64 {
    let share = i128::from(spent.nanos()) * 100 / i128::from(limit.nanos().max(1));
    u64::try_from(share).unwrap_or(0)
}
