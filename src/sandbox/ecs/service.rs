//! Services: a wanted number of tasks, kept.
//!
//! Guarantees: lost tasks are replaced after the reaction time, with back-off up to 15 minutes while they fail before
//! RUNNING; what keeps it from placing a task is told by its events alone; a deleted service is DRAINING until its last task has stopped, then INACTIVE.

use std::{collections::VecDeque, sync::PoisonError};

use serde_json::{Value, json};

use super::{
    super::{
        state::World,
        wire::{ApiError, required, strings},
    },
    Due, Tags, cluster, epoch, failure, legal_name, lifecycle, page, run, short, tags,
    task::Status,
};
use crate::domain::model::{Span, Timestamp};

/// One service.
#[derive(Debug)]
pub struct Service {
    pub arn: String,
    pub name: String,
    pub cluster: String,
    pub status: &'static str,
    pub desired: i64,
    pub definition: String,
    pub provider: Option<String>,
    pub input: Value,
    pub tags: Tags,
    pub created_at: Timestamp,
    pub deployment: String,
    pub failures: u32,
    pub not_before: Timestamp,
    pub events: VecDeque<Value>,
}

fn key(world: &mut World, input: &Value, member: &str) -> Result<(String, String), ApiError> {
    let cluster = cluster::active(world, input)?.name.clone();
    Ok((cluster, short(required(input, member)?).to_owned()))
}

fn find<'a>(world: &'a mut World, key: &(String, String)) -> Result<&'a mut Service, ApiError> {
    match world.ecs.services.get_mut(key) {
        Some(service) if service.status == "ACTIVE" => Ok(service),
        Some(_) => Err(ApiError::bad("ServiceNotActiveException", "Service was not ACTIVE.")),
        None => Err(ApiError::bad("ServiceNotFoundException", "Service not found.")),
    }
}

pub(super) fn create(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    cluster::service_linked_role(world)?;
    let key = key(world, input, "serviceName")?;
    if !legal_name(&key.1) {
        return Err(ApiError::invalid(format!("Invalid service name: {}", key.1)));
    }
    if let Some(existing) = world.ecs.services.get(&key).filter(|service| service.status != "INACTIVE") {
        let same = input["clientToken"].is_string() && existing.input == *input;
        return match existing.status {
            "DRAINING" => Err(ApiError::invalid("Unable to Start a service that is still Draining.")),
            _ if same => Ok(json!({ "service": shown(world, &key, true) })),
            _ => Err(ApiError::invalid("Creation of service was not idempotent.")),
        };
    }
    let desired = input["desiredCount"].as_i64().unwrap_or(1);
    if !(0..=5000).contains(&desired) {
        return Err(ApiError::invalid("The desired count must be between 0 and 5000."));
    }
    let tags = tags::read(&input["tags"])?;
    let definition = run::definition(world, input)?;
    run::network(world, input)?;
    let provider = run::provider(world, &key.0, input)?;
    let service = Service {
        arn: world.ecs.arn(&format!("service/{}/{}", key.0, key.1)),
        name: key.1.clone(),
        cluster: key.0.clone(),
        status: "ACTIVE",
        desired,
        definition,
        provider,
        input: input.clone(),
        tags,
        created_at: world.now,
        deployment: format!("ecs-svc/{}", world.rng.deployment()),
        failures: 0,
        not_before: world.now,
        events: VecDeque::new(),
    };
    world.ecs.services.insert(key.clone(), service);
    world.ecs.schedule(world.now, Due::Service(key.0.clone(), key.1.clone()));
    Ok(json!({ "service": shown(world, &key, true) }))
}

pub(super) fn update(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let key = key(world, input, "service")?;
    find(world, &key)?;
    let definition = if input["taskDefinition"].is_string() { Some(run::definition(world, input)?) } else { None };
    if input["networkConfiguration"].is_object() {
        run::network(world, input)?;
    }
    let deployment = format!("ecs-svc/{}", world.rng.deployment());
    let service = find(world, &key)?;
    if let Some(desired) = input["desiredCount"].as_i64() {
        service.desired = desired;
    }
    if input["networkConfiguration"].is_object() {
        service.input["networkConfiguration"] = input["networkConfiguration"].clone();
    }
    let changed = definition.as_ref().is_some_and(|definition| *definition != service.definition);
    if changed || input["forceNewDeployment"] == true {
        service.definition = definition.unwrap_or_else(|| service.definition.clone());
        service.deployment = deployment;
        service.failures = 0;
        service.not_before = Timestamp::default();
    }
    world.ecs.schedule(world.now, Due::Service(key.0.clone(), key.1.clone()));
    Ok(json!({ "service": shown(world, &key, true) }))
}

