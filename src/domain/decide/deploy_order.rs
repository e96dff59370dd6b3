//! What is made, in which order: everything whose needs are met, side by side.
//!
//! ```text
//! repository ─► image ─┐ (its scan passed, where the policy asks)
//! execution role ──────┼─► task definition ─┐
//! log group ───────────┘                    ├─► task | service
//! network ─► security group ────────────────┤
//! cluster ─► Container Insights' log group ─┘ (where they are switched on)
//! ```
//! Beside them the net outside the task (`fuse`), where the policy wants one: a task waits until it is known to hold.
//!
//! Guarantees: nothing is made before identity and network are known, nor once the session is ending; a create
//! of unknown outcome is asked again under the same name or token.

use crate::domain::{
    model::{
        Cause, Fault, FaultClass, ImageSpec, Life, Phase, Record, Resource, ResourceKey, ResourceKind, Span, Spec,
        Stage, Step, TaskDefinitionSpec, TaskSpec, Timestamp, mark_of,
    },
    policy::{self, Names, RunMode, Sentinel, retry},
};

use super::{
    admission, fuse, scan_gate, sentinel, teardown_order,
    turn::{Turn, serving},
};

/// The longest wait before a restart.
const LONGEST_RESTART_WAIT: Span = Span::from_mins(5);

/// For how long a replaced task may hold up its successor.
const HANDOVER: Span = Span::from_mins(2);

/// For how long AWS may refuse to stop a replaced task before the session is ended instead.
const STOP_PATIENCE: Span = Span::from_mins(10);

/// Ends the session where something can never be made.
pub(super) fn give_up(turn: &mut Turn<'_>) {
    if let Some((key, since, fault)) = refused_stop(&turn.record)
        && turn.reached(since + STOP_PATIENCE)
    {
        let why = retry::explain(&fault);
        let detail = format!("{key} cannot be stopped, so that nothing may take its place: {why}: {fault}");
        let cause = if key.kind == ResourceKind::Task { Cause::CrashLoop } else { Cause::DeployFailed };
        turn.end(cause, detail, Stage::Teardown);
        return;
    }
    let needed = turn.record.resources.iter().filter(|(key, _)| !key.kind.is_net());
    // All of it: who mends one thing at a time meets the next one a try later.
    let given_up = needed.into_iter().filter_map(|(key, resource)| {
        let name = &resource.name;
        if resource.life == Life::Never && !resource.ours {
            return Some(format!(
                "a {} named {name} is there already and is not this session's; choose another name, or let the policy adopt it",
                key.kind
            ));
        }
        if resource.life != Life::Intended {
            return None;
        }
        let (_, fault) = resource.last_fault.as_ref()?;
        let why = retry::given_up(Some(key.kind), fault, resource.failures, resource.intended_at, turn.now)?;
        Some(format!("the {} {name} could not be made: {why}: {fault}", key.kind))
    });
    let detail = given_up.collect::<Vec<_>>().join("; ");
    if detail.is_empty() {
        return;
    }
    if turn.record.first_healthy_at.is_some() && turn.record.restarts > 0 {
        turn.end(Cause::TaskLost, format!("its lost task could not be replaced: {detail}"), Stage::Teardown);
    } else {
        turn.end(Cause::DeployFailed, detail, Stage::Teardown);
    }
}

/// The replaced task, or the service of a life before, that AWS did not agree to stop, since when, and what it said last.
fn refused_stop(record: &Record) -> Option<(ResourceKey, Timestamp, Fault)> {
    let mut compute =
        record.resources.iter().filter(|(key, _)| matches!(key.kind, ResourceKind::Task | ResourceKind::Service));
    compute.find_map(|(key, it)| {
        let refused = it.life == Life::Leaving && it.ours;
        let (_, fault) = it.last_fault.as_ref().filter(|_| refused)?;
        Some((*key, it.leaving_at?.max(record.resumed_at.unwrap_or_default()), fault.clone()))
    })
}

