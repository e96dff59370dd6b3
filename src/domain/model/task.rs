//! What AWS says of one task.

use serde::{Deserialize, Serialize};

use super::{
    sentinel::{self, End},
    time::{Span, Timestamp},
};

/// The task life cycle (aws-facts §1.5). Unknown states are transitional.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskStatus {
    /// Its network interface is being made.
    Provisioning,
    /// Waiting for the agent.
    Pending,
    /// Pulling the image.
    Activating,
    /// Running.
    Running,
    /// Winding down.
    Deactivating,
    /// Containers are being stopped.
    Stopping,
    /// Its network interface is being deleted.
    Deprovisioning,
    /// Over.
    Stopped,
    /// A state this version does not know: treated as transitional.
    Other,
}

impl TaskStatus {
    /// From ECS's `lastStatus`.
    #[must_use]
    pub fn from_ecs(text: &str) -> Self {
        match text {
            "PROVISIONING" => Self::Provisioning,
            "PENDING" => Self::Pending,
            "ACTIVATING" => Self::Activating,
            "RUNNING" => Self::Running,
            "DEACTIVATING" => Self::Deactivating,
            "STOPPING" => Self::Stopping,
            "DEPROVISIONING" => Self::Deprovisioning,
            "STOPPED" | "DELETED" => Self::Stopped,
            _ => Self::Other,
        }
    }
}

/// What is known of a task. Times are AWS's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFacts {
    /// `arn:aws:ecs:R:A:task/CLUSTER/ID`.
    pub arn: String,
    /// Where it is in its life cycle.
    pub status: TaskStatus,
    /// Whether ECS still wants it to run.
    pub wanted: bool,
    /// When it was accepted.
    pub created_at: Option<Timestamp>,
    /// When the image pull began: billing begins here (aws-facts §2.3).
    pub pull_started_at: Option<Timestamp>,
    /// When it reached RUNNING.
    pub started_at: Option<Timestamp>,
    /// When it reached STOPPED: billing ends here at the latest.
    pub stopped_at: Option<Timestamp>,
    /// ECS's `stopCode`.
    pub stop_code: Option<String>,
    /// ECS's `stoppedReason`.
    pub stopped_reason: Option<String>,
    /// The application container's exit code.
    pub exit_code: Option<i32>,
    /// The application container's `reason`.
    pub container_reason: Option<String>,
    /// Its network interface.
    pub eni: Option<String>,
    /// Its public IPv4 address.
    pub public_ip: Option<String>,
    /// Its sentinel's exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel_exit: Option<i32>,
    /// The hard end that its sentinel was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel_deadline: Option<Timestamp>,
    /// The lease that its sentinel was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel_lease: Option<Span>,
}

