//! What ends the spend in the cloud when labguard is gone: the nets that a session has, and those it must have.
//!
//! Guarantees: the default has no net and requires none, so that a policy of before reads as it was meant. Must never
//! hold a secret: the policy is journalled whole.

use serde::{Deserialize, Serialize};

use crate::domain::model::Span;

/// The guard inside the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sentinel {
    /// None.
    #[default]
    Off,
    /// labguard's own program, as a container of its own.
    Own,
    /// A shell of the application's own image that sleeps until the deadline.
    Shell,
}

impl Sentinel {
    /// Every choice, in the order of the configuration.
    pub const ALL: [Sentinel; 3] = [Sentinel::Off, Sentinel::Own, Sentinel::Shell];

    /// As the configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Sentinel::Off => "off",
            Sentinel::Own => "own",
            Sentinel::Shell => "shell",
        }
    }
}

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

/// The nets of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FusePolicy {
    /// The guard inside the task.
    pub sentinel: Sentinel,
    /// Where its program is on this machine; absent: beside labguard's own.
    pub sentinel_executable: Option<String>,
    /// How long the guard lets the task live without a word from labguard. 1 minute to 24 hours.
    pub lease: Span,
    /// The TCP port that it answers on.
    pub port: u16,
    /// Who may reach that port: IPv4 or IPv6 CIDR blocks. Empty: nobody.
    pub sources: Vec<String>,
    /// Whether it ends the task by itself after the idle timeout.
    pub end_idle: bool,
    /// Whether schedules outside the task end and remove what labguard would.
    pub scheduler: bool,
    /// A role for them to use; absent: labguard makes one.
    pub scheduler_role: Option<String>,
    /// The nets without which the session is refused.
    pub require: Vec<Net>,
}

impl Default for FusePolicy {
    fn default() -> Self {
        Self {
            sentinel: Sentinel::Off,
            sentinel_executable: None,
            lease: Span::from_mins(10),
            port: 9005,
            sources: Vec::new(),
            end_idle: false,
            scheduler: false,
            scheduler_role: None,
            require: Vec::new(),
        }
    }
}

impl FusePolicy {
    /// Whether a net is asked for.
    #[must_use]
    pub fn has(&self, net: Net) -> bool {
        match net {
            Net::Sentinel => self.sentinel != Sentinel::Off,
            Net::Scheduler => self.scheduler,
        }
    }

    /// Whether the session is refused without it.
    #[must_use]
    pub fn requires(&self, net: Net) -> bool {
        self.require.contains(&net)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_before_has_no_net_and_requires_none() {
        let fuse: FusePolicy = serde_json::from_str("{}").unwrap();
        assert_eq!(fuse, FusePolicy::default());
        assert!(!Net::ALL.into_iter().any(|net| fuse.has(net) || fuse.requires(net)));
        let some = FusePolicy { sentinel: Sentinel::Shell, scheduler: true, require: Net::ALL.to_vec(), ..fuse };
        let text = serde_json::to_string(&some).unwrap();
        assert_eq!(serde_json::from_str::<FusePolicy>(&text).unwrap(), some, "{text}");
        assert!(Net::ALL.into_iter().all(|net| some.has(net) && some.requires(net)));
    }
}
