//! Tasks: what is known of one, and the calls that look at and stop them.
//!
//! Guarantees: a stopped task stays describable for an hour; StopTask takes its tags away; a new task may be MISSING for
//! a while. Never advances a life cycle by being looked at.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde_json::{Value, json};

use super::{
    super::{
        ec2::Interface,
        runtime::Used,
        state::World,
        wire::{ApiError, required, strings},
    },
    Tags, cluster, epoch, failure, lifecycle, page, short, tags,
};
use crate::domain::model::Timestamp;

/// Where a task is (the project's AWS notes §1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl Status {
    /// As ECS writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Status::Provisioning => "PROVISIONING",
            Status::Pending => "PENDING",
            Status::Activating => "ACTIVATING",
            Status::Running => "RUNNING",
            Status::Deactivating => "DEACTIVATING",
            Status::Stopping => "STOPPING",
            Status::Deprovisioning => "DEPROVISIONING",
            Status::Stopped => "STOPPED",
        }
    }
}

/// One container of a task.
#[derive(Debug)]
pub struct TaskContainer {
    pub name: String,
    pub arn: String,
    pub definition: Value,
    pub essential: bool,
    pub status: &'static str,
    pub digest: Option<String>,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub runtime_id: Option<String>,
}

/// One task.
#[derive(Debug)]
pub struct Task {
    pub id: String,
    pub arn: String,
    pub cluster: String,
    pub cluster_arn: String,
    pub definition_arn: String,
    pub family: String,
    pub cpu: Value,
    pub memory: Value,
    pub arch: String,
    pub storage: i64,
    pub group: String,
    pub service: Option<String>,
    pub started_by: Option<String>,
    pub provider: Option<String>,
    pub overrides: Value,
    pub tags: Tags,
    /// The tags that it was run with: its bill bears them, whatever becomes of them.
    pub billed_tags: Tags,
    pub token: Option<String>,
    pub status: Status,
    pub wanted: bool,
    /// Counts the changes of status, so that a timer of an older one is known to be stale.
    pub step: u32,
    pub version: u64,
    pub launched: bool,
    pub stop_waited: bool,
    pub assign_public_ip: bool,
    pub address: Ipv4Addr,
    pub subnet: String,
    pub attachment: String,
    pub interface: Interface,
    pub containers: Vec<TaskContainer>,
    pub visible_at: Timestamp,
    pub created_at: Timestamp,
    pub connectivity_at: Option<Timestamp>,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub stopping_at: Option<Timestamp>,
    pub execution_stopped_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    pub stop_code: Option<&'static str>,
    pub stopped_reason: Option<String>,
    /// What it had used when Container Insights last looked.
    pub measured: Option<Used>,
}

impl Task {
    /// Its `desiredStatus`.
    pub(super) fn desired(&self) -> &'static str {
        if self.wanted { "RUNNING" } else { "STOPPED" }
    }

    fn attachment_status(&self) -> &'static str {
        match self.status {
            Status::Provisioning => "PRECREATED",
            Status::Deprovisioning => "DETACHING",
            Status::Stopped => "DELETED",
            _ => "ATTACHED",
        }
    }

    /// As DescribeTasks shows it.
    pub(super) fn shown(&self, with_tags: bool) -> Value {
        let attached = self.status != Status::Provisioning;
        let mut details = vec![json!({ "name": "subnetId", "value": self.subnet })];
        if attached {
            for (name, value) in [
                ("networkInterfaceId", self.interface.id.clone()),
                ("macAddress", self.interface.mac.clone()),
                ("privateDnsName", format!("ip-{}.ec2.internal", self.interface.private_ip.replace('.', "-"))),
                ("privateIPv4Address", self.interface.private_ip.clone()),
            ] {
                details.push(json!({ "name": name, "value": value }));
            }
        }
        let containers: Vec<Value> = self
            .containers
            .iter()
            .map(|container| {
                let mut value = json!({
                    "containerArn": container.arn, "taskArn": self.arn, "name": container.name,
                    "image": container.definition["image"], "lastStatus": container.status,
                    "healthStatus": "UNKNOWN", "cpu": container.definition["cpu"].to_string(),
                    "networkInterfaces": if attached {
                        json!([{ "attachmentId": self.attachment, "privateIpv4Address": self.interface.private_ip }])
                    } else { json!([]) },
                });
                set(&mut value, "imageDigest", container.digest.as_ref());
                set(&mut value, "exitCode", container.exit_code);
                set(&mut value, "reason", container.reason.as_ref());
                set(&mut value, "runtimeId", container.runtime_id.as_ref());
                value
            })
            .collect();
        let mut value = json!({
            "taskArn": self.arn, "clusterArn": self.cluster_arn, "taskDefinitionArn": self.definition_arn,
            "lastStatus": self.status.name(), "desiredStatus": self.desired(), "group": self.group,
            "cpu": self.cpu, "memory": self.memory, "launchType": "FARGATE", "platformFamily": "Linux",
            "platformVersion": "1.4.0", "healthStatus": "UNKNOWN", "version": self.version,
            "attributes": [{ "name": "ecs.cpu-architecture", "value": if self.arch == "ARM64" { "arm64" } else { "x86_64" } }],
            "ephemeralStorage": { "sizeInGiB": self.storage }, "fargateEphemeralStorage": { "sizeInGiB": self.storage },
            "attachments": [{ "id": self.attachment, "type": "ElasticNetworkInterface",
                "status": self.attachment_status(), "details": details }],
            "containers": containers, "overrides": self.overrides, "tags": [], "enableExecuteCommand": false,
            "createdAt": epoch(self.created_at),
        });
        if with_tags {
            value["tags"] = tags::write(&self.tags);
        }
        set(&mut value, "startedBy", self.started_by.as_ref());
        set(&mut value, "stopCode", self.stop_code);
        set(&mut value, "stoppedReason", self.stopped_reason.as_ref());
        if let Some(provider) = &self.provider {
            value["capacityProviderName"] = json!(provider);
        }
        if self.connectivity_at.is_some() {
            value["connectivity"] = json!("CONNECTED");
        }
        for (name, at) in [
            ("connectivityAt", self.connectivity_at),
            ("pullStartedAt", self.pull_started_at),
            ("pullStoppedAt", self.pull_stopped_at),
            ("startedAt", self.started_at),
            ("stoppingAt", self.stopping_at),
            ("executionStoppedAt", self.execution_stopped_at),
            ("stoppedAt", self.stopped_at),
        ] {
            if let Some(at) = at {
                value[name] = epoch(at);
            }
        }
        value
    }
}

