//! EventBridge Scheduler: groups, one-time schedules, and the calls that they make by themselves.
//!
//! Guarantees: a past instant, an illegal name, a name that is taken and a role that cannot be assumed yet are refused as
//! AWS refuses them; a schedule fires at the end of its minute, the latest that AWS allows; UpdateSchedule replaces every
//! field; a group goes with its schedules, at once. Only `at()` and universal targets of the services that the sandbox
//! has are served. A call that is refused is lost: nothing is tried again, since the sandbox's own services never fail
//! by themselves.

mod fire;
mod group;
mod schedule;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{ecs::Tags, state::World, wire::ApiError};
use crate::domain::model::Timestamp;

pub(super) use fire::fire;

/// A group.
#[derive(Debug)]
struct Group {
    arn: String,
    tags: Tags,
    made_at: Timestamp,
    changed_at: Timestamp,
}

/// A schedule, with its body as it was sent.
#[derive(Debug)]
struct Schedule {
    body: Value,
    due: Timestamp,
    /// Which of its instants: one that was moved does not fire at the old one.
    version: u64,
    made_at: Timestamp,
    changed_at: Timestamp,
}

/// A call that a schedule made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// When.
    pub at: Timestamp,
    /// `GROUP/NAME`.
    pub schedule: String,
    /// `ecs:stopTask`.
    pub call: String,
    /// AWS's code and words, where it was refused.
    pub refused: Option<String>,
}

/// All of the scheduler.
#[derive(Debug, Default)]
pub struct Scheduler {
    groups: BTreeMap<String, Group>,
    schedules: BTreeMap<(String, String), Schedule>,
    versions: u64,
    fired: Vec<Fired>,
}

impl Scheduler {
    /// What exists beyond a fresh account.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let groups = self.groups.keys().map(|name| format!("scheduler schedule-group {name}"));
        let schedules = self.schedules.keys().map(|(group, name)| format!("scheduler schedule {group}/{name}"));
        groups.chain(schedules).collect()
    }

    /// Every call that schedules made, in order.
    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        self.fired.clone()
    }

    /// Each schedule's `GROUP/NAME` and instant.
    #[must_use]
    pub fn due(&self) -> Vec<(String, Timestamp)> {
        self.schedules.iter().map(|((group, name), it)| (format!("{group}/{name}"), it.due)).collect()
    }
}

/// Operation, and the member that stands in the path, of a request that is the scheduler's.
#[must_use]
pub fn operation(method: &str, path: &str) -> Option<(&'static str, Option<(&'static str, String)>)> {
    let (kind, name) = path
        .strip_prefix('/')?
        .split_once('/')
        .map_or((path.strip_prefix('/')?, None), |(kind, name)| (kind, Some(unescaped(name))));
    let op = match (kind, method, name.is_some()) {
        ("schedule-groups", "POST", true) => "CreateScheduleGroup",
        ("schedule-groups", "GET", true) => "GetScheduleGroup",
        ("schedule-groups", "DELETE", true) => "DeleteScheduleGroup",
        ("schedule-groups", "GET", false) => "ListScheduleGroups",
        ("schedules", "POST", true) => "CreateSchedule",
        ("schedules", "PUT", true) => "UpdateSchedule",
        ("schedules", "GET", true) => "GetSchedule",
        ("schedules", "DELETE", true) => "DeleteSchedule",
        ("schedules", "GET", false) => "ListSchedules",
        ("tags", "GET", true) => "ListTagsForResource",
        _ => return None,
    };
    let member = if kind == "tags" { "ResourceArn" } else { "Name" };
    Some((op, name.map(|name| (member, name))))
}

fn unescaped(text: &str) -> String {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&format!("x={text}")).unwrap_or_default();
    pairs.into_iter().next().map(|(_, value)| value).unwrap_or_default()
}

/// The members of a call: of the body, the query and the path.
///
/// # Errors
/// Why the body is not JSON.
pub fn members(body: &[u8], query: Option<&str>, path: Option<(&'static str, String)>) -> Result<Value, String> {
    let mut members: Map<String, Value> = if body.is_empty() {
        Map::new()
    } else {
        serde_json::from_slice(body).map_err(|error| format!("the body is not a JSON object: {error}"))?
    };
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query.unwrap_or_default()).unwrap_or_default();
    for (name, value) in pairs {
        let name = match name.as_str() {
            "groupName" | "ScheduleGroup" => "GroupName".to_owned(),
            _ => name,
        };
        members.insert(name, Value::String(value));
    }
    members.extend(path.map(|(member, value)| (member.to_owned(), Value::String(value))));
    Ok(Value::Object(members))
}

/// One call.
///
/// # Errors
/// As EventBridge Scheduler words them.
pub fn call(world: &mut World, op: &str, input: &Value) -> Result<Value, ApiError> {
    match op {
        "CreateScheduleGroup" => group::create(world, input),
        "GetScheduleGroup" => group::get(world, input),
        "ListScheduleGroups" => Ok(group::list(world, input)),
        "DeleteScheduleGroup" => group::delete(world, input),
        "ListTagsForResource" => group::tags(world, input),
        "CreateSchedule" => schedule::create(world, input),
        "UpdateSchedule" => schedule::update(world, input),
        "GetSchedule" => schedule::get(world, input),
        "ListSchedules" => Ok(schedule::list(world, input)),
        "DeleteSchedule" => schedule::delete(world, input),
        other => Err(ApiError::unknown_operation(other)),
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::bad("ValidationException", message)
}

fn missing(what: &str, name: &str) -> ApiError {
    ApiError::new(404, "ResourceNotFoundException", format!("{what} {name} does not exist."))
}

fn taken(what: &str, name: &str) -> ApiError {
    ApiError::new(409, "ConflictException", format!("{what} {name} already exists."))
}

/// A legal name of a group or schedule.
fn name(input: &Value, member: &str) -> Result<String, ApiError> {
    let name = input[member].as_str().unwrap_or_default();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) {
        return Err(invalid(format!(
            "1 validation error detected: Value '{name}' at '{member}' failed to satisfy constraint: Member must satisfy regular expression pattern: [0-9a-zA-Z-_.]+"
        )));
    }
    Ok(name.to_owned())
}

/// Epoch seconds, as REST-JSON writes instants.
fn epoch(at: Timestamp) -> Value {
    json!(at.as_millis() as f64 / 1000.0)
}
