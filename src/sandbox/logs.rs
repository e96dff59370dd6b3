//! CloudWatch Logs: groups with retention and tags, streams, and what tasks wrote.
//!
//! Guarantees: events come back in the order of their time; a line for a group that does not exist is refused, as the
//! awslogs driver finds out. Never creates a group by itself: only for a service of AWS's that does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::model::Timestamp;

use super::{
    state::World,
    wire::{ApiError, strings},
};

/// The retention periods that AWS allows, in days.
const RETENTIONS: [u64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// Lines kept in one stream; older ones go.
const LINES_KEPT: usize = 20_000;

/// The state of CloudWatch Logs in one account and region.
#[derive(Debug, Default)]
pub struct Logs {
    region: String,
    account: String,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug)]
struct Group {
    created: Timestamp,
    retention: Option<u64>,
    tags: BTreeMap<String, String>,
    streams: BTreeMap<String, Stream>,
}

#[derive(Debug)]
struct Stream {
    created: Timestamp,
    /// When, and what.
    lines: Vec<(i64, String)>,
    /// Lines that went because there were too many.
    dropped: usize,
}

impl Logs {
    /// A fresh account.
    #[must_use]
    pub fn new(region: &str, account: &str) -> Self {
        Self { region: region.to_owned(), account: account.to_owned(), groups: BTreeMap::new() }
    }

    /// Whether there is such a group.
    #[must_use]
    pub fn group_exists(&self, name: &str) -> bool {
        self.groups.contains_key(name)
    }

    /// Makes a group as a service of AWS's does for itself: without tags and retention. One that is there stays.
    pub fn make_for_service(&mut self, name: &str, now: Timestamp) {
        let fresh = || Group { created: now, retention: None, tags: BTreeMap::new(), streams: BTreeMap::new() };
        self.groups.entry(name.to_owned()).or_insert_with(fresh);
    }

    /// Makes a task's stream at its container's start, as the awslogs driver does before any line is written.
    pub fn open_task_stream(&mut self, now: Timestamp, group: &str, stream: &str) {
        if let Some(group) = self.groups.get_mut(group) {
            group.stream(stream, now);
        }
    }

    /// Writes one line of a task, as the awslogs driver does. False when the group does not exist.
    pub fn put_task_log(&mut self, now: Timestamp, group: &str, stream: &str, line: &str) -> bool {
        let Some(group) = self.groups.get_mut(group) else { return false };
        group.stream(stream, now).push(now.as_millis(), line);
        true
    }