fn set(value: &mut Value, name: &str, member: Option<impl serde::Serialize>) {
    if let Some(member) = member {
        value[name] = json!(member);
    }
}

pub(super) fn describe(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let asked = strings(&input["tasks"]);
    if asked.is_empty() || asked.len() > 100 {
        return Err(ApiError::invalid("Tasks cannot be empty, and at most 100 can be described in one call."));
    }
    let name = cluster::name_of(input);
    let Some(cluster) = world.ecs.clusters.get(&name) else {
        return Err(ApiError::bad("ClusterNotFoundException", "Cluster not found."));
    };
    let with_tags = strings(&input["include"]).iter().any(|word| word == "TAGS");
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in &asked {
        let task = world.ecs.tasks.get(short(text)).filter(|task| {
            cluster.tasks.contains(&task.id)
                && task.visible_at <= world.now
                && world.bend.missing.is_none()
                && (cluster.active || !task.tags.is_empty())
        });
        match task {
            Some(task) => found.push(task.shown(with_tags)),
            None => {
                let arn = world.ecs.arn(&format!("task/{name}/{}", short(text)));
                failures.push(failure(&arn, "MISSING"));
            }
        }
    }
    if !cluster.active && found.is_empty() {
        return Err(ApiError::bad("ClusterNotFoundException", "The referenced cluster was inactive."));
    }
    Ok(json!({ "tasks": found, "failures": failures }))
}

pub(super) fn list(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let name = cluster::active(world, input)?.name.clone();
    let filter = |member: &str| input[member].as_str().map(|text| short(text).to_owned());
    let (family, service) = (filter("family"), filter("serviceName"));
    let started_by = input["startedBy"].as_str();
    if started_by.is_some() && (family.is_some() || service.is_some()) {
        return Err(ApiError::invalid("Cannot specify startedBy together with another filter."));
    }
    if let Some(service) = &service
        && !world.ecs.services.contains_key(&(name.clone(), service.clone()))
    {
        return Err(ApiError::bad("ServiceNotFoundException", "Service not found."));
    }
    let desired = input["desiredStatus"].as_str().unwrap_or("RUNNING");
    let Some(cluster) = world.ecs.clusters.get(&name) else { return Ok(json!({ "taskArns": [] })) };
    let arns = cluster
        .tasks
        .iter()
        .filter_map(|id| world.ecs.tasks.get(id))
        .filter(|task| {
            task.desired() == desired
                && task.visible_at <= world.now
                && family.as_ref().is_none_or(|family| task.family == *family)
                && service.as_ref().is_none_or(|service| task.service.as_ref() == Some(service))
                && started_by.is_none_or(|by| task.started_by.as_deref() == Some(by))
                && input["launchType"].as_str().is_none_or(|kind| kind == "FARGATE")
        })
        .map(|task| task.arn.clone())
        .collect();
    page(arns, input, 100, "taskArns")
}

pub(super) fn stop(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let id = short(required(input, "task")?).to_owned();
    let reason = input["reason"].as_str().unwrap_or("Task stopped by user").to_owned();
    if reason.chars().count() > 255 {
        return Err(ApiError::invalid("The reason must have at most 255 characters."));
    }
    let cluster = cluster::active(world, input)?;
    if !cluster.tasks.contains(&id) {
        return Err(ApiError::invalid("The referenced task was not found."));
    }
    lifecycle::stop(world, &id, "UserInitiated", &reason);
    let Some(task) = world.ecs.tasks.get_mut(&id) else {
        return Err(ApiError::invalid("The referenced task was not found."));
    };
    task.tags = BTreeMap::new();
    Ok(json!({ "task": task.shown(false) }))
}