pub(super) fn delete(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let key = key(world, input, "service")?;
    let force = input["force"] == true;
    let service = match world.ecs.services.get_mut(&key) {
        Some(service) if service.status != "INACTIVE" => service,
        _ => return Err(ApiError::bad("ServiceNotFoundException", "Service not found.")),
    };
    if service.status == "ACTIVE" && service.desired > 0 && !force {
        return Err(ApiError::invalid("The service cannot be stopped while it is scaled above 0."));
    }
    service.status = "DRAINING";
    service.desired = 0;
    world.ecs.schedule(world.now, Due::Service(key.0.clone(), key.1.clone()));
    Ok(json!({ "service": shown(world, &key, true) }))
}

pub(super) fn describe(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let cluster = cluster::active(world, input)?.name.clone();
    let asked = strings(&input["services"]);
    if asked.is_empty() || asked.len() > 10 {
        return Err(ApiError::invalid("Services cannot be empty, and at most 10 can be described in one call."));
    }
    let with_tags = strings(&input["include"]).iter().any(|word| word == "TAGS");
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for name in asked {
        let key = (cluster.clone(), short(&name).to_owned());
        if world.ecs.services.contains_key(&key) {
            services.push(shown(world, &key, with_tags));
        } else {
            let arn = world.ecs.arn(&format!("service/{cluster}/{}", key.1));
            failures.push(failure(&arn, "MISSING"));
        }
    }
    Ok(json!({ "services": services, "failures": failures }))
}

pub(super) fn list(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let name = cluster::active(world, input)?.name.clone();
    let services = world.ecs.services.values();
    let arns = services
        .filter(|service| service.cluster == name && service.status != "INACTIVE")
        .map(|service| service.arn.clone())
        .collect();
    page(arns, input, 10, "serviceArns")
}

/// Ids of the service's tasks that are not STOPPED.
fn tasks(world: &World, cluster: &str, name: &str) -> Vec<String> {
    let Some(cluster) = world.ecs.clusters.get(cluster) else { return Vec::new() };
    let living = |id: &&String| {
        world
            .ecs
            .tasks
            .get(*id)
            .is_some_and(|task| task.status != Status::Stopped && task.service.as_deref() == Some(name))
    };
    cluster.tasks.iter().filter(living).cloned().collect()
}

fn shown(world: &World, key: &(String, String), with_tags: bool) -> Value {
    let Some(service) = world.ecs.services.get(key) else { return Value::Null };
    let (mut running, mut pending) = (0, 0);
    for task in tasks(world, &key.0, &key.1).iter().filter_map(|id| world.ecs.tasks.get(id)) {
        match task.status {
            Status::Running => running += 1,
            Status::Provisioning | Status::Pending | Status::Activating => pending += 1,
            _ => {}
        }
    }
    let state = if running == service.desired && pending == 0 { "COMPLETED" } else { "IN_PROGRESS" };
    let deployments = if service.status == "INACTIVE" {
        json!([])
    } else {
        json!([{ "id": service.deployment, "status": "PRIMARY", "taskDefinition": service.definition,
            "desiredCount": service.desired, "runningCount": running, "pendingCount": pending,
            "failedTasks": service.failures, "createdAt": epoch(service.created_at), "updatedAt": epoch(service.created_at),
            "launchType": "FARGATE", "platformVersion": "1.4.0", "platformFamily": "Linux", "rolloutState": state,
            "networkConfiguration": service.input["networkConfiguration"] }])
    };
    json!({
        "serviceArn": service.arn, "serviceName": service.name, "clusterArn": world.ecs.arn(&format!("cluster/{}", key.0)),
        "status": service.status, "desiredCount": service.desired, "runningCount": running, "pendingCount": pending,
        "launchType": "FARGATE", "platformVersion": "LATEST", "platformFamily": "Linux",
        "taskDefinition": service.definition, "deployments": deployments, "loadBalancers": [], "serviceRegistries": [],
        "events": service.events, "createdAt": epoch(service.created_at), "schedulingStrategy": "REPLICA",
        "networkConfiguration": service.input["networkConfiguration"], "deploymentController": { "type": "ECS" },
        "propagateTags": service.input["propagateTags"].as_str().unwrap_or("NONE"), "enableECSManagedTags": false,
        "deploymentConfiguration": { "maximumPercent": 200, "minimumHealthyPercent": 100 },
        "tags": if with_tags { tags::write(&service.tags) } else { json!([]) },
    })
}

