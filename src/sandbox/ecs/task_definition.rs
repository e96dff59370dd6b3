//! Task definitions: families, revisions and their slow deletion.
//!
//! Guarantees: the revision counter of a family never goes back; a deleted definition stays DELETE_IN_PROGRESS until an
//! hour after the last task that used it stopped. What was registered is echoed whole.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::{
        state::World,
        wire::{ApiError, required, strings},
    },
    Due, Ecs, Tags, definition_rules, epoch, failure, legal_name, page, short, tags,
};
use crate::domain::model::Timestamp;

/// All revisions of a name.
#[derive(Debug, Default)]
pub struct Family {
    pub last: u32,
    pub revisions: BTreeMap<u32, Definition>,
}

/// One revision.
#[derive(Debug)]
pub struct Definition {
    pub arn: String,
    pub family: String,
    pub revision: u32,
    pub status: &'static str,
    pub body: Value,
    pub tags: Tags,
    pub registered_at: Timestamp,
    pub deregistered_at: Option<Timestamp>,
    pub deleted_at: Option<Timestamp>,
    /// How many tasks refer to it that ECS still remembers.
    pub tasks: usize,
}

impl Definition {
    /// `FAMILY:REVISION`.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.family, self.revision)
    }

    fn shown(&self) -> Value {
        let mut value = self.body.clone();
        value["taskDefinitionArn"] = json!(self.arn);
        value["family"] = json!(self.family);
        value["revision"] = json!(self.revision);
        value["status"] = json!(self.status);
        value["compatibilities"] = json!(["EC2", "FARGATE"]);
        value["registeredAt"] = epoch(self.registered_at);
        value["registeredBy"] = json!("arn:aws:iam::000000000000:user/labguard-sandbox");
        if let Some(at) = self.deregistered_at {
            value["deregisteredAt"] = epoch(at);
        }
        if let Some(at) = self.deleted_at {
            value["deleteRequestedAt"] = epoch(at);
        }
        value
    }
}

/// Family and revision of an ARN, `family:revision` or `family`.
fn parse(name: &str) -> (&str, Option<u32>) {
    let name = short(name);
    match name.rsplit_once(':') {
        Some((family, revision)) => (family, revision.parse().ok()),
        None => (name, None),
    }
}

fn missing() -> ApiError {
    ApiError::client("Unable to describe task definition.")
}

/// The definition of an ARN or `family:revision`; of a bare family the latest ACTIVE one.
pub(super) fn find<'a>(ecs: &'a Ecs, name: &str) -> Option<&'a Definition> {
    let (family, revision) = parse(name);
    let family = ecs.families.get(family)?;
    match revision {
        Some(revision) => family.revisions.get(&revision),
        None => family.revisions.values().rev().find(|definition| definition.status == "ACTIVE"),
    }
}

/// The same, to be changed; with an explicit revision only.
pub(super) fn find_mut<'a>(ecs: &'a mut Ecs, name: &str) -> Option<&'a mut Definition> {
    let (family, revision) = parse(name);
    ecs.families.get_mut(family)?.revisions.get_mut(&revision?)
}

pub(super) fn register(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let family = required(input, "family")?.to_owned();
    if !legal_name(&family) {
        return Err(ApiError::client(format!("Invalid family name: {family}")));
    }
    let tags = tags::read(&input["tags"])?;
    let mut body = input.clone();
    definition_rules::check(&mut body)?;
    let private = |image: &str| {
        image.split_once('/').is_some_and(|(host, _)| host.contains(".dkr.ecr.") || world.ecr.is_our_host(host))
    };
    definition_rules::role_for_images(&body, private)?;
    if let Some(members) = body.as_object_mut() {
        members.remove("tags");
    }
    for member in ["volumes", "placementConstraints"] {
        if body[member].is_null() {
            body[member] = json!([]);
        }
    }
    let revision = world.ecs.families.get(&family).map_or(0, |known| known.last) + 1;
    let definition = Definition {
        arn: world.ecs.arn(&format!("task-definition/{family}:{revision}")),
        family: family.clone(),
        revision,
        status: "ACTIVE",
        body,
        tags,
        registered_at: world.now,
        deregistered_at: None,
        deleted_at: None,
        tasks: 0,
    };
    let answer = json!({ "taskDefinition": definition.shown(), "tags": tags::write(&definition.tags) });
    let known = world.ecs.families.entry(family).or_default();
    known.last = revision;
    known.revisions.insert(revision, definition);
    Ok(answer)
}

