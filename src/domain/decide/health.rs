//! Whether the application answers: announced when it does, restarted when it stops to, ended when it never did.
//!
//! Guarantees: restarts are counted and capped; a reading of another task than the serving one counts as none; what is
//! waited for is waited for in bounded time, whether AWS tells of it or not.

use crate::domain::model::{
    Cause, Event, FaultClass, Life, LimitKind, Phase, Record, Resource, ResourceKey, ResourceKind, Span, Stage,
    TaskFacts, TaskLoss, TaskStatus, Timestamp, Unread,
};
use crate::domain::policy::{Policy, retry};

use super::{
    idleness,
    limits::{self, grace_from},
    teardown_order,
    turn::{Turn, is_service, serving},
};

/// From its creation to RUNNING, slow image pulls included.
pub(super) const PULL_BOUND: Span = Span::from_mins(15);

/// From RUNNING to a public address.
pub(super) const ADDRESS_BOUND: Span = Span::from_mins(2);

/// For how long a task that is not up yet may be paid for while AWS refuses to say how it does: a right that was just
/// given takes a while to get about.
const DENIED_BOUND: Span = Span::from_mins(2);

/// For how long a restart waits for a read of the task that came after its bad probes: where the task is gone, that says
/// why.
pub const READ_BOUND: Span = Span::from_secs(5);

/// So long after it was made a role may not be known everywhere in AWS.
const NEW_ROLE: Span = Span::from_mins(2);

