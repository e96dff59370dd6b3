//! A schedule that is due makes its one call, as the role that it was given.
//!
//! Guarantees: a moved or deleted schedule does not fire; a call that its role does not allow, whose members are not
//! called as the API reference calls them, or that the service refuses, is lost and told in [`super::Fired`].

use serde_json::{Map, Value};

use super::{
    super::{ec2, ecr, ecs, logs, params::Params, state::World, wire::ApiError},
    Fired, invalid,
    schedule::group_arn,
};

/// Lets the schedule fire, if it is still that one.
pub(in crate::sandbox) fn fire(world: &mut World, group: String, name: String, version: u64) {
    let key = (group, name);
    let Some(body) = world.scheduler.schedules.get(&key).filter(|it| it.version == version).map(|it| it.body.clone())
    else {
        return;
    };
    if body["ActionAfterCompletion"] == "DELETE" {
        world.scheduler.schedules.remove(&key);
    }
    let target = &body["Target"];
    let arn = target["Arn"].as_str().unwrap_or_default();
    let call = arn.trim_start_matches("arn:aws:scheduler:::aws-sdk:").to_owned();
    let refused = perform(world, &key.0, &call, target).err().map(|error| error.to_string());
    let schedule = format!("{}/{}", key.0, key.1);
    world.scheduler.fired.push(Fired { at: world.now, schedule, call, refused });
}

fn perform(world: &mut World, group: &str, call: &str, target: &Value) -> Result<(), ApiError> {
    let (service, action) = call.split_once(':').ok_or_else(|| invalid("no action"))?;
    let role = target["RoleArn"].as_str().unwrap_or_default();
    let operation = pascal(action);
    let prefix = if service == "cloudwatchlogs" { "logs" } else { service };
    let allowed = world.iam.lets_schedules(world.now, role, &group_arn(world, group))
        && world.iam.allows(role, &format!("{prefix}:{operation}"));
    if !allowed {
        return Err(ApiError::bad("AccessDeniedException", format!("{role} may not call {prefix}:{operation}")));
    }
    let input: Map<String, Value> = serde_json::from_str(target["Input"].as_str().unwrap_or("{}"))
        .map_err(|error| invalid(format!("the input is not a JSON object: {error}")))?;
    if let Some(wrong) = input.keys().find(|member| !member.starts_with(|first: char| first.is_ascii_uppercase())) {
        return Err(invalid(format!("the member {wrong} is not called so in the API reference")));
    }
    let known = ["StopTask", "UpdateService", "DeleteService", "DeleteCluster"];
    match (service, operation.as_str()) {
        ("ecs", op) if known.contains(&op) => ecs::call(world, op, wire(&input)).map(drop),
        ("ecr", op @ "DeleteRepository") => ecr::call(world, op, wire(&input)).map(drop),
        ("cloudwatchlogs", op @ "DeleteLogGroup") => logs::call(world, op, wire(&input)).map(drop),
        ("ec2", op @ "DeleteSecurityGroup") => {
            let pairs: Vec<(&String, &str)> =
                input.iter().filter_map(|(member, value)| Some((member, value.as_str()?))).collect();
            let form = serde_urlencoded::to_string(pairs).unwrap_or_default();
            ec2::call(world, op, &Params::parse(form.as_bytes())).map(drop)
        }
        _ => Err(ApiError::unknown_operation(call)),
    }
}

fn pascal(action: &str) -> String {
    let mut letters = action.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// The members as these services' wire protocol calls them: with a small first letter.
fn wire(input: &Map<String, Value>) -> Value {
    let small = |member: &String| {
        let mut letters = member.chars();
        letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    Value::Object(input.iter().map(|(member, value)| (small(member), value.clone())).collect())
}
