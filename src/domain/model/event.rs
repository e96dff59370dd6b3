//! What the journal holds: one thing that was meant, done, seen or asked.
//!
//! Events are append-only and never rewritten; fields may be added with a serde default, never removed
//! or given another meaning (old journals replay through new code).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    fault::Fault,
    id::{Identity, SessionId},
    money::Money,
    net::Net,
    phase::{Cause, Phase, Stage},
    price::RateCard,
    resource::{Action, Effect, ResourceKey},
    scan::ScanVerdict,
    size::TaskSize,
    spec::{Ingress, Network},
    task::{TaskFacts, TaskLoss},
    time::{Span, Timestamp},
};

/// What an operator (or program) asked of a session; made durable, then acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// End it now.
    End {
        /// Why, in the asker's words.
        reason: String,
    },
    /// Stop its tasks and keep the rest.
    Stop {
        /// Why, in the asker's words.
        reason: String,
    },
    /// Run its task again after a stop.
    Resume,
    /// A sign of use (heartbeat).
    Touch {
        /// Who or what.
        by: String,
    },
    /// Opens or renews a lease: it is in use until the lease lapses or is released.
    Lease {
        /// The lease's id, chosen by its holder.
        lease: String,
        /// Who or what holds it.
        by: String,
        /// For how long it is good from now.
        ttl: Span,
    },
    /// Gives a lease back: it was in use until now.
    Release {
        /// The lease's id.
        lease: String,
    },
    /// Move a soft limit within its hard one.
    Extend(Extension),
}

/// Which limit, and by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "limit", rename_all = "snake_case")]
pub enum Extension {
    /// More time before the lifetime limit. A fixed end time and the cron window are hard: nothing moves them.
    Lifetime {
        /// How much more.
        by: Span,
    },
    /// More money.
    Budget {
        /// How much more.
        by: Money,
    },
    /// Not idle before then, counted from now.
    Idle {
        /// For how long.
        by: Span,
    },
}

/// Which limit of a session (in warnings, forecasts and metrics).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Idle timeout.
    Idle,
    /// Money.
    Budget,
    /// Lifetime.
    Lifetime,
    /// Fixed end time.
    EndTime,
    /// Cron window.
    Hours,
    /// Start grace (never healthy).
    StartGrace,
    /// Credentials.
    Credentials,
    /// End of the time a stopped session is kept.
    Keep,
    /// Money of a budget that several sessions share.
    SharedBudget,
    /// A lease of its task's sentinel that cannot be renewed.
    SentinelLease,
    /// A schedule outside the task that cannot be moved.
    Net,
}

impl LimitKind {
    /// For people and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            LimitKind::Idle => "idle",
            LimitKind::Budget => "budget",
            LimitKind::Lifetime => "lifetime",
            LimitKind::EndTime => "end_time",
            LimitKind::Hours => "hours",
            LimitKind::StartGrace => "start_grace",
            LimitKind::Credentials => "credentials",
            LimitKind::Keep => "keep",
            LimitKind::SharedBudget => "shared_budget",
            LimitKind::SentinelLease => "sentinel_lease",
            LimitKind::Net => "net",
        }
    }
}

/// Something that stands in the way of an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// Which resource.
    pub key: ResourceKey,
    /// Its name.
    pub name: String,
    /// What keeps it, in a person's words.
    pub why: String,
    /// What holds it, as it was last seen: interfaces of a security group, tasks of a cluster. Empty where nothing is known to.
    #[serde(default)]
    pub held_by: Vec<String>,
    /// What it costs per hour while it stays.
    pub cost_per_hour: Money,
}

/// What AWS says a session cost (Cost Explorer by tag; aws-facts §6.5). For comparison only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Billed {
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The first day of the account, `YYYY-MM-DD` (UTC).
    pub from: String,
    /// The day after the last, `YYYY-MM-DD` (UTC).
    pub until: String,
    /// By AWS's usage type.
    pub lines: Vec<(String, Money)>,
    /// Their sum.
    pub total: Money,
    /// Whether AWS still calls it an estimate.
    pub estimated: bool,
}

