//! What is taken away, in which order: everything whose dependents are gone, side by side.
//!
//! ```text
//! service ─► tasks ─┬─► cluster · security group · log group · execution role
//!                   └───┴─► Container Insights' log group, once AWS writes to it no more
//! at once: repository (with its images) · task definition
//! last: schedule group ─► scheduler role
//! ```
//! Guarantees: only what the record calls ours is ever named in a step; a removal is never given up, only
//! asked more slowly. (What costs nothing and nobody ever answered for is let go: `fuse::let_go`.)

use crate::domain::{
    model::{Event, Life, Removal, Resource, ResourceKey, ResourceKind, Span, Step, TaskStatus, Timestamp},
    policy::retry,
};

use super::{
    deploy_order, fuse,
    turn::{Turn, is_condemned, serving},
};

/// Stops live tasks that do not serve: given up for a restart, or one too many.
pub(super) fn stop_surplus(turn: &mut Turn<'_>) {
    if turn.service_mode() {
        retry_stops(turn);
        return;
    }
    let keep = serving(&turn.record, turn.policy()).map(|(key, _)| key);
    let surplus: Vec<ResourceKey> = turn
        .record
        .tasks()
        .filter(|(key, task)| Some(*key) != keep && task.ours && task.life.may_exist())
        .filter(|(_, task)| task.id.is_some() || is_condemned(&turn.record, turn.policy(), task))
        .map(|(key, _)| key)
        .collect();
    for key in surplus {
        stop_task(turn, key, "replaced");
    }
}

fn retry_stops(turn: &mut Turn<'_>) {
    let leaving: Vec<ResourceKey> =
        turn.record.tasks().filter(|(_, task)| task.life == Life::Leaving).map(|(key, _)| key).collect();
    for key in leaving {
        stop_task(turn, key, "replaced");
    }
}

/// Stops compute: the service, then every task.
pub(super) fn stop_compute(turn: &mut Turn<'_>) {
    let service = ResourceKey::only(ResourceKind::Service);
    if may_exist(turn, service) {
        // It stops its own tasks, and would replace those that we stop.
        remove(turn, service);
        return;
    }
    let tasks: Vec<ResourceKey> =
        turn.record.tasks().filter(|(_, task)| task.ours && task.life.may_exist()).map(|(key, _)| key).collect();
    let reason = reason(turn);
    for key in tasks {
        stop_task(turn, key, &reason);
    }
}

/// Removes everything of ours, as far as its dependents are gone.
pub(super) fn everything(turn: &mut Turn<'_>) {
    refused(turn);
    stop_compute(turn);
    with_their_container(turn);
    for key in [
        ResourceKey::only(ResourceKind::TaskDefinition),
        ResourceKey::only(ResourceKind::Repository),
        ResourceKey::IMAGE,
        ResourceKey::SENTINEL_IMAGE,
    ] {
        remove(turn, key);
    }
    let computing = turn.record.resources.iter().any(|(key, resource)| {
        matches!(key.kind, ResourceKind::Task | ResourceKind::Service) && resource.ours && resource.life.may_exist()
    });
    if computing {
        return;
    }
    for kind in
        [ResourceKind::Cluster, ResourceKind::SecurityGroup, ResourceKind::LogGroup, ResourceKind::ExecutionRole]
    {
        remove(turn, ResourceKey::only(kind));
    }
    insights_log(turn);
    net(turn);
}

/// For so long after a cluster's end AWS may still write what its tasks did, and make the log group anew for that. How
/// late Container Insights is AWS does not say (aws-facts §7): some minutes.
const LATE_WRITES: Span = Span::from_mins(4);

/// What AWS writes to goes when it writes no more: removed before, it would be there again.
fn insights_log(turn: &mut Turn<'_>) {
    let key = ResourceKey::only(ResourceKind::InsightsLog);
    if !may_exist(turn, key) || may_exist(turn, ResourceKey::only(ResourceKind::Cluster)) {
        return;
    }
    // Nothing ran in a cluster that had no task: nothing is written of it.
    let ran = turn.record.tasks().filter_map(|(_, task)| task.gone_at).max();
    if ran.is_none_or(|last| turn.reached(last + LATE_WRITES)) {
        remove(turn, key);
    }
}

/// The net outside the task goes last: until then it would remove what labguard cannot.
fn net(turn: &mut Turn<'_>) {
    if turn.record.ours_left().any(|(key, _)| !key.kind.is_net()) {
        return;
    }
    let group = ResourceKey::only(ResourceKind::ScheduleGroup);
    fuse::let_go(turn, group);
    remove(turn, group);
    if !may_exist(turn, group) {
        let role = ResourceKey::only(ResourceKind::SchedulerRole);
        fuse::let_go(turn, role);
        remove(turn, role);
    }
}

