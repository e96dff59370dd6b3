//! The life of a task, from PROVISIONING to forgotten, driven by one queue of instants and by what containers do.
//!
//! Guarantees: everything happens at its own instant in order, however late somebody looks; a timer of a state that was
//! left is ignored; a stopped task's interface is released exactly once. Cheap: nothing is scanned.

use std::collections::BTreeMap;

use super::{
    super::{
        runtime::{ContainerEvent, ContainerKey, ContainerSpec, Happening, Image, Layer},
        scheduler,
        state::World,
        wire::strings,
    },
    insights, service, short,
    task::{Status, TaskContainer},
    task_definition,
};
use crate::domain::model::{Span, Timestamp};

/// How long a stopped task stays describable.
const REMEMBERED: Span = Span::from_mins(65);

/// What a queued instant is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// A task's next state, if it is still in that step.
    Task(String, u32),
    /// A stopped task is forgotten.
    Forget(String),
    /// A deleted task definition goes.
    Definition(String),
    /// A service looks at its tasks.
    Service(String, String),
    /// A minute of a cluster with Container Insights is over.
    Insights(String),
    /// What Container Insights measured is written.
    InsightsWritten(String),
    /// A schedule of a group makes its call, if it is still that version.
    Schedule(String, String, u64),
}

/// How AWS takes a task away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// Spot capacity is wanted back.
    Spot,
    /// The platform version retires.
    Retirement,
    /// The host is broken.
    Infrastructure,
}

/// Lets everything happen that is due by `target`.
pub fn advance(world: &mut World, target: Timestamp) {
    loop {
        let queued = world.ecs.queue.first().map(|(at, ..)| *at);
        let container = world.containers.next_due();
        let next = match (queued, container) {
            (Some(queued), Some(container)) => Some(queued.min(container)),
            (one, other) => one.or(other),
        };
        match next.filter(|at| *at <= target) {
            Some(at) => {
                world.now = world.now.max(at);
                if container == Some(at) {
                    happened(world, at);
                } else if let Some((_, _, due)) = world.ecs.queue.pop_first() {
                    perform(world, due);
                }
            }
            None => {
                world.now = world.now.max(target);
                if !happened(world, target) {
                    return;
                }
            }
        }
    }
}

/// Takes in what containers did; whether there was anything.
fn happened(world: &mut World, at: Timestamp) -> bool {
    let containers = std::sync::Arc::clone(&world.containers);
    let events = containers.poll(at);
    let any = !events.is_empty();
    for event in events {
        take_in(world, event);
    }
    any
}

fn perform(world: &mut World, due: Due) {
    match due {
        Due::Task(id, step) => {
            let Some(task) = world.ecs.tasks.get(&id).filter(|task| task.step == step) else { return };
            match task.status {
                Status::Provisioning => {
                    let delay = world.latency.pending;
                    enter(world, &id, Status::Pending, Some(delay));
                }
                Status::Pending => {
                    let delay = world.latency.activating;
                    enter(world, &id, Status::Activating, Some(delay));
                }
                Status::Activating if task.containers.iter().any(|it| it.runtime_id.is_none()) => launch(world, &id),
                Status::Activating | Status::Running | Status::Stopped => {}
                Status::Deactivating => stop_containers(world, &id),
                Status::Stopping => {
                    if let Some(task) = world.ecs.tasks.get_mut(&id) {
                        task.stop_waited = true;
                    }
                    all_stopped(world, &id);
                }
                Status::Deprovisioning => finish(world, &id),
            }
        }
        Due::Forget(id) => forget(world, &id),
        Due::Definition(arn) => task_definition::forget(&mut world.ecs, &arn),
        Due::Service(cluster, name) => service::look(world, &cluster, &name),
        Due::Insights(cluster) => insights::minute(world, &cluster),
        Due::InsightsWritten(cluster) => insights::written(world, &cluster),
        Due::Schedule(group, name, version) => scheduler::fire(world, group, name, version),
    }
}