/// A task of a service changed: its service looks after `delay` (or later, while it backs off).
pub(super) fn nudge(world: &mut World, id: &str, delay: Span) {
    let Some(task) = world.ecs.tasks.get(id) else { return };
    let Some(service) = &task.service else { return };
    let key = (task.cluster.clone(), service.clone());
    let (started, stopped) = (task.started_at.is_some(), task.status == Status::Stopped);
    let now = world.now;
    let Some(service) = world.ecs.services.get_mut(&key) else { return };
    if service.status == "DRAINING" {
        world.ecs.schedule(now, Due::Service(key.0, key.1));
        return;
    }
    if stopped && !started {
        service.failures += 1;
        let back_off = Span::from_secs(1u64 << service.failures.min(10)).min(Span::from_mins(15));
        service.not_before = now + back_off;
    } else if started && !stopped {
        service.failures = 0;
    } else if stopped {
        service.not_before = service.not_before.max(now + delay);
    }
    let at = (now + delay).max(if stopped { service.not_before } else { now });
    world.ecs.schedule(now + delay, Due::Service(key.0.clone(), key.1.clone()));
    world.ecs.schedule(at, Due::Service(key.0, key.1));
}

/// Starts what is missing, stops what is too much, ends the draining.
pub(super) fn look(world: &mut World, cluster: &str, name: &str) {
    let key = (cluster.to_owned(), name.to_owned());
    let living = tasks(world, cluster, name);
    let now = world.now;
    let Some(service) = world.ecs.services.get_mut(&key) else { return };
    if service.status == "DRAINING" && living.is_empty() {
        service.status = "INACTIVE";
        return;
    }
    let deployment = service.deployment.clone();
    let (wanted, old): (Vec<String>, Vec<String>) = living
        .into_iter()
        .filter(|id| world.ecs.tasks.get(id).is_some_and(|task| task.wanted))
        .partition(|id| world.ecs.tasks.get(id).is_some_and(|task| task.started_by.as_deref() == Some(&deployment)));
    let reason = format!("Scaling activity initiated by (deployment {deployment})");
    let Some(service) = world.ecs.services.get(&key) else { return };
    let desired = usize::try_from(service.desired).unwrap_or(0);
    let ready = now >= service.not_before;
    for id in old.iter().chain(wanted.iter().skip(desired)) {
        lifecycle::stop(world, id, "ServiceSchedulerInitiated", &reason);
    }
    if !ready || service_status(world, &key) != Some("ACTIVE") {
        return;
    }
    for index in wanted.len()..desired {
        match launch(world, &key, index) {
            Ok(id) => note(world, &key, &format!("(service {name}) has started 1 tasks: (task {id}).")),
            Err(error) => {
                note(world, &key, &format!("(service {name}) was unable to place a task. Reason: {}.", error.message));
                if let Some(service) = world.ecs.services.get_mut(&key) {
                    service.not_before = now + Span::from_secs(15);
                    let at = service.not_before;
                    world.ecs.schedule(at, Due::Service(key.0, key.1));
                }
                return;
            }
        }
    }
    let running =
        wanted.iter().filter(|id| world.ecs.tasks.get(*id).is_some_and(|task| task.status == Status::Running)).count();
    if running == desired {
        note(world, &key, &format!("(service {name}) has reached a steady state."));
    }
}

fn service_status(world: &World, key: &(String, String)) -> Option<&'static str> {
    world.ecs.services.get(key).map(|service| service.status)
}

fn launch(world: &mut World, key: &(String, String), index: usize) -> Result<String, ApiError> {
    let struck = world.faults.lock().unwrap_or_else(PoisonError::into_inner).strike_placement();
    if let Some(why) = run::Unplaced::of(&struck) {
        return Err(ApiError::client(why.text()));
    }
    let Some(service) = world.ecs.services.get(key) else { return Err(ApiError::client("Service not found.")) };
    let (subnets, groups, public_ip) = run::network(world, &service.input)?;
    let tags = match service.input["propagateTags"].as_str() {
        Some("SERVICE") => service.tags.clone(),
        Some("TASK_DEFINITION") => super::task_definition::find(&world.ecs, &service.definition)
            .map(|definition| definition.tags.clone())
            .unwrap_or_default(),
        _ => Tags::new(),
    };
    let launch = run::Launch {
        cluster: key.0.clone(),
        definition: service.definition.clone(),
        subnet: subnets[index % subnets.len()].clone(),
        groups,
        public_ip,
        overrides: Value::Null,
        tags,
        started_by: Some(service.deployment.clone()),
        group: Some(format!("service:{}", key.1)),
        service: Some(key.1.clone()),
        provider: service.provider.clone(),
        token: None,
    };
    run::launch_one(world, launch)
}

/// Adds an event; the newest hundred are kept.
fn note(world: &mut World, key: &(String, String), message: &str) {
    let id = world.rng.uuid();
    let now = world.now;
    let Some(service) = world.ecs.services.get_mut(key) else { return };
    if service.events.front().is_some_and(|event| event["message"] == message) {
        return;
    }
    service.events.push_front(json!({ "id": id, "createdAt": epoch(now), "message": message }));
    service.events.truncate(100);
}
