//! CloudWatch metrics: taking them in with AWS's checks, and reading them back.
//!
//! Guarantees: the limits of PutMetricData; a bad datum refuses the whole call; memory is bounded per metric. Metrics cannot be
//! deleted, as with AWS; alarms are. Times are seconds since the epoch in every protocol.

mod alarms;
mod published;
mod put;
pub(super) mod query;
mod read;

use std::collections::BTreeMap;

use serde_json::Value;

use super::{state::World, wire::ApiError};

/// A metric's identity: namespace, name, dimensions in order of their names.
pub(super) type Key = (String, String, Vec<(String, String)>);

/// One datum, summed up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    at: f64,
    /// From when on it can be read.
    shown: f64,
    count: f64,
    sum: f64,
    least: f64,
    most: f64,
    unit: String,
    /// The single values with their counts, for percentiles; none for a statistic set.
    values: Vec<(f64, f64)>,
}

/// The state of CloudWatch in one account and region.
#[derive(Debug, Default)]
pub struct CloudWatch {
    region: String,
    account: String,
    metrics: BTreeMap<Key, Vec<Point>>,
    alarms: BTreeMap<String, alarms::Alarm>,
}

impl CloudWatch {
    /// A fresh account.
    #[must_use]
    pub fn new(region: &str, account: &str) -> Self {
        Self { region: region.to_owned(), account: account.to_owned(), ..Self::default() }
    }
}

/// Dimensions of an input, in order of their names.
fn dimensions(list: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut dimensions: Vec<(String, String)> =
        list.as_array().into_iter().flatten().map(|one| (text(&one["Name"]), text(&one["Value"]))).collect();
    dimensions.sort();
    dimensions
}

/// A time in seconds, from a number or RFC 3339 text.
fn seconds(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text
            .parse::<crate::domain::model::Timestamp>()
            .ok()
            .map(|at| at.as_millis() as f64 / 1000.0)
            .or_else(|| text.parse().ok()),
        other => other.as_f64(),
    }
}

/// A number, which the query protocol sends as text.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// A flag, which the query protocol sends as text.
fn flag(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| value.as_str()?.to_ascii_lowercase().parse().ok())
}

/// One call.
///
/// # Errors
/// The service's own exceptions; `UnknownOperationException` for an operation the sandbox does not have.
pub fn call(world: &mut World, op: &str, input: Value) -> Result<Value, ApiError> {
    match op {
        "PutMetricData" => world.cloudwatch.put(&input, world.now),
        "GetMetricStatistics" => world.cloudwatch.statistics(&input, world.now),
        "GetMetricData" => world.cloudwatch.data(&input, world.now),
        "ListMetrics" => world.cloudwatch.list(&input),
        "PutMetricAlarm" => world.cloudwatch.put_alarm(&input, world.now),
        "DescribeAlarms" => world.cloudwatch.describe_alarms(&input),
        "DeleteAlarms" => world.cloudwatch.delete_alarms(&input),
        "TagResource" | "UntagResource" | "ListTagsForResource" => world.cloudwatch.tag_call(op, &input),
        other => Err(ApiError::unknown_operation(other)),
    }
}

#[cfg(test)]
mod tests;
