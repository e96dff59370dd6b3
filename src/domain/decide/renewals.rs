//! What becomes of a session whose sentinel does not take labguard's renewals: its task ends with the lease, and nobody
//! has ended it.
//!
//! Guarantees: told once the failure has lasted, with the instant at which the sentinel acts; never a reason to end the
//! session. The instant is by the last answer of the sentinel's own; before the first answer, by the orders of the task,
//! and none before it runs: nobody knows then whether its sentinel does.

use crate::domain::{
    model::{Cause, LimitKind, Phase, RenewalReading, Span, Stage, Timestamp},
    policy::Sentinel,
};

use super::{
    limits::{self, Due},
    sentinel,
    turn::{Turn, serving},
};

/// How the serving task's renewals go.
fn reading<'a>(turn: &Turn<'a>) -> Option<&'a RenewalReading> {
    let (key, _) = serving(&turn.record, turn.policy())?;
    turn.seen.renewals.as_ref().filter(|reading| reading.task == key && turn.ending_stage().is_none())
}

/// Whether its lease can be renewed; none while that is not settled.
pub(super) fn verdict(turn: &Turn<'_>) -> Option<bool> {
    let reading = reading(turn)?;
    let lease = if reading.lease_ends.is_some() { turn.policy().fuse.lease } else { first_lease(turn) };
    reading.verdict(lease, turn.now)
}

/// The lease that the serving task's sentinel was started with.
fn first_lease(turn: &Turn<'_>) -> Span {
    let facts = serving(&turn.record, turn.policy()).and_then(|(_, task)| task.task.as_ref());
    facts.and_then(|facts| facts.sentinel_lease).unwrap_or(turn.policy().fuse.lease)
}

/// Why it cannot, for people.
pub(super) fn why(turn: &Turn<'_>) -> Option<String> {
    let reading = reading(turn)?;
    let (since, error) = reading.failing.as_ref()?;
    let port = turn.policy().fuse.port;
    let what = if reading.lease_ends.is_none() {
        format!("the guard inside the task never answered, since {since} ({error})")
    } else {
        format!("the guard inside the task has taken no renewal since {since} ({error})")
    };
    Some(format!("{what}; check fuse.sources and the way to port {port}: it ends the task with its lease"))
}

/// When the lease ends unless it is renewed.
fn lease_ends(turn: &Turn<'_>) -> Option<Timestamp> {
    let reading = reading(turn)?;
    let told = reading.lease_ends.or_else(|| {
        let (_, task) = serving(&turn.record, turn.policy())?;
        let started = turn.seen.apart().ours(task.task.as_ref()?.started_at?);
        let lease = first_lease(turn);
        // One that lives beyond its first lease was renewed by the labguard before.
        let first = started + lease;
        Some(if first > reading.since { first } else { reading.since + lease })
    })?;
    Some(hard_end(turn).map_or(told, |hard| told.min(hard)))
}

/// The hard end that its task was given.
fn hard_end(turn: &Turn<'_>) -> Option<Timestamp> {
    let given = serving(&turn.record, turn.policy())?.1.task.as_ref()?.sentinel_deadline?;
    Some(turn.seen.apart().ours(given))
}

/// When the sentinel ends the task, unless labguard says otherwise before.
pub(super) fn acts_at(turn: &Turn<'_>) -> Option<Timestamp> {
    let at = match sentinel::guard(turn) {
        Sentinel::Off => return None,
        Sentinel::Own if sentinel::reached(turn) => lease_ends(turn)?,
        Sentinel::Own | Sentinel::Shell => hard_end(turn)?,
    };
    (at > turn.now).then_some(at)
}

/// The lease as a limit, while it cannot be renewed.
pub(super) fn limit(turn: &Turn<'_>) -> Option<Due> {
    if verdict(turn) != Some(false) || !matches!(turn.record.phase, Phase::Starting | Phase::Running) {
        return None;
    }
    let at = lease_ends(turn).filter(|at| *at > turn.now)?;
    let (done, most) = (turn.record.restarts, turn.policy().task.max_restarts);
    let then = if done < most {
        format!("then its task is started again (restart {} of {most})", done + 1)
    } else {
        format!("then it ends: its task was started again {done} of {most} times")
    };
    let why = format!("{}; {then}", why(turn)?);
    let cause = if done < most || most == 0 { Cause::TaskLost } else { Cause::CrashLoop };
    let moved_by = "a renewal that its sentinel accepts";
    // The sentinel acts, not labguard.
    let due = limits::due(LimitKind::SentinelLease, cause, at, Stage::Teardown, why, moved_by);
    Some(Due { certain: false, ..due })
}
