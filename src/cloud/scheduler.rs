//! EventBridge Scheduler: a group of schedules that act when labguard is gone (aws-facts §6).
//!
//! Eight calls of REST-JSON on [`super::signed`]. Guarantees: a group is made with the session's tags and removed only
//! with them; its schedules, which AWS cannot tag, live and die with it; a schedule that is there already is moved.
//! Must never choose what is scheduled.

use std::time::Duration;

use aws_smithy_types::{error::ErrorMetadata, timeout::TimeoutConfig};
use aws_types::SdkConfig;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Cloud, Ensured, Owner, absent_if_missing,
    calls::Note,
    fault::{self, Refusal},
    found_foreign, sighting,
    signed::{RestCall, Service, ServiceError},
    tagged::Tagged,
};
use crate::domain::model::{
    Arming, Effect, Fault, FaultClass, NET_STOPPED, OWNER_TAG, Removal, ResourceKind, SESSION_TAG, Scheduled,
    ScheduledCall, Sighting, Timestamp,
};

const CREATE_GROUP: &str = "scheduler:CreateScheduleGroup";
const DELETE_GROUP: &str = "scheduler:DeleteScheduleGroup";
const GET_GROUP: &str = "scheduler:GetScheduleGroup";
const LIST_GROUPS: &str = "scheduler:ListScheduleGroups";
const LIST: &str = "scheduler:ListSchedules";
const LIST_TAGS: &str = "scheduler:ListTagsForResource";
const CREATE: &str = "scheduler:CreateSchedule";
const UPDATE: &str = "scheduler:UpdateSchedule";

/// Groups that labguard makes begin so.
const GROUP_PREFIX: &str = "labguard-";

const SCHEDULER: Service = Service {
    name: "scheduler",
    id: "Scheduler",
    version: "2021-06-30",
    content_type: "application/json",
    target: None,
    refusal,
};

/// `{"Message": "…"}`; the code is in a header.
fn refusal(text: &str) -> Option<ErrorMetadata> {
    #[derive(Deserialize)]
    struct Document {
        #[serde(alias = "Message")]
        message: Option<String>,
    }
    let document: Document = serde_json::from_str(text).ok()?;
    Some(ErrorMetadata::builder().message(document.message.unwrap_or_default()).build())
}

/// A scheduler that does not answer must not hold a session up: whoever waits for one has a task to run, or to end.
const PATIENCE: Duration = Duration::from_secs(15);

/// The same configuration, in which a call with all its tries takes no longer than that.
fn impatient(sdk: &SdkConfig) -> SdkConfig {
    let given = sdk.timeout_config().cloned().unwrap_or(TimeoutConfig::disabled());
    let most = given.operation_timeout().map_or(PATIENCE, |given| given.min(PATIENCE));
    let timeouts = given.to_builder().operation_timeout(most).build();
    sdk.to_builder().timeout_config(timeouts).build()
}

/// The scheduler at one endpoint.
pub(crate) struct Scheduler {
    create_group: RestCall,
    delete_group: RestCall,
    get_group: RestCall,
    list_groups: RestCall,
    list_tags: RestCall,
    list: RestCall,
    create: RestCall,
    update: RestCall,
}

