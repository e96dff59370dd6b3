//! What a resource shall be, as data: everything an executor needs and no choice left open.

use serde::{Deserialize, Serialize};

use super::{image::ImageSpec, size::TaskSize, time::Span};

/// A port of the task, open to some sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    /// TCP port.
    pub port: u16,
    /// IPv4 or IPv6 CIDR blocks (`0.0.0.0/0` is anywhere).
    pub sources: Vec<String>,
}

/// Rules of a security group to open and to close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// The group's id.
    pub group: String,
    /// What is opened.
    pub open: Vec<Ingress>,
    /// What is closed, once that is open.
    pub close: Vec<Ingress>,
    /// What is open then.
    pub then: Vec<Ingress>,
}

/// How a repository keeps its images.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// Keys of Amazon's own.
    #[default]
    Aes256,
    /// KMS: the given key, else the account's own for ECR.
    Kms(Option<String>),
}

/// How a repository of ours is set up. One that was there before stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RepositorySettings {
    /// Whether pushed images are scanned for known vulnerabilities.
    pub scan_on_push: bool,
    /// Whether a tag that is taken stays on its image.
    pub immutable_tags: bool,
    /// How images are kept.
    pub encryption: Encryption,
    /// Images older than so many days are expired by ECR itself: a net for what nobody removed.
    pub expire_days: Option<u32>,
}

/// What to make or find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Spec {
    /// ECR repository.
    Repository {
        /// Name.
        name: String,
        /// How it is set up.
        settings: RepositorySettings,
    },
    /// The image, in a repository where it is ours to push; resolved to a digest in any case.
    Image(ImageSpec),
    /// CloudWatch Logs group.
    LogGroup {
        /// Name.
        name: String,
        /// Retention in days, one of the values CloudWatch Logs allows.
        retention_days: u32,
    },
    /// IAM execution role with the managed ECS policy.
    ExecutionRole {
        /// Name.
        name: String,
    },
    /// ECS cluster with Container Insights explicitly on or off.
    Cluster {
        /// Name.
        name: String,
        /// Whether the Spot capacity provider must be attached.
        spot: bool,
        /// Whether Container Insights is switched on; if not, it is switched off: an account's default may be on.
        #[serde(default)]
        insights: bool,
    },
    /// Security group.
    SecurityGroup {
        /// Name.
        name: String,
        /// VPC id.
        vpc: String,
        /// What is open.
        ingress: Vec<Ingress>,
    },
    /// ECS task definition.
    TaskDefinition(TaskDefinitionSpec),
    /// One ECS task.
    Task(TaskSpec),
    /// ECS service.
    Service {
        /// Name.
        name: String,
        /// How many tasks.
        desired: u32,
        /// How each is run; its token is the service's clientToken.
        task: TaskSpec,
    },
    /// IAM role that schedules act as: it may remove what bears this session's tag, and nothing else.
    SchedulerRole {
        /// Name.
        name: String,
        /// The only schedule group that may take it on.
        group: String,
        /// Name of the cluster whose tasks it may stop.
        cluster: String,
    },
    /// EventBridge Scheduler group.
    ScheduleGroup {
        /// Name.
        name: String,
    },
}

impl Spec {
    /// A repository with ECR's own defaults.
    #[must_use]
    pub fn repository(name: impl Into<String>) -> Self {
        Spec::Repository { name: name.into(), settings: RepositorySettings::default() }
    }
}

/// A task definition: awsvpc, Fargate, image pinned by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinitionSpec {
    /// Family name.
    pub family: String,
    /// CPU, memory, storage, architecture.
    pub size: TaskSize,
    /// Image reference with its digest.
    pub image: String,
    /// Container name.
    pub container: String,
    /// Ports of the container.
    pub ports: Vec<u16>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Replaces the image's command, where not empty.
    pub command: Vec<String>,
    /// Execution role ARN.
    pub execution_role: Option<String>,
    /// Task role ARN.
    pub task_role: Option<String>,
    /// Log group name, with the region it is in.
    pub log_group: Option<String>,
    /// Time between SIGTERM and SIGKILL: 2 to 120 s (aws-facts §1.6).
    pub stop_timeout: Span,
    /// The guard beside the application, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<SentinelContainer>,
}

/// The guard's container: essential, so that its end is the task's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentinelContainer {
    /// Image reference with its digest.
    pub image: String,
    /// Replaces the image's entry point and command, where not empty.
    pub command: Vec<String>,
    /// The port that it answers on, if it does.
    pub port: Option<u16>,
    /// What ECS asks inside it whether it is healthy, as a health check's command is written; empty: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub healthy: Vec<String>,
}

/// What one task's guard is told, as environment variables over the container's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentinelOrders {
    /// Name and value.
    pub environment: Vec<(String, String)>,
}

/// How a task is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Cluster name.
    pub cluster: String,
    /// Task definition ARN or `family:revision`.
    pub task_definition: String,
    /// Subnet ids, the preferred one first.
    pub subnets: Vec<String>,
    /// Security group ids.
    pub security_groups: Vec<String>,
    /// Stable clientToken (at most 64 characters; aws-facts §1.4).
    pub token: String,
    /// Fargate Spot.
    pub spot: bool,
    /// Whether it gets a public address.
    pub public_ip: bool,
    /// CPU, memory, storage, architecture: what it will be billed by.
    pub size: TaskSize,
    /// What its guard is told, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<SentinelOrders>,
}

/// What to take away. The executor checks the tag on a fresh read before it deletes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Its name.
    pub name: String,
    /// ARN or id, where known.
    pub id: Option<String>,
    /// The cluster it lives in (tasks, services).
    pub cluster: Option<String>,
    /// The VPC it lives in (security groups of which only the name is known).
    pub vpc: Option<String>,
    /// For people, shown as ECS's `stoppedReason` (tasks): `labguard: idle timeout`.
    pub reason: String,
    /// The tag that marks an image as this session's push, in a repository that was there before (images).
    pub mark: Option<String>,
    /// Its public address, where known: an interface keeps it, so it is not asked for again (tasks).
    pub address: Option<String>,
}

/// The network that tasks run in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// VPC id.
    pub vpc: String,
    /// Usable subnets, with a spread of zones.
    pub subnets: Vec<Subnet>,
}

/// A usable subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// `subnet-…`.
    pub id: String,
    /// Zone name, such as `us-east-1a`.
    pub zone: String,
}
