//! Clusters.
//!
//! Guarantees: CreateCluster is AWS's upsert, which answers with somebody else's cluster; DeleteCluster refuses while
//! tasks or services are left; a deleted cluster stays describable as INACTIVE for an hour. A cluster made again under
//! an old name does not see the old one's tasks.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    super::{
        state::World,
        wire::{ApiError, required, strings},
    },
    Tags, failure, insights, legal_name, page, short, tags,
    task::Status,
};
use crate::domain::model::{Span, Timestamp};

/// How long a deleted cluster can still be described.
const REMEMBERED: Span = Span::from_mins(60);

/// One cluster.
#[derive(Debug)]
pub struct Cluster {
    pub name: String,
    pub arn: String,
    pub active: bool,
    pub deleted_at: Option<Timestamp>,
    pub tags: Tags,
    pub settings: Value,
    pub configuration: Value,
    pub providers: Value,
    pub strategy: Value,
    /// Ids of the tasks that ECS still remembers.
    pub tasks: BTreeSet<String>,
}

/// The name in a `cluster` member: a name, an ARN, or nothing for `default`.
pub(super) fn name_of(input: &Value) -> String {
    input["cluster"].as_str().map_or_else(|| "default".to_owned(), |cluster| short(cluster).to_owned())
}

/// The active cluster that a call names.
pub(super) fn active<'a>(world: &'a mut World, input: &Value) -> Result<&'a mut Cluster, ApiError> {
    match world.ecs.clusters.get_mut(&name_of(input)) {
        Some(cluster) if cluster.active => Ok(cluster),
        Some(_) => Err(ApiError::bad("ClusterNotFoundException", "The referenced cluster was inactive.")),
        None => Err(ApiError::bad("ClusterNotFoundException", "Cluster not found.")),
    }
}

/// The refusal of a virgin account.
pub(super) fn service_linked_role(world: &World) -> Result<(), ApiError> {
    if world.bend.service_linked_role {
        return Err(ApiError::invalid(
            "Unable to assume the service linked role. Please verify that the ECS service linked role exists.",
        ));
    }
    Ok(())
}

pub(super) fn create(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    service_linked_role(world)?;
    let name = input["clusterName"].as_str().unwrap_or("default").to_owned();
    if !legal_name(&name) {
        return Err(ApiError::invalid(format!("Invalid identifier: {name}")));
    }
    let new_tags = tags::read(&input["tags"])?;
    let settings = if input["settings"].is_array() {
        input["settings"].clone()
    } else {
        json!([{ "name": "containerInsights", "value": "disabled" }])
    };
    check(&settings)?;
    let insights = insights::is_on(&settings);
    let list = |value: &Value| if value.is_array() { value.clone() } else { json!([]) };
    let (providers, strategy) = (list(&input["capacityProviders"]), list(&input["defaultCapacityProviderStrategy"]));
    for provider in strings(&providers) {
        if !matches!(provider.as_str(), "FARGATE" | "FARGATE_SPOT") {
            return Err(ApiError::invalid(format!("The specified capacity provider '{provider}' was not found.")));
        }
    }
    if let Some(existing) = world.ecs.clusters.get(&name).filter(|cluster| cluster.active) {
        let differs = |given: &Value, had: &Value| given.is_array() && given != had;
        if differs(&input["settings"], &existing.settings)
            || differs(&input["capacityProviders"], &existing.providers)
            || (input["configuration"].is_object() && input["configuration"] != existing.configuration)
        {
            return Err(ApiError::invalid(
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            ));
        }
    } else {
        let arn = world.ecs.arn(&format!("cluster/{name}"));
        world.iam.ensure_service_linked_role(world.now, &mut world.rng, "ecs.amazonaws.com");
        world.ecs.services.retain(|(cluster, _), _| *cluster != name);
        world.ecs.tokens.retain(|(cluster, _), _| *cluster != name);
        world.ecs.clusters.insert(
            name.clone(),
            Cluster {
                name: name.clone(),
                arn,
                active: true,
                deleted_at: None,
                tags: new_tags,
                settings,
                configuration: input["configuration"].clone(),
                providers,
                strategy,
                tasks: BTreeSet::new(),
            },
        );
        if insights {
            insights::begin(world, &name);
        }
    }
    Ok(json!({ "cluster": shown(world, &name, true) }))
}

/// AWS's check of cluster settings.
fn check(settings: &Value) -> Result<(), ApiError> {
    for setting in settings.as_array().into_iter().flatten() {
        let value = setting["value"].as_str().unwrap_or_default();
        if setting["name"] != "containerInsights" || !matches!(value, "enabled" | "disabled" | "enhanced") {
            return Err(ApiError::invalid("Setting name or value is invalid."));
        }
    }
    Ok(())
}

