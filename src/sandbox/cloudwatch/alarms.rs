//! Metric alarms: kept, described, tagged and deleted.
//!
//! Guarantees: an alarm stays until it is deleted and counts as a leftover; tags given when updating are ignored, as
//! with AWS; DeleteAlarms is all or nothing. Never evaluates: an alarm stays at `INSUFFICIENT_DATA`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    domain::model::Timestamp,
    sandbox::wire::{ApiError, strings},
};

use super::{CloudWatch, flag, number};

const MOST_NAMES: usize = 100;
const MOST_TAGS: usize = 50;
const OPERATORS: [&str; 7] = [
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
    "LessThanLowerOrGreaterThanUpperThreshold",
    "LessThanLowerThreshold",
    "GreaterThanUpperThreshold",
];
/// Members that are stored as they came.
const KEPT: [&str; 14] = [
    "AlarmDescription",
    "OKActions",
    "AlarmActions",
    "InsufficientDataActions",
    "MetricName",
    "Namespace",
    "Statistic",
    "ExtendedStatistic",
    "Dimensions",
    "Unit",
    "TreatMissingData",
    "EvaluateLowSampleCountPercentile",
    "Metrics",
    "ThresholdMetricId",
];

/// One alarm.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alarm {
    arn: String,
    members: Map<String, Value>,
    tags: BTreeMap<String, String>,
}

fn validation(message: impl Into<String>) -> ApiError {
    ApiError::bad("ValidationError", message.into())
}

fn absent(member: &str) -> ApiError {
    validation(format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    ))
}

fn tags_in(list: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    for tag in list.as_array().into_iter().flatten() {
        let key = tag["Key"].as_str().filter(|key| !key.is_empty()).ok_or_else(|| absent("tags.1.member.key"))?;
        tags.insert(key.to_owned(), tag["Value"].as_str().unwrap_or_default().to_owned());
    }
    Ok(tags)
}

