//! ECS with Fargate: clusters, task definitions, tasks, services.
//!
//! Guarantees: looks up by key (a task by its id, a cluster's tasks by its set), so that one task's description costs
//! the same beside ten thousand sessions; everything timed happens through one queue in order of its instant.
//! Never waits.

mod cluster;
mod definition_rules;
mod insights;
pub mod lifecycle;
mod run;
mod service;
mod tags;
mod task;
mod task_definition;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::domain::model::Timestamp;

use super::{state::World, wire::ApiError};

pub(super) use cluster::Cluster;
pub(super) use lifecycle::Due;
pub use lifecycle::Interruption;
pub(super) use run::{Token, Unplaced};
pub(super) use service::Service;
pub(super) use task::Task;
pub(super) use task_definition::Family;

/// Tags in order of their keys.
pub(super) type Tags = BTreeMap<String, String>;

/// All of ECS.
#[derive(Debug)]
pub struct Ecs {
    region: String,
    account: String,
    pub(super) clusters: BTreeMap<String, Cluster>,
    pub(super) families: BTreeMap<String, Family>,
    pub(super) tasks: HashMap<String, Task>,
    pub(super) services: BTreeMap<(String, String), Service>,
    pub(super) tokens: BTreeMap<(String, String), Token>,
    queue: BTreeSet<(Timestamp, u64, Due)>,
    sequence: u64,
}

impl Ecs {
    /// Nothing at all.
    #[must_use]
    pub fn new(region: &str, account: &str) -> Self {
        Self {
            region: region.to_owned(),
            account: account.to_owned(),
            clusters: BTreeMap::new(),
            families: BTreeMap::new(),
            tasks: HashMap::new(),
            services: BTreeMap::new(),
            tokens: BTreeMap::new(),
            queue: BTreeSet::new(),
            sequence: 0,
        }
    }

    /// `arn:aws:ecs:R:A:REST`.
    pub(super) fn arn(&self, rest: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{rest}", self.region, self.account)
    }

    /// Puts something into the queue.
    pub(super) fn schedule(&mut self, at: Timestamp, due: Due) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence, due));
    }

    /// Arn and tags of everything that bears tags.
    #[must_use]
    pub fn tagged(&self) -> Vec<(String, Tags)> {
        let clusters = self.clusters.values().filter(|c| c.active).map(|c| (c.arn.clone(), c.tags.clone()));
        let definitions = self
            .families
            .values()
            .flat_map(|family| family.revisions.values())
            .map(|definition| (definition.arn.clone(), definition.tags.clone()));
        let tasks = self.tasks.values().map(|task| (task.arn.clone(), task.tags.clone()));
        let services = self.services.values().map(|service| (service.arn.clone(), service.tags.clone()));
        let mut all: Vec<_> =
            clusters.chain(definitions).chain(services).chain(tasks).filter(|(_, tags)| !tags.is_empty()).collect();
        all.sort();
        all
    }

    /// What exists beyond a fresh account.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let mut found: Vec<String> =
            self.clusters.values().filter(|c| c.active).map(|c| format!("ecs cluster {}", c.name)).collect();
        for service in self.services.values().filter(|service| service.status != "INACTIVE") {
            found.push(format!("ecs service {} {}", service.arn, service.status));
        }
        let mut tasks: Vec<String> = self
            .tasks
            .values()
            .filter(|task| task.status != task::Status::Stopped)
            .map(|task| format!("ecs task {} {}", task.arn, task.status.name()))
            .collect();
        tasks.sort();
        found.append(&mut tasks);
        for definition in self.families.values().flat_map(|family| family.revisions.values()) {
            if definition.status != "DELETE_IN_PROGRESS" {
                found.push(format!("ecs task-definition {} {}", definition.name(), definition.status));
            }
        }
        found
    }
}

/// One call.
///
/// # Errors
/// As AWS words them.
pub fn call(world: &mut World, op: &str, input: Value) -> Result<Value, ApiError> {
    match op {
        "CreateCluster" => cluster::create(world, &input),
        "UpdateCluster" | "UpdateClusterSettings" | "PutClusterCapacityProviders" => cluster::update(world, &input),
        "DescribeClusters" => cluster::describe(world, &input),
        "ListClusters" => cluster::list(world, &input),
        "DeleteCluster" => cluster::delete(world, &input),
        "RegisterTaskDefinition" => task_definition::register(world, &input),
        "DescribeTaskDefinition" => task_definition::describe(world, &input),
        "ListTaskDefinitions" => task_definition::list(world, &input),
        "ListTaskDefinitionFamilies" => task_definition::list_families(world, &input),
        "DeregisterTaskDefinition" => task_definition::deregister(world, &input),
        "DeleteTaskDefinitions" => task_definition::delete(world, &input),
        "RunTask" => run::run(world, &input),
        "StopTask" => task::stop(world, &input),
        "DescribeTasks" => task::describe(world, &input),
        "ListTasks" => task::list(world, &input),
        "CreateService" => service::create(world, &input),
        "UpdateService" => service::update(world, &input),
        "DescribeServices" => service::describe(world, &input),
        "ListServices" => service::list(world, &input),
        "DeleteService" => service::delete(world, &input),
        "TagResource" => tags::tag(world, &input),
        "UntagResource" => tags::untag(world, &input),
        "ListTagsForResource" => tags::list(world, &input),
        _ => Err(ApiError::unknown_operation(op)),
    }
}

/// The last part of an ARN or a bare name.
pub(super) fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Epoch seconds with milliseconds, as awsJson writes instants.
pub(super) fn epoch(at: Timestamp) -> Value {
    json!(at.as_millis() as f64 / 1000.0)
}

/// One page of `items`; the token is the index to go on from.
pub(super) fn page(items: Vec<String>, input: &Value, most: usize, member: &str) -> Result<Value, ApiError> {
    let size = match input["maxResults"].as_u64() {
        None => most,
        Some(size) if (1..=100).contains(&size) => size as usize,
        Some(_) => return Err(ApiError::invalid("Max results must be between 1 and 100.")),
    };
    let start = match input["nextToken"].as_str() {
        None => 0,
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|rest| rest.parse::<usize>().ok())
            .ok_or_else(|| ApiError::invalid("Invalid token."))?,
    };
    let next = (start + size < items.len()).then(|| format!("page-{}", start + size));
    let shown: Vec<String> = items.into_iter().skip(start).take(size).collect();
    let mut answer = json!({ member: shown });
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Ok(answer)
}

/// A failure of a Describe call.
pub(super) fn failure(arn: &str, reason: &str) -> Value {
    json!({ "arn": arn, "reason": reason })
}

/// Whether a name is legal for clusters, services and families.
pub(super) fn legal_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
