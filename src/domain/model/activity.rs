//! Signs of use as each source tells them: who says so, how much that is worth, and how late its news may be.
//!
//! Guarantee: what is not known is [`Sign::Unknown`], with since when and why; it is neither use nor the lack of it.
//! Heartbeats and leases are journalled and come through the record, not through here.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::{Span, Timestamp};

/// Where a sign of use comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The guard inside the task: connections that it counted itself.
    Sentinel,
    /// The application's own request counter.
    Requests,
    /// The application's gauge of requests under way.
    InFlight,
    /// A command of the operator's.
    Command,
    /// An address of the operator's.
    Url,
    /// Lines in the session's log group.
    Logs,
    /// Container Insights: the task's network and CPU, by CloudWatch.
    Insights,
    /// A load balancer's count of requests, by CloudWatch.
    LoadBalancer,
}

/// What a source's word is worth, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// It counts requests or connections themselves.
    Counted,
    /// Somebody says so.
    Told,
    /// It follows from something else.
    Inferred,
}

impl Source {
    /// Every source.
    pub const ALL: [Source; 8] = [
        Source::Sentinel,
        Source::Requests,
        Source::InFlight,
        Source::Command,
        Source::Url,
        Source::Logs,
        Source::Insights,
        Source::LoadBalancer,
    ];

    /// As events, status and configuration write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Source::Sentinel => "sentinel",
            Source::Requests => "requests",
            Source::InFlight => "in_flight",
            Source::Command => "command",
            Source::Url => "url",
            Source::Logs => "logs",
            Source::Insights => "insights",
            Source::LoadBalancer => "load_balancer",
        }
    }

    /// What its word is worth.
    #[must_use]
    pub const fn trust(self) -> Trust {
        match self {
            Source::Sentinel | Source::Requests | Source::InFlight => Trust::Counted,
            Source::Command | Source::Url => Trust::Told,
            // A load balancer counts requests, but neither whose nor for what: scanners' are among them.
            Source::Logs | Source::Insights | Source::LoadBalancer => Trust::Inferred,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one source says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "sign", rename_all = "snake_case")]
pub enum Sign {
    /// It is used.
    Active {
        /// Since when without a pause that the source saw.
        since: Timestamp,
        /// The latest use.
        last: Timestamp,
        /// What it was.
        what: String,
    },
    /// No use since then: the last use, or the moment from which it has been watched.
    Quiet {
        /// Since when.
        since: Timestamp,
    },
    /// It cannot be asked, or gives no answer that makes sense.
    Unknown {
        /// Since when: the last moment at which it was known.
        since: Timestamp,
        /// Why.
        why: String,
    },
}

/// A source's present reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReading {
    /// Whose.
    pub source: Source,
    /// What it says.
    #[serde(flatten)]
    pub sign: Sign,
    /// When it was read.
    pub read_at: Timestamp,
    /// How late its news may be: what it says at a time is complete only up to that long before.
    pub latency: Span,
    /// Time between reads.
    pub interval: Span,
}

impl SourceReading {
    /// Until when all use would be known.
    #[must_use]
    pub fn complete_until(&self) -> Timestamp {
        self.read_at - self.latency
    }

    /// How late a use is known at worst: it happens just after a read, and its news is as late as can be.
    #[must_use]
    pub fn lag(&self) -> Span {
        self.latency + self.interval
    }
}
