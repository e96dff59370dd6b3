//! What is allowed: validated types, no parsing.
//!
//! A [`Policy`] is one session's rules. It is built by `config` from files, and journalled whole with the
//! session, so that a restart needs no file. Field names here are the key paths of the configuration file.

use serde::{Deserialize, Serialize};

pub mod activity;
pub mod budget;
pub mod fuse;
pub mod hours;
pub mod retry;
#[cfg(any(test, feature = "samples"))]
pub mod samples;

pub use activity::{ActivityPolicy, Check, Combine, Insights, LoadBalancer, LogLines, insights_log};
pub use budget::{SharedBudget, Shares};
pub use fuse::{FusePolicy, Net, Sentinel};

use super::model::{
    Accounting, ImageSource, Ingress, Money, OWN, Platforms, RepositorySettings, Severity, Span, Stage, TaskSize,
    Timestamp,
};

/// One session's rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The session's name in the configuration: `[sessions.NAME]`.
    pub name: String,
    /// Who it belongs to; also a tag on everything made.
    pub owner: String,
    /// Its group, for budgets and totals; empty: none.
    #[serde(default)]
    pub group: String,
    /// AWS region.
    pub region: String,
    /// What things are called. `{session}` stands for the session's id.
    pub names: Names,
    /// Names of kinds that may have been there before: used, and left standing.
    pub adopt: Vec<super::model::ResourceKind>,
    /// Where the image comes from.
    pub image: ImagePolicy,
    /// How its repository is set up, and what its scan may find.
    #[serde(default)]
    pub repository: RepositoryPolicy,
    /// What is run.
    pub task: TaskPolicy,
    /// How it is reached.
    pub network: NetworkPolicy,
    /// Health questions.
    pub health: HealthPolicy,
    /// The functional probe, if any.
    pub predict: Option<PredictPolicy>,
    /// Signs of use.
    pub activity: ActivityPolicy,
    /// When it ends.
    pub limits: Limits,
    /// How its use is counted.
    #[serde(default)]
    pub accounting: Accounting,
    /// How it ends.
    pub end: EndPolicy,
    /// What ends it without labguard.
    #[serde(default)]
    pub fuse: FusePolicy,
    /// What is published, and where.
    pub metrics: MetricsPolicy,
}

/// What things are called (after `{session}` has been put in).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// ECR repository.
    pub repository: String,
    /// ECS cluster.
    pub cluster: String,
    /// Task definition family.
    pub task_definition: String,
    /// Container.
    pub container: String,
    /// ECS service (service mode).
    pub service: String,
    /// Security group.
    pub security_group: String,
    /// Log group.
    pub log_group: String,
    /// Execution role that labguard makes.
    pub execution_role: String,
}

impl Names {
    /// The names with `{session}` put in.
    #[must_use]
    pub fn for_session(&self, session: &str) -> Names {
        let fill = |name: &String| name.replace("{session}", session);
        Names {
            repository: fill(&self.repository),
            cluster: fill(&self.cluster),
            task_definition: fill(&self.task_definition),
            container: fill(&self.container),
            service: fill(&self.service),
            security_group: fill(&self.security_group),
            log_group: fill(&self.log_group),
            execution_role: fill(&self.execution_role),
        }
    }
}

/// Where the image comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePolicy {
    /// A registry's, an archive's, or assembled from an executable.
    pub source: ImageSource,
    /// Tag of the pushed image.
    pub tag: String,
    /// Which manifests of a multi-platform image are pushed.
    #[serde(default)]
    pub platforms: Platforms,
}

impl ImagePolicy {
    /// An image pushed as it is, into a repository made with ECR's own defaults.
    #[must_use]
    pub fn plain(source: ImageSource, tag: &str) -> Self {
        Self { source, tag: tag.to_owned(), platforms: Platforms::Task }
    }
}

/// What becomes of an image whose scan gives no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unscanned {
    /// It is not run.
    #[default]
    Refuse,
    /// It is run all the same.
    Run,
}

/// How a session's own repository is set up, and what its scan may find.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RepositoryPolicy {
    /// How it is set up.
    pub settings: RepositorySettings,
    /// Findings of that severity or worse refuse the image; absent: no gate.
    pub block_on: Option<Severity>,
    /// How long a scan's result is waited for.
    pub scan_timeout: Span,
    /// What becomes of an image whose scan gives no result.
    pub on_scan_timeout: Unscanned,
}

/// One task, or a service that keeps some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum RunMode {
    /// A standalone task; labguard replaces it on failure.
    Task,
    /// An ECS service with that many tasks; ECS replaces them.
    Service {
        /// How many.
        desired: u32,
    },
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskPolicy {
    /// Task or service.
    pub run: RunMode,
    /// CPU, memory, storage, architecture, Spot.
    pub size: TaskSize,
    /// Environment variables of the container.
    pub environment: Vec<(String, String)>,
    /// Replaces the image's command, where not empty.
    pub command: Vec<String>,
    /// SIGTERM to SIGKILL, 2 s to 120 s.
    pub stop_timeout: Span,
    /// An execution role to use; absent: labguard makes one.
    pub execution_role: Option<String>,
    /// A task role for the application.
    pub task_role: Option<String>,
    /// Restarts after which a session ends as a crash loop.
    pub max_restarts: u32,
    /// Shortest wait before a restart; doubles with each.
    pub restart_backoff: Span,
    /// Log retention in days.
    pub log_retention_days: u32,
}