    /// Every group, since a fresh account has none.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        self.groups.keys().map(|name| format!("logs group {name}")).collect()
    }

    /// What bears tags, for the tagging API: ARN and tags.
    #[must_use]
    pub fn tagged(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let tagged = self.groups.iter().filter(|(_, group)| !group.tags.is_empty());
        tagged.map(|(name, group)| (self.arn(name), group.tags.clone())).collect()
    }

    fn arn(&self, name: &str) -> String {
        format!("arn:aws:logs:{}:{}:log-group:{name}", self.region, self.account)
    }

    fn find(&mut self, input: &Value) -> Result<(String, &mut Group), ApiError> {
        let name = match input["logGroupName"].as_str() {
            Some(name) => name.to_owned(),
            None => self.name_in(input["logGroupIdentifier"].as_str().unwrap_or_default()),
        };
        self.by_name(name)
    }

    fn by_name(&mut self, name: String) -> Result<(String, &mut Group), ApiError> {
        if name.is_empty() {
            return Err(ApiError::invalid(
                "1 validation error detected: Value at 'logGroupName' failed to satisfy constraint: Member must have length greater than or equal to 1",
            ));
        }
        match self.groups.get_mut(&name) {
            Some(group) => Ok((name, group)),
            None => Err(missing("The specified log group does not exist.")),
        }
    }

    fn by_arn(&mut self, input: &Value) -> Result<(String, &mut Group), ApiError> {
        let name = self.name_in(input["resourceArn"].as_str().unwrap_or_default());
        self.by_name(name)
    }

    /// The group's name in an ARN (with or without `:*`), or the text itself.
    fn name_in(&self, text: &str) -> String {
        text.strip_prefix(&self.arn("")).unwrap_or(text).trim_end_matches(":*").to_owned()
    }

    fn create(&mut self, input: &Value, now: Timestamp) -> Result<Value, ApiError> {
        let name = input["logGroupName"].as_str().unwrap_or_default();
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-/#".contains(c);
        if name.is_empty() || name.len() > 512 || !name.chars().all(legal) || name.starts_with("aws/") {
            return Err(ApiError::invalid(format!(
                "1 validation error detected: Value '{name}' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
            )));
        }
        if self.groups.contains_key(name) {
            return Err(ApiError::bad("ResourceAlreadyExistsException", "The specified log group already exists"));
        }
        let tags = read_tags(&input["tags"])?;
        self.groups.insert(name.to_owned(), Group { created: now, retention: None, tags, streams: BTreeMap::new() });
        Ok(json!({}))
    }

    fn describe(&self, input: &Value) -> Result<Value, ApiError> {
        let prefix = input["logGroupNamePrefix"].as_str().unwrap_or_default();
        let pattern = input["logGroupNamePattern"].as_str().unwrap_or_default().to_lowercase();
        let found: Vec<Value> = self
            .groups
            .iter()
            .filter(|(name, _)| name.starts_with(prefix) && name.to_lowercase().contains(&pattern))
            .map(|(name, group)| {
                let stored: usize =
                    group.streams.values().flat_map(|stream| &stream.lines).map(|(_, line)| line.len() + 26).sum();
                let mut described = json!({
                    "logGroupName": name, "creationTime": group.created.as_millis(), "metricFilterCount": 0,
                    "arn": format!("{}:*", self.arn(name)), "logGroupArn": self.arn(name),
                    "storedBytes": stored, "logGroupClass": "STANDARD",
                });
                if let Some(days) = group.retention {
                    described["retentionInDays"] = json!(days);
                }
                described
            })
            .collect();
        paged(input, "logGroups", found)
    }

    fn set_retention(&mut self, input: &Value) -> Result<Value, ApiError> {
        let days = input["retentionInDays"].as_u64().unwrap_or(0);
        let (_, group) = self.find(input)?;
        if !RETENTIONS.contains(&days) {
            return Err(ApiError::invalid(format!(
                "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]"
            )));
        }
        group.retention = Some(days);
        Ok(json!({}))
    }

    fn describe_streams(&mut self, input: &Value) -> Result<Value, ApiError> {
        let (region, account) = (self.region.clone(), self.account.clone());
        let (name, group) = self.find(input)?;
        let prefix = input["logStreamNamePrefix"].as_str().unwrap_or_default();
        let mut streams: Vec<(&String, &Stream)> =
            group.streams.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
        if input["orderBy"] == "LastEventTime" {
            streams.sort_by_key(|(_, stream)| stream.lines.last().map_or(0, |(at, _)| *at));
        }
        if input["descending"].as_bool().unwrap_or(false) {
            streams.reverse();
        }
        let found = streams
            .into_iter()
            .map(|(stream, state)| {
                let mut described = json!({
                    "logStreamName": stream, "creationTime": state.created.as_millis(), "storedBytes": 0,
                    "arn": format!("arn:aws:logs:{region}:{account}:log-group:{name}:log-stream:{stream}"),
                });
                if let (Some((first, _)), Some((last, _))) = (state.lines.first(), state.lines.last()) {
                    described["firstEventTimestamp"] = json!(first);
                    described["lastEventTimestamp"] = json!(last);
                    described["lastIngestionTime"] = json!(last);
                }
                described
            })
            .collect();
        paged(input, "logStreams", found)
    }

    fn create_stream(&mut self, input: &Value, now: Timestamp) -> Result<Value, ApiError> {
        let (_, group) = self.find(input)?;
        let name = input["logStreamName"].as_str().unwrap_or_default();
        if name.is_empty() || name.contains([':', '*']) {
            return Err(ApiError::invalid(
                "1 validation error detected: Value at 'logStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [^:*]*",
            ));
        }
        if group.streams.contains_key(name) {
            return Err(ApiError::bad("ResourceAlreadyExistsException", "The specified log stream already exists"));
        }
        group.stream(name, now);
        Ok(json!({}))
    }

    fn put_events(&mut self, input: &Value) -> Result<Value, ApiError> {
        let (_, group) = self.find(input)?;
        let stream = input["logStreamName"].as_str().and_then(|name| group.streams.get_mut(name));
        let Some(stream) = stream else { return Err(missing("The specified log stream does not exist.")) };
        for event in input["logEvents"].as_array().into_iter().flatten() {
            stream.push(event["timestamp"].as_i64().unwrap_or(0), event["message"].as_str().unwrap_or_default());
        }
        Ok(json!({ "nextSequenceToken": "labguard-sandbox" }))
    }

    /// GetLogEvents: forwards from the start or, as AWS does by default, the newest page; tokens walk on from there.
    fn get_events(&mut self, input: &Value) -> Result<Value, ApiError> {
        let (_, group) = self.find(input)?;
        let stream = input["logStreamName"].as_str().and_then(|name| group.streams.get(name));
        let Some(stream) = stream else { return Err(missing("The specified log stream does not exist.")) };
        let limit = limit(input, 10_000)?;
        let lines: Vec<(usize, &(i64, String))> = stream
            .lines
            .iter()
            .enumerate()
            .filter(|(_, (at, _))| within(input, *at))
            .map(|(at, line)| (at + stream.dropped, line))
            .collect();
        let (first, last) = match input["nextToken"].as_str() {
            Some(token) => {
                let (way, place) = token.split_once('/').unwrap_or_default();
                let place: usize =
                    place.parse().map_err(|_| ApiError::invalid("The specified nextToken is invalid."))?;
                if way == "f" {
                    let first = lines.partition_point(|(at, _)| *at < place);
                    (first, (first + limit).min(lines.len()))
                } else {
                    let last = lines.partition_point(|(at, _)| *at < place);
                    (last.saturating_sub(limit), last)
                }
            }
            None if input["startFromHead"].as_bool().unwrap_or(false) => (0, limit.min(lines.len())),
            None => (lines.len().saturating_sub(limit), lines.len()),
        };
        let page = &lines[first..last];
        let end = stream.dropped + stream.lines.len();
        let fallback =
            input["nextToken"].as_str().and_then(|token| token.split_once('/')?.1.parse().ok()).unwrap_or(end);
        let forward = page.last().map_or(fallback, |(at, _)| at + 1);
        let backward = page.first().map_or(fallback, |(at, _)| *at);
        let events: Vec<Value> = page
            .iter()
            .map(|(_, (at, line))| json!({ "timestamp": at, "message": line, "ingestionTime": at }))
            .collect();
        Ok(
            json!({ "events": events, "nextForwardToken": format!("f/{forward}"), "nextBackwardToken": format!("b/{backward}") }),
        )
    }

    fn filter_events(&mut self, input: &Value) -> Result<Value, ApiError> {
        let (_, group) = self.find(input)?;
        let (wanted, prefix) =
            (strings(&input["logStreamNames"]), input["logStreamNamePrefix"].as_str().unwrap_or_default());
        let pattern = input["filterPattern"].as_str().unwrap_or_default();
        let mut found: Vec<(i64, Value)> = Vec::new();
        for (name, stream) in &group.streams {
            if !name.starts_with(prefix) || !(wanted.is_empty() || wanted.contains(name)) {
                continue;
            }
            for (index, (at, line)) in stream.lines.iter().enumerate() {
                if within(input, *at) && matches_pattern(pattern, line) {
                    let id = format!("{at:020}{:016}", index + stream.dropped);
                    let event = json!({ "logStreamName": name, "timestamp": at, "message": line, "ingestionTime": at, "eventId": id });
                    found.push((*at, event));
                }
            }
        }
        found.sort_by_key(|(at, _)| *at);
        let events = found.into_iter().map(|(_, event)| event).collect();
        let mut answer = paged_by(input, "events", events, 10_000)?;
        answer["searchedLogStreams"] = json!([]);
        Ok(answer)
    }
}

