//! One-time schedules: what AWS looks at when they are made, and what it does not (their input, aws-facts §6.2).

use chrono::NaiveDateTime;
use serde_json::{Value, json};

use super::{
    super::{ecs::Due, state::World, wire::ApiError},
    Schedule, epoch, invalid, missing, name, taken,
};
use crate::domain::model::{Span, Timestamp};

/// The most that an input may be.
const LARGEST_INPUT: usize = 256 * 1024;

const NO_ROLE: &str = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.";

fn key(world: &World, input: &Value) -> Result<(String, String), ApiError> {
    let name = name(input, "Name")?;
    let group = input["GroupName"].as_str().unwrap_or("default").to_owned();
    if group != "default" && !world.scheduler.groups.contains_key(&group) {
        return Err(missing("Schedule group", &group));
    }
    Ok((group, name))
}

/// The instant of `at(yyyy-mm-ddThh:mm:ss)`.
fn instant(world: &World, input: &Value) -> Result<Timestamp, ApiError> {
    let expression = input["ScheduleExpression"].as_str().unwrap_or_default();
    let wrong = || invalid(format!("Invalid Schedule Expression {expression}."));
    let inner = expression.strip_prefix("at(").and_then(|rest| rest.strip_suffix(')')).ok_or_else(wrong)?;
    let zone = input["ScheduleExpressionTimezone"].as_str().unwrap_or("UTC");
    if zone != "UTC" {
        return Err(invalid(format!("The labguard sandbox knows the time zone UTC only, not {zone}.")));
    }
    let at = NaiveDateTime::parse_from_str(inner, "%Y-%m-%dT%H:%M:%S").map_err(|_| wrong())?;
    let at = Timestamp::from_millis(at.and_utc().timestamp_millis());
    if at <= world.now {
        return Err(invalid(format!("Invalid Schedule Expression {expression}. The scheduled time is in the past.")));
    }
    Ok(at)
}

fn check(world: &World, group: &str, input: &Value) -> Result<Timestamp, ApiError> {
    let at = instant(world, input)?;
    match input["FlexibleTimeWindow"]["Mode"].as_str() {
        Some("OFF" | "FLEXIBLE") => {}
        _ => return Err(invalid("1 validation error detected: Value at 'flexibleTimeWindow' must not be null")),
    }
    let target = &input["Target"];
    let arn = target["Arn"].as_str().unwrap_or_default();
    let call = arn.strip_prefix("arn:aws:scheduler:::aws-sdk:").and_then(|call| call.split_once(':'));
    let Some((_, action)) = call else { return Err(invalid(format!("Provided Arn is not in correct format. {arn}"))) };
    let reads = ["get", "describe", "list", "batchGet"];
    if !action.starts_with(|first: char| first.is_ascii_lowercase())
        || reads.iter().any(|verb| action.starts_with(verb))
    {
        return Err(invalid(format!("{action} is not a supported api for the target {arn}.")));
    }
    if target["Input"].as_str().is_some_and(|text| text.len() > LARGEST_INPUT) {
        return Err(invalid("1 validation error detected: Value at 'target.input' is too long"));
    }
    let retry = &target["RetryPolicy"];
    let within = |member: &str, least: u64, most: u64| {
        retry[member].is_null() || retry[member].as_u64().is_some_and(|count| (least..=most).contains(&count))
    };
    if !within("MaximumRetryAttempts", 0, 185) || !within("MaximumEventAgeInSeconds", 60, 86_400) {
        return Err(invalid("1 validation error detected: Value at 'target.retryPolicy' failed to satisfy constraint"));
    }
    let role = target["RoleArn"].as_str().unwrap_or_default();
    if !world.iam.lets_schedules(world.now, role, &group_arn(world, group)) {
        return Err(invalid(NO_ROLE));
    }
    Ok(at)
}

/// ARN of a group.
pub(super) fn group_arn(world: &World, group: &str) -> String {
    format!("arn:aws:scheduler:{}:{}:schedule-group/{group}", world.region, world.account)
}

/// Keeps it, and queues it for the end of its minute.
fn keep(world: &mut World, (group, name): (String, String), input: &Value, at: Timestamp, made_at: Timestamp) -> Value {
    const MINUTE: i64 = 60_000;
    world.scheduler.versions += 1;
    let version = world.scheduler.versions;
    let fires = Timestamp::from_millis(at.as_millis().div_euclid(MINUTE) * MINUTE) + Span::from_millis(59_999);
    world.ecs.schedule(fires, Due::Schedule(group.clone(), name.clone(), version));
    let arn = format!("arn:aws:scheduler:{}:{}:schedule/{group}/{name}", world.region, world.account);
    let kept = Schedule { body: input.clone(), due: at, version, made_at, changed_at: world.now };
    world.scheduler.schedules.insert((group, name), kept);
    json!({ "ScheduleArn": arn })
}

pub(super) fn create(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let key = key(world, input)?;
    let at = check(world, &key.0, input)?;
    if world.scheduler.schedules.contains_key(&key) {
        return Err(taken("Schedule", &key.1));
    }
    let now = world.now;
    Ok(keep(world, key, input, at, now))
}

pub(super) fn update(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let key = key(world, input)?;
    let made_at =
        world.scheduler.schedules.get(&key).map(|it| it.made_at).ok_or_else(|| missing("Schedule", &key.1))?;
    let at = check(world, &key.0, input)?;
    Ok(keep(world, key, input, at, made_at))
}

pub(super) fn get(world: &World, input: &Value) -> Result<Value, ApiError> {
    let key = key(world, input)?;
    let kept = world.scheduler.schedules.get(&key).ok_or_else(|| missing("Schedule", &key.1))?;
    let mut shown = kept.body.clone();
    shown["Arn"] = json!(format!("arn:aws:scheduler:{}:{}:schedule/{}/{}", world.region, world.account, key.0, key.1));
    shown["GroupName"] = json!(key.0);
    shown["State"] = json!("ENABLED");
    shown["CreationDate"] = epoch(kept.made_at);
    shown["LastModificationDate"] = epoch(kept.changed_at);
    Ok(shown)
}

pub(super) fn list(world: &World, input: &Value) -> Value {
    let wanted = input["GroupName"].as_str();
    let fitting = world.scheduler.schedules.iter().filter(|((group, _), _)| wanted.is_none_or(|it| it == group));
    let shown = |((group, name), kept): (&(String, String), &Schedule)| {
        let (made, changed) = (epoch(kept.made_at), epoch(kept.changed_at));
        json!({ "GroupName": group, "Name": name, "State": "ENABLED", "CreationDate": made, "LastModificationDate": changed })
    };
    json!({ "Schedules": fitting.map(shown).collect::<Vec<Value>>() })
}

pub(super) fn delete(world: &mut World, input: &Value) -> Result<Value, ApiError> {
    let key = key(world, input)?;
    world.scheduler.schedules.remove(&key).map(|_| json!({})).ok_or_else(|| missing("Schedule", &key.1))
}
