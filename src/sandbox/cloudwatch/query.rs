//! CloudWatch's old query protocol, for the AWS CLI v1 and older SDKs: forms in, XML out.
//!
//! Guarantees: `MetricData.member.1.Dimensions.member.2.Name` becomes the same lists and groups as the JSON protocol's
//! input, in numerical order; instants in answers are written as RFC 3339. Never decides anything: the service does.

use serde_json::{Map, Value};

use crate::{
    domain::model::Timestamp,
    sandbox::{cbor::is_instant, params::Params, state::World, wire::ApiError, xml::XmlBody},
};

/// One call.
///
/// # Errors
/// The service's own; `InvalidAction` for an operation the sandbox does not have.
pub(in crate::sandbox) fn call(world: &mut World, op: &str, params: &Params) -> Result<XmlBody, ApiError> {
    let answer = super::call(world, op, to_json(params)).map_err(|error| {
        if error.code == "UnknownOperationException" { ApiError::invalid_action(op) } else { error }
    })?;
    let mut body = XmlBody::new();
    for (name, value) in answer.as_object().into_iter().flatten() {
        write(&mut body, name, value);
    }
    Ok(body)
}

fn to_json(params: &Params) -> Value {
    let mut members = Map::new();
    for name in params.names() {
        let head = name.split('.').next().unwrap_or(name);
        if members.contains_key(head) || head.is_empty() {
            continue;
        }
        let value = if name == head {
            Value::String(params.get(name).unwrap_or_default().to_owned())
        } else if name[head.len() + 1..].starts_with("member.") {
            let groups = params.groups(head);
            groups.iter().map(|group| group.get("").map_or_else(|| to_json(group), Value::from)).collect()
        } else {
            to_json(&params.inside(head))
        };
        members.insert(head.to_owned(), value);
    }
    Value::Object(members)
}

fn write(body: &mut XmlBody, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(items) => {
            body.element(name, |list| {
                for item in items {
                    write_item(list, name, item);
                }
            });
        }
        Value::Object(members) if name == "ExtendedStatistics" => {
            body.element(name, |map| {
                for (key, value) in members {
                    map.element("entry", |entry| {
                        entry.text("key", key);
                        write(entry, "value", value);
                    });
                }
            });
        }
        Value::Object(members) => {
            body.element(name, |inside| members.iter().for_each(|(name, value)| write(inside, name, value)));
        }
        single => {
            body.text(name, text(name, single));
        }
    }
}

fn write_item(list: &mut XmlBody, name: &str, item: &Value) {
    match item {
        Value::Object(_) | Value::Array(_) => write(list, "member", item),
        single => {
            list.text("member", text(name, single));
        }
    }
}

fn text(member: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if is_instant(member) => {
            let millis = number.as_f64().unwrap_or_default() * 1000.0;
            Timestamp::from_millis(millis.round() as i64).to_string()
        }
        other => other.to_string(),
    }
}
