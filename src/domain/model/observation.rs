//! What fresh looks at the world brought, for one decision.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    activity::SourceReading,
    apart::Apart,
    budget::BudgetReading,
    fault::Fault,
    observed::Observed,
    own_address::OwnAddress,
    renewal::RenewalReading,
    resource::ResourceKey,
    scan::ScanReading,
    task::TaskFacts,
    time::{Span, Timestamp},
};

/// What a fresh read showed of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// ARN, id or URI.
    pub id: String,
    /// Whether it bears this session's tag.
    pub ours: bool,
    /// What keeps it from being removed, by name (interfaces on a security group, tasks in a cluster).
    pub held_by: Vec<String>,
    /// Tasks: what AWS says of it.
    pub task: Option<TaskFacts>,
    /// When it was made, where AWS says so (clusters and security groups have no such time).
    #[serde(default)]
    pub made_at: Option<Timestamp>,
    /// Of a task: why its address could not be read. Of a service: why AWS could place no task of it.
    #[serde(default)]
    pub fault: Option<Fault>,
}

/// Reads of its tasks that fail, each in the same way: with what may pass, or with one class that does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Since when.
    pub since: Timestamp,
    /// The last of them.
    pub fault: Fault,
}

impl Unread {
    /// What may pass by itself is told once it has lasted for so long.
    const PATIENCE: Span = Span::from_mins(1);

    /// Those that go on with `fault`.
    #[must_use]
    pub fn after(before: Option<&Unread>, fault: Fault, now: Timestamp) -> Unread {
        let same = before.filter(|before| {
            let (was, is) = (before.fault.class, fault.class);
            was == is || was.may_pass() && is.may_pass()
        });
        Unread { since: same.map_or(now, |before| before.since), fault }
    }

    /// Whether a person must know of it.
    #[must_use]
    pub fn is_told(&self, now: Timestamp) -> bool {
        !self.fault.class.may_pass() || now.since(self.since) >= Self::PATIENCE
    }
}

/// One thing worth looking at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Want {
    /// One resource.
    Resource(ResourceKey),
    /// Every task of this session in its cluster, known to us or not.
    Tasks,
    /// The scan of its image.
    Scan,
}

/// What the probes make of the present task.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthReading {
    /// Which task the reading is of; a reading of another task counts as none.
    pub task: Option<ResourceKey>,
    /// Good answers in a row.
    pub good: u32,
    /// Bad answers (or none) in a row.
    pub bad: u32,
    /// When the last probe answered or failed.
    pub at: Option<Timestamp>,
    /// When the last good answer came.
    pub last_good: Option<Timestamp>,
    /// What the last probe said, for people.
    pub detail: String,
    /// How long the last probe took, in microseconds.
    pub latency_us: u64,
}

/// What is known of the credentials.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CredentialReading {
    /// When they expire, where it is known or given.
    pub expires_at: Option<Timestamp>,
    /// Whether AWS last answered that they are expired or invalid.
    pub refused: bool,
    /// Whether none were found when they were last looked for.
    #[serde(default)]
    pub missing: bool,
}

/// What labguard has at hand to put a sentinel into a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentinelMeans {
    /// The key by which the session's sentinel knows labguard: the public half, in hexadecimal digits.
    pub key: String,
    /// Path of the sentinel's program on this machine, where the policy names none.
    pub program: String,
}

/// What one turn of the loop sees.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Observation {
    /// Fresh reads; what is not in here was not looked at.
    pub sightings: BTreeMap<ResourceKey, Observed<Sighting>>,
    /// The scan of its image.
    #[serde(default)]
    pub scan: Observed<ScanReading>,
    /// Every task of this session that its cluster lists, live or recently stopped.
    pub tasks: Observed<Vec<TaskFacts>>,
    /// When `tasks` or the current task's sighting was last read, in this or an earlier turn.
    pub tasks_seen_at: Option<Timestamp>,
    /// When tasks were last asked for, answered or not, in this or an earlier turn.
    #[serde(default)]
    pub tasks_asked_at: Option<Timestamp>,
    /// The same of what refuses to be removed.
    #[serde(default)]
    pub blockers_asked_at: Option<Timestamp>,
    /// Why its tasks could not be read, or not all that is to know of them, where the last try failed.
    #[serde(default)]
    pub unread: Option<Unread>,
    /// When tasks were last asked for without an answer in good time: then we may be cut off from them, too.
    #[serde(default)]
    pub cut_off_at: Option<Timestamp>,
    /// Why AWS could place no task of its service, and when it was last seen to say so.
    #[serde(default)]
    pub unplaced: Option<(Timestamp, Fault)>,
    /// When the group of its schedules was last looked at, answered or not, in this or an earlier turn.
    #[serde(default)]
    pub net_looked_at: Option<Timestamp>,
    /// Probes.
    pub health: HealthReading,
    /// What each source of activity says; empty while nothing is watched.
    #[serde(default)]
    pub activity: Vec<SourceReading>,
    /// Credentials.
    pub credentials: CredentialReading,
    /// Whether the daemon is shutting down.
    pub draining: bool,
    /// How many live sessions share the account's allowance of reads, this one included.
    pub sharing: usize,
    /// How many of them are on their way up or down, this one included if it is.
    #[serde(default)]
    pub moving: usize,
    /// By how much the clock was set back since the last look, if it was.
    #[serde(default)]
    pub clock_set_back: Option<Span>,
    /// By how many milliseconds AWS's clock is ahead of ours (less than nothing: behind), where it is known.
    #[serde(default)]
    pub clock_ahead: Option<i64>,
    /// Whether the image is being supplied, beside the loop.
    #[serde(default)]
    pub supplying: bool,
    /// What a sentinel of this session is made of.
    #[serde(default)]
    pub sentinel: Option<SentinelMeans>,
    /// How the renewals of its sentinel's lease go.
    #[serde(default)]
    pub renewals: Option<RenewalReading>,
    /// The address that labguard calls from, where the policy asks for it.
    #[serde(default)]
    pub own_address: OwnAddress,
    /// The budgets that it shares with other sessions.
    #[serde(default)]
    pub budgets: Vec<BudgetReading>,
}

impl Observation {
    /// How far AWS's clock, which is the one inside the task, and ours are apart.
    #[must_use]
    pub fn apart(&self) -> Apart {
        Apart::by(self.clock_ahead)
    }

    /// What was seen of one resource; unknown when not looked at.
    #[must_use]
    pub fn of(&self, key: ResourceKey) -> &Observed<Sighting> {
        self.sightings.get(&key).unwrap_or(&Observed::Unknown)
    }
}