/// Every create that can be asked for now.
pub(super) fn steps(turn: &mut Turn<'_>) {
    if turn.record.identity.is_none() || !turn.record.phase.is_building() || turn.record.phase == Phase::Pending {
        return;
    }
    let names = turn.names();
    fuse::steps(turn);
    log_group(turn, &names);
    execution_role(turn, &names);
    cluster(turn, &names);
    security_group(turn, &names);
    repository_and_image(turn, &names);
    task_definition(turn, &names);
    run(turn, &names);
}

/// The live resource of a kind.
fn live<'t>(turn: &'t Turn<'_>, kind: ResourceKind) -> Option<&'t Resource> {
    turn.record.only(kind).filter(|resource| resource.life == Life::Live)
}

/// Asks for a resource, unless it lives, is leaving, or waits for its next try.
pub(super) fn ensure(turn: &mut Turn<'_>, key: ResourceKey, spec: Spec, adopt: bool) {
    if let Some(resource) = turn.record.resources.get(&key) {
        if matches!(resource.life, Life::Live | Life::Leaving) {
            return;
        }
        if key.kind == ResourceKind::Image && turn.seen.supplying {
            // It is on its way already, beside the loop.
            turn.supply = true;
            return;
        }
        let wait = resource.last_fault.as_ref().map(|(at, _)| *at + retry::create_wait(resource.failures));
        if resource.life == Life::Intended && wait.is_some_and(|at| !turn.reached(at)) {
            return;
        }
    }
    turn.steps.push(Step::Ensure { key, spec, adopt });
}

fn ensure_only(turn: &mut Turn<'_>, kind: ResourceKind, spec: Spec) {
    let adopt = turn.policy().adopt.contains(&kind);
    ensure(turn, ResourceKey::only(kind), spec, adopt);
}

fn log_group(turn: &mut Turn<'_>, names: &Names) {
    let retention_days = turn.policy().task.log_retention_days;
    ensure_only(turn, ResourceKind::LogGroup, Spec::LogGroup { name: names.log_group.clone(), retention_days });
}

fn execution_role(turn: &mut Turn<'_>, names: &Names) {
    if turn.policy().task.execution_role.is_none() {
        ensure_only(turn, ResourceKind::ExecutionRole, Spec::ExecutionRole { name: names.execution_role.clone() });
    }
}

fn cluster(turn: &mut Turn<'_>, names: &Names) {
    let (spot, insights) = (turn.policy().task.size.spot, turn.policy().activity.insights.enabled);
    ensure_only(turn, ResourceKind::Cluster, Spec::Cluster { name: names.cluster.clone(), spot, insights });
    insights_log(turn, names);
}

/// The log group that AWS would make for the cluster: made beforehand, so that it bears the session's tag and a
/// retention. One that was there before is left standing, and somebody else's cluster keeps what it has.
fn insights_log(turn: &mut Turn<'_>, names: &Names) {
    let ours = live(turn, ResourceKind::Cluster).is_some_and(|cluster| cluster.ours);
    if turn.policy().activity.insights.enabled && ours {
        let retention_days = turn.policy().task.log_retention_days;
        let spec = Spec::LogGroup { name: policy::insights_log(&names.cluster), retention_days };
        ensure(turn, ResourceKey::only(ResourceKind::InsightsLog), spec, true);
    }
}

/// Whether a task may run as far as Container Insights goes: with it, AWS begins to write to that log group.
fn insights_ready(turn: &Turn<'_>) -> bool {
    let ours = live(turn, ResourceKind::Cluster).is_some_and(|cluster| cluster.ours);
    !turn.policy().activity.insights.enabled || !ours || live(turn, ResourceKind::InsightsLog).is_some()
}

