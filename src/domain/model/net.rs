//! The nets under a session: what ends its spend in the cloud when labguard is gone.

use serde::{Deserialize, Serialize};

use super::{resource::ResourceKey, time::Timestamp};

/// What the name of a role that labguard makes for its schedules ends in.
pub const FUSE_ROLE: &str = "-fuse";

/// What the reason begins with that a schedule gives for the stop of a task: so that who finds it stopped knows by whom.
pub const NET_STOPPED: &str = "labguard: the deadline of";

/// The names of the schedules that stop a task.
#[must_use]
pub fn stops_of(task: ResourceKey) -> [String; 2] {
    twice(&format!("task-{}-stop", task.number))
}

/// A schedule and its second try.
#[must_use]
pub fn twice(name: &str) -> [String; 2] {
    [name.to_owned(), format!("{name}-again")]
}

/// The schedule that deletes a service.
pub const SERVICE_DELETE: &str = "service-delete";

/// A net that ends the spend without labguard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Net {
    /// The guard inside the task: it ends the task.
    Sentinel,
    /// Schedules of EventBridge Scheduler: they stop the task, and remove what can be removed by one call.
    Scheduler,
}

impl Net {
    /// Every net, in the order in which they act.
    pub const ALL: [Net; 2] = [Net::Sentinel, Net::Scheduler];

    /// As the configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Net::Sentinel => "sentinel",
            Net::Scheduler => "scheduler",
        }
    }
}

/// Whether a net holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetState {
    /// Whether it would end the spend by itself now.
    pub holds: bool,
    /// What it does, or why it does not hold, for people.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
}

/// What one schedule calls: everything an executor needs. Each is one API call (aws-facts §6.1, §6.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum ScheduledCall {
    /// Stops a task.
    StopTask {
        /// Its cluster's name.
        cluster: String,
        /// Its ARN.
        task: String,
    },
    /// Deletes a service with its tasks.
    DeleteService {
        /// Its cluster's name.
        cluster: String,
        /// Its name.
        service: String,
    },
    /// Deletes a cluster; refused while anything runs in it.
    DeleteCluster {
        /// Its name.
        cluster: String,
    },
    /// Deletes a repository with its images.
    DeleteRepository {
        /// Its name.
        repository: String,
    },
    /// Deletes a security group; refused while an interface uses it.
    DeleteSecurityGroup {
        /// `sg-…`.
        group: String,
    },
    /// Deletes a log group with its data.
    DeleteLogGroup {
        /// Its name.
        log_group: String,
    },
}

/// One call at one instant, without labguard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// The schedule's name in the session's group.
    pub name: String,
    /// When it is due; the scheduler makes the call within the minute after (aws-facts §6.2).
    pub at: Timestamp,
    /// What is called.
    pub call: ScheduledCall,
    /// Whether a schedule of that name was set before: it is moved then, not made.
    pub known: bool,
}

/// Schedules to set, or to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arming {
    /// The group they are in.
    pub group: String,
    /// ARN of the role that they act as.
    pub role: String,
    /// The schedules.
    pub schedules: Vec<Scheduled>,
}
