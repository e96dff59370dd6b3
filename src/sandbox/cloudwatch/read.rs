//! GetMetricStatistics, GetMetricData and ListMetrics.
//!
//! Guarantees: periods begin at multiples of their length; statistics over what was put, weighted by counts.
//! Never evaluates metric math: an expression is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    domain::model::Timestamp,
    sandbox::wire::{ApiError, strings},
};

use super::{CloudWatch, Key, Point, dimensions, number, seconds};

/// Points of one period, put together.
fn gather<'a>(
    points: &'a [Point],
    now: Timestamp,
    from: f64,
    to: f64,
    period: f64,
    unit: Option<&str>,
) -> BTreeMap<i64, Vec<&'a Point>> {
    let mut periods: BTreeMap<i64, Vec<&Point>> = BTreeMap::new();
    let now = now.as_millis() as f64 / 1000.0;
    let shown = points.iter().filter(|point| point.shown <= now);
    for point in shown.filter(|point| unit.is_none_or(|unit| point.unit == unit)) {
        let start = (point.at / period).floor() * period;
        if start >= (from / period).floor() * period && point.at < to {
            periods.entry(start as i64).or_default().push(point);
        }
    }
    periods
}

fn statistic(points: &[&Point], name: &str) -> Option<f64> {
    let sum: f64 = points.iter().map(|point| point.sum).sum();
    let count: f64 = points.iter().map(|point| point.count).sum();
    Some(match name {
        "Sum" => sum,
        "SampleCount" => count,
        "Average" => sum / count,
        "Minimum" => points.iter().map(|point| point.least).fold(f64::INFINITY, f64::min),
        "Maximum" => points.iter().map(|point| point.most).fold(f64::NEG_INFINITY, f64::max),
        percentile => {
            let share: f64 =
                percentile.strip_prefix('p')?.parse().ok().filter(|share| (0.0..=100.0).contains(share))?;
            let mut values: Vec<(f64, f64)> = points.iter().flat_map(|point| point.values.iter().copied()).collect();
            values.sort_by(|one, other| one.0.total_cmp(&other.0));
            let wanted = values.iter().map(|(_, times)| times).sum::<f64>() * share / 100.0;
            let mut passed = 0.0;
            let reached = values.iter().find(|(_, times)| {
                passed += times;
                passed >= wanted
            });
            reached?.0
        }
    })
}

/// Most metrics that one GetMetricData may ask for.
const MOST_QUERIES: usize = 500;

