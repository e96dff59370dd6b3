//! What was seen of tasks goes into the record: new facts, losses, and tasks that were not known.
//!
//! Guarantees: a note only where facts changed; a task's life never runs backwards; what is merely not in a
//! listing soon after its creation counts as not yet visible, not as gone (aws-facts §1.2).

use std::collections::BTreeMap;

use crate::domain::model::{
    Event, FaultClass, Life, Observed, Record, Resource, ResourceKey, ResourceKind, Span, TaskFacts, TaskStatus,
    Timestamp,
};

use super::{fuse, health, turn::Turn};

/// How long after its creation a task may be invisible to reads.
pub(super) const VISIBLE_WITHIN: Span = Span::from_mins(5);

/// How long after the last RunTask whose answer was lost a listing proves that it made nothing. (DeleteCluster,
/// which refuses while tasks exist, and two verification passes are asked besides.)
pub(super) const LISTED_WITHIN: Span = Span::from_secs(30);

pub(super) fn run(turn: &mut Turn<'_>) {
    let seen = merged(turn);
    for (arn, facts) in &seen {
        take(turn, arn, facts);
    }
    missing(turn, &seen);
    never_made(turn, &seen);
}

/// Every task seen in this turn, by ARN; of two reads the further progressed.
fn merged(turn: &Turn<'_>) -> BTreeMap<String, TaskFacts> {
    let mut seen: BTreeMap<String, TaskFacts> = BTreeMap::new();
    let sighted = turn.seen.sightings.values().filter_map(|seen| seen.present()).filter_map(|seen| seen.task.as_ref());
    let listed = turn.seen.tasks.present().into_iter().flatten();
    for facts in sighted.chain(listed) {
        let together = merge(seen.get(&facts.arn), facts);
        seen.insert(facts.arn.clone(), together);
    }
    seen
}

/// `known` with what `seen` adds: states never go backwards, and what was once said stays said.
fn merge(known: Option<&TaskFacts>, seen: &TaskFacts) -> TaskFacts {
    let Some(known) = known else { return seen.clone() };
    let newer = rank(seen.status) >= rank(known.status);
    let (front, back) = if newer { (seen, known) } else { (known, seen) };
    TaskFacts {
        arn: front.arn.clone(),
        status: front.status,
        wanted: known.wanted && seen.wanted,
        created_at: front.created_at.or(back.created_at),
        pull_started_at: front.pull_started_at.or(back.pull_started_at),
        started_at: front.started_at.or(back.started_at),
        stopped_at: front.stopped_at.or(back.stopped_at),
        stop_code: front.stop_code.clone().or(back.stop_code.clone()),
        stopped_reason: front.stopped_reason.clone().or(back.stopped_reason.clone()),
        exit_code: front.exit_code.or(back.exit_code),
        container_reason: front.container_reason.clone().or(back.container_reason.clone()),
        eni: front.eni.clone().or(back.eni.clone()),
        public_ip: front.public_ip.clone().or(back.public_ip.clone()),
        sentinel_exit: front.sentinel_exit.or(back.sentinel_exit),
        sentinel_deadline: front.sentinel_deadline.or(back.sentinel_deadline),
        sentinel_lease: front.sentinel_lease.or(back.sentinel_lease),
    }
}

/// Progress through the life cycle; a state we do not know is no progress.
const fn rank(status: TaskStatus) -> u8 {
    match status {
        TaskStatus::Other => 0,
        TaskStatus::Provisioning => 1,
        TaskStatus::Pending => 2,
        TaskStatus::Activating => 3,
        TaskStatus::Running => 4,
        TaskStatus::Deactivating => 5,
        TaskStatus::Stopping => 6,
        TaskStatus::Deprovisioning => 7,
        TaskStatus::Stopped => 8,
    }
}

fn key_of(record: &Record, arn: &str) -> Option<ResourceKey> {
    record.tasks().find(|(_, task)| task.id.as_deref() == Some(arn)).map(|(key, _)| key)
}

/// The task whose RunTask has not been answered.
fn unanswered(record: &Record) -> Option<ResourceKey> {
    record.tasks().find(|(_, task)| is_unanswered(task)).map(|(key, _)| key)
}

fn is_unanswered(task: &Resource) -> bool {
    task.id.is_none() && task.life.may_exist()
}

/// A task that no open question is about, and that is not ours to account for: an old, stopped one, or one of an earlier
/// service of the same name in a cluster that was there before.
fn is_of_before(turn: &Turn<'_>, seen: &TaskFacts) -> bool {
    let created = seen.created_at.map(|created| turn.seen.apart().ours(created));
    // Clocks that are less apart than that count as one.
    let opened = turn.record.lives_from() - Span::from_secs(6);
    if turn.service_mode() {
        return created.is_some_and(|created| created < opened);
    }
    seen.is_stopped() && created.is_none_or(|created| created < opened)
}

