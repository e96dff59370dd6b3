//! What lies ahead: every limit with its time, what it costs, what to watch, and when to look again.

use crate::domain::meter;
use crate::domain::model::{Limit, LimitKind, Outlook, Phase, Plan, Span, Stage, TaskStatus, Timestamp, Watch};

use super::{
    fuse, idleness, limits, renewals, sentinel, teardown_order,
    turn::{Turn, serving},
    wants::{BLOCKED, FAST, SLOW, net_look, next_task_read},
};

/// Nothing is ever due sooner than this again.
const SOONEST: Span = Span::from_millis(100);

/// That soon a read that is waited for is looked for again.
const FRESH: Span = Span::from_secs(2);

/// Completes a turn into a plan.
pub(super) fn finish(mut turn: Turn<'_>) -> Plan {
    let (spend, rate, teardown_cost) = {
        let (spend, teardown, rate) = turn.committed();
        (spend, rate, teardown)
    };
    let dues = limits::all(&turn);
    let at_limit = |limit: Limit| Limit { spend: spend + rate.per_hour_over(limit.at.since(turn.now)), ..limit };
    let limits: Vec<Limit> = dues.into_iter().map(|due| at_limit(due.limit)).collect();
    let idle = idleness::idle(&turn).and_then(|idle| idle.length(turn.now));
    let budget = limits::budget(&turn.record, turn.policy());
    let forecast = meter::forecast(spend, rate, turn.now);
    let ends = turn.record.is_closed() || turn.ending_stage() == Some(Stage::Teardown);
    let deadline = (!ends).then(|| meter::deadline(&turn.record, turn.policy(), turn.rules.card, budget, turn.now));
    let sentinel = deadline.and_then(|until| sentinel::lease(&turn, until));
    let net_acts_at = fuse::acts_at(&turn);
    let sentinel_acts = renewals::acts_at(&turn).filter(|_| !ends);
    let outlook = Outlook {
        spend,
        rate,
        teardown_cost,
        budget,
        forecast,
        deadline,
        net_acts_at,
        sentinel,
        sentinel_acts,
        idle,
        next_try: teardown_order::next_try(&turn),
        limits,
    };
    let wake_at = wake(&mut turn, &outlook);
    let watch = watch(&turn);
    Plan { notes: turn.notes, steps: turn.steps, watch, supply: turn.supply, wake_at, outlook }
}

/// The serving task, once it has an address and there is something to talk to: it itself when it runs, its guard before.
/// ECS may start the guard long before the application's image is there.
fn watch(turn: &Turn<'_>) -> Option<Watch> {
    if turn.record.ending.is_some() || turn.record.is_closed() {
        return None;
    }
    let (task, resource) = serving(&turn.record, turn.policy())?;
    let facts = resource.task.as_ref().filter(|facts| !facts.is_leaving())?;
    let runs = facts.status == TaskStatus::Running;
    (runs || sentinel::renewed(turn)).then_some(())?;
    Some(Watch { task, ip: facts.public_ip.clone()?, runs })
}

/// The earliest instant at which anything becomes due.
fn wake(turn: &mut Turn<'_>, outlook: &Outlook) -> Option<Timestamp> {
    if turn.record.is_closed() {
        return None;
    }
    let now = turn.now;
    turn.due.extend(outlook.limits.iter().map(|limit| limit.at).filter(|at| *at > now));
    let policy = turn.policy();
    if outlook.limits.iter().any(|limit| limit.kind == LimitKind::Idle && limit.at <= now) {
        // Its time has come, and only the next read of a source is waited for.
        turn.due.push(now + FRESH);
    }
    turn.due.extend(next_task_read(&turn.record, policy, turn.seen, now));
    if let Some(at) = net_look(&turn.record, policy, turn.seen) {
        turn.due.push(at.max(now + FRESH));
    }
    if turn.ending_stage() == Some(Stage::Teardown) && turn.record.ours_left().next().is_none() {
        turn.due.push(now + if turn.record.phase == Phase::Stuck { BLOCKED } else { FAST });
    }
    let earliest = turn.due.iter().min().copied().unwrap_or(now + SLOW);
    Some(earliest.max(now + SOONEST))
}
