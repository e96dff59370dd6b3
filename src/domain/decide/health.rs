//! Whether the application answers: announced when it does, restarted when it stops to, ended when it never did.
//!
//! Guarantee: restarts are counted and capped; a reading of another task than the serving one counts as none.

use crate::domain::model::{
    Cause, Event, LimitKind, Phase, Resource, ResourceKey, Span, Stage, TaskFacts, TaskLoss, TaskStatus,
};
use crate::domain::policy::Policy;

use super::{
    idleness,
    limits::{self, grace_from},
    teardown_order,
    turn::{Turn, serving},
};

/// From its creation to RUNNING, slow image pulls included.
pub(super) const PULL_BOUND: Span = Span::from_mins(15);

/// From RUNNING to a public address.
pub(super) const ADDRESS_BOUND: Span = Span::from_mins(2);

/// Judges the serving task by its facts and probes.
pub(super) fn judge(turn: &mut Turn<'_>) {
    if turn.record.phase == Phase::Running && turn.record.url.is_none() {
        turn.enter(Phase::Starting, "waiting for the task that takes over");
    }
    let Some((key, task)) = serving(&turn.record, turn.policy()).map(|(key, task)| (key, task.clone())) else { return };
    let born = task.live_at.unwrap_or(task.intended_at);
    let facts = task.task.clone();
    let running = facts.as_ref().is_some_and(|facts| facts.status == TaskStatus::Running);
    if !running {
        if turn.record.phase == Phase::Starting
            && !is_leaving(&facts)
            && task.live_at.is_some()
            && turn.reached(born + PULL_BOUND)
        {
            let detail = format!("{key} did not reach RUNNING within {PULL_BOUND}");
            fail_or_restart(turn, key, Cause::DeployFailed, &detail);
        }
        return;
    }
    let Some(ip) = facts.as_ref().and_then(|facts| facts.public_ip.clone()) else {
        address_missing(turn, key, &task, facts.as_ref());
        return;
    };
    match verdict(turn, key) {
        Some(true) => healthy(turn, &ip),
        Some(false) if turn.record.health.as_ref().is_some_and(|(healthy, ..)| *healthy) => {
            let detail = turn.seen.health.detail.clone();
            turn.note(Event::Health { healthy: false, detail: detail.clone() });
            restart(turn, Some(key), &format!("unhealthy: {detail}"), Cause::CrashLoop);
        }
        Some(false) | None => grace(turn, key),
    }
}

fn is_leaving(facts: &Option<TaskFacts>) -> bool {
    facts.as_ref().is_some_and(TaskFacts::is_leaving)
}

fn verdict(turn: &Turn<'_>, key: ResourceKey) -> Option<bool> {
    let reading = &turn.seen.health;
    let policy = &turn.policy().health;
    if reading.task != Some(key) {
        None
    } else if reading.good >= policy.healthy_after.max(1) {
        Some(true)
    } else if reading.bad >= policy.unhealthy_after.max(1) {
        Some(false)
    } else {
        None
    }
}

fn healthy(turn: &mut Turn<'_>, ip: &str) {
    if turn.record.health.as_ref().is_none_or(|(healthy, ..)| !healthy) {
        turn.note(Event::Health { healthy: true, detail: turn.seen.health.detail.clone() });
    }
    let url = url(turn.policy(), ip);
    if turn.record.url.as_ref() != Some(&url) {
        turn.note(Event::Announced { url: url.clone() });
    }
    turn.enter(Phase::Running, format!("answering at {url}"));
}

/// The announced address.
fn url(policy: &Policy, ip: &str) -> String {
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    format!("http://{host}:{}", policy.health.port)
}

fn address_missing(turn: &mut Turn<'_>, key: ResourceKey, task: &Resource, facts: Option<&TaskFacts>) {
    if !turn.policy().network.public_ip {
        grace(turn, key);
        return;
    }
    let born = task.live_at.unwrap_or(task.intended_at);
    let running_since = facts.and_then(|facts| facts.started_at).unwrap_or(born).max(born);
    if turn.reached(running_since + ADDRESS_BOUND) {
        let detail = format!("{key} runs but has no public address {ADDRESS_BOUND} after it started");
        fail_or_restart(turn, key, Cause::DeployFailed, &detail);
    }
}

/// Not answering yet: allowed until the start grace is over.
fn grace(turn: &mut Turn<'_>, key: ResourceKey) {
    if turn.record.phase != Phase::Starting || turn.record.health.as_ref().is_some_and(|(healthy, ..)| *healthy) {
        return;
    }
    let allowed = turn.policy().health.start_grace;
    let from = grace_from(&turn.record, turn.policy())
        .or_else(|| serving(&turn.record, turn.policy()).and_then(|(_, task)| task.live_at));
    let Some(from) = from else { return };
    if turn.reached(from + allowed) {
        let said =
            if turn.seen.health.detail.is_empty() { "no probe answered" } else { turn.seen.health.detail.as_str() };
        let detail = format!(
            "no good answer within the {} of {allowed}: {said}",
            LimitKind::StartGrace.name().replace('_', " ")
        );
        fail_or_restart(turn, key, Cause::NeverHealthy, &detail);
    }
}

/// A session that was healthy before gets another task; one that never was ends.
fn fail_or_restart(turn: &mut Turn<'_>, key: ResourceKey, cause: Cause, detail: &str) {
    if turn.record.first_healthy_at.is_some() {
        restart(turn, Some(key), detail, Cause::CrashLoop);
    } else {
        turn.end(cause, detail, Stage::Teardown);
    }
}

/// Another task in place of this one, or the end where the policy allows no more.
fn restart(turn: &mut Turn<'_>, stop: Option<ResourceKey>, because: &str, worn_out: Cause) {
    let allowed = turn.policy().task.max_restarts;
    let done = turn.record.restarts;
    if done >= allowed {
        let detail = format!("after {done} of {allowed} restarts: {because}");
        turn.end(worn_out, detail, Stage::Teardown);
        return;
    }
    turn.note(Event::Restarting { restart: done + 1, because: because.to_owned() });
    if turn.record.phase == Phase::Running {
        turn.enter(Phase::Starting, format!("restart {} of {allowed}: {because}", done + 1));
    }
    if let Some(key) = stop {
        teardown_order::stop_task(turn, key, "restarted by labguard");
    }
}

/// What a lost task means for the session. Its sentinel ends it by the session's own rules: at its deadline and for
/// idleness the session ends as it would have by labguard; only a lease says nothing of the session.
pub(super) fn after_loss(turn: &mut Turn<'_>, key: ResourceKey, facts: &TaskFacts, detail: &str) {
    let loss = facts.loss();
    let because = format!("its task was lost, {}: {detail}", loss.describe());
    let ends = match loss {
        TaskLoss::ImagePull => Some((Cause::DeployFailed, because.clone(), Stage::Teardown)),
        // One that never ran was idle for its image.
        TaskLoss::FusedByIdle if facts.started_at.is_some() && !idleness::is_in_use(turn) => {
            Some((Cause::Idle, because.clone(), turn.policy().end.on_idle))
        }
        TaskLoss::FusedByDeadline => limits::of_deadline(turn, key, facts.sentinel_deadline)
            .map(|(cause, why, stage)| (cause, format!("{why}; {because}"), stage)),
        _ => None,
    };
    if let Some((cause, detail, stage)) = ends {
        turn.end(cause, detail, stage);
        return;
    }
    let worn_out = if turn.policy().task.max_restarts == 0 { Cause::TaskLost } else { Cause::CrashLoop };
    restart(turn, None, &because, worn_out);
}
