//! RunTask, and the launching of a task for whoever wants one.
//!
//! Guarantees: idempotent by `clientToken` as AWS documents it; a refusal makes nothing; faults of capacity and quota
//! answer 200 with `failures[]`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::{
        faults::FaultKind,
        state::World,
        wire::{ApiError, required, strings},
    },
    Due, Tags, cluster, short, tags,
    task::{Status, Task, TaskContainer},
    task_definition,
};
use crate::domain::model::{Span, Timestamp};

/// How long a token is remembered at the most.
const TOKEN_LIFE: Span = Span::from_mins(24 * 60);

/// Why AWS places no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// The zone has no room.
    Capacity,
    /// The account may have no more.
    Quota,
    /// The account may have nothing.
    Blocked,
}

impl Unplaced {
    /// The first of these faults that is one.
    pub fn of(struck: &[FaultKind]) -> Option<Self> {
        struck.iter().find_map(|kind| match kind {
            FaultKind::Capacity => Some(Self::Capacity),
            FaultKind::Quota => Some(Self::Quota),
            FaultKind::Blocked => Some(Self::Blocked),
            _ => None,
        })
    }

    /// AWS's words (aws-facts §1.4).
    pub const fn text(self) -> &'static str {
        match self {
            Self::Capacity => {
                "Capacity is unavailable at this time. Please try again later or in a different availability zone"
            }
            Self::Quota => "You’ve reached the limit on the number of vCPUs you can run concurrently",
            Self::Blocked => {
                "Your account is currently blocked. Send an e-mail to aws-verification@amazon.com if you have questions"
            }
        }
    }
}

/// A used `clientToken`.
#[derive(Debug)]
pub struct Token {
    pub fingerprint: Value,
    pub tasks: Vec<String>,
    pub used_at: Timestamp,
}

/// What to launch, checked.
#[derive(Debug)]
pub struct Launch {
    pub cluster: String,
    pub definition: String,
    pub subnet: String,
    pub groups: Vec<String>,
    pub public_ip: bool,
    pub overrides: Value,
    pub tags: Tags,
    pub started_by: Option<String>,
    pub group: Option<String>,
    pub service: Option<String>,
    pub provider: Option<String>,
    pub token: Option<String>,
}

/// Subnets, groups and whether a public address is wanted, checked as AWS does.
pub(super) fn network(world: &World, input: &Value) -> Result<(Vec<String>, Vec<String>, bool), ApiError> {
    let vpc = &input["networkConfiguration"]["awsvpcConfiguration"];
    if !vpc.is_object() {
        return Err(ApiError::invalid(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ));
    }
    let (subnets, groups) = (strings(&vpc["subnets"]), strings(&vpc["securityGroups"]));
    if subnets.is_empty() {
        return Err(ApiError::invalid("subnets can not be empty."));
    }
    if subnets.len() > 16 {
        return Err(ApiError::invalid("subnets can have at most 16 items."));
    }
    if groups.len() > 5 {
        return Err(ApiError::invalid("securityGroups can have at most 5 items."));
    }
    for subnet in &subnets {
        if !world.ec2.subnet_exists(subnet) {
            return Err(ApiError::invalid(format!(
                "Error retrieving subnet information for [{subnet}]: The subnet ID '{subnet}' does not exist (ErrorCode: InvalidSubnetID.NotFound)"
            )));
        }
    }
    for group in &groups {
        if !world.ec2.group_exists(group) {
            return Err(ApiError::invalid(format!(
                "Error retrieving security group information for [{group}]: The security group '{group}' does not exist (ErrorCode: InvalidGroup.NotFound)"
            )));
        }
    }
    Ok((subnets, groups, vpc["assignPublicIp"] == "ENABLED"))
}

/// FARGATE, FARGATE_SPOT or neither, from launchType or strategy.
pub(super) fn provider(world: &World, cluster: &str, input: &Value) -> Result<Option<String>, ApiError> {
    let given = input["capacityProviderStrategy"].as_array().filter(|list| !list.is_empty());
    let launch_type = input["launchType"].as_str();
    if given.is_some() && launch_type.is_some() {
        return Err(ApiError::invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ));
    }
    match launch_type {
        Some("FARGATE") => return Ok(None),
        Some(other) => {
            return Err(ApiError::invalid(format!(
                "No Container Instances were found in your cluster for launch type {other}."
            )));
        }
        None => {}
    }
    let Some(known) = world.ecs.clusters.get(cluster) else { return Ok(None) };
    let strategy = given.or_else(|| known.strategy.as_array().filter(|list| !list.is_empty()));
    let Some(strategy) = strategy else {
        return Err(ApiError::invalid("No Container Instances were found in your cluster."));
    };
    let best =
        strategy.iter().max_by_key(|item| (item["base"].as_i64().unwrap_or(0), item["weight"].as_i64().unwrap_or(0)));
    let name = best.and_then(|item| item["capacityProvider"].as_str()).unwrap_or_default();
    if !strings(&known.providers).iter().any(|provider| provider == name) {
        return Err(ApiError::invalid(format!(
            "The specified capacity provider '{name}' is not associated with the cluster. Associate it and try again."
        )));
    }
    Ok(Some(name.to_owned()))
}

