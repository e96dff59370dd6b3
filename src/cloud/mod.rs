//! The one way to AWS: looks, makes and removes what a session needs, at whatever endpoint is given.
//!
//! Guarantees: everything created bears the session's tag from its first moment; nothing is removed without
//! the tag on a fresh read; every effect can be asked for twice; every refusal becomes one classified
//! [`Fault`] with AWS's code, message and request id. Must never decide policy, keep a journal, or answer
//! "absent" when the read proved nothing.

mod calls;
#[cfg(test)]
mod canned;
mod connect;
mod cost_explorer;
mod credentials;
mod ec2;
mod ecr;
mod ecr_scan;
mod ecs;
pub mod fault;
mod iam;
mod image_tags;
mod insights_log;
mod log_events;
mod logs;
mod marked;
mod metric_data;
mod metrics;
mod pace;
mod pricing;
mod retries;
mod scheduler;
mod scheduler_role;
mod signed;
mod skew;
mod sts;
mod tagged;

use std::sync::{Arc, OnceLock};

pub use calls::{CallOutcome, CallReport};
pub use connect::{CloudConfig, OnCall};
pub use ecr::RegistryLogin;
pub use image_tags::TaggedImage;
pub use log_events::NewestLines;
pub use metric_data::{Metric, Series};
pub use metrics::Datum;
pub use scheduler::SchedulesLeft;
pub use tagged::{Found, NotSearched, Tagged};

use crate::{
    domain::model::{
        CredentialReading, Effect, Fault, FaultClass, Identity, Observed, Removal, ResourceKey, ResourceKind,
        SESSION_TAG, SessionId, Sighting, Span, Spec, TaskFacts,
    },
    transport::Transport,
};

/// AWS, or something that speaks its protocol. Cheap to clone.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
}

/// The clients and what they share.
struct Inner {
    sts: aws_sdk_sts::Client,
    ecs: aws_sdk_ecs::Client,
    ecr: aws_sdk_ecr::Client,
    iam: aws_sdk_iam::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    metrics: aws_sdk_cloudwatch::Client,
    tagging: aws_sdk_resourcegroupstagging::Client,
    ec2: ec2::Ec2,
    cost_explorer: cost_explorer::CostExplorer,
    pricing: pricing::Pricing,
    scheduler: scheduler::Scheduler,
    region: String,
    own_endpoint: bool,
    registry_endpoint: Option<String>,
    registry_transport: Option<Arc<dyn Transport>>,
    pace: Option<pace::Pace>,
    on_call: Option<OnCall>,
    credentials: Arc<credentials::Keyring>,
    skew: skew::Skew,
    actions: calls::Actions,
    identity: OnceLock<Identity>,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").field("region", &self.inner.region).finish_non_exhaustive()
    }
}

/// Whose things are touched: the tags `labguard:session` and `labguard:owner` on everything created.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Which session.
    pub session: &'a SessionId,
    /// Whose it is, for people.
    pub owner: &'a str,
}

impl Owner<'_> {
    /// Whether a `labguard:session` tag with this value is ours.
    #[must_use]
    pub fn bears(&self, session: &str) -> bool {
        self.session.as_str() == session
    }

    /// Whether our tag is among these.
    pub(crate) fn is_on<'t>(&self, tags: impl IntoIterator<Item = (&'t str, &'t str)>) -> bool {
        tags.into_iter().any(|(key, value)| key == SESSION_TAG && self.bears(value))
    }

    /// ECS's `startedBy` of our tasks: unlike tags it survives StopTask (aws-facts §0.7).
    pub(crate) fn started_by(&self) -> String {
        format!("labguard/{}", self.session)
    }
}

/// What making something did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    /// `Created`, `AlreadyThere` or `Adopted`.
    pub effect: Effect,
    /// ARN, group id, or image URI pinned by digest.
    pub id: Option<String>,
    /// Tasks: what AWS says of it.
    pub task: Option<TaskFacts>,
    /// Images that were pushed: bytes as the registry stores them.
    pub bytes: Option<u64>,
}

impl Ensured {
    /// Was made, found or pushed, and has this id.
    pub fn new(effect: Effect, id: impl Into<String>) -> Self {
        Self { effect, id: Some(id.into()), task: None, bytes: None }
    }
}

/// Tasks, as far as they could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What ECS says of them.
    pub tasks: Vec<TaskFacts>,
    /// Why their addresses could not be read.
    pub fault: Option<Fault>,
}

/// What to do about a thing of that name that is not ours.
fn found_foreign(operation: &str, what: ResourceKind, name: &str, id: &str, adopt: bool) -> Result<Ensured, Fault> {
    if adopt {
        return Ok(Ensured::new(Effect::Adopted, id));
    }
    Err(fault::own(
        FaultClass::Conflict,
        operation,
        "NotOurs",
        format!("a {what} called \"{name}\" is there already and does not belong to this session"),
        Some(&format!(
            "choose another name, or name it in the policy's list (`adopt = [\"{}\"]`) to use it and leave it standing",
            what.describe().replace(' ', "_")
        )),
    ))
}

/// A call that lacks what it needs to be made.
fn needs(operation: &str, what: &str) -> Fault {
    fault::own(FaultClass::Rejected, operation, "MissingArgument", format!("the {what} is not known"), None)
}

