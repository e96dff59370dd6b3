//! What ends the spend in the cloud when labguard is gone: the nets that a session has, and those it must have.
//!
//! Guarantees: what a policy of before does not say is no net, so that it reads as it was meant; what a configuration does
//! not say is `default.toml`'s. Must never hold a secret: the policy is journalled whole.

use serde::{Deserialize, Serialize};

pub use crate::domain::model::Net;
use crate::domain::model::{FUSE_ROLE, Span};

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

    /// How long before the end of its budget the session must end, so that the net outside could still do it in labguard's
    /// stead should labguard die at that very instant: schedules are set two minutes ahead at the least, and come a minute
    /// late at the most (aws-facts §6).
    #[must_use]
    pub fn lead(&self) -> Span {
        if self.has(Net::Scheduler) { Span::from_mins(3) } else { Span::ZERO }
    }

    /// Whether the session is refused without it.
    #[must_use]
    pub fn requires(&self, net: Net) -> bool {
        self.require.contains(&net)
    }
}

/// Name of the session's schedule group.
#[must_use]
pub fn group_name(session: &str) -> String {
    format!("labguard-{session}")
}

/// Name of the role that labguard makes for its schedules.
#[must_use]
pub fn role_name(session: &str) -> String {
    format!("labguard-{session}{FUSE_ROLE}")
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