/// What AWS refused to make at the first and only try needs no removal.
fn refused(turn: &mut Turn<'_>) {
    let never: Vec<ResourceKey> =
        turn.record.ours_left().filter(|(_, resource)| resource.was_refused()).map(|(key, _)| key).collect();
    for key in never {
        turn.note(Event::Vanished { key });
    }
}

/// An image goes with its repository; one in somebody else's registry was never ours.
fn with_their_container(turn: &mut Turn<'_>) {
    for key in [ResourceKey::IMAGE, ResourceKey::SENTINEL_IMAGE] {
        if !may_exist(turn, key) {
            continue;
        }
        let foreign = key == ResourceKey::IMAGE && !turn.policy().image.source.is_pushed();
        let repository = turn.record.only(ResourceKind::Repository);
        if let Some(left) = repository.filter(|it| it.unproven.is_some() && !it.life.may_exist()) {
            let why = format!("the {key} is in the repository {}, which was left", left.name);
            turn.note(Event::Unproven { key, why });
        } else if foreign || repository.is_none_or(|repository| repository.ours && !repository.life.may_exist()) {
            turn.note(Event::Vanished { key });
        }
    }
}

fn may_exist(turn: &Turn<'_>, key: ResourceKey) -> bool {
    turn.record.resources.get(&key).is_some_and(|resource| resource.ours && resource.life.may_exist())
}

fn reason(turn: &Turn<'_>) -> String {
    turn.record.ending.as_ref().map_or_else(|| "ended".to_owned(), |ending| ending.cause.describe().to_owned())
}

fn removal(turn: &Turn<'_>, resource: &Resource, key: ResourceKey, reason: &str) -> Removal {
    let in_cluster = matches!(key.kind, ResourceKind::Task | ResourceKind::Service);
    Removal {
        name: resource.name.clone(),
        id: resource.id.clone(),
        cluster: in_cluster.then(|| turn.names().cluster),
        vpc: turn.record.network.as_ref().map(|network| network.vpc.clone()),
        reason: format!("labguard: {reason}").chars().take(255).collect(),
        mark: if key.kind == ResourceKind::Image { deploy_order::image_mark(turn) } else { None },
        address: None,
    }
}

/// Whether the next try of a removal is due; if not, it is remembered.
fn is_due(turn: &mut Turn<'_>, kind: ResourceKind, resource: &Resource) -> bool {
    tried_again(kind, resource).is_none_or(|at| turn.reached(at))
}

/// When a removal or a stop that failed is tried again.
fn tried_again(kind: ResourceKind, resource: &Resource) -> Option<Timestamp> {
    let (at, fault) = resource.last_fault.as_ref().filter(|_| resource.life == Life::Leaving)?;
    let wait = match kind {
        ResourceKind::Task | ResourceKind::Service => retry::stop_wait(resource.failures),
        _ => retry::removal_wait(resource.failures, fault.class),
    };
    Some(*at + wait)
}

/// When what could not be removed or stopped is tried again, the first of it.
pub(super) fn next_try(turn: &Turn<'_>) -> Option<Timestamp> {
    turn.record.ours_left().filter_map(|(key, it)| tried_again(key.kind, it)).min().map(|at| at.max(turn.now))
}

/// Stops a task, unless a stop was accepted already, it is not known where it is, or it waits for its next try.
pub(super) fn stop_task(turn: &mut Turn<'_>, key: ResourceKey, reason: &str) {
    let Some(task) = turn.record.resources.get(&key).filter(|task| task.ours && task.life.may_exist()).cloned() else {
        return;
    };
    let accepted = task.life == Life::Leaving
        && task.task.as_ref().is_some_and(|facts| !facts.wanted || facts.status == TaskStatus::Stopped);
    // A task of which nothing was ever seen but its ARN: asked once, then looked at before it is asked again.
    let unseen = task.life == Life::Leaving
        && task.task.is_none()
        && task.failures == 0
        && task.asked_at.is_some_and(|at| !turn.reached(at + Span::from_secs(10)));
    if task.id.is_none() || accepted || unseen || turn.has_step(key) || !is_due(turn, key.kind, &task) {
        return;
    }
    let removal = removal(turn, &task, key, reason);
    turn.steps.push(Step::StopTask { key, removal });
}

/// Removes one resource of ours, unless it waits for its next try.
fn remove(turn: &mut Turn<'_>, key: ResourceKey) {
    let Some(resource) = turn.record.resources.get(&key).filter(|it| it.ours && it.life.may_exist()).cloned() else {
        return;
    };
    if key.kind == ResourceKind::Image && may_exist(turn, ResourceKey::only(ResourceKind::Repository)) {
        return;
    }
    if turn.has_step(key) || !is_due(turn, key.kind, &resource) {
        return;
    }
    let removal = removal(turn, &resource, key, &reason(turn));
    turn.steps.push(Step::Remove { key, removal });
}