/// Turns "not there" into `None`.
fn absent_if_missing<T>(answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(there) => Ok(Some(there)),
        Err(fault) if fault.class == FaultClass::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

impl Cloud {
    /// Makes it, or finds that it is there. Every kind but the image.
    ///
    /// # Errors
    /// `Conflict` when a thing of that name is somebody else's and `adopt` is false; else AWS's refusal.
    pub async fn ensure(&self, owner: Owner<'_>, key: ResourceKey, spec: &Spec, adopt: bool) -> Result<Ensured, Fault> {
        match spec {
            Spec::Repository { name, settings } => self.ensure_repository(owner, name, settings, adopt).await,
            Spec::LogGroup { name, retention_days } => self.ensure_log_group(owner, name, *retention_days, adopt).await,
            Spec::ExecutionRole { name } => self.ensure_role(owner, name, adopt).await,
            Spec::Cluster { name, spot, insights } => self.ensure_cluster(owner, name, (*spot, *insights), adopt).await,
            Spec::SecurityGroup { name, vpc, ingress } => {
                self.ensure_security_group(owner, name, vpc, ingress, adopt).await
            }
            Spec::TaskDefinition(spec) => self.ensure_task_definition(owner, spec).await,
            Spec::Task(spec) => self.ensure_task(owner, spec).await,
            Spec::Service { name, desired, task } => self.ensure_service(owner, name, *desired, task, adopt).await,
            Spec::SchedulerRole { name, group, cluster } => {
                self.ensure_scheduler_role(owner, name, group, cluster).await
            }
            Spec::ScheduleGroup { name } => self.ensure_schedule_group(owner, name).await,
            Spec::Image(_) => Err(fault::own(
                FaultClass::Rejected,
                "labguard:Ensure",
                "WrongDoor",
                format!("the {key} is made by the image module"),
                None,
            )),
        }
    }

    /// Takes it away, if a fresh read shows that it is ours. Tasks are stopped (see [`Cloud::stop_task`]).
    ///
    /// # Errors
    /// AWS's refusal; `Dependency` names what holds a security group.
    pub async fn remove(&self, owner: Owner<'_>, kind: ResourceKind, removal: &Removal) -> Result<Effect, Fault> {
        match kind {
            ResourceKind::Repository => self.remove_repository(owner, removal).await,
            ResourceKind::Image => self.remove_image(removal).await,
            ResourceKind::LogGroup => self.remove_log_group(owner, removal).await,
            ResourceKind::InsightsLog => self.remove_insights_log(owner, removal).await,
            ResourceKind::ScheduleGroup => self.remove_schedule_group(owner, removal).await,
            ResourceKind::ExecutionRole | ResourceKind::SchedulerRole => self.remove_role(owner, removal).await,
            ResourceKind::Cluster => self.remove_cluster(owner, removal).await,
            ResourceKind::SecurityGroup => self.remove_security_group(owner, removal).await,
            ResourceKind::TaskDefinition => self.remove_task_definitions(owner, removal).await,
            ResourceKind::Service => self.remove_service(owner, removal).await,
            ResourceKind::Task => self.stop_task(owner, removal).await,
        }
    }

    /// One fresh read. `Unknown` when the answer proves nothing.
    ///
    /// # Errors
    /// AWS's refusal of the read.
    pub async fn look(
        &self,
        owner: Owner<'_>,
        kind: ResourceKind,
        removal: &Removal,
    ) -> Result<Observed<Sighting>, Fault> {
        let seen = match kind {
            ResourceKind::Repository => self.look_repository(owner, removal).await?,
            ResourceKind::Image => self.look_image(removal).await?,
            ResourceKind::LogGroup => self.look_log_group(owner, removal).await?,
            ResourceKind::InsightsLog => self.look_insights_log(owner, removal).await?,
            ResourceKind::ScheduleGroup => self.look_schedule_group(owner, removal).await?,
            ResourceKind::ExecutionRole | ResourceKind::SchedulerRole => self.look_role(owner, removal).await?,
            ResourceKind::Cluster => self.look_cluster(owner, removal).await?,
            ResourceKind::SecurityGroup => self.look_security_group(owner, removal).await?,
            ResourceKind::TaskDefinition => self.look_task_definitions(owner, removal).await?,
            ResourceKind::Service => self.look_service(owner, removal).await?,
            ResourceKind::Task => self.look_task(owner, removal).await?,
        };
        Ok(seen.map_or(Observed::Absent, Observed::Present))
    }

    /// By how many milliseconds AWS's clock is ahead of ours (less than nothing: behind), good to about a second; none
    /// before its first answer with a date.
    #[must_use]
    pub fn clock_ahead(&self) -> Option<i64> {
        self.inner.skew.ahead()
    }

    /// What is known of the credentials. From `lead` before an expiry on, it is asked whether there are newer ones.
    #[must_use]
    pub fn credentials(&self, lead: Span) -> CredentialReading {
        self.inner.credentials.reading(lead)
    }

    /// For example `us-east-1`.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.inner.region
    }

    /// Reaches the registry in memory, where configured.
    pub fn registry_transport(&self) -> Option<Arc<dyn Transport>> {
        self.inner.registry_transport.clone()
    }

    /// Whether something else than AWS itself may answer: the sandbox, an emulator.
    pub fn has_own_endpoint(&self) -> bool {
        self.inner.own_endpoint
    }

    /// Whether the account's registry may be somewhere else than AWS's own: configured, or told by an endpoint of ours.
    pub fn has_own_registry(&self) -> bool {
        self.inner.registry_endpoint.is_some() || self.inner.registry_transport.is_some() || self.inner.own_endpoint
    }

    /// Notes actions that no SDK call shows (the registry's own protocol asks for ECR rights).
    pub fn note_actions(&self, actions: &[&str]) {
        for action in actions {
            self.inner.actions.note(action);
        }
    }
}

/// A sighting without task, blockers, age or fault.
fn sighting(id: impl Into<String>, ours: bool) -> Sighting {
    Sighting { id: id.into(), ours, held_by: Vec::new(), task: None, made_at: None, fault: None }
}