pub(super) fn describe(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let definition = find(&world.ecs, required(input, "taskDefinition")?).ok_or_else(missing)?;
    let mut answer = json!({ "taskDefinition": definition.shown() });
    if strings(&input["include"]).iter().any(|word| word == "TAGS") {
        answer["tags"] = tags::write(&definition.tags);
    }
    Ok(answer)
}

pub(super) fn list(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let status = input["status"].as_str().unwrap_or("ACTIVE");
    if !matches!(status, "ACTIVE" | "INACTIVE" | "DELETE_IN_PROGRESS") {
        return Err(ApiError::invalid("Invalid status."));
    }
    let families: Vec<&super::Family> = match input["familyPrefix"].as_str() {
        Some(family) => world.ecs.families.get(family).into_iter().collect(),
        None => world.ecs.families.values().collect(),
    };
    let mut arns: Vec<String> = families
        .into_iter()
        .flat_map(|family| family.revisions.values())
        .filter(|definition| definition.status == status)
        .map(|definition| definition.arn.clone())
        .collect();
    if input["sort"] == "DESC" {
        arns.reverse();
    }
    page(arns, input, 100, "taskDefinitionArns")
}

pub(super) fn list_families(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let status = input["status"].as_str().unwrap_or("ALL");
    let prefix = input["familyPrefix"].as_str().unwrap_or_default();
    let active = |family: &super::Family| family.revisions.values().any(|definition| definition.status == "ACTIVE");
    let names = world
        .ecs
        .families
        .iter()
        .filter(|(name, family)| {
            name.starts_with(prefix)
                && !family.revisions.is_empty()
                && match status {
                    "ACTIVE" => active(family),
                    "INACTIVE" => !active(family),
                    _ => true,
                }
        })
        .map(|(name, _)| name.clone())
        .collect();
    page(names, input, 100, "families")
}

pub(super) fn deregister(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let name = required(input, "taskDefinition")?;
    if parse(name).1.is_none() {
        return Err(ApiError::client("Invalid revision number. Number: null"));
    }
    let now = world.now;
    let definition = find_mut(&mut world.ecs, name)
        .ok_or_else(|| ApiError::client("The specified task definition does not exist."))?;
    if definition.status == "DELETE_IN_PROGRESS" {
        return Err(ApiError::client("The specified task definition is being deleted."));
    }
    if definition.status == "ACTIVE" {
        definition.status = "INACTIVE";
        definition.deregistered_at = Some(now);
    }
    Ok(json!({ "taskDefinition": definition.shown() }))
}

pub(super) fn delete(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let names = strings(&input["taskDefinitions"]);
    if names.is_empty() || names.len() > 10 {
        return Err(ApiError::invalid("Specify between 1 and 10 task definitions."));
    }
    let (now, soon) = (world.now, world.latency.definition_deletion);
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        if parse(&name).1.is_none() {
            return Err(ApiError::invalid(format!(
                "Invalid task definition identifier: {name}: a revision is required."
            )));
        }
        let Some(definition) = find_mut(&mut world.ecs, &name) else {
            failures.push(failure(&name, "The specified task definition does not exist. Specify a valid account, family, revision and try again."));
            continue;
        };
        if definition.status == "ACTIVE" {
            failures.push(failure(
                &definition.arn,
                "The specified task definition is still in ACTIVE status. Please deregister the target and try again.",
            ));
            continue;
        }
        if definition.status == "INACTIVE" {
            definition.status = "DELETE_IN_PROGRESS";
            definition.deleted_at = Some(now);
        }
        deleted.push(definition.shown());
        if definition.tasks == 0 {
            let arn = definition.arn.clone();
            world.ecs.schedule(now + soon, Due::Definition(arn));
        }
    }
    Ok(json!({ "taskDefinitions": deleted, "failures": failures }))
}

/// A deleted definition that nobody refers to is gone.
pub(super) fn forget(ecs: &mut Ecs, arn: &str) {
    if let Some(definition) = find_mut(ecs, arn)
        && definition.status == "DELETE_IN_PROGRESS"
        && definition.tasks == 0
    {
        let (family, revision) = (definition.family.clone(), definition.revision);
        if let Some(family) = ecs.families.get_mut(&family) {
            family.revisions.remove(&revision);
        }
    }
}
