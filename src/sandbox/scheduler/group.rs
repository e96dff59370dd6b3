//! Schedule groups: made with tags, listed by prefix, deleted with everything in them.

use serde_json::{Value, json};

use super::{
    super::{state::World, wire::ApiError},
    Group, epoch, invalid, missing, name, taken,
};

/// Most groups in a page.
const PAGE: usize = 100;

fn shown(name: &str, group: &Group) -> Value {
    json!({
        "Arn": group.arn,
        "Name": name,
        "State": "ACTIVE",
        "CreationDate": epoch(group.made_at),
        "LastModificationDate": epoch(group.changed_at),
    })
}

pub(super) fn create(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let name = name(input, "Name")?;
    if name == "default" || world.scheduler.groups.contains_key(&name) {
        return Err(taken("Schedule group", &name));
    }
    let mut tags = super::Tags::new();
    for tag in input["Tags"].as_array().into_iter().flatten() {
        let (Some(key), Some(value)) = (tag["Key"].as_str(), tag["Value"].as_str()) else {
            return Err(invalid("1 validation error detected: Value at 'tags' failed to satisfy constraint"));
        };
        tags.insert(key.to_owned(), value.to_owned());
    }
    let arn = format!("arn:aws:scheduler:{}:{}:schedule-group/{name}", world.region, world.account);
    let group = Group { arn: arn.clone(), tags, made_at: world.now, changed_at: world.now };
    world.scheduler.groups.insert(name, group);
    Ok(json!({ "ScheduleGroupArn": arn }))
}

pub(super) fn get(world: &World, input: &Value) -> Result<Value, ApiError> {
    let name = name(input, "Name")?;
    let group = world.scheduler.groups.get(&name).ok_or_else(|| missing("Schedule group", &name))?;
    Ok(shown(&name, group))
}

pub(super) fn list(world: &World, input: &Value) -> Value {
    let prefix = input["NamePrefix"].as_str().unwrap_or_default();
    let after = input["NextToken"].as_str().unwrap_or_default();
    let fitting = world.scheduler.groups.iter().filter(|(name, _)| name.starts_with(prefix) && name.as_str() > after);
    let mut page: Vec<(&String, Value)> =
        fitting.take(PAGE + 1).map(|(name, group)| (name, shown(name, group))).collect();
    let more = page.len() > PAGE;
    page.truncate(PAGE);
    let next = page.last().filter(|_| more).map(|(name, _)| (*name).clone());
    let groups: Vec<Value> = page.into_iter().map(|(_, group)| group).collect();
    json!({ "ScheduleGroups": groups, "NextToken": next })
}

pub(super) fn delete(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let name = name(input, "Name")?;
    if name == "default" {
        return Err(invalid("The default schedule group cannot be deleted."));
    }
    if world.scheduler.groups.remove(&name).is_none() {
        return Err(missing("Schedule group", &name));
    }
    world.scheduler.schedules.retain(|(group, _), _| *group != name);
    Ok(json!({}))
}

pub(super) fn tags(world: &World, input: &Value) -> Result<Value, ApiError> {
    let arn = input["ResourceArn"].as_str().unwrap_or_default();
    let group = world.scheduler.groups.values().find(|group| group.arn == arn);
    let group = group.ok_or_else(|| missing("Resource", arn))?;
    let tags: Vec<Value> = group.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    Ok(json!({ "Tags": tags }))
}