/// Changes a task's status and sets the timer of the next one.
fn enter(world: &mut World, id: &str, status: Status, timer: Option<Span>) {
    let now = world.now;
    let Some(task) = world.ecs.tasks.get_mut(id) else { return };
    task.status = status;
    task.step += 1;
    task.version += 1;
    match status {
        Status::Pending => task.connectivity_at = Some(now),
        Status::Activating => task.pull_started_at = Some(now),
        Status::Running => task.started_at = Some(now),
        Status::Deprovisioning => {
            task.execution_stopped_at = Some(now);
            for container in &mut task.containers {
                container.status = "STOPPED";
            }
        }
        Status::Stopped => {
            task.stopped_at = Some(now);
            world.bill.take(task);
        }
        Status::Provisioning | Status::Deactivating | Status::Stopping => {}
    }
    let step = task.step;
    if let Some(delay) = timer {
        world.ecs.schedule(now + delay, Due::Task(id.to_owned(), step));
    }
}

/// Pulls the images and starts the containers, or fails the task as AWS does. Those that start after another come later,
/// where that takes time.
fn launch(world: &mut World, id: &str) {
    match prepare(world, id) {
        Ok(mut specs) => {
            let (now, dependent) = (world.now, world.latency.dependent);
            let mut later = None;
            if let Some(task) = world.ecs.tasks.get_mut(id) {
                let staged = dependent > Span::ZERO && !task.launched;
                let (launched, step) = (task.launched, task.step);
                let begins = |it: &TaskContainer| it.runtime_id.is_none() && !(staged && depends(&it.definition));
                specs.retain(|spec| task.containers.iter().any(|it| it.name == spec.key.name && begins(it)));
                task.launched = true;
                for spec in &specs {
                    let Some(container) = task.containers.iter_mut().find(|it| it.name == spec.key.name) else {
                        continue;
                    };
                    container.digest = spec.image.as_ref().map(|image| image.digest.clone());
                    container.runtime_id = Some(format!("{id}-{}", container.name));
                }
                if task.containers.iter().all(|it| it.runtime_id.is_some()) {
                    task.pull_stopped_at = Some(now);
                } else if !launched {
                    later = Some(step);
                }
            }
            if let Some(step) = later {
                world.ecs.schedule(now + dependent, Due::Task(id.to_owned(), step));
            }
            let containers = std::sync::Arc::clone(&world.containers);
            for spec in specs {
                containers.start(spec, now);
            }
            happened(world, now);
        }
        Err(reason) => fail(world, id, &reason),
    }
}

/// Whether a container starts after another.
fn depends(definition: &serde_json::Value) -> bool {
    definition["dependsOn"].as_array().is_some_and(|others| !others.is_empty())
}

fn fail(world: &mut World, id: &str, reason: &str) {
    if let Some(task) = world.ecs.tasks.get_mut(id) {
        for container in task.containers.iter_mut().filter(|container| container.status == "PENDING") {
            container.reason = Some(reason.to_owned());
        }
    }
    stop(world, id, "TaskFailedToStart", reason);
}

