//! Tags on ECS resources.
//!
//! Guarantees: AWS's limits hold for every way in. StopTask takes a task's tags away (elsewhere), which AWS does too.

use serde_json::{Value, json};

use super::{
    super::{
        state::World,
        wire::{ApiError, required, strings},
    },
    Ecs, Tags, short, task_definition,
};

/// Reads `[{key, value}]`.
pub(super) fn read(value: &Value) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in value.as_array().into_iter().flatten() {
        let (key, text) = (tag["key"].as_str().unwrap_or_default(), tag["value"].as_str().unwrap_or_default());
        if key.is_empty() || key.chars().count() > 128 || text.chars().count() > 256 {
            return Err(ApiError::invalid("A tag's key must have 1 to 128 characters and its value at most 256."));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(ApiError::invalid("Tag keys that begin with aws: are reserved."));
        }
        if tags.insert(key.to_owned(), text.to_owned()).is_some() {
            return Err(ApiError::invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
        }
    }
    if tags.len() > 50 {
        return Err(ApiError::invalid("A resource can have at most 50 tags."));
    }
    Ok(tags)
}

/// Writes `[{key, value}]`.
pub(super) fn write(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

fn of<'a>(ecs: &'a mut Ecs, arn: &str) -> Result<&'a mut Tags, ApiError> {
    let missing = || {
        ApiError::invalid("The specified resource could not be found. Verify that the resource exists and try again.")
    };
    let kind = arn.splitn(6, ':').nth(5).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let found = match kind {
        "cluster" => ecs.clusters.get_mut(short(arn)).filter(|cluster| cluster.active).map(|cluster| &mut cluster.tags),
        "task" => ecs.tasks.get_mut(short(arn)).map(|task| &mut task.tags),
        "task-definition" => task_definition::find_mut(ecs, arn).map(|definition| &mut definition.tags),
        "service" => ecs.services.values_mut().find(|service| service.arn == arn).map(|service| &mut service.tags),
        _ => return Err(ApiError::invalid(format!("Invalid identifier: {arn}"))),
    };
    found.ok_or_else(missing)
}

/// TagResource.
pub(super) fn tag(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let new = read(&input["tags"])?;
    let tags = of(&mut world.ecs, required(input, "resourceArn")?)?;
    tags.extend(new);
    Ok(json!({}))
}

/// UntagResource.
pub(super) fn untag(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let keys = strings(&input["tagKeys"]);
    of(&mut world.ecs, required(input, "resourceArn")?)?.retain(|key, _| !keys.contains(key));
    Ok(json!({}))
}

/// ListTagsForResource.
pub(super) fn list(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    Ok(json!({ "tags": write(of(&mut world.ecs, required(input, "resourceArn")?)?) }))
}
