//! Cost Explorer: GetCostAndUsage over the tasks that ran, a day late.
//!
//! Guarantees: usage bears the tags that the task had when it was run, and is billed by AWS's rules and list prices of
//! us-east-1; it is not there before a day has passed since the task stopped. Knows only the question that is filtered by
//! one tag, day by day, grouped by usage type. Never looks at what anybody else counted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    ecs::{Tags, Task},
    state::World,
    wire::{ApiError, strings},
};
use crate::domain::model::{Span, Timestamp};

/// How late AWS's account is.
const LATE: Span = Span::from_mins(24 * 60);
/// Days in one page.
const PAGE: usize = 14;
/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// One task's use, once it has stopped.
#[derive(Debug)]
struct Use {
    tags: Tags,
    until: Timestamp,
    /// Usage type and nano-dollars, by day since the epoch.
    days: Vec<(i64, &'static str, u128)>,
}

/// What is billed.
#[derive(Debug, Default)]
pub struct Bill {
    uses: Vec<Use>,
}

impl Bill {
    /// Takes a stopped task into account; one that never began to pull costs nothing.
    pub(super) fn take(&mut self, task: &Task) {
        let (Some(from), Some(until)) = (task.pull_started_at, task.stopped_at) else { return };
        let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u128>().ok()).unwrap_or_default();
        let spot = task.provider.as_deref() == Some("FARGATE_SPOT");
        let arm = task.arch == "ARM64";
        let ((vcpu, vcpu_price), (memory, memory_price)) = match (arm, spot) {
            (false, false) => (("USE1-Fargate-vCPU-Hours:perCPU", 40_480_000), ("USE1-Fargate-GB-Hours", 4_445_000)),
            (true, false) => {
                (("USE1-Fargate-ARM-vCPU-Hours:perCPU", 32_380_000), ("USE1-Fargate-ARM-GB-Hours", 3_560_000))
            }
            (_, true) => (
                ("USE1-SpotUsage-Fargate-vCPU-Hours:perCPU", 12_700_000),
                ("USE1-SpotUsage-Fargate-GB-Hours", 1_370_000),
            ),
        };
        let storage = u128::try_from(task.storage - 20).unwrap_or_default();
        let address = u128::from(task.assign_public_ip);
        // Unit seconds of each, times the price of 1024 or of one unit an hour.
        let items = [
            (vcpu, number(&task.cpu) * vcpu_price, 1024),
            (memory, number(&task.memory) * memory_price, 1024),
            ("USE1-Fargate-EphemeralStorage-GB-Hours (Hrs)", storage * 111_000, 1),
            ("USE1-PublicIPv4:InUseAddress", address * 5_000_000, 1),
        ];
        let secs = until.since(from).as_secs_ceil().max(60);
        let mut days = Vec::new();
        let mut at = from.as_millis();
        let end = at + i64::try_from(secs * 1000).unwrap_or(i64::MAX - at);
        while at < end {
            let next = ((at.div_euclid(DAY) + 1) * DAY).min(end);
            let millis = u128::try_from(next - at).unwrap_or_default();
            for (kind, rate, per) in items.iter().filter(|(_, rate, _)| *rate > 0) {
                days.push((at.div_euclid(DAY), *kind, rate * millis / (per * 3_600_000)));
            }
            at = next;
        }
        self.uses.push(Use { tags: task.billed_tags.clone(), until, days });
    }
}

fn wrong(message: &str) -> ApiError {
    ApiError::bad("ValidationException", message)
}

/// The tag that is asked for, in the filter itself or in one of its parts.
fn tag(filter: &Value) -> Option<(&str, Vec<String>)> {
    let parts = filter["And"].as_array().into_iter().flatten().chain([filter]);
    let tags = parts.filter_map(|part| part.get("Tags")).next()?;
    Some((tags["Key"].as_str()?, strings(&tags["Values"])))
}

fn day(value: &Value) -> Result<i64, ApiError> {
    let text = value.as_str().ok_or_else(|| wrong("Start time and end time are required."))?;
    let at: Timestamp = format!("{text}T00:00:00Z")
        .parse()
        .map_err(|_| wrong("Start time or end time is not in the format yyyy-MM-dd."))?;
    Ok(at.as_millis().div_euclid(DAY))
}

fn date(day: i64) -> String {
    Timestamp::from_millis(day * DAY).to_string().chars().take(10).collect()
}

fn get_cost_and_usage(world: &World, input: &Value) -> Result<Value, ApiError> {
    let (start, end) = (day(&input["TimePeriod"]["Start"])?, day(&input["TimePeriod"]["End"])?);
    if start >= end {
        return Err(wrong("Start time should be before end time."));
    }
    if input["Granularity"] != "DAILY" || strings(&input["Metrics"]) != ["UnblendedCost"] {
        return Err(wrong("The sandbox knows the granularity DAILY and the metric UnblendedCost only."));
    }
    let (key, values) = tag(&input["Filter"]).ok_or_else(|| wrong("The sandbox knows filters by a tag only."))?;
    let asked: Vec<&Use> =
        world.bill.uses.iter().filter(|used| used.tags.get(key).is_some_and(|value| values.contains(value))).collect();
    let ready = |used: &&&Use| world.now.since(used.until) >= LATE;
    if !asked.is_empty() && asked.iter().all(|used| !ready(&used)) {
        return Err(ApiError::bad("DataUnavailableException", "The requested data is unavailable."));
    }
    let first = match input["NextPageToken"].as_str() {
        None => start,
        Some(token) => token
            .parse()
            .ok()
            .filter(|day| (start..end).contains(day))
            .ok_or_else(|| ApiError::bad("InvalidNextTokenException", "The pagination token is invalid."))?,
    };
    let mut sums: BTreeMap<(i64, &str), u128> = BTreeMap::new();
    for (day, kind, nanos) in asked.iter().filter(ready).flat_map(|used| &used.days) {
        *sums.entry((*day, kind)).or_default() += nanos;
    }
    let last = end.min(first + i64::try_from(PAGE).unwrap_or(i64::MAX));
    let days: Vec<Value> = (first..last)
        .map(|day| {
            let groups = sums.range((day, "")..(day + 1, ""));
            let groups: Vec<Value> = groups
                .map(|((_, kind), nanos)| {
                    let amount = format!("{}.{:09}0", nanos / 1_000_000_000, nanos % 1_000_000_000);
                    json!({ "Keys": [kind], "Metrics": { "UnblendedCost": { "Amount": amount, "Unit": "USD" } } })
                })
                .collect();
            json!({ "TimePeriod": { "Start": date(day), "End": date(day + 1) }, "Total": {}, "Groups": groups, "Estimated": true })
        })
        .collect();
    let mut answer = json!({ "ResultsByTime": days, "GroupDefinitions": input["GroupBy"] });
    if last < end {
        answer["NextPageToken"] = last.to_string().into();
    }
    Ok(answer)
}

/// One call.
///
/// # Errors
/// As AWS words them.
pub fn call(world: &World, op: &str, input: &Value) -> Result<Value, ApiError> {
    match op {
        "GetCostAndUsage" => get_cost_and_usage(world, input),
        _ => Err(ApiError::unknown_operation(op)),
    }
}