fn security_group(turn: &mut Turn<'_>, names: &Names) {
    let Some(vpc) = turn.record.network.as_ref().map(|network| network.vpc.clone()) else { return };
    let Some(ingress) = admission::wanted(turn) else { return };
    let spec = Spec::SecurityGroup { name: names.security_group.clone(), vpc, ingress };
    ensure_only(turn, ResourceKind::SecurityGroup, spec);
}

fn repository_and_image(turn: &mut Turn<'_>, names: &Names) {
    let policy = turn.policy();
    let pushed = policy.image.source.is_pushed();
    let guard = sentinel::image(turn);
    if pushed || sentinel::guard(turn) == Sentinel::Own {
        ensure_only(
            turn,
            ResourceKind::Repository,
            Spec::Repository { name: names.repository.clone(), settings: policy.repository.settings.clone() },
        );
        if live(turn, ResourceKind::Repository).is_none() {
            return;
        }
    }
    let spec = Spec::Image(ImageSpec {
        repository: pushed.then(|| names.repository.clone()),
        tag: policy.image.tag.clone(),
        mark: image_mark(turn),
        source: policy.image.source.clone(),
        arch: policy.task.size.arch,
        ports: ports(turn),
        platforms: policy.image.platforms,
        room_gib: policy.task.size.storage,
    });
    // An image in somebody's registry is only looked up: used, and left standing.
    let adopt = !pushed || policy.adopt.contains(&ResourceKind::Image);
    ensure(turn, ResourceKey::IMAGE, spec, adopt);
    // One image on its way at a time.
    if let Some(guard) = guard.filter(|_| live(turn, ResourceKind::Image).is_some()) {
        ensure(turn, ResourceKey::SENTINEL_IMAGE, Spec::Image(guard), false);
    }
}

/// In a repository that was there before, what is pushed is marked as this session's.
pub(super) fn image_mark(turn: &Turn<'_>) -> Option<String> {
    let adopted = turn.record.only(ResourceKind::Repository).is_some_and(|repository| !repository.ours);
    adopted.then(|| mark_of(turn.record.id.as_str()))
}