fn is_id(id: &str) -> bool {
    id.len() <= 255
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_statistic(name: &str) -> bool {
    let percentile = |rest: &str| rest.parse::<f64>().is_ok_and(|share| (0.0..=100.0).contains(&share));
    matches!(name, "Sum" | "SampleCount" | "Average" | "Minimum" | "Maximum")
        || name.strip_prefix('p').is_some_and(percentile)
}

fn missing(name: &str) -> ApiError {
    ApiError::bad("MissingParameter", format!("The parameter {name} is required."))
}

fn period_of(value: &Value) -> Result<f64, ApiError> {
    let period = number(value).ok_or_else(|| missing("Period"))?;
    if [1.0, 5.0, 10.0, 20.0, 30.0].contains(&period) || (period >= 60.0 && period % 60.0 == 0.0) {
        return Ok(period);
    }
    Err(ApiError::bad(
        "InvalidParameterValue",
        format!("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60 (found {period})."),
    ))
}

fn key_of(metric: &Value) -> Key {
    let text = |name: &str| metric[name].as_str().unwrap_or_default().to_owned();
    (text("Namespace"), text("MetricName"), dimensions(&metric["Dimensions"]))
}

impl CloudWatch {
    fn points(&self, key: &Key) -> &[Point] {
        self.metrics.get(key).map_or(&[], Vec::as_slice)
    }

    pub(super) fn statistics(&self, input: &Value, now: Timestamp) -> Result<Value, ApiError> {
        let from = seconds(&input["StartTime"]).ok_or_else(|| missing("StartTime"))?;
        let to = seconds(&input["EndTime"]).ok_or_else(|| missing("EndTime"))?;
        let period = period_of(&input["Period"])?;
        if from >= to {
            return Err(ApiError::bad(
                "InvalidParameterValue",
                "The parameter StartTime must be less than the parameter EndTime.",
            ));
        }
        if (to - from) / period > 1440.0 {
            return Err(ApiError::bad(
                "InvalidParameterCombination",
                format!(
                    "You have requested up to {:.0} datapoints, which exceeds the limit of 1,440.",
                    (to - from) / period
                ),
            ));
        }
        let (plain, extended) = (strings(&input["Statistics"]), strings(&input["ExtendedStatistics"]));
        if plain.is_empty() && extended.is_empty() {
            return Err(missing("Statistics"));
        }
        let key = key_of(input);
        let points: Vec<Value> = gather(self.points(&key), now, from, to, period, input["Unit"].as_str())
            .into_iter()
            .map(|(start, points)| {
                let mut point = json!({ "Timestamp": start as f64, "Unit": points[0].unit });
                for name in &plain {
                    point[name.as_str()] = json!(statistic(&points, name));
                }
                if !extended.is_empty() {
                    let values: serde_json::Map<String, Value> = extended
                        .iter()
                        .filter_map(|name| Some((name.clone(), json!(statistic(&points, name)?))))
                        .collect();
                    point["ExtendedStatistics"] = Value::Object(values);
                }
                point
            })
            .collect();
        Ok(json!({ "Label": key.1, "Datapoints": points }))
    }

    pub(super) fn data(&self, input: &Value, now: Timestamp) -> Result<Value, ApiError> {
        let from = seconds(&input["StartTime"]).ok_or_else(|| missing("StartTime"))?;
        let to = seconds(&input["EndTime"]).ok_or_else(|| missing("EndTime"))?;
        let invalid = |message: String| ApiError::bad("ValidationError", message);
        if from >= to {
            return Err(invalid("The parameter StartTime must be less than the parameter EndTime.".to_owned()));
        }
        let queries = input["MetricDataQueries"].as_array().map_or(0, Vec::len);
        if queries == 0 {
            return Err(missing("MetricDataQueries"));
        }
        if queries > MOST_QUERIES {
            return Err(invalid(format!(
                "The collection MetricDataQueries must not have a size greater than {MOST_QUERIES} (found {queries})."
            )));
        }
        let mut ids = BTreeSet::new();
        let newest_first = input["ScanBy"].as_str() != Some("TimestampAscending");
        let mut results = Vec::new();
        for query in input["MetricDataQueries"].as_array().into_iter().flatten() {
            let id = query["Id"].as_str().ok_or_else(|| missing("MetricDataQueries.member.Id"))?;
            if !is_id(id) {
                return Err(invalid(format!(
                    "The value '{id}' for parameter MetricDataQueries.member.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."
                )));
            }
            if !ids.insert(id) {
                return Err(invalid("The values for parameter Id in MetricDataQueries are not unique.".to_owned()));
            }
            let ask = &query["MetricStat"];
            if ask.is_null() {
                return Err(ApiError::bad(
                    "ValidationError",
                    format!("The query {id} is an expression: the sandbox evaluates only MetricStat"),
                ));
            }
            if super::flag(&query["ReturnData"]) == Some(false) {
                continue;
            }
            let (key, period) = (key_of(&ask["Metric"]), period_of(&ask["Period"])?);
            let name = ask["Stat"].as_str().ok_or_else(|| missing("Stat"))?;
            let mut pairs: Vec<(f64, f64)> = gather(self.points(&key), now, from, to, period, ask["Unit"].as_str())
                .into_iter()
                .filter_map(|(start, points)| Some((start as f64, statistic(&points, name)?)))
                .collect();
            if !is_statistic(name) {
                return Err(invalid(format!("The value {name} for parameter Stat is not supported.")));
            }
            if newest_first {
                pairs.reverse();
            }
            let (times, values): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let label = query["Label"].as_str().unwrap_or(&key.1);
            results.push(
                json!({ "Id": id, "Label": label, "Timestamps": times, "Values": values, "StatusCode": "Complete" }),
            );
        }
        Ok(json!({ "MetricDataResults": results, "Messages": [] }))
    }

    pub(super) fn list(&self, input: &Value) -> Result<Value, ApiError> {
        let wanted: Vec<(&str, Option<&str>)> = input["Dimensions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| Some((one["Name"].as_str()?, one["Value"].as_str())))
            .collect();
        let found: Vec<&Key> = self
            .metrics
            .keys()
            .filter(|(namespace, name, dimensions)| {
                input["Namespace"].as_str().is_none_or(|asked| asked == namespace)
                    && input["MetricName"].as_str().is_none_or(|asked| asked == name)
                    && wanted.iter().all(|(name, value)| {
                        dimensions.iter().any(|(known, held)| known == name && value.is_none_or(|value| value == held))
                    })
            })
            .collect();
        let start = match input["NextToken"].as_str() {
            None => 0,
            Some(token) => token
                .strip_prefix("page-")
                .and_then(|number| number.parse::<usize>().ok())
                .ok_or_else(|| ApiError::bad("InvalidParameterValue", "Invalid nextToken"))?,
        };
        let more = found.len() > start + 500;
        let metrics: Vec<Value> = found
            .into_iter()
            .skip(start)
            .take(500)
            .map(|(namespace, name, dimensions)| {
                let dimensions: Vec<Value> =
                    dimensions.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
                json!({ "Namespace": namespace, "MetricName": name, "Dimensions": dimensions })
            })
            .collect();
        let mut answer = json!({ "Metrics": metrics });
        if more {
            answer["NextToken"] = json!(format!("page-{}", start + 500));
        }
        Ok(answer)
    }
}