fn prepare(world: &World, id: &str) -> Result<Vec<ContainerSpec>, String> {
    let Some(task) = world.ecs.tasks.get(id) else { return Ok(Vec::new()) };
    let arch = if task.arch == "ARM64" { "arm64" } else { "amd64" };
    let mut specs = Vec::new();
    for container in &task.containers {
        let definition = &container.definition;
        let logs = &definition["logConfiguration"];
        if logs["logDriver"] == "awslogs"
            && logs["options"]["awslogs-create-group"] != "true"
            && !world.logs.group_exists(logs["options"]["awslogs-group"].as_str().unwrap_or_default())
        {
            return Err("ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1".to_owned());
        }
        let reference = definition["image"].as_str().unwrap_or_default().to_owned();
        let image = if world.containers.knows(&reference) {
            None
        } else {
            if !task.assign_public_ip {
                return Err("ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network configuration. operation error ECR: GetAuthorizationToken, exceeded maximum number of attempts, 3, request canceled while waiting for connection".to_owned());
            }
            let pulled = world.ecr.pull(&reference, arch)?;
            let layers = pulled.layers.into_iter().zip(pulled.media_types);
            Some(Image {
                digest: pulled.digest,
                config: pulled.config,
                layers: layers.map(|(data, media_type)| Layer { media_type, data }).collect(),
            })
        };
        let list = |member: &str| {
            definition[member].is_array().then(|| strings(&definition[member])).filter(|list| !list.is_empty())
        };
        let environment: BTreeMap<String, String> = definition["environment"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| {
                Some((item["name"].as_str()?.to_owned(), item["value"].as_str().unwrap_or_default().to_owned()))
            })
            .collect();
        let labels = definition["dockerLabels"].as_object().into_iter().flatten();
        specs.push(ContainerSpec {
            key: ContainerKey { task: id.to_owned(), name: container.name.clone() },
            reference,
            image,
            entry_point: list("entryPoint"),
            command: list("command"),
            environment,
            labels: labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect(),
            working_directory: definition["workingDirectory"].as_str().map(str::to_owned),
            address: task.address,
            port: listening_port(&definition["portMappings"]),
        });
    }
    Ok(specs)
}

/// Group and stream of a container that logs through awslogs.
fn log_stream(definition: &serde_json::Value, container: &str, task: &str) -> Option<(String, String)> {
    let options = &definition["logConfiguration"]["options"];
    let group = options["awslogs-group"].as_str()?;
    let prefix = options["awslogs-stream-prefix"].as_str()?;
    Some((group.to_owned(), format!("{prefix}/{container}/{task}")))
}

fn take_in(world: &mut World, event: ContainerEvent) {
    world.now = world.now.max(event.at);
    let id = event.key.task.clone();
    let Some(task) = world.ecs.tasks.get_mut(&id) else { return };
    let Some(container) = task.containers.iter_mut().find(|container| container.name == event.key.name) else { return };
    match event.what {
        Happening::Output(line) => {
            if let Some((group, stream)) = log_stream(&container.definition, &container.name, &id) {
                world.logs.put_task_log(event.at, &group, &stream, &line);
            }
        }
        Happening::Started => {
            if let Some((group, stream)) = log_stream(&container.definition, &container.name, &id) {
                world.logs.open_task_stream(event.at, &group, &stream);
            }
            if container.status == "PENDING" {
                container.status = "RUNNING";
            }
            let ready = task.containers.iter().all(|container| container.status != "PENDING");
            if ready && task.wanted && task.status == Status::Activating {
                enter(world, &id, Status::Running, None);
                service::nudge(world, &id, Span::ZERO);
            }
        }
        Happening::FailedToStart(reason) => {
            container.status = "STOPPED";
            container.reason = Some(reason.clone());
            if task.wanted {
                stop(world, &id, "TaskFailedToStart", &reason);
            } else {
                all_stopped(world, &id);
            }
        }
        Happening::Exited { code, reason } => {
            container.status = "STOPPED";
            container.exit_code = Some(code);
            container.reason = reason;
            let essential = container.essential;
            if essential && task.wanted {
                stop(world, &id, "EssentialContainerExited", "Essential container in task exited");
            } else {
                all_stopped(world, &id);
            }
        }
    }
}

/// Begins to stop a task; false when there is none or it is stopping already.
pub(super) fn stop(world: &mut World, id: &str, code: &'static str, reason: &str) -> bool {
    let now = world.now;
    let Some(task) = world.ecs.tasks.get_mut(id).filter(|task| task.wanted) else { return false };
    task.wanted = false;
    task.stop_code = Some(code);
    task.stopped_reason = Some(reason.to_owned());
    task.stopping_at = Some(now);
    if task.launched {
        // What waited for its image never starts.
        for container in task.containers.iter_mut().filter(|it| it.runtime_id.is_none()) {
            container.status = "STOPPED";
        }
        let delay = world.latency.deactivating;
        enter(world, id, Status::Deactivating, Some(delay));
    } else {
        let delay = world.latency.deprovisioning;
        enter(world, id, Status::Deprovisioning, Some(delay));
    }
    true
}