/// The container's ports: those that are open, and the health port.
fn ports(turn: &Turn<'_>) -> Vec<u16> {
    let policy = turn.policy();
    let mut ports: Vec<u16> = policy.network.ingress.iter().map(|ingress| ingress.port).collect();
    ports.push(policy.health.port);
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn task_definition(turn: &mut Turn<'_>, names: &Names) {
    let policy = turn.policy();
    let Some(image) = live(turn, ResourceKind::Image).and_then(|image| image.id.clone()) else { return };
    if !scan_gate::passed(turn) {
        return;
    }
    if live(turn, ResourceKind::LogGroup).is_none() {
        return;
    }
    let execution_role = match &policy.task.execution_role {
        Some(given) => Some(given.clone()),
        None => match live(turn, ResourceKind::ExecutionRole) {
            Some(role) => role.id.clone(),
            None => return,
        },
    };
    let Ok(guard) = sentinel::container(turn, &image) else { return };
    let spec = TaskDefinitionSpec {
        family: names.task_definition.clone(),
        size: policy.task.size,
        image,
        container: names.container.clone(),
        ports: ports(turn),
        environment: policy.task.environment.clone(),
        command: policy.task.command.clone(),
        execution_role,
        task_role: policy.task.task_role.clone(),
        log_group: Some(names.log_group.clone()),
        stop_timeout: policy.task.stop_timeout,
        sentinel: guard,
    };
    ensure_only(turn, ResourceKind::TaskDefinition, Spec::TaskDefinition(spec));
}

fn run(turn: &mut Turn<'_>, names: &Names) {
    if live(turn, ResourceKind::Cluster).is_none() || !insights_ready(turn) || fuse::undecided(turn) {
        return;
    }
    match turn.policy().task.run {
        RunMode::Service { desired } => {
            let key = ResourceKey::only(ResourceKind::Service);
            let token = service_token(turn.record.id.as_str(), turn.record.resumed_at);
            // Resumed before AWS agreed to delete it: that goes first, and the next life has a service of its own.
            if turn.record.resources.get(&key).is_some_and(|service| service.life == Life::Leaving) {
                teardown_order::stop_compute(turn);
                return;
            }
            let Some(task) = task_spec(turn, names, key, token) else { return };
            ensure_only(turn, ResourceKind::Service, Spec::Service { name: names.service.clone(), desired, task });
        }
        RunMode::Task => {
            let Some(key) = next_task(turn) else { return };
            let token = format!("{}-{}", turn.record.id, key.number);
            let Some(task) = task_spec(turn, names, key, token) else { return };
            ensure(turn, key, Spec::Task(task), false);
        }
    }
}

/// The task to ask for now, if one is wanted.
fn next_task(turn: &mut Turn<'_>) -> Option<ResourceKey> {
    if let Some((key, task)) = serving(&turn.record, turn.policy()) {
        return (task.life == Life::Intended).then_some(key);
    }
    if let Some(restarted) = turn.record.restarted_at {
        let doublings = turn.record.restarts_in_a_row.saturating_sub(1).min(20);
        let wait = turn.policy().task.restart_backoff.saturating_mul(1 << doublings).min(LONGEST_RESTART_WAIT);
        if !turn.reached(restarted + wait) {
            return None;
        }
    }
    // One task at a time, since each is paid for: the old one is let go first. Its death is not waited for without
    // end, AWS's consent to it is.
    if refused_stop(&turn.record).is_some() {
        return None;
    }
    let held_up = turn
        .record
        .tasks()
        .filter(|(_, task)| task.life.may_exist() && task.id.is_some())
        .map(|(_, task)| task.leaving_at.unwrap_or(turn.now) + HANDOVER)
        .max();
    if held_up.is_some_and(|until| !turn.reached(until)) {
        return None;
    }
    Some(turn.record.next_task())
}

fn task_spec(turn: &Turn<'_>, names: &Names, key: ResourceKey, token: String) -> Option<TaskSpec> {
    let task_definition = live(turn, ResourceKind::TaskDefinition)?;
    let security_group = live(turn, ResourceKind::SecurityGroup)?.id.clone()?;
    let mut subnets: Vec<String> =
        turn.record.network.as_ref()?.subnets.iter().map(|subnet| subnet.id.clone()).collect();
    let resource = turn.record.resources.get(&key);
    let capacity = resource
        .and_then(|resource| resource.last_fault.as_ref())
        .is_some_and(|(_, fault)| fault.class == FaultClass::Capacity);
    if let (true, Some(resource), false) = (capacity, resource, subnets.is_empty()) {
        let turns = resource.failures as usize % subnets.len();
        subnets.rotate_left(turns);
        // One zone at a time: given several, AWS may pick the full one again.
        subnets.truncate(1);
    }
    let policy = turn.policy();
    let orders = sentinel::orders(turn).ok()?;
    Some(TaskSpec {
        cluster: names.cluster.clone(),
        task_definition: task_definition.id.clone().unwrap_or_else(|| names.task_definition.clone()),
        subnets,
        security_groups: vec![security_group],
        token,
        spot: policy.task.size.spot,
        public_ip: policy.network.public_ip,
        size: policy.task.size,
        sentinel: orders,
    })
}

/// CreateService takes a token of at most 36 characters; a session id's own characters are its last. Each life
/// of a service has its own: with the token of a service that was deleted AWS may answer with that one.
fn service_token(session: &str, resumed_at: Option<Timestamp>) -> String {
    let life = resumed_at.map_or_else(String::new, |at| format!("-{}", at.as_secs()));
    let room = 36 - "-svc".len() - life.len();
    let tail: String = session.chars().skip(session.chars().count().saturating_sub(room)).collect();
    format!("{tail}-svc{life}")
}
