//! The resources a session makes, and what the journal knows of each.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    fault::{Fault, FaultClass},
    size::TaskSize,
    task::TaskFacts,
    time::{Span, Timestamp},
};

/// What kinds of thing a session makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// ECR repository.
    Repository,
    /// The image in it, pinned by digest.
    Image,
    /// CloudWatch Logs group.
    LogGroup,
    /// IAM role that ECS uses to pull the image and write logs.
    ExecutionRole,
    /// ECS cluster.
    Cluster,
    /// EC2 security group.
    SecurityGroup,
    /// ECS task definition revision.
    TaskDefinition,
    /// ECS service (service mode only).
    Service,
    /// ECS task.
    Task,
    /// IAM role that the schedules act as.
    SchedulerRole,
    /// EventBridge Scheduler's group of the session's schedules, which go with it.
    ScheduleGroup,
    /// CloudWatch Logs group of Container Insights: what AWS would else make for the cluster, and leave behind.
    InsightsLog,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [ResourceKind; 12] = [
        ResourceKind::Repository,
        ResourceKind::Image,
        ResourceKind::LogGroup,
        ResourceKind::ExecutionRole,
        ResourceKind::Cluster,
        ResourceKind::SecurityGroup,
        ResourceKind::TaskDefinition,
        ResourceKind::Service,
        ResourceKind::Task,
        ResourceKind::SchedulerRole,
        ResourceKind::ScheduleGroup,
        ResourceKind::InsightsLog,
    ];

    /// For people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            ResourceKind::Repository => "repository",
            ResourceKind::Image => "image",
            ResourceKind::LogGroup => "log group",
            ResourceKind::ExecutionRole => "execution role",
            ResourceKind::Cluster => "cluster",
            ResourceKind::SecurityGroup => "security group",
            ResourceKind::TaskDefinition => "task definition",
            ResourceKind::Service => "service",
            ResourceKind::Task => "task",
            ResourceKind::SchedulerRole => "scheduler role",
            ResourceKind::ScheduleGroup => "schedule group",
            ResourceKind::InsightsLog => "Container Insights log group",
        }
    }

    /// Whether it belongs to the net outside the task: a session goes on without it, unless its policy requires it.
    #[must_use]
    pub const fn is_net(self) -> bool {
        matches!(self, ResourceKind::SchedulerRole | ResourceKind::ScheduleGroup)
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.describe())
    }
}

/// Which resource of a session: its kind, and a number where there can be several (tasks: 1, 2, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    /// What it is.
    pub kind: ResourceKind,
    /// 1 for everything of which a session has one; of images, 2 is the sentinel's.
    pub number: u32,
}

impl ResourceKey {
    /// The only one of its kind.
    #[must_use]
    pub const fn only(kind: ResourceKind) -> Self {
        Self { kind, number: 1 }
    }

    /// The application's image.
    pub const IMAGE: Self = Self::only(ResourceKind::Image);

    /// The sentinel's image, in the same repository.
    pub const SENTINEL_IMAGE: Self = Self { kind: ResourceKind::Image, number: 2 };

    /// The n-th task.
    #[must_use]
    pub const fn task(number: u32) -> Self {
        Self { kind: ResourceKind::Task, number }
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == ResourceKind::Task {
            f.pad(&format!("task {}", self.number))
        } else if *self == Self::SENTINEL_IMAGE {
            f.pad("sentinel image")
        } else {
            f.pad(self.kind.describe())
        }
    }
}

/// As a map key in JSON: `task/2`, `cluster/1`.
impl From<ResourceKey> for String {
    fn from(key: ResourceKey) -> String {
        let kind = serde_json::to_value(key.kind).ok();
        format!("{}/{}", kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default(), key.number)
    }
}

impl TryFrom<String> for ResourceKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("expected kind/number, found {text:?}");
        let (kind, number) = text.split_once('/').ok_or_else(wrong)?;
        let kind = serde_json::from_value(kind.into()).map_err(|_| wrong())?;
        Ok(Self { kind, number: number.parse().map_err(|_| wrong())? })
    }
}

impl Serialize for ResourceKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from(*self))
    }
}

impl<'de> Deserialize<'de> for ResourceKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

/// What was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Make it, or find that it is there already.
    Create,
    /// Stop it (tasks): it may be seen for a while yet.
    Stop,
    /// Take it away, or find that it is gone already.
    Remove,
}

/// What an effect did. Every step can be run twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// We made it now.
    Created,
    /// It was there, made by an earlier try of this same session.
    AlreadyThere,
    /// It was there before, belongs to somebody else, and the policy lets us use it: never removed.
    Adopted,
    /// A stop was asked for and accepted.
    StopRequested,
    /// We removed it now.
    Removed,
    /// It was gone.
    AlreadyGone,
    /// Removal is asked for; the service finishes it by itself and it costs nothing (task definitions; aws-facts §1.10).
    RemovalRequested,
    /// A thing of that name is there but it is not ours: left alone.
    NotOurs,
}

/// Where one resource is in its life, as the journal knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// A create was journalled and its outcome is not known: it may exist.
    Intended,
    /// It exists.
    Live,
    /// A removal was journalled and is not proven.
    Leaving,
    /// Gone, by proof.
    Gone,
    /// Never came to be, by proof or by a refusal; or nobody answered whether it did (`Resource::unproven`).
    Never,
}