fn tags_out(tags: &BTreeMap<String, String>) -> Value {
    tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

impl CloudWatch {
    fn alarm_arn(&self, name: &str) -> String {
        format!("arn:aws:cloudwatch:{}:{}:alarm:{name}", self.region, self.account)
    }

    pub(super) fn put_alarm(&mut self, input: &Value, now: Timestamp) -> Result<Value, ApiError> {
        let name = input["AlarmName"].as_str().filter(|name| !name.is_empty()).ok_or_else(|| absent("alarmName"))?;
        if name.chars().count() > 255 {
            return Err(validation(format!(
                "1 validation error detected: Value '{name}' at 'alarmName' failed to satisfy constraint: Member must have length less than or equal to 255"
            )));
        }
        let operator = input["ComparisonOperator"].as_str().ok_or_else(|| absent("comparisonOperator"))?;
        if !OPERATORS.contains(&operator) {
            return Err(validation(format!(
                "1 validation error detected: Value '{operator}' at 'comparisonOperator' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
                OPERATORS.join(", ")
            )));
        }
        let whole = |member: &str| number(&input[member]).filter(|value| *value >= 1.0).map(|value| value as i64);
        let periods = whole("EvaluationPeriods").ok_or_else(|| absent("evaluationPeriods"))?;
        let math = input["Metrics"].as_array().is_some_and(|metrics| !metrics.is_empty());
        if !math {
            for member in ["MetricName", "Namespace"] {
                input[member]
                    .as_str()
                    .filter(|text| !text.is_empty())
                    .ok_or_else(|| ApiError::bad("MissingParameter", format!("The parameter {member} is required.")))?;
            }
            if input["Statistic"].is_null() == input["ExtendedStatistic"].is_null() {
                return Err(validation("Exactly one of Statistic and ExtendedStatistic must be specified"));
            }
            let period = whole("Period").ok_or_else(|| validation("Period must be specified for a metric alarm"))?;
            if ![10, 20, 30].contains(&period) && period % 60 != 0 {
                return Err(validation("Period must be 10, 20, 30 or a multiple of 60"));
            }
            if period * periods > 604_800 {
                return Err(validation("Metrics cannot be checked across more than seven days"));
            }
        }
        let tags = tags_in(&input["Tags"])?;
        if tags.len() > MOST_TAGS {
            return Err(validation("An alarm can have at most 50 tags"));
        }
        let (arn, clock) = (self.alarm_arn(name), now.as_millis() as f64 / 1000.0);
        let mut members = Map::new();
        let mut set = |member: &str, value: Value| {
            if !value.is_null() {
                members.insert(member.to_owned(), value);
            }
        };
        set("AlarmName", json!(name));
        set("AlarmArn", json!(arn));
        set("AlarmConfigurationUpdatedTimestamp", json!(clock));
        set("ActionsEnabled", json!(flag(&input["ActionsEnabled"]).unwrap_or(true)));
        set("ComparisonOperator", json!(operator));
        set("EvaluationPeriods", json!(periods));
        set("DatapointsToAlarm", json!(whole("DatapointsToAlarm")));
        set("Period", json!(whole("Period")));
        set("Threshold", json!(number(&input["Threshold"])));
        for member in KEPT {
            set(member, input[member].clone());
        }
        for member in ["OKActions", "AlarmActions", "InsufficientDataActions", "Dimensions"] {
            if input[member].is_null() {
                set(member, json!([]));
            }
        }
        let before = self.alarms.get(name);
        let state = |member: &str| before.map(|alarm| alarm.members[member].clone());
        set("StateValue", state("StateValue").unwrap_or_else(|| json!("INSUFFICIENT_DATA")));
        set("StateReason", state("StateReason").unwrap_or_else(|| json!("Unchecked: Initial alarm creation")));
        set("StateUpdatedTimestamp", state("StateUpdatedTimestamp").unwrap_or_else(|| json!(clock)));
        let tags = before.map_or(tags, |alarm| alarm.tags.clone());
        self.alarms.insert(name.to_owned(), Alarm { arn, members, tags });
        Ok(json!({}))
    }

    pub(super) fn describe_alarms(&self, input: &Value) -> Result<Value, ApiError> {
        let (names, prefix) = (strings(&input["AlarmNames"]), input["AlarmNamePrefix"].as_str());
        if names.len() > MOST_NAMES {
            return Err(validation("AlarmNames can name at most 100 alarms"));
        }
        if prefix.is_some() && !names.is_empty() {
            return Err(validation("AlarmNamePrefix and AlarmNames are mutually exclusive"));
        }
        let kinds = strings(&input["AlarmTypes"]);
        let most = match number(&input["MaxRecords"]) {
            None => 50,
            Some(most) if (1.0..=100.0).contains(&most) => most as usize,
            Some(_) => return Err(validation("MaxRecords must be between 1 and 100")),
        };
        let after = input["NextToken"].as_str();
        let mut found: Vec<(&String, &Alarm)> = self
            .alarms
            .iter()
            .filter(|(name, alarm)| {
                (kinds.is_empty() || kinds.iter().any(|kind| kind == "MetricAlarm"))
                    && (names.is_empty() || names.contains(name))
                    && prefix.is_none_or(|prefix| name.starts_with(prefix))
                    && input["StateValue"].as_str().is_none_or(|state| alarm.members["StateValue"] == state)
                    && after.is_none_or(|after| name.as_str() > after)
            })
            .collect();
        let more = found.len() > most;
        found.truncate(most);
        let alarms: Vec<Value> = found.iter().map(|(_, alarm)| Value::Object(alarm.members.clone())).collect();
        let mut answer = json!({ "CompositeAlarms": [], "MetricAlarms": alarms });
        if let Some((name, _)) = found.last().filter(|_| more) {
            answer["NextToken"] = json!(name);
        }
        Ok(answer)
    }

    pub(super) fn delete_alarms(&mut self, input: &Value) -> Result<Value, ApiError> {
        let names = strings(&input["AlarmNames"]);
        if names.is_empty() {
            return Err(absent("alarmNames"));
        }
        if names.len() > MOST_NAMES {
            return Err(validation("AlarmNames can name at most 100 alarms"));
        }
        if let Some(unknown) = names.iter().find(|name| !self.alarms.contains_key(*name)) {
            return Err(ApiError::new(404, "ResourceNotFound", format!("The alarm {unknown} does not exist")));
        }
        self.alarms.retain(|name, _| !names.contains(name));
        Ok(json!({}))
    }

    /// ListTagsForResource, TagResource and UntagResource: `change` edits the alarm's tags.
    pub(super) fn alarm_tags(
        &mut self,
        input: &Value,
        change: impl FnOnce(&mut BTreeMap<String, String>, &Value) -> Result<(), ApiError>,
    ) -> Result<Value, ApiError> {
        let arn = input["ResourceARN"].as_str().ok_or_else(|| absent("resourceARN"))?;
        let alarm = self.alarms.values_mut().find(|alarm| alarm.arn == arn).ok_or_else(|| {
            let extra = json!({ "ResourceType": "alarm", "ResourceId": arn });
            ApiError::new(404, "ResourceNotFoundException", format!("{arn} does not exist")).with(extra)
        })?;
        change(&mut alarm.tags, input)?;
        Ok(tags_out(&alarm.tags))
    }

    pub(super) fn tag_call(&mut self, op: &str, input: &Value) -> Result<Value, ApiError> {
        match op {
            "TagResource" => self.alarm_tags(input, |tags, input| {
                let mut after = tags.clone();
                after.extend(tags_in(&input["Tags"])?);
                if after.len() > MOST_TAGS {
                    return Err(validation("An alarm can have at most 50 tags"));
                }
                *tags = after;
                Ok(())
            }),
            "UntagResource" => self.alarm_tags(input, |tags, input| {
                let gone = strings(&input["TagKeys"]);
                tags.retain(|key, _| !gone.contains(key));
                Ok(())
            }),
            _ => return self.alarm_tags(input, |_, _| Ok(())).map(|tags| json!({ "Tags": tags })),
        }
        .map(|_| json!({}))
    }

    /// What bears tags, for the tagging API: ARN and tags.
    #[must_use]
    pub fn tagged(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let tagged = self.alarms.values().filter(|alarm| !alarm.tags.is_empty());
        tagged.map(|alarm| (alarm.arn.clone(), alarm.tags.clone())).collect()
    }

    /// Alarms, since they cost money; metrics cannot be deleted and cost nothing when no data is sent.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        self.alarms.keys().map(|name| format!("cloudwatch alarm {name}")).collect()
    }
}