fn stop_containers(world: &mut World, id: &str) {
    let delay = world.latency.stopping;
    enter(world, id, Status::Stopping, Some(delay));
    let Some(task) = world.ecs.tasks.get(id) else { return };
    let living: Vec<(ContainerKey, Span)> = task
        .containers
        .iter()
        .rev()
        .filter(|container| container.status != "STOPPED")
        .map(|container| {
            let timeout = container.definition["stopTimeout"].as_u64().unwrap_or(30);
            (ContainerKey { task: id.to_owned(), name: container.name.clone() }, Span::from_secs(timeout))
        })
        .collect();
    let containers = std::sync::Arc::clone(&world.containers);
    for (key, timeout) in living {
        containers.stop(&key, world.now, timeout);
    }
}

/// Goes on to DEPROVISIONING when no container runs any more and STOPPING has had its time.
fn all_stopped(world: &mut World, id: &str) {
    let Some(task) = world.ecs.tasks.get(id) else { return };
    let over = task.containers.iter().all(|container| container.status == "STOPPED");
    if task.status == Status::Stopping && task.stop_waited && over {
        let delay = world.latency.deprovisioning;
        enter(world, id, Status::Deprovisioning, Some(delay));
    }
}

fn finish(world: &mut World, id: &str) {
    enter(world, id, Status::Stopped, None);
    let Some(task) = world.ecs.tasks.get(id) else { return };
    let interface = task.interface.id.clone();
    world.ec2.release_task_interface(world.now, &interface, world.latency.interface_linger);
    world.ecs.schedule(world.now + REMEMBERED, Due::Forget(id.to_owned()));
    let reaction = world.latency.service_reaction.max(Span::from_secs(1));
    service::nudge(world, id, reaction);
}

fn forget(world: &mut World, id: &str) {
    let Some(task) = world.ecs.tasks.remove(id) else { return };
    if let Some(cluster) = world.ecs.clusters.get_mut(&task.cluster) {
        cluster.tasks.remove(id);
    }
    if let Some(token) = task.token {
        world.ecs.tokens.remove(&(task.cluster, token));
    }
    if let Some(definition) = task_definition::find_mut(&mut world.ecs, &task.definition_arn) {
        definition.tasks = definition.tasks.saturating_sub(1);
    }
    task_definition::forget(&mut world.ecs, &task.definition_arn);
}

/// AWS takes a task away.
pub fn interrupt(world: &mut World, arn: &str, kind: Interruption) -> bool {
    let (code, reason) = match kind {
        Interruption::Spot => ("SpotInterruption", "Your Spot Task was interrupted."),
        Interruption::Retirement => {
            ("TerminationNotice", "ECS is performing maintenance on the underlying infrastructure hosting the task.")
        }
        Interruption::Infrastructure => {
            ("InfrastructureHealth", "Task stopped because of the health of its infrastructure.")
        }
    };
    stop(world, short(arn), code, reason)
}

/// Port 5000 where it is mapped or nothing is, else the first that is mapped.
fn listening_port(mappings: &serde_json::Value) -> u16 {
    let ports = mappings.as_array().into_iter().flatten().filter_map(|mapping| mapping["containerPort"].as_u64());
    let ports: Vec<u16> = ports.filter_map(|port| u16::try_from(port).ok()).collect();
    if ports.contains(&5000) { 5000 } else { ports.first().copied().unwrap_or(5000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_instants_are_ordered_by_time_and_then_by_their_making() {
        let mut queue = std::collections::BTreeSet::new();
        queue.insert((Timestamp::from_millis(5), 2, Due::Forget("b".to_owned())));
        queue.insert((Timestamp::from_millis(5), 1, Due::Forget("c".to_owned())));
        queue.insert((Timestamp::from_millis(1), 3, Due::Forget("a".to_owned())));
        let order: Vec<_> = queue.into_iter().map(|(_, number, _)| number).collect();
        assert_eq!(order, [3, 1, 2]);
    }
}