impl Group {
    fn stream(&mut self, name: &str, now: Timestamp) -> &mut Stream {
        self.streams.entry(name.to_owned()).or_insert_with(|| Stream { created: now, lines: Vec::new(), dropped: 0 })
    }
}

impl Stream {
    fn push(&mut self, at: i64, line: &str) {
        let place = self.lines.partition_point(|(other, _)| *other <= at);
        self.lines.insert(place, (at, line.to_owned()));
        if self.lines.len() > LINES_KEPT {
            self.lines.remove(0);
            self.dropped += 1;
        }
    }
}

fn missing(message: &str) -> ApiError {
    ApiError::bad("ResourceNotFoundException", message)
}

fn within(input: &Value, at: i64) -> bool {
    input["startTime"].as_i64().is_none_or(|start| at >= start) && input["endTime"].as_i64().is_none_or(|end| at < end)
}

/// AWS's simple patterns: every word must occur, `?word` any of them, `-word` none; quoted texts are one word.
fn matches_pattern(pattern: &str, line: &str) -> bool {
    let mut words: Vec<(char, String)> = Vec::new();
    let mut rest = pattern.trim();
    while !rest.is_empty() {
        let sign = rest.chars().next().filter(|c| "?-".contains(*c)).unwrap_or(' ');
        rest = rest.trim_start_matches(['?', '-']);
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push((sign, word.to_owned()));
        rest = after.trim_start();
    }
    let has = |word: &String| line.contains(word.as_str());
    let any: Vec<&String> = words.iter().filter(|(sign, _)| *sign == '?').map(|(_, word)| word).collect();
    words.iter().all(|(sign, word)| match sign {
        '-' => !has(word),
        '?' => true,
        _ => has(word),
    }) && (any.is_empty() || any.into_iter().any(has))
}