impl Scheduler {
    /// With everything from the shared configuration; `endpoint` overrides it.
    pub(crate) fn new(sdk: &SdkConfig, region: &str, endpoint: Option<&str>, note: &Note) -> Self {
        let sdk = &impatient(sdk);
        let endpoint = SCHEDULER.endpoint(sdk, endpoint, SCHEDULER.regional(region));
        let call = |action, method| SCHEDULER.rest(sdk, action, method, region, &endpoint, note.clone());
        Self {
            create_group: call("CreateScheduleGroup", "POST"),
            delete_group: call("DeleteScheduleGroup", "DELETE"),
            get_group: call("GetScheduleGroup", "GET"),
            list_groups: call("ListScheduleGroups", "GET"),
            list_tags: call("ListTagsForResource", "GET"),
            list: call("ListSchedules", "GET"),
            create: call("CreateSchedule", "POST"),
            update: call("UpdateSchedule", "PUT"),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Group {
    arn: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    creation_date: Value,
}

/// Schedules of a group that are still to come: AWS deletes each when it was called (`ActionAfterCompletion`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulesLeft {
    /// How many.
    pub count: usize,
    /// When the last of them was set or moved.
    pub moved_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Schedules {
    #[serde(default)]
    schedules: Vec<Listed>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    creation_date: Value,
    #[serde(default)]
    last_modification_date: Value,
}

/// AWS's seconds since 1970. An endpoint that writes something else says nothing that a removal depends on.
fn epoch(seconds: &Value) -> Option<Timestamp> {
    seconds.as_f64().map(|seconds| Timestamp::from_millis((seconds * 1000.0).round() as i64))
}

impl Group {
    /// AWS is deleting it: its schedules may be invoked yet.
    fn is_leaving(&self) -> bool {
        self.state == "DELETING"
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Groups {
    #[serde(default)]
    schedule_groups: Vec<Group>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

/// An answer in the shape that it should have.
fn read<T: for<'de> Deserialize<'de>>(operation: &str, text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| {
        Fault::from(Refusal::<ServiceError> {
            fault: fault::own(FaultClass::Transient, operation, "UnusableAnswer", error.to_string(), None),
            error: None,
        })
    })
}

/// A part of a path or query, escaped.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// `2026-11-22T23:59:00`, in UTC and whole seconds, as `at()` takes it.
fn instant(at: Timestamp) -> String {
    at.to_chrono().format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Universal target and input of a call: members are called as in the API reference (aws-facts §6.2).
fn target(call: &ScheduledCall) -> (&'static str, Value) {
    match call {
        ScheduledCall::StopTask { cluster, task } => {
            let reason = format!("{NET_STOPPED} its budget, lifetime or hours, without labguard");
            ("ecs:stopTask", json!({ "Cluster": cluster, "Task": task, "Reason": reason }))
        }
        ScheduledCall::DeleteService { cluster, service } => {
            ("ecs:deleteService", json!({ "Cluster": cluster, "Service": service, "Force": true }))
        }
        ScheduledCall::DeleteCluster { cluster } => ("ecs:deleteCluster", json!({ "Cluster": cluster })),
        ScheduledCall::DeleteRepository { repository } => {
            ("ecr:deleteRepository", json!({ "RepositoryName": repository, "Force": true }))
        }
        ScheduledCall::DeleteSecurityGroup { group } => ("ec2:deleteSecurityGroup", json!({ "GroupId": group })),
        ScheduledCall::DeleteLogGroup { log_group } => {
            ("cloudwatchlogs:deleteLogGroup", json!({ "LogGroupName": log_group }))
        }
    }
}

/// The body of CreateSchedule and of UpdateSchedule, which replaces every field.
/// `at`: by AWS's clock.
fn body(partition: &str, arming: &Arming, schedule: &Scheduled, at: Timestamp) -> String {
    let (call, input) = target(&schedule.call);
    json!({
        "GroupName": arming.group,
        "ScheduleExpression": format!("at({})", instant(at)),
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": { "Mode": "OFF" },
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": format!("arn:{partition}:scheduler:::aws-sdk:{call}"),
            "RoleArn": arming.role,
            "Input": input.to_string(),
            "RetryPolicy": { "MaximumRetryAttempts": 30, "MaximumEventAgeInSeconds": 3600 },
        },
    })
    .to_string()
}

/// Whether the next call of that operation would fail as this one did: it is not asked for then.
fn is_shared(fault: &Fault, operation: &str) -> bool {
    let of_one = matches!(fault.class, FaultClass::Rejected | FaultClass::Conflict | FaultClass::NotFound)
        || fault.class == FaultClass::Transient && !fault.own;
    !of_one && (fault.operation == operation || ![CREATE, UPDATE].contains(&fault.operation.as_str()))
}

/// Several faults as one: the first, and what the others say that it does not.
fn together(faults: Vec<Fault>) -> Option<Fault> {
    let mut faults = faults.into_iter();
    let mut first = faults.next()?;
    let mut told = vec![(first.operation.clone(), first.code.clone())];
    for fault in faults {
        let kind = (fault.operation.clone(), fault.code.clone());
        if !told.contains(&kind) {
            first.message = format!("{}; besides, {} answered {}: {}", first.message, kind.0, kind.1, fault.message);
            told.push(kind);
        }
    }
    Some(first)
}

impl Cloud {
    async fn find_schedule_group(&self, name: &str) -> Result<Option<Group>, Fault> {
        let sent = self.inner.scheduler.get_group.invoke((format!("/schedule-groups/{name}"), String::new()));
        let answer = absent_if_missing(self.call(GET_GROUP, sent).await.map_err(Fault::from))?;
        answer.map(|text| read(GET_GROUP, &text)).transpose()
    }

    async fn tags_of(&self, arn: &str) -> Result<Vec<(String, String)>, Fault> {
        let sent = self.inner.scheduler.list_tags.invoke((format!("/tags/{}", escaped(arn)), String::new()));
        let tags: Tags = read(LIST_TAGS, &self.call(LIST_TAGS, sent).await?)?;
        Ok(tags.tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// A group, and whether it is ours, where there is one.
    async fn group_with_owner(&self, owner: Owner<'_>, name: &str) -> Result<Option<(Group, bool)>, Fault> {
        let Some(group) = self.find_schedule_group(name).await? else { return Ok(None) };
        let Some(tags) = absent_if_missing(self.tags_of(&group.arn).await)? else { return Ok(None) };
        let ours = owner.is_on(tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        Ok(Some((group, ours)))
    }

    pub(crate) async fn ensure_schedule_group(&self, owner: Owner<'_>, name: &str) -> Result<Ensured, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Made {
            schedule_group_arn: String,
        }
        let tags = [(SESSION_TAG, owner.session.as_str()), (OWNER_TAG, owner.owner)];
        let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        let body = json!({ "Tags": tags }).to_string();
        let sent = self.inner.scheduler.create_group.invoke((format!("/schedule-groups/{name}"), body));
        match self.call(CREATE_GROUP, sent).await.map_err(Fault::from) {
            Ok(text) => Ok(Ensured::new(Effect::Created, read::<Made>(CREATE_GROUP, &text)?.schedule_group_arn)),
            // Somebody, perhaps an earlier try of ours whose answer was lost, was faster.
            Err(fault) if fault.class == FaultClass::Conflict => match self.group_with_owner(owner, name).await? {
                Some((group, true)) if !group.is_leaving() => Ok(Ensured::new(Effect::AlreadyThere, group.arn)),
                Some((group, false)) => {
                    found_foreign(CREATE_GROUP, ResourceKind::ScheduleGroup, name, &group.arn, false)
                }
                Some(_) | None => Err(Fault { class: FaultClass::Dependency, ..fault }),
            },
            Err(fault) => Err(fault),
        }
    }

    pub(crate) async fn look_schedule_group(
        &self,
        owner: Owner<'_>,
        removal: &Removal,
    ) -> Result<Option<Sighting>, Fault> {
        let found = self.group_with_owner(owner, &removal.name).await?;
        Ok(found.map(|(group, ours)| Sighting { made_at: epoch(&group.creation_date), ..sighting(group.arn, ours) }))
    }

    /// Gone is what a fresh read does not find: AWS may take a while over the schedules in it.
    pub(crate) async fn remove_schedule_group(&self, owner: Owner<'_>, removal: &Removal) -> Result<Effect, Fault> {
        let name = removal.name.as_str();
        match self.group_with_owner(owner, name).await? {
            None => return Ok(Effect::AlreadyGone),
            Some((_, false)) => return Ok(Effect::NotOurs),
            Some((group, true)) if group.is_leaving() => {}
            Some((_, true)) => {
                let sent =
                    self.inner.scheduler.delete_group.invoke((format!("/schedule-groups/{name}"), String::new()));
                absent_if_missing(self.call(DELETE_GROUP, sent).await.map_err(Fault::from))?;
            }
        }
        if self.find_schedule_group(name).await?.is_none() {
            return Ok(Effect::Removed);
        }
        let text = "AWS is still deleting the schedules in it";
        Err(fault::own(FaultClass::Dependency, DELETE_GROUP, "StillThere", text, None))
    }

    /// Sets schedules, or moves them, in their order; tells which are set.
    ///
    /// # Errors
    /// AWS's first refusal, with the others' in its words, and those that are set all the same.
    pub async fn arm(
        &self,
        owner: Owner<'_>,
        arming: &Arming,
    ) -> Result<Vec<(String, Timestamp)>, (Vec<(String, Timestamp)>, Fault)> {
        let (mut set, mut faults) = (Vec::new(), Vec::new());
        for schedule in &arming.schedules {
            let operation = if schedule.known { UPDATE } else { CREATE };
            if faults.iter().any(|fault| is_shared(fault, operation)) {
                continue;
            }
            match self.set(owner, arming, schedule).await {
                Ok(()) => set.push((schedule.name.clone(), schedule.at)),
                Err(fault) => faults.push(fault),
            }
        }
        match together(faults) {
            None => Ok(set),
            Some(fault) => Err((set, fault)),
        }
    }

    async fn set(&self, owner: Owner<'_>, arming: &Arming, schedule: &Scheduled) -> Result<(), Fault> {
        let (_, partition) = self.account().await?;
        let at = self.inner.skew.apart().theirs(schedule.at);
        let request = (format!("/schedules/{}", schedule.name), body(&partition, arming, schedule, at));
        let scheduler = &self.inner.scheduler;
        if schedule.known {
            let moved = self.call(UPDATE, scheduler.update.invoke(request.clone())).await.map_err(Fault::from);
            // It may have been due meanwhile: then it is made again.
            if absent_if_missing(moved)?.is_some() {
                return Ok(());
            }
        }
        match self.call(CREATE, scheduler.create.invoke(request.clone())).await.map_err(Fault::from) {
            Ok(_) => Ok(()),
            Err(fault) if fault.class == FaultClass::Conflict => {
                self.call(UPDATE, scheduler.update.invoke(request)).await?;
                Ok(())
            }
            Err(fault) if fault.class == FaultClass::NotFound => {
                // Somebody took the group away.
                self.ensure_schedule_group(owner, &arming.group).await?;
                self.call(CREATE, scheduler.create.invoke(request)).await?;
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    /// What is still to come of a group's schedules, all pages; none where the group is gone.
    ///
    /// # Errors
    /// AWS's refusal.
    pub async fn schedules_left(&self, group: &str) -> Result<SchedulesLeft, Fault> {
        let mut left = SchedulesLeft::default();
        let mut next: Option<String> = None;
        loop {
            let page = next.as_ref().map(|token| format!("&NextToken={}", escaped(token))).unwrap_or_default();
            let path = format!("/schedules?ScheduleGroup={}{page}", escaped(group));
            let sent = self.inner.scheduler.list.invoke((path, String::new()));
            let Some(text) = absent_if_missing(self.call(LIST, sent).await.map_err(Fault::from))? else {
                return Ok(left);
            };
            let listed: Schedules = read(LIST, &text)?;
            left.count += listed.schedules.len();
            let moved = |it: &Listed| epoch(&it.last_modification_date).or(epoch(&it.creation_date));
            left.moved_at = left.moved_at.max(listed.schedules.iter().filter_map(moved).max());
            let token = listed.next_token.filter(|token| !token.is_empty());
            // The same page again would never end.
            if token.is_none() || token == next {
                return Ok(left);
            }
            next = token;
        }
    }

    /// Every schedule group that labguard made, of any session, all pages.
    pub(super) async fn tagged_groups(&self) -> Result<Vec<Tagged>, Fault> {
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = next.as_ref().map(|token| format!("&NextToken={}", escaped(token))).unwrap_or_default();
            let path = format!("/schedule-groups?NamePrefix={GROUP_PREFIX}{page}");
            let sent = self.inner.scheduler.list_groups.invoke((path, String::new()));
            let groups: Groups = read(LIST_GROUPS, &self.call(LIST_GROUPS, sent).await?)?;
            for group in groups.schedule_groups {
                let tags = absent_if_missing(self.tags_of(&group.arn).await)?.unwrap_or_default();
                let tags = tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                found.extend(Tagged::read(tags, Some(ResourceKind::ScheduleGroup), &group.name, &group.arn));
            }
            let token = groups.next_token.filter(|token| !token.is_empty());
            // The same page again would never end.
            if token.is_none() || token == next {
                return Ok(found);
            }
            next = token;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_would_be_refused_for_is_asked_once_and_several_faults_are_told_together() {
        let denied = fault::fault(UPDATE, "AccessDeniedException", "no", 403, None);
        assert!(is_shared(&denied, UPDATE) && !is_shared(&denied, CREATE));
        let wrong = fault::fault(CREATE, "ValidationException", "no such time", 400, None);
        assert!(!is_shared(&wrong, CREATE));
        let lost = fault::fault(CREATE, "Timeout", "no answer", 0, None);
        assert!(is_shared(&lost, CREATE));
        let nobody = fault::fault("sts:GetCallerIdentity", "ExpiredToken", "old", 403, None);
        assert!(is_shared(&nobody, CREATE) && is_shared(&nobody, UPDATE));
        let told = together(vec![wrong.clone(), denied.clone(), wrong.clone(), denied]).unwrap();
        assert_eq!((told.class, told.operation.as_str()), (wrong.class, CREATE));
        assert_eq!(told.message, "no such time; besides, scheduler:UpdateSchedule answered AccessDeniedException: no");
        assert_eq!(together(Vec::new()), None);
    }

    #[test]
    fn a_schedule_is_written_as_the_facts_have_it() {
        let at: Timestamp = "2026-11-22T23:59:00Z".parse().unwrap();
        let call = ScheduledCall::StopTask { cluster: "lab".into(), task: "arn:task".into() };
        let schedule = Scheduled { name: "task-1-stop".into(), at, call, known: false };
        let arming = Arming { group: "labguard-x".into(), role: "arn:role".into(), schedules: Vec::new() };
        let body: Value = serde_json::from_str(&body("aws", &arming, &schedule, schedule.at)).unwrap();
        assert_eq!(body["ScheduleExpression"], "at(2026-11-22T23:59:00)");
        assert_eq!(body["Target"]["Arn"], "arn:aws:scheduler:::aws-sdk:ecs:stopTask");
        let input: Value = serde_json::from_str(body["Target"]["Input"].as_str().unwrap()).unwrap();
        assert_eq!((input["Cluster"].as_str(), input["Task"].as_str()), (Some("lab"), Some("arn:task")));
        assert_eq!(escaped("arn:aws:x/y"), "arn%3Aaws%3Ax%2Fy");
        assert_eq!(epoch(&json!(1_795_000_000.5)), Some(Timestamp::from_millis(1_795_000_000_500)));
        assert_eq!(epoch(&json!("2026-11-22")), None);
    }
}