fn take(turn: &mut Turn<'_>, arn: &str, seen: &TaskFacts) {
    let known = key_of(&turn.record, arn);
    if known.is_none() && unanswered(&turn.record).is_none() && is_of_before(turn, seen) {
        return;
    }
    let key = known.or_else(|| unanswered(&turn.record)).unwrap_or_else(|| turn.record.next_task());
    let task = turn.record.resources.get(&key);
    let facts = merge(task.and_then(|task| task.task.as_ref()), seen);
    // AWS still wants it to run though a stop was accepted a while ago: believe AWS, so that it is asked again.
    let asked = task.and_then(|task| task.asked_at);
    let ignored =
        seen.wanted && !seen.is_leaving() && asked.is_some_and(|at| turn.now.since(at) >= Span::from_secs(30));
    let facts = TaskFacts { wanted: facts.wanted || ignored, ..facts };
    let unchanged = task.is_some_and(|task| {
        task.task.as_ref() == Some(&facts)
            && task.id.as_deref() == Some(arn)
            && (facts.is_stopped() || task.life.may_exist())
    });
    if unchanged {
        return;
    }
    let served = task.is_none_or(|task| matches!(task.life, Life::Intended | Life::Live));
    let size = task.and_then(|task| task.size).unwrap_or(turn.policy().task.size);
    let (stopped, set_for) = (facts.is_stopped(), fuse::stop_of(&turn.record, key));
    turn.note(Event::TaskSeen { key, facts: facts.clone(), size });
    if stopped && served && turn.record.ending.is_none() {
        lose(turn, key, &facts, set_for);
    } else if facts.is_leaving() && served && turn.record.ending.is_none() && fuse::service_deleted(turn).is_some() {
        fuse::acted(turn, key, &facts, set_for);
    }
}

/// `set_for`: when its stop outside was set for.
fn lose(turn: &mut Turn<'_>, key: ResourceKey, facts: &TaskFacts, set_for: Option<Timestamp>) {
    let loss = facts.loss();
    // ECS says some reasons of the task and of its container in the same words.
    let of_task = facts.stopped_reason.as_deref();
    let of_container = facts.container_reason.as_deref().filter(|said| Some(*said) != of_task);
    let mut detail = of_task.into_iter().chain(of_container).collect::<Vec<_>>().join("; ");
    if let Some(code) = facts.exit_code {
        detail = format!("{detail} (exit code {code})");
    }
    turn.note(Event::TaskLost { key, loss, detail: detail.clone() });
    if fuse::acted(turn, key, facts, set_for) {
        return;
    }
    health::after_loss(turn, key, facts, &detail);
}

/// Known tasks of which a fresh read said that they are not there.
fn missing(turn: &mut Turn<'_>, seen: &BTreeMap<String, TaskFacts>) {
    let cluster_gone = cluster_proven_gone(&turn.record);
    let known: Vec<(ResourceKey, Resource)> =
        turn.record.tasks().filter(|(_, task)| task.life.may_exist()).map(|(key, task)| (key, task.clone())).collect();
    for (key, task) in known {
        let Some(arn) = task.id.as_deref() else { continue };
        if seen.contains_key(arn) {
            continue;
        }
        let absent = turn.seen.of(key).is_absent();
        let was_leaving = task.task.as_ref().is_some_and(TaskFacts::is_leaving);
        let old = task.live_at.is_some_and(|at| turn.now.since(at) > VISIBLE_WITHIN);
        if !(cluster_gone || absent && (old || was_leaving && task.life == Life::Leaving)) {
            continue;
        }
        if task.life == Life::Leaving || turn.record.ending.is_some() {
            turn.note(Event::Vanished { key });
        } else {
            let facts = task.task.clone().unwrap_or_else(|| TaskFacts::new(arn));
            let set_for = fuse::stop_of(&turn.record, key);
            lose(turn, key, &facts, set_for);
        }
    }
}

/// Tasks asked for of which nothing can have come: proven by a refusal, a listing, or a cluster that is gone.
/// Only asked once nothing more is made; before, the same token is simply sent again.
fn never_made(turn: &mut Turn<'_>, seen: &BTreeMap<String, TaskFacts>) {
    if turn.record.ending.is_none() {
        return;
    }
    let no_cluster = cluster_proven_gone(&turn.record);
    let open: Vec<(ResourceKey, Resource)> =
        turn.record.tasks().filter(|(_, task)| is_unanswered(task)).map(|(key, task)| (key, task.clone())).collect();
    for (key, task) in open {
        let asked = task.asked_at.unwrap_or(task.intended_at);
        let refused = task.life == Life::Intended
            && task.last_fault.as_ref().is_some_and(|(_, fault)| {
                matches!(fault.class, FaultClass::Capacity | FaultClass::Quota | FaultClass::Rejected)
            });
        let settled = asked + LISTED_WITHIN;
        let listed = matches!(turn.seen.tasks, Observed::Present(_) | Observed::Absent)
            && turn.seen.tasks_seen_at.is_some_and(|at: Timestamp| at >= settled)
            && seen.keys().all(|arn| key_of(&turn.record, arn).is_some());
        if no_cluster || refused || listed {
            turn.note(Event::Vanished { key });
        } else {
            turn.due.push(settled);
        }
    }
}

/// Whether the session's own cluster is gone or never was: then no task of it can exist.
fn cluster_proven_gone(record: &Record) -> bool {
    let gone = |cluster: &Resource| cluster.ours && !cluster.life.may_exist() && cluster.unproven.is_none();
    record.only(ResourceKind::Cluster).is_none_or(gone)
}