pub(super) fn update(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    check(&input["settings"])?;
    let cluster = active(world, input)?;
    let name = cluster.name.clone();
    let before = insights::is_on(&cluster.settings);
    for (member, place) in [
        ("settings", &mut cluster.settings),
        ("configuration", &mut cluster.configuration),
        ("capacityProviders", &mut cluster.providers),
        ("defaultCapacityProviderStrategy", &mut cluster.strategy),
    ] {
        if !input[member].is_null() {
            *place = input[member].clone();
        }
    }
    if !before && insights::is_on(&cluster.settings) {
        insights::begin(world, &name);
    }
    Ok(json!({ "cluster": shown(world, &name, true) }))
}

fn shown(world: &World, name: &str, all: bool) -> Value {
    let Some(cluster) = world.ecs.clusters.get(name) else { return Value::Null };
    let (mut running, mut pending) = (0, 0);
    for task in cluster.tasks.iter().filter_map(|id| world.ecs.tasks.get(id)) {
        match task.status {
            Status::Running => running += 1,
            Status::Provisioning | Status::Pending | Status::Activating => pending += 1,
            _ => {}
        }
    }
    let services = world
        .ecs
        .services
        .range((name.to_owned(), String::new())..)
        .take_while(|((cluster, _), _)| cluster == name)
        .filter(|(_, service)| service.status == "ACTIVE")
        .count();
    let mut value = json!({
        "clusterArn": cluster.arn, "clusterName": cluster.name,
        "status": if cluster.active { "ACTIVE" } else { "INACTIVE" },
        "registeredContainerInstancesCount": 0, "runningTasksCount": running, "pendingTasksCount": pending,
        "activeServicesCount": services, "statistics": [], "tags": [], "settings": [],
        "capacityProviders": cluster.providers, "defaultCapacityProviderStrategy": cluster.strategy,
    });
    if all {
        value["tags"] = tags::write(&cluster.tags);
        value["settings"] = cluster.settings.clone();
        if cluster.configuration.is_object() {
            value["configuration"] = cluster.configuration.clone();
        }
    }
    value
}

pub(super) fn describe(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let mut asked = strings(&input["clusters"]);
    if asked.is_empty() {
        asked.push("default".to_owned());
    }
    if asked.len() > 100 {
        return Err(ApiError::invalid("Too many clusters: at most 100 can be described in one call."));
    }
    let include = strings(&input["include"]);
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for name in asked {
        let known = world.ecs.clusters.get(short(&name)).is_some_and(|cluster| {
            cluster.deleted_at.is_none_or(|at| world.now.since(at) < REMEMBERED) && world.bend.missing.is_none()
        });
        if known {
            let mut value = shown(world, short(&name), true);
            for (word, member) in [("TAGS", "tags"), ("SETTINGS", "settings")] {
                if !include.iter().any(|given| given == word) {
                    value[member] = json!([]);
                }
            }
            clusters.push(value);
        } else {
            let arn = if name.starts_with("arn:") { name } else { world.ecs.arn(&format!("cluster/{name}")) };
            failures.push(failure(&arn, "MISSING"));
        }
    }
    Ok(json!({ "clusters": clusters, "failures": failures }))
}

pub(super) fn list(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let arns =
        world.ecs.clusters.values().filter(|cluster| cluster.active).map(|cluster| cluster.arn.clone()).collect();
    page(arns, input, 100, "clusterArns")
}

pub(super) fn delete(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    required(input, "cluster")?;
    let name = active(world, input)?.name.clone();
    let in_use = |(cluster, _): &(String, String)| *cluster == name;
    if world.ecs.services.iter().any(|(key, service)| in_use(key) && service.status != "INACTIVE") {
        return Err(ApiError::bad(
            "ClusterContainsServicesException",
            "The Cluster cannot be deleted while Services are active.",
        ));
    }
    let ecs = &mut world.ecs;
    let Some(cluster) = ecs.clusters.get_mut(&name) else {
        return Err(ApiError::bad("ClusterNotFoundException", "Cluster not found."));
    };
    if cluster.tasks.iter().any(|id| ecs.tasks.get(id).is_some_and(|task| task.status != Status::Stopped)) {
        return Err(ApiError::bad(
            "ClusterContainsTasksException",
            "The Cluster cannot be deleted while Tasks are active.",
        ));
    }
    cluster.active = false;
    cluster.deleted_at = Some(world.now);
    Ok(json!({ "cluster": shown(world, &name, true) }))
}