/// How it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPolicy {
    /// A VPC; absent: the default one.
    pub vpc: Option<String>,
    /// Subnets; empty: those of the VPC that are usable.
    pub subnets: Vec<String>,
    /// What is open to whom.
    pub ingress: Vec<Ingress>,
    /// Whether tasks get a public address.
    pub public_ip: bool,
}

/// Health questions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthPolicy {
    /// Port, 5000 in the exercise; also the announced one.
    pub port: u16,
    /// HTTP method.
    pub method: String,
    /// Path.
    pub path: String,
    /// Accepted statuses.
    pub expect_status: Vec<u16>,
    /// Text that the body must contain, if any.
    pub expect_body: Option<String>,
    /// Time between probes.
    pub interval: Span,
    /// Time-out of one probe.
    pub timeout: Span,
    /// From the task's start to its first good answer at the latest.
    pub start_grace: Span,
    /// Good answers in a row that make it healthy.
    pub healthy_after: u32,
    /// Bad answers in a row that make it unhealthy.
    pub unhealthy_after: u32,
}

/// The functional probe: a real request, and the shape of its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictPolicy {
    /// Path, `/predict` in the exercise.
    pub path: String,
    /// What is posted.
    pub body: serde_json::Value,
    /// JSON key in the answer (dotted path) that must hold a number.
    pub answer_key: String,
    /// The number's lower bound.
    pub at_least: Option<serde_json::Number>,
    /// The number's upper bound.
    pub at_most: Option<serde_json::Number>,
    /// Time between functional probes.
    pub interval: Span,
}

/// Soft limits, and the hard ones that extensions stay inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// No sign of use for that long ends it; absent: never idle.
    pub idle_timeout: Option<Span>,
    /// Spend, gross, with what teardown will still cost.
    pub budget: Money,
    /// The most an extension can make of the budget.
    pub max_budget: Money,
    /// From `up`.
    pub lifetime: Span,
    /// The least that it is started for: refused where a budget does not last that long.
    #[serde(default)]
    pub min_lifetime: Span,
    /// The most an extension can make of the lifetime. Nothing extends beyond it.
    pub max_lifetime: Span,
    /// A fixed end time.
    pub ends_at: Option<Timestamp>,
    /// Only within hours.
    pub hours: Option<Hours>,
    /// Warnings are given that long before a limit, longest first.
    pub warn_before: Vec<Span>,
}

/// A window that closes by cron expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// Five- or six-field cron expression of the instants at which a session must end.
    pub end_cron: String,
    /// IANA time zone.
    pub zone: String,
}

/// How it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndPolicy {
    /// How far an idle timeout goes.
    pub on_idle: Stage,
    /// How far a closing window goes.
    pub on_hours: Stage,
    /// How long a stopped session is kept before it is torn down.
    pub keep_stopped: Span,
    /// Whether a shutdown of the daemon tears the session down.
    pub on_shutdown: ShutdownPolicy,
    /// A known credential expiry ends the session that long before.
    pub credentials_margin: Span,
    /// When the credentials expire, where the user knows it and the files do not say.
    pub credentials_expire_at: Option<Timestamp>,
    /// How long teardown may take in the stated overshoot (stop time-out and AWS's own latency).
    pub stop_allowance: Span,
}

/// What happens to a session when the daemon is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShutdownPolicy {
    /// It goes on; the next daemon takes it over.
    Keep,
    /// It is torn down first.
    Teardown,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsPolicy {
    /// Names from the catalogue to publish to CloudWatch; empty: none. Each costs money.
    pub cloudwatch: Vec<String>,
    /// CloudWatch namespace.
    pub namespace: String,
    /// Time between PutMetricData calls.
    pub interval: Span,
}

impl Policy {
    /// How long before an expiry of the credentials it is asked whether there are newer ones: before the first warning
    /// of it, and with time to spare.
    #[must_use]
    pub fn credentials_lead(&self) -> Span {
        let warned = self.limits.warn_before.iter().max().copied().unwrap_or_default();
        self.end.credentials_margin + warned + Span::from_mins(5)
    }

    /// Whether some port is for labguard's own address, which has to be asked for then.
    #[must_use]
    pub fn asks_own_address(&self) -> bool {
        let guard: &[String] = if self.fuse.sentinel == Sentinel::Own { &self.fuse.sources } else { &[] };
        let ranges = self.network.ingress.iter().flat_map(|rule| &rule.sources);
        ranges.chain(guard).any(|source| source == OWN)
    }
}
