//! PutMetricData and its checks.
//!
//! Guarantees: all or nothing; errors name the member in AWS's numbering, which starts at 1.

use serde_json::{Value, json};

use crate::{domain::model::Timestamp, sandbox::wire::ApiError};

use super::{CloudWatch, Key, Point, dimensions, number, seconds};

/// The units AWS knows.
const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];
/// Data older than two weeks are refused.
const OLDEST: f64 = 14.0 * 86_400.0;
/// Data more than two hours ahead are refused.
const AHEAD: f64 = 2.0 * 3600.0;
/// Values beyond this are refused (AWS: 2^360).
const LARGEST: f64 = 2.348_542_582_773_833e108;
/// Points kept of one metric, the oldest going first: a day at one a second.
pub(super) const MOST_POINTS: usize = 86_400;

fn invalid(message: String) -> ApiError {
    ApiError::bad("InvalidParameterValue", message)
}

fn combination(message: String) -> ApiError {
    ApiError::bad("InvalidParameterCombination", message)
}

impl CloudWatch {
    pub(super) fn put(&mut self, input: &Value, now: Timestamp) -> Result<Value, ApiError> {
        let namespace = input["Namespace"].as_str().filter(|name| !name.is_empty());
        let namespace =
            namespace.ok_or_else(|| ApiError::bad("MissingParameter", "The parameter Namespace is required."))?;
        if namespace.starts_with("AWS/") {
            return Err(invalid(format!(
                "The value {namespace} for parameter Namespace is invalid: names that begin with AWS/ are reserved."
            )));
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-/#: ".contains(c);
        if namespace.len() > 255 || namespace.starts_with(':') || !namespace.chars().all(legal) {
            return Err(invalid(format!("The value {namespace} for parameter Namespace is invalid.")));
        }
        let data = input["MetricData"].as_array().filter(|data| !data.is_empty());
        let data = data.ok_or_else(|| ApiError::bad("MissingParameter", "The parameter MetricData is required."))?;
        if data.len() > 1000 {
            return Err(invalid(format!(
                "The collection MetricData must not have a size greater than 1000 (found {}).",
                data.len()
            )));
        }
        let mut taken = Vec::with_capacity(data.len());
        for (index, datum) in data.iter().enumerate() {
            taken.push(read(namespace, datum, &format!("MetricData.member.{}", index + 1), now)?);
        }
        for (key, point) in taken {
            self.keep(key, point);
        }
        Ok(json!({}))
    }

    /// Keeps a point; of too many the oldest go.
    pub(super) fn keep(&mut self, key: Key, point: Point) {
        let points = self.metrics.entry(key).or_default();
        points.push(point);
        if points.len() > MOST_POINTS {
            points.drain(..MOST_POINTS / 4);
        }
    }
}

fn read(namespace: &str, datum: &Value, place: &str, now: Timestamp) -> Result<(Key, Point), ApiError> {
    let name = datum["MetricName"].as_str().filter(|name| !name.is_empty());
    let name = name
        .ok_or_else(|| ApiError::bad("MissingParameter", format!("The parameter {place}.MetricName is required.")))?;
    if name.chars().count() > 255 {
        return Err(invalid(format!("The parameter {place}.MetricName must be shorter than 256 characters.")));
    }
    let dimensions = dimensions(&datum["Dimensions"]);
    if dimensions.len() > 30 {
        return Err(invalid(format!("The collection {place}.Dimensions must not have a size greater than 30.")));
    }
    for (index, (name, value)) in dimensions.iter().enumerate() {
        let legal = |text: &str, most: usize| {
            !text.trim().is_empty()
                && text.chars().count() <= most
                && text.is_ascii()
                && !text.chars().any(|c| c.is_ascii_control())
        };
        if !legal(name, 255) || name.starts_with(':') || !legal(value, 1024) {
            return Err(invalid(format!(
                "The parameter {place}.Dimensions.member.{} must have an ASCII Name of 1 to 255 and a Value of 1 to 1024 characters.",
                index + 1
            )));
        }
        if index > 0 && dimensions[index - 1].0 == *name {
            return Err(invalid(format!("The collection {place}.Dimensions names {name} more than once.")));
        }
    }
    let unit = datum["Unit"].as_str().unwrap_or("None");
    if !UNITS.contains(&unit) {
        return Err(invalid(format!(
            "The parameter {place}.Unit must be a value in the set [ {} ] (found {unit}).",
            UNITS.join(", ")
        )));
    }
    if let Some(resolution) = number(&datum["StorageResolution"]).filter(|resolution| ![1.0, 60.0].contains(resolution))
    {
        return Err(invalid(format!("The parameter {place}.StorageResolution must be 1 or 60 (found {resolution}).")));
    }
    let clock = now.as_millis() as f64 / 1000.0;
    let at = match &datum["Timestamp"] {
        Value::Null => clock,
        given => seconds(given)
            .filter(|at| at.is_finite())
            .ok_or_else(|| ApiError::bad("InvalidFormat", format!("The parameter {place}.Timestamp is not a time.")))?,
    };
    if at < clock - OLDEST || at > clock + AHEAD {
        return Err(invalid(format!(
            "The parameter {place}.Timestamp must specify a time no more than two weeks in the past and two hours in the future."
        )));
    }
    let (key, point) = ((namespace.to_owned(), name.to_owned(), dimensions), values(datum, place, at, unit)?);
    Ok((key, point))
}

fn finite(value: &Value, place: &str) -> Result<f64, ApiError> {
    number(value).filter(|value| value.is_finite() && value.abs() <= LARGEST).ok_or_else(|| {
        invalid(format!("The parameter {place} must be a number other than NaN or Infinity, within -2^360 to 2^360."))
    })
}

fn values(datum: &Value, place: &str, at: f64, unit: &str) -> Result<Point, ApiError> {
    let set = &datum["StatisticValues"];
    let list = datum["Values"].as_array().filter(|list| !list.is_empty());
    let given = usize::from(!datum["Value"].is_null()) + usize::from(!set.is_null()) + usize::from(list.is_some());
    if given > 1 {
        return Err(combination(format!(
            "The parameters {place}.Value, {place}.Values and {place}.StatisticValues are mutually exclusive and you have specified more than one."
        )));
    }
    if given == 0 {
        return Err(ApiError::bad(
            "MissingParameter",
            format!(
                "At least one of the parameters {place}.Value, {place}.Values or {place}.StatisticValues must be specified."
            ),
        ));
    }
    let unit = unit.to_owned();
    if !set.is_null() {
        let part = |name: &str| finite(&set[name], &format!("{place}.StatisticValues.{name}"));
        let (count, sum, least, most) = (part("SampleCount")?, part("Sum")?, part("Minimum")?, part("Maximum")?);
        if count < 0.0 {
            return Err(invalid(format!("The parameter {place}.StatisticValues.SampleCount must not be negative.")));
        }
        if least > most {
            return Err(combination(format!(
                "The parameter {place}.StatisticValues.Maximum must be greater than or equal to Minimum."
            )));
        }
        return Ok(Point { at, shown: f64::NEG_INFINITY, count, sum, least, most, unit, values: Vec::new() });
    }
    let counts = datum["Counts"].as_array();
    let singles: Vec<(f64, f64)> = match list {
        None => vec![(finite(&datum["Value"], &format!("{place}.Value"))?, 1.0)],
        Some(list) => {
            if list.len() > 150 {
                return Err(invalid(format!("The collection {place}.Values must not have a size greater than 150.")));
            }
            if counts.is_some_and(|counts| counts.len() != list.len()) {
                return Err(combination(format!(
                    "The parameters {place}.Values and {place}.Counts must be of the same size."
                )));
            }
            let mut singles = Vec::with_capacity(list.len());
            for (index, value) in list.iter().enumerate() {
                let count = match counts {
                    None => 1.0,
                    Some(counts) => finite(&counts[index], &format!("{place}.Counts.member.{}", index + 1))?,
                };
                if count < 0.0 {
                    return Err(invalid(format!(
                        "The parameter {place}.Counts.member.{} must not be negative.",
                        index + 1
                    )));
                }
                singles.push((finite(value, &format!("{place}.Values.member.{}", index + 1))?, count));
            }
            singles
        }
    };
    let least = singles.iter().map(|(value, _)| *value).fold(f64::INFINITY, f64::min);
    let most = singles.iter().map(|(value, _)| *value).fold(f64::NEG_INFINITY, f64::max);
    let (count, sum) =
        singles.iter().fold((0.0, 0.0), |(count, sum), (value, times)| (count + times, sum + value * times));
    Ok(Point { at, shown: f64::NEG_INFINITY, count, sum, least, most, unit, values: singles })
}