/// One journalled fact about one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The session was accepted.
    Opened {
        /// Its policy's name.
        name: String,
        /// Who it belongs to.
        owner: String,
        /// Its group, for budgets and totals.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        group: String,
        /// The whole policy as it stood, so that a restart needs no file.
        policy: serde_json::Value,
        /// The worst-case overshoot stated before the start.
        overshoot: Money,
    },
    /// A reload changed the policy of a live session.
    PolicyChanged {
        /// The whole new policy.
        policy: serde_json::Value,
    },
    /// Who we are.
    Identified {
        /// The identity.
        identity: Identity,
    },
    /// Where tasks will run.
    Surveyed {
        /// The network.
        network: Network,
    },
    /// A phase began.
    Entered {
        /// The phase.
        phase: Phase,
        /// Why, for people.
        because: String,
    },
    /// An effect is about to be asked of the cloud.
    Intended {
        /// On what.
        key: ResourceKey,
        /// What.
        action: Action,
        /// The resource's name (or a task's clientToken).
        name: String,
        /// What it will be billed by (tasks).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<TaskSize>,
    },
    /// The effect's outcome is known.
    Done {
        /// On what.
        key: ResourceKey,
        /// What was meant.
        action: Action,
        /// What it did.
        effect: Effect,
        /// ARN, id or pinned URI, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// The effect failed; it may be tried again.
    Failed {
        /// On what; absent for questions (identity, network).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<ResourceKey>,
        /// What was meant.
        action: Action,
        /// How.
        fault: Fault,
    },
    /// A fresh read proved that it is not there.
    Vanished {
        /// What.
        key: ResourceKey,
    },
    /// It was asked for, nobody ever answered, and the session's end waits for that no longer: it may exist.
    Unproven {
        /// What.
        key: ResourceKey,
        /// What may be left, what it costs, and what removes it, for people.
        why: String,
    },
    /// AWS says something new of a task (also how tasks that we did not know are taken into the record).
    TaskSeen {
        /// Which.
        key: ResourceKey,
        /// What it says.
        facts: TaskFacts,
        /// What it is billed by.
        size: TaskSize,
    },
    /// A task was lost without our doing.
    TaskLost {
        /// Which.
        key: ResourceKey,
        /// Why.
        loss: TaskLoss,
        /// AWS's own words.
        detail: String,
    },
    /// Another task will be run in place of a lost or unhealthy one.
    Restarting {
        /// How many restarts this makes.
        restart: u32,
        /// Why.
        because: String,
    },
    /// Health changed.
    Health {
        /// Whether it is healthy now.
        healthy: bool,
        /// What the probe said.
        detail: String,
    },
    /// The address was announced.
    Announced {
        /// `http://IP:5000`.
        url: String,
    },
    /// A sign of use. Journalled sparsely: at most once in a while.
    Active {
        /// When it was.
        last: Timestamp,
        /// From which source.
        source: String,
        /// What it was.
        what: String,
    },
    /// Somebody asked for something.
    Requested {
        /// What.
        request: Request,
    },
    /// The session shall end.
    Ending {
        /// Why.
        cause: Cause,
        /// The figures behind it, for people.
        detail: String,
        /// How far.
        stage: Stage,
    },
    /// A stopped session goes on.
    Resumed,
    /// A warning went out.
    Warned {
        /// Of which limit.
        limit: LimitKind,
        /// How long before it.
        lead: Span,
        /// When the limit will be reached.
        at: Timestamp,
    },
    /// A verification pass of fresh reads after teardown.
    Verified {
        /// What was still there, by name; empty for a clean pass.
        left: Vec<ResourceKey>,
    },
    /// A fresh read found a thing of ours that was believed gone: it must be removed (again).
    Reappeared {
        /// What.
        key: ResourceKey,
        /// ARN or id it was seen under.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// Something blocks the end.
    Blocked {
        /// What.
        blockers: Vec<Blocker>,
    },
    /// From now on it is billed by these prices: those of the items that it can use.
    Priced {
        /// The prices.
        card: Arc<RateCard>,
        /// The worst-case overshoot by them; a higher one replaces what was stated before.
        #[serde(default)]
        overshoot: Money,
    },
    /// How large a thing is that is billed by its size.
    Measured {
        /// What.
        key: ResourceKey,
        /// How large, as AWS stores it.
        bytes: u64,
    },
    /// What was made of the scan of an image.
    Scanned {
        /// Which image.
        digest: String,
        /// What was made of it.
        verdict: ScanVerdict,
        /// The figures behind it, for people.
        detail: String,
    },
    /// The clock was set back, or runs behind what was journalled: its time is counted on from where it was.
    ClockSetBack {
        /// By how much.
        by: Span,
    },
    /// labguard's own metered use of AWS: published metrics, and those that were read.
    Metered {
        /// PutMetricData calls since the last such event.
        put_metric_calls: u64,
        /// Custom-metric hours since the last such event.
        metric_hours: u64,
        /// Metrics asked for with GetMetricData since the last such event.
        #[serde(default, skip_serializing_if = "is_zero")]
        metrics_read: u64,
    },
    /// Schedules are set, or moved: they act without labguard.
    Scheduled {
        /// Name and instant of each.
        schedules: Vec<(String, Timestamp)>,
    },
    /// So much of the session's own security group is open now.
    Admitted {
        /// Its rules.
        ingress: Vec<Ingress>,
    },
    /// A net holds from now on, or does not.
    NetChanged {
        /// Which.
        net: Net,
        /// Whether it holds.
        holds: bool,
        /// What it does, or why it does not hold, for people.
        detail: String,
    },
    /// AWS's own account of the session, days later. Never used by the guard.
    Billed {
        /// What Cost Explorer says.
        billed: Billed,
    },
    /// The session is over; the receipt, as JSON.
    Closed {
        /// The closing account.
        receipt: serde_json::Value,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// An event with its place in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Place in the whole journal, from 1, without holes for a session's replay order.
    pub seq: u64,
    /// Which session.
    pub session: SessionId,
    /// When it was journalled.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}