/// Judges the serving task by its facts and probes.
pub(super) fn judge(turn: &mut Turn<'_>) {
    if turn.record.phase == Phase::Running && turn.record.url.is_none() {
        turn.enter(Phase::Starting, "waiting for the task that takes over");
    }
    let Some((key, task)) = serving(&turn.record, turn.policy()).map(|(key, task)| (key, task.clone())) else {
        unplaced(turn);
        return;
    };
    let born = task.live_at.unwrap_or(task.intended_at);
    let facts = task.task.clone();
    if turn.record.phase == Phase::Running && is_leaving(&facts) {
        // AWS takes it away: why is said once it is stopped, and its probes say nothing of the application.
        return;
    }
    let running = facts.as_ref().is_some_and(|facts| facts.status == TaskStatus::Running);
    if !running {
        if turn.record.phase == Phase::Starting
            && !is_leaving(&facts)
            && task.live_at.is_some()
            && !unreadable(turn)
            && turn.reached(born + PULL_BOUND)
        {
            let unread = unread(turn);
            let detail = format!("{key} did not reach RUNNING within {PULL_BOUND}{unread}");
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
            if awaits_read(turn) {
                return;
            }
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

/// Since when a service that is to run a task has none.
pub(super) fn taskless_since(record: &Record, policy: &Policy) -> Option<Timestamp> {
    let waits = is_service(policy) && record.phase == Phase::Starting && serving(record, policy).is_none();
    waits.then(|| record.phase_since.max(record.restarted_at.unwrap_or_default()))
}

/// A service whose task AWS does not place: ended at once where it never will, and in bounded time where it may.
fn unplaced(turn: &mut Turn<'_>) {
    let Some(since) = taskless_since(&turn.record, turn.policy()) else { return };
    let Some(service) = turn.record.only(ResourceKind::Service).filter(|it| it.life == Life::Live) else { return };
    let name = service.name.clone();
    if unreadable(turn) {
        return;
    }
    let refused = turn.seen.unplaced.as_ref().filter(|(at, _)| *at >= since).map(|(_, fault)| fault.clone());
    let said = refused.as_ref().map(|fault| format!(": {}: {fault}", retry::explain(fault)));
    let hopeless = refused.is_some_and(|fault| matches!(fault.class, FaultClass::Quota | FaultClass::Denied));
    if hopeless {
        fail(turn, &format!("the service {name} can place no task{}", said.unwrap_or_default()));
    } else if turn.reached(since + PULL_BOUND) {
        let said = said.unwrap_or_else(|| unread(turn));
        fail(turn, &format!("the service {name} had no task for {PULL_BOUND}{said}"));
    }
}

/// Ends a session whose task is not up, and which these credentials may not read: what is waited for would not be seen.
fn unreadable(turn: &mut Turn<'_>) -> bool {
    let Some(Unread { since, fault }) = turn.seen.unread.as_ref().filter(|it| it.fault.class == FaultClass::Denied)
    else {
        return false;
    };
    if !turn.reached(turn.record.phase_since.max(*since) + DENIED_BOUND) {
        return false;
    }
    fail(turn, &format!("its tasks could not be read for {DENIED_BOUND}: {}: {fault}", retry::explain(fault)));
    true
}

/// Why it is not known how its tasks do, to be added to what is said of them.
fn unread(turn: &Turn<'_>) -> String {
    let unread = turn.seen.unread.as_ref().filter(|unread| unread.is_told(turn.now));
    unread.map_or_else(String::new, |Unread { since, fault }| {
        format!("; it could not be read since {since}: {}: {fault}", retry::explain(fault))
    })
}

/// Whether bad probes are not judged yet: the serving task is to be read before, since it may be gone, and while AWS cannot
/// be reached from here either, nothing is known of the task, nor could it be replaced.
fn awaits_read(turn: &mut Turn<'_>) -> bool {
    let unread = turn.seen.unread.as_ref();
    let unanswered = unread.is_some_and(|unread| unread.fault.is_unanswered());
    let cut_off = turn.seen.cut_off_at.is_some() && turn.seen.cut_off_at >= turn.seen.health.at;
    // A read that is answered, though late each time, holds a verdict up only so long.
    let patient = turn.seen.health.bad < 2 * turn.policy().health.unhealthy_after.max(1);
    if cut_off && (unanswered || patient) {
        return true;
    }
    let fails = unread.is_some();
    let Some(probed) = turn.seen.health.at.filter(|probed| !fails && turn.seen.tasks_seen_at < Some(*probed)) else {
        return false;
    };
    let waits = !turn.reached(probed + READ_BOUND);
    if waits {
        turn.due.push(turn.now);
    }
    waits
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
    if !unreadable(turn) && turn.reached(running_since + ADDRESS_BOUND) {
        let unread = unread(turn);
        let detail = format!("{key} runs but has no public address {ADDRESS_BOUND} after it started{unread}");
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

/// Ends what another task would not mend.
fn fail(turn: &mut Turn<'_>, detail: &str) {
    if turn.record.first_healthy_at.is_some() {
        turn.end(Cause::TaskLost, format!("its lost task could not be replaced: {detail}"), Stage::Teardown);
    } else {
        turn.end(Cause::DeployFailed, detail, Stage::Teardown);
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
        TaskLoss::ImagePull if !pull_may_work(turn, facts, detail) => {
            Some((Cause::DeployFailed, because.clone(), Stage::Teardown))
        }
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
    // What was taken from it, or never ran, did not crash.
    let worn_out = match loss {
        TaskLoss::ImagePull if turn.record.first_healthy_at.is_none() => Cause::DeployFailed,
        TaskLoss::ImagePull | TaskLoss::Spot | TaskLoss::Retired | TaskLoss::Infrastructure | TaskLoss::Stopped => {
            Cause::TaskLost
        }
        _ if turn.policy().task.max_restarts == 0 => Cause::TaskLost,
        _ => Cause::CrashLoop,
    };
    restart(turn, None, &because, worn_out);
}

/// Whether another task may pull the image that this one could not: it was pulled before, or the role to pull it as was
/// made just before and AWS does not know it everywhere yet (aws-facts §1.14).
fn pull_may_work(turn: &Turn<'_>, facts: &TaskFacts, detail: &str) -> bool {
    if turn.record.first_healthy_at.is_some() {
        return true;
    }
    let role = turn.record.only(ResourceKind::ExecutionRole).filter(|role| role.ours);
    let stopped = facts.stopped_at.map_or(turn.now, |at| turn.seen.apart().ours(at));
    let said = detail.to_lowercase();
    let of_rights =
        ["accessdenied", "access denied", "not authorized", "assume"].iter().any(|word| said.contains(word));
    of_rights && role.and_then(|role| role.live_at).is_some_and(|made| stopped.since(made) <= NEW_ROLE)
}
