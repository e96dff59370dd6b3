//! What to do next, as data.

use serde::{Deserialize, Serialize};

use super::{
    event::{Event, LimitKind},
    money::Money,
    net::Arming,
    phase::Cause,
    resource::ResourceKey,
    spec::{Admission, Removal, Spec},
    time::{Span, Timestamp},
};

/// One effect on the cloud. The steps of a plan do not depend on each other and run side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Ask who we are.
    Identify,
    /// Find the network to run in.
    Survey {
        /// A given VPC, else the default one.
        vpc: Option<String>,
        /// Given subnets, else those of the VPC.
        subnets: Vec<String>,
    },
    /// Make it, or find that it is there.
    Ensure {
        /// Which.
        key: ResourceKey,
        /// What it shall be.
        spec: Spec,
        /// Whether one that was there before may be used (and is then left standing).
        adopt: bool,
    },
    /// Stop a task; it is proven stopped by later looks.
    StopTask {
        /// Which.
        key: ResourceKey,
        /// How to find it.
        removal: Removal,
    },
    /// Set schedules in the session's group, or move them.
    Arm {
        /// The group.
        key: ResourceKey,
        /// What to set.
        arming: Arming,
    },
    /// Open and close rules of its own security group.
    Admit {
        /// The group.
        key: ResourceKey,
        /// What to open and close.
        admission: Admission,
    },
    /// Take it away, after checking that it is ours.
    Remove {
        /// Which.
        key: ResourceKey,
        /// How to find it.
        removal: Removal,
    },
}

impl Step {
    /// Which resource it is about, if any.
    #[must_use]
    pub const fn key(&self) -> Option<ResourceKey> {
        match self {
            Step::Identify | Step::Survey { .. } => None,
            Step::Ensure { key, .. }
            | Step::StopTask { key, .. }
            | Step::Arm { key, .. }
            | Step::Admit { key, .. }
            | Step::Remove { key, .. } => Some(*key),
        }
    }

    /// Whether it makes something: needs a durable intent first, always.
    #[must_use]
    pub const fn creates(&self) -> bool {
        matches!(self, Step::Ensure { .. } | Step::Arm { .. } | Step::Admit { .. })
    }

    /// Whether it makes or sets something of the net outside the task: the session goes on without it for a while.
    #[must_use]
    pub const fn makes_net(&self) -> bool {
        match self {
            Step::Arm { .. } => true,
            Step::Ensure { key, .. } => key.kind.is_net(),
            _ => false,
        }
    }
}

/// What probes and activity sources should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Which task.
    pub task: ResourceKey,
    /// Its public address, without port.
    pub ip: String,
    /// Whether it runs. Before, nothing but its guard is talked to.
    #[serde(default = "runs")]
    pub runs: bool,
}

const fn runs() -> bool {
    true
}

impl Watch {
    /// Whether it is the same task, however far that has come.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.task, &self.ip) == (other.task, &other.ip)
    }
}

/// One limit, and when it will be reached if nothing changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Which.
    pub kind: LimitKind,
    /// What will end the session then.
    pub cause: Cause,
    /// When, if nothing changes.
    pub at: Timestamp,
    /// The rule and its figures, for people: `idle for 12m of 20m`.
    pub why: String,
    /// What would move it: `a request to the application, or labguard touch`.
    pub moved_by: String,
    /// What will have been spent by then, if what costs now goes on costing.
    #[serde(default)]
    pub spend: Money,
}

/// What will have been spent by when, if nothing ends the session before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Forecast {
    /// The end of this hour (UTC), and the spend by then.
    pub hour: (Timestamp, Money),
    /// The end of this day (UTC), and the spend by then.
    pub day: (Timestamp, Money),
}

/// What lies ahead of a session.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outlook {
    /// Every limit that is set, soonest first.
    pub limits: Vec<Limit>,
    /// Spend so far.
    pub spend: Money,
    /// Spend per hour now.
    pub rate: Money,
    /// What teardown will still cost.
    pub teardown_cost: Money,
    /// The budget with its extensions.
    pub budget: Money,
    /// What will have been spent by when.
    #[serde(default)]
    pub forecast: Forecast,
    /// By when something in the cloud must have stopped its tasks for lifetime and budget to hold without labguard;
    /// absent once it is being torn down.
    #[serde(default)]
    pub deadline: Option<Timestamp>,
    /// When the net outside the task acts first, as its schedules are set.
    #[serde(default)]
    pub net_acts_at: Option<Timestamp>,
    /// What a sentinel is told while all is well.
    #[serde(default)]
    pub sentinel: Option<SentinelLease>,
    /// When its sentinel ends its task, unless labguard says otherwise before.
    #[serde(default)]
    pub sentinel_acts: Option<Timestamp>,
    /// How long it has been idle, where that is known.
    pub idle: Option<Span>,
    /// When what could not be removed or stopped is tried again, the first of it.
    #[serde(default)]
    pub next_try: Option<Timestamp>,
}

/// What a sentinel is told while all is well: live on until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentinelLease {
    /// Not beyond this instant: the session's limits of now.
    pub until: Timestamp,
    /// End after so long without use, if the policy leaves that to the sentinel.
    pub idle: Option<Span>,
}

/// What to do next. Notes are journalled first, then the steps run.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// To be journalled, in order, in one append.
    pub notes: Vec<Event>,
    /// To be done, side by side.
    pub steps: Vec<Step>,
    /// What to watch while nothing else happens.
    pub watch: Option<Watch>,
    /// Whether an image that is being supplied is still wanted; if not, its supply ends.
    #[serde(default)]
    pub supply: bool,
    /// When to look again even if nothing wakes us.
    pub wake_at: Option<Timestamp>,
    /// For status.
    pub outlook: Outlook,
}