impl Life {
    /// Whether it may exist in the cloud.
    #[must_use]
    pub const fn may_exist(self) -> bool {
        match self {
            Life::Intended | Life::Live | Life::Leaving => true,
            Life::Gone | Life::Never => false,
        }
    }
}

/// How often a creation was asked for, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Askings {
    /// How often it was asked for.
    pub asked: u32,
    /// How many of those were refused for good: nothing can have come of them.
    pub refused: u32,
}

impl Askings {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether each was refused.
    const fn all_refused(self) -> bool {
        self.asked > 0 && self.asked == self.refused
    }
}

/// Calls of which something comes, or nothing: whoever is refused by them, or never reached them, has made nothing.
fn is_refusal(fault: &Fault) -> bool {
    let creating = matches!(
        fault.operation.as_str(),
        "ecr:CreateRepository"
            | "logs:CreateLogGroup"
            | "iam:CreateRole"
            | "ecs:CreateCluster"
            | "ec2:CreateSecurityGroup"
            | "ecs:RegisterTaskDefinition"
            | "ecs:CreateService"
            | "ecs:RunTask"
            | "scheduler:CreateScheduleGroup"
    );
    let refused = matches!(fault.class, FaultClass::Denied | FaultClass::Rejected | FaultClass::Quota);
    creating && (refused || fault.was_never_sent())
}

/// One resource in the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its own name (cluster name, repository name, role name, family, …; a task's clientToken).
    pub name: String,
    /// ARN, group id, or image URI pinned by digest; once known.
    pub id: Option<String>,
    /// Where it is in its life.
    pub life: Life,
    /// False for what was there before and is only used.
    pub ours: bool,
    /// When it was first intended.
    pub intended_at: Timestamp,
    /// By how much the clock had been set back when it was intended, and when it was proven gone: its time is billed by a
    /// clock that goes on where it was.
    #[serde(default)]
    pub set_back: (Span, Span),
    /// When its present action was last asked of the cloud.
    #[serde(default)]
    pub asked_at: Option<Timestamp>,
    /// How often its creation was asked for, and how many of those were refused for good.
    #[serde(default, skip_serializing_if = "Askings::is_none")]
    pub asked: Askings,
    /// When we learnt that it exists.
    pub live_at: Option<Timestamp>,
    /// When its removal or stop was first asked for.
    pub leaving_at: Option<Timestamp>,
    /// When it was proven gone.
    pub gone_at: Option<Timestamp>,
    /// Tasks: what AWS last said of it.
    pub task: Option<TaskFacts>,
    /// Tasks: what it is billed by.
    pub size: Option<TaskSize>,
    /// How large it is, where it is billed by its size (images: bytes as the registry stores them).
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Failed tries of the present action in a row.
    pub failures: u32,
    /// The last failure of the present action.
    pub last_fault: Option<(Timestamp, Fault)>,
    /// Why it was let go without proof that it never came to be, if it was: what may be left, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<String>,
}

impl Resource {
    /// Whether its creation was refused for good each time that it was asked for: then nothing of it exists, and no read
    /// is needed to prove it (the right to read may be what is missing, too).
    #[must_use]
    pub fn was_refused(&self) -> bool {
        let refused = self.last_fault.as_ref().is_some_and(|(_, fault)| is_refusal(fault));
        // A record of before these were counted knows only whether it was asked once.
        let each = self.asked.all_refused() || self.asked_at.is_none_or(|asked| asked == self.intended_at);
        self.live_at.is_none() && each && refused && matches!(self.life, Life::Intended | Life::Never)
    }

    /// Whether it was known to be there with this session's tag: that it bears it no more is somebody's doing.
    #[must_use]
    pub fn was_ours(&self) -> bool {
        self.ours && self.live_at.is_some()
    }

    /// Counts a creation that is asked for.
    pub(super) const fn count_asking(&mut self) {
        self.asked.asked = self.asked.asked.saturating_add(1);
    }

    /// Counts what came of one.
    pub(super) fn count_refusal(&mut self, fault: &Fault) {
        if is_refusal(fault) {
            self.asked.refused = self.asked.refused.saturating_add(1);
        }
    }

    /// One that is about to be asked for. `set_back`: by how much the clock was, by then.
    pub(super) fn intended(at: Timestamp, set_back: Span, name: &str) -> Self {
        Resource {
            name: name.to_owned(),
            id: None,
            life: Life::Intended,
            ours: true,
            intended_at: at,
            set_back: (set_back, Span::ZERO),
            asked_at: None,
            asked: Askings::default(),
            live_at: None,
            leaving_at: None,
            gone_at: None,
            task: None,
            size: None,
            bytes: None,
            failures: 0,
            last_fault: None,
            unproven: None,
        }
    }

    /// Proven gone, or never come to be.
    pub(super) fn end(&mut self, at: Timestamp, set_back: Span) {
        if self.life.may_exist() {
            self.set_back.1 = set_back;
            self.life = if self.live_at.is_some() { Life::Gone } else { Life::Never };
            self.gone_at = Some(at);
        }
        self.failures = 0;
        // The refusal of what never came to be is the proof of that, and worth telling.
        if self.life != Life::Never {
            self.last_fault = None;
        }
    }
}