fn read_tags(map: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    for (key, value) in map.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 || key.starts_with("aws:") {
            return Err(ApiError::invalid(format!(
                "The tag '{key}' is not valid: keys have 1 to 128 characters and do not begin with aws:, values at most 256"
            )));
        }
        tags.insert(key.clone(), value.to_owned());
    }
    if tags.len() > 50 {
        return Err(ApiError::bad("TooManyTagsException", "A resource can have no more than 50 tags."));
    }
    Ok(tags)
}

fn limit(input: &Value, most: usize) -> Result<usize, ApiError> {
    match &input["limit"] {
        Value::Null => Ok(most),
        given => given.as_u64().and_then(|limit| usize::try_from(limit).ok()).filter(|limit| (1..=most).contains(limit)).ok_or_else(|| {
            ApiError::invalid(format!("1 validation error detected: Value '{given}' at 'limit' failed to satisfy constraint: Member must have value less than or equal to {most}"))
        }),
    }
}

fn paged(input: &Value, member: &str, all: Vec<Value>) -> Result<Value, ApiError> {
    paged_by(input, member, all, 50)
}

fn paged_by(input: &Value, member: &str, all: Vec<Value>, most: usize) -> Result<Value, ApiError> {
    let size = limit(input, most)?;
    let start = match input["nextToken"].as_str() {
        None => 0,
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|number| number.parse::<usize>().ok())
            .ok_or_else(|| ApiError::invalid("The specified nextToken is invalid."))?,
    };
    let next = (all.len() > start + size).then(|| format!("page-{}", start + size));
    let page: Vec<Value> = all.into_iter().skip(start).take(size).collect();
    let mut answer = json!({});
    answer[member] = json!(page);
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Ok(answer)
}