/// The ACTIVE definition's ARN, with its roles assumable.
pub(super) fn definition(world: &World, input: &Value) -> Result<String, ApiError> {
    let name = required(input, "taskDefinition")?;
    let definition =
        task_definition::find(&world.ecs, name).ok_or_else(|| ApiError::client("TaskDefinition not found."))?;
    if definition.status != "ACTIVE" {
        return Err(ApiError::client("TaskDefinition is inactive"));
    }
    for member in ["executionRoleArn", "taskRoleArn"] {
        let role = input["overrides"][member].as_str().or(definition.body[member].as_str());
        if let Some(role) = role
            && !world.iam.can_be_assumed(world.now, role, "ecs-tasks.amazonaws.com")
        {
            return Err(ApiError::client(format!(
                "ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
            )));
        }
    }
    Ok(definition.arn.clone())
}

pub(super) fn run(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    cluster::service_linked_role(world)?;
    let cluster = cluster::active(world, input)?.name.clone();
    let count = input["count"].as_i64().unwrap_or(1);
    if !(1..=10).contains(&count) {
        return Err(ApiError::invalid("Count must be between 1 and 10."));
    }
    let started_by = input["startedBy"].as_str().map(str::to_owned);
    if started_by
        .as_ref()
        .is_some_and(|by| by.len() > 128 || !by.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/".contains(&b)))
    {
        return Err(ApiError::invalid(
            "startedBy has at most 128 letters, numbers, hyphens, forward slashes and underscores.",
        ));
    }
    let token = input["clientToken"].as_str().map(str::to_owned);
    if token.as_ref().is_some_and(|token| token.len() > 64 || !token.bytes().all(|b| (33..=126).contains(&b))) {
        return Err(ApiError::invalid("clientToken has at most 64 ASCII characters from 33 to 126."));
    }
    if let Some(answer) = repeated(world, &cluster, token.as_deref(), input)? {
        return Ok(answer);
    }
    if input["propagateTags"] == "SERVICE" {
        return Err(ApiError::invalid("Invalid value for propagateTags: SERVICE is for tasks of services."));
    }
    if input["overrides"].to_string().len() > 8192 {
        return Err(ApiError::invalid("Overrides can have at most 8192 characters."));
    }
    let mut all_tags = tags::read(&input["tags"])?;
    let definition = definition(world, input)?;
    let (subnets, groups, public_ip) = network(world, input)?;
    let provider = provider(world, &cluster, input)?;
    check_override_names(world, &definition, input)?;
    match world.bend.unplaced {
        Some(Unplaced::Blocked) => return Err(ApiError::bad("BlockedException", Unplaced::Blocked.text())),
        Some(why) => {
            let one = json!({ "arn": definition, "reason": why.text() });
            return Ok(json!({ "tasks": [], "failures": vec![one; count as usize] }));
        }
        None => {}
    }
    if input["propagateTags"] == "TASK_DEFINITION"
        && let Some(definition) = task_definition::find(&world.ecs, &definition)
    {
        for (key, value) in &definition.tags {
            all_tags.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    if input["enableECSManagedTags"] == true {
        all_tags.insert("aws:ecs:clusterName".to_owned(), cluster.clone());
    }
    let mut ids = Vec::new();
    for index in 0..count {
        let launch = Launch {
            cluster: cluster.clone(),
            definition: definition.clone(),
            subnet: subnets[index as usize % subnets.len()].clone(),
            groups: groups.clone(),
            public_ip,
            overrides: input["overrides"].clone(),
            tags: all_tags.clone(),
            started_by: started_by.clone(),
            group: input["group"].as_str().map(str::to_owned),
            service: None,
            provider: provider.clone(),
            token: token.clone(),
        };
        ids.push(launch_one(world, launch)?);
    }
    let shown: Vec<Value> = ids.iter().filter_map(|id| world.ecs.tasks.get(id)).map(|task| task.shown(true)).collect();
    if let Some(token) = token {
        let used = Token { fingerprint: input.clone(), tasks: ids, used_at: world.now };
        world.ecs.tokens.insert((cluster, token), used);
    }
    Ok(json!({ "tasks": shown, "failures": [] }))
}

/// The answer to a call whose token was used before.
fn repeated(world: &mut World, cluster: &str, token: Option<&str>, input: &Value) -> Result<Option<Value>, ApiError> {
    let Some(token) = token else { return Ok(None) };
    let key = (cluster.to_owned(), token.to_owned());
    let Some(used) = world.ecs.tokens.get(&key) else { return Ok(None) };
    if world.now.since(used.used_at) >= TOKEN_LIFE {
        world.ecs.tokens.remove(&key);
        return Ok(None);
    }
    let tasks: Vec<&Task> = used.tasks.iter().filter_map(|id| world.ecs.tasks.get(id)).collect();
    if used.fingerprint != *input {
        let arns: Vec<&str> = tasks.iter().map(|task| task.arn.as_str()).collect();
        return Err(ApiError::bad(
            "ConflictException",
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
        )
        .with(json!({ "resourceIds": arns })));
    }
    let shown: Vec<Value> = tasks
        .into_iter()
        .map(|task| match task.status {
            Status::Stopped => json!({ "taskArn": task.arn, "lastStatus": "STOPPED", "desiredStatus": "STOPPED" }),
            _ => task.shown(true),
        })
        .collect();
    Ok(Some(json!({ "tasks": shown, "failures": [] })))
}

fn check_override_names(world: &World, definition: &str, input: &Value) -> Result<(), ApiError> {
    let known: Vec<&str> = task_definition::find(&world.ecs, definition)
        .and_then(|definition| definition.body["containerDefinitions"].as_array())
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .collect();
    for item in input["overrides"]["containerOverrides"].as_array().into_iter().flatten() {
        let name = item["name"].as_str().unwrap_or_default();
        if !known.contains(&name) {
            return Err(ApiError::invalid(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            )));
        }
    }
    Ok(())
}

/// Makes one task in PROVISIONING; its id.
pub(super) fn launch_one(world: &mut World, launch: Launch) -> Result<String, ApiError> {
    let id = world.rng.hex32();
    let arn = world.ecs.arn(&format!("task/{}/{id}", launch.cluster));
    let address = world.containers.address();
    let public_ip = launch.public_ip.then(|| address.to_string());
    let interface =
        world.ec2.attach_task_interface(&mut world.rng, world.now, &arn, &launch.subnet, &launch.groups, public_ip)?;
    let missing = || ApiError::client("TaskDefinition not found.");
    let definition = task_definition::find_mut(&mut world.ecs, short(&launch.definition)).ok_or_else(missing)?;
    definition.tasks += 1;
    let (family, body) = (definition.family.clone(), definition.body.clone());
    let overrides: BTreeMap<&str, &Value> = launch.overrides["containerOverrides"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item["name"].as_str().map(|name| (name, item)))
        .collect();
    let mut containers = Vec::new();
    for container in body["containerDefinitions"].as_array().into_iter().flatten() {
        let name = container["name"].as_str().unwrap_or_default().to_owned();
        let mut merged = container.clone();
        if let Some(given) = overrides.get(name.as_str()) {
            if given["command"].is_array() {
                merged["command"] = given["command"].clone();
            }
            let mut environment = merged["environment"].as_array().cloned().unwrap_or_default();
            environment.extend(given["environment"].as_array().cloned().unwrap_or_default());
            merged["environment"] = Value::Array(environment);
        }
        containers.push(TaskContainer {
            arn: world.ecs.arn(&format!("container/{}/{id}/{}", launch.cluster, world.rng.uuid())),
            name,
            essential: merged["essential"] != false,
            definition: merged,
            status: "PENDING",
            digest: None,
            exit_code: None,
            reason: None,
            runtime_id: None,
        });
    }
    let mut shown_overrides = launch.overrides;
    if shown_overrides.is_null() {
        shown_overrides = json!({ "containerOverrides": [], "inferenceAcceleratorOverrides": [] });
    }
    let hidden = world.bend.missing.map_or(world.latency.visibility, |span| span.max(world.latency.visibility));
    let task = Task {
        cluster_arn: world.ecs.arn(&format!("cluster/{}", launch.cluster)),
        definition_arn: world.ecs.arn(&format!("task-definition/{}", short(&launch.definition))),
        cpu: body["cpu"].clone(),
        memory: body["memory"].clone(),
        arch: body["runtimePlatform"]["cpuArchitecture"].as_str().unwrap_or("X86_64").to_owned(),
        storage: body["ephemeralStorage"]["sizeInGiB"].as_i64().unwrap_or(20),
        group: launch.group.unwrap_or_else(|| format!("family:{family}")),
        family,
        service: launch.service,
        started_by: launch.started_by,
        provider: launch.provider,
        overrides: shown_overrides,
        billed_tags: launch.tags.clone(),
        tags: launch.tags,
        token: launch.token,
        status: Status::Provisioning,
        wanted: true,
        step: 0,
        version: 1,
        launched: false,
        stop_waited: false,
        assign_public_ip: launch.public_ip,
        address,
        subnet: launch.subnet,
        attachment: world.rng.uuid(),
        interface,
        containers,
        visible_at: world.now + hidden,
        created_at: world.now,
        connectivity_at: None,
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        stopped_at: None,
        stop_code: None,
        stopped_reason: None,
        measured: None,
        cluster: launch.cluster.clone(),
        id: id.clone(),
        arn,
    };
    if let Some(cluster) = world.ecs.clusters.get_mut(&launch.cluster) {
        cluster.tasks.insert(id.clone());
    }
    world.ecs.tasks.insert(id.clone(), task);
    world.ecs.schedule(world.now + world.latency.provisioning, Due::Task(id.clone(), 0));
    Ok(id)
}