impl TaskFacts {
    /// The latest instant that AWS speaks of.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        let times = [self.created_at, self.pull_started_at, self.started_at, self.stopped_at];
        times.into_iter().flatten().max().unwrap_or_default()
    }

    /// A task of which only the ARN is known.
    #[must_use]
    pub fn new(arn: impl Into<String>) -> Self {
        Self {
            arn: arn.into(),
            status: TaskStatus::Provisioning,
            wanted: true,
            created_at: None,
            pull_started_at: None,
            started_at: None,
            stopped_at: None,
            stop_code: None,
            stopped_reason: None,
            exit_code: None,
            container_reason: None,
            eni: None,
            public_ip: None,
            sentinel_exit: None,
            sentinel_deadline: None,
            sentinel_lease: None,
        }
    }

    /// Whether it is over.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.status, TaskStatus::Stopped)
    }

    /// Whether it is on its way out, though not over.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        !self.wanted
            || matches!(
                self.status,
                TaskStatus::Deactivating | TaskStatus::Stopping | TaskStatus::Deprovisioning | TaskStatus::Stopped
            )
    }

    /// Why it stopped, told apart (aws-facts §1.5).
    #[must_use]
    pub fn loss(&self) -> TaskLoss {
        let reason = self.stopped_reason.as_deref().unwrap_or_default();
        let detail = self.container_reason.as_deref().unwrap_or_default();
        let says = |text: &str| reason.contains(text) || detail.contains(text);
        match self.stop_code.as_deref() {
            _ if says("CannotPullContainer") || says("unable to pull") => TaskLoss::ImagePull,
            _ if says("OutOfMemory") => TaskLoss::OutOfMemory,
            Some("SpotInterruption") => TaskLoss::Spot,
            Some("TerminationNotice") => TaskLoss::Retired,
            Some("InfrastructureHealth") => TaskLoss::Infrastructure,
            Some("UserInitiated" | "ServiceSchedulerInitiated") => TaskLoss::Stopped,
            Some("EssentialContainerExited") => match self.sentinel_exit.and_then(End::of_code) {
                Some(End::Deadline) => TaskLoss::FusedByDeadline,
                Some(End::Lease) => TaskLoss::FusedByLease,
                Some(End::Idle) => TaskLoss::FusedByIdle,
                None if self.sentinel_exit == Some(sentinel::EXIT_ENDED.into()) || detail == OLD_SENTINEL_ENDED => {
                    TaskLoss::Fused
                }
                None => TaskLoss::Exited,
            },
            Some("TaskFailedToStart") => TaskLoss::FailedToStart,
            _ if says("Spot Task was interrupted") => TaskLoss::Spot,
            _ if says("Essential container") => TaskLoss::Exited,
            _ => TaskLoss::Unexplained,
        }
    }
}

/// The container's reason in journals of before, of a task whose sentinel exited by itself.
const OLD_SENTINEL_ENDED: &str =
    "its sentinel ended it: deadline, lease or idle time; the sentinel's last log line says which";

/// Why a task is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskLoss {
    /// Its essential container exited.
    Exited,
    /// Its sentinel ended it: one of before, whose exit code says no more.
    Fused,
    /// Its sentinel ended it: the hard end had come that it was given.
    FusedByDeadline,
    /// Its sentinel ended it: nobody renewed its lease.
    FusedByLease,
    /// Its sentinel ended it: nobody used it.
    FusedByIdle,
    /// Killed for using more memory than it has.
    OutOfMemory,
    /// The image cannot be pulled: a restart would not help.
    ImagePull,
    /// Failed before it ran, for another reason than the image.
    FailedToStart,
    /// AWS took the Spot capacity back.
    Spot,
    /// AWS retired the host.
    Retired,
    /// The host failed.
    Infrastructure,
    /// Somebody stopped it.
    Stopped,
    /// It vanished from DescribeTasks without a word.
    Unexplained,
}

impl TaskLoss {
    /// For people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            TaskLoss::Exited => "its container exited",
            TaskLoss::Fused => "its sentinel ended it",
            TaskLoss::FusedByDeadline => "its sentinel ended it at its deadline",
            TaskLoss::FusedByLease => "its sentinel ended it, whose lease nobody renewed",
            TaskLoss::FusedByIdle => "its sentinel ended it for idleness",
            TaskLoss::OutOfMemory => "it ran out of memory",
            TaskLoss::ImagePull => "its image could not be pulled",
            TaskLoss::FailedToStart => "it failed to start",
            TaskLoss::Spot => "AWS took its Spot capacity back",
            TaskLoss::Retired => "AWS retired its host",
            TaskLoss::Infrastructure => "its host failed",
            TaskLoss::Stopped => "somebody outside labguard stopped it",
            TaskLoss::Unexplained => "it vanished without a reason given",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_before_are_read_and_say_as_little_as_they_did() {
        let mut old = serde_json::to_value(TaskFacts::new("arn:1")).unwrap();
        assert!(["exit", "deadline", "lease"].iter().all(|name| old.get(format!("sentinel_{name}")).is_none()));
        old["stop_code"] = "EssentialContainerExited".into();
        old["container_reason"] = OLD_SENTINEL_ENDED.into();
        let old: TaskFacts = serde_json::from_value(old).unwrap();
        assert_eq!(old.loss(), TaskLoss::Fused);
        assert_eq!(serde_json::from_str::<TaskLoss>("\"fused\"").unwrap(), TaskLoss::Fused);
    }
}