/// One call.
///
/// # Errors
/// The service's own exceptions; `UnknownOperationException` for an operation the sandbox does not have.
pub fn call(world: &mut World, op: &str, input: Value) -> Result<Value, ApiError> {
    let (now, logs) = (world.now, &mut world.logs);
    let done = |()| json!({});
    match op {
        "CreateLogGroup" => logs.create(&input, now),
        "DescribeLogGroups" => logs.describe(&input),
        "PutRetentionPolicy" => logs.set_retention(&input),
        "DeleteRetentionPolicy" => logs.find(&input).map(|(_, group)| group.retention = None).map(done),
        "DeleteLogGroup" => {
            let (name, _) = logs.find(&input)?;
            logs.groups.remove(&name);
            Ok(json!({}))
        }
        "CreateLogStream" => logs.create_stream(&input, now),
        "DescribeLogStreams" => logs.describe_streams(&input),
        "PutLogEvents" => logs.put_events(&input),
        "GetLogEvents" => logs.get_events(&input),
        "FilterLogEvents" => logs.filter_events(&input),
        "ListTagsForResource" => logs.by_arn(&input).map(|(_, group)| json!({ "tags": group.tags })),
        "TagResource" => {
            let tags = read_tags(&input["tags"])?;
            logs.by_arn(&input).map(|(_, group)| group.tags.extend(tags)).map(done)
        }
        "UntagResource" => {
            let keys = strings(&input["tagKeys"]);
            logs.by_arn(&input).map(|(_, group)| group.tags.retain(|key, _| !keys.contains(key))).map(done)
        }
        "ListTagsLogGroup" => logs.find(&input).map(|(_, group)| json!({ "tags": group.tags })),
        other => Err(ApiError::unknown_operation(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn a_line_for_a_group_that_is_not_there_is_refused() {
        let mut logs = Logs::new("us-east-1", "000000000000");
        assert!(!logs.put_task_log(at(1), "/lab", "app/1", "hello"));
        logs.create(&json!({"logGroupName": "/lab"}), at(1)).unwrap();
        assert!(logs.put_task_log(at(2), "/lab", "app/1", "hello"));
        assert_eq!(logs.leftovers(), ["logs group /lab"]);
        let error = logs.create(&json!({"logGroupName": "/lab"}), at(1)).unwrap_err();
        assert_eq!(error.code, "ResourceAlreadyExistsException");
    }

    #[test]
    fn tokens_walk_through_a_stream_to_its_end_and_stay_there() {
        let mut logs = Logs::new("us-east-1", "000000000000");
        logs.create(&json!({"logGroupName": "/lab"}), at(1)).unwrap();
        for second in 0..5 {
            logs.put_task_log(at(second), "/lab", "s", &format!("line {second}"));
        }
        let (mut token, mut lines) = (Value::Null, Vec::new());
        loop {
            let answer = logs
                .get_events(&json!({"logGroupName": "/lab", "logStreamName": "s", "limit": 2, "startFromHead": true, "nextToken": token}))
                .unwrap();
            lines.extend(
                answer["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap().to_owned()),
            );
            if answer["nextForwardToken"] == token {
                break;
            }
            token = answer["nextForwardToken"].clone();
        }
        assert_eq!(lines, ["line 0", "line 1", "line 2", "line 3", "line 4"]);
    }

    #[test]
    fn only_retentions_that_aws_knows_are_taken() {
        let mut logs = Logs::new("us-east-1", "000000000000");
        logs.create(&json!({"logGroupName": "g"}), at(1)).unwrap();
        assert!(logs.set_retention(&json!({"logGroupName": "g", "retentionInDays": 2})).is_err());
        assert!(logs.set_retention(&json!({"logGroupName": "g", "retentionInDays": 7})).is_ok());
        assert_eq!(logs.describe(&json!({})).unwrap()["logGroups"][0]["retentionInDays"], 7);
    }

    #[test]
    fn filter_patterns_need_every_word_and_none_of_the_excluded() {
        assert!(matches_pattern("\"GET /predict\" 200", "INFO GET /predict 200"));
        assert!(!matches_pattern("ERROR", "INFO"));
        assert!(!matches_pattern("GET -probe", "GET by probe"));
        assert!(matches_pattern("?ERROR ?WARN", "WARN x"));
    }
}
