//! The record: what the journal's events add up to.
//!
//! A value that remembers, and answers what one look at it tells. [`Record::apply`] is how it comes to be.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

pub use super::wishes::{Desired, Extensions, Lease};
use super::{
    event::{Billed, Blocker, Event, LimitKind},
    fault::Fault,
    id::{Identity, SessionId},
    money::Money,
    net::{Net, NetState},
    phase::{Cause, Phase, Stage},
    price::{Accounting, RateCard},
    resource::{Resource, ResourceKey, ResourceKind},
    scan::ScanVerdict,
    spec::{Ingress, Network},
    task::TaskLoss,
    time::{Span, Timestamp},
};

/// Why and how a session ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Why.
    pub cause: Cause,
    /// The figures behind it, for people.
    pub detail: String,
    /// How far.
    pub stage: Stage,
    /// Since when.
    pub at: Timestamp,
}

/// The last sign of use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastActivity {
    /// When.
    pub at: Timestamp,
    /// From which source.
    pub source: String,
    /// What it was.
    pub what: String,
}

/// What was made of the scan of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// Which image.
    pub digest: String,
    /// What was made of it.
    pub verdict: ScanVerdict,
    /// The figures behind it, for people.
    pub detail: String,
}

/// labguard's own use of AWS for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Metered {
    /// PutMetricData calls made for it.
    pub put_metric_calls: u64,
    /// Custom-metric hours published for it.
    pub metric_hours: u64,
    /// Metrics asked for with GetMetricData for it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub metrics_read: u64,
    /// Schedules set for it: each is one invocation, should it ever be due.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub schedules: u64,
}

/// One session, as the journal knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: SessionId,
    /// Its policy's name.
    pub name: String,
    /// Who it belongs to.
    pub owner: String,
    /// The policy as journalled.
    pub policy: serde_json::Value,
    /// The worst-case overshoot stated before the start.
    pub overshoot: Money,
    /// When it was accepted.
    pub opened_at: Timestamp,
    /// Who we are, once known.
    pub identity: Option<Identity>,
    /// Where tasks run, once known.
    pub network: Option<Network>,
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub phase_since: Timestamp,
    /// Why it is in this phase, for people.
    pub phase_because: String,
    /// Why it ends, once it does.
    pub ending: Option<Ending>,
    /// What was asked for.
    pub desired: Desired,
    /// By how much soft limits were moved.
    pub extensions: Extensions,
    /// Every resource ever intended.
    pub resources: BTreeMap<ResourceKey, Resource>,
    /// Failures of questions (identity, network) in a row, with the last.
    pub question_failures: u32,
    /// The last failure of a question.
    pub question_fault: Option<(Timestamp, Fault)>,
    /// Healthy or not, since when, and what the probe said; none before the first verdict of a task.
    pub health: Option<(bool, Timestamp, String)>,
    /// What was made of its image's scan, where there was one.
    #[serde(default)]
    pub scan: Option<Scan>,
    /// When it was first healthy.
    pub first_healthy_at: Option<Timestamp>,
    /// The announced address of the present task.
    pub url: Option<String>,
    /// The last sign of use.
    pub last_activity: Option<LastActivity>,
    /// Leases that are open, by their id; one that has lapsed may still be here.
    #[serde(default)]
    pub leases: BTreeMap<String, Lease>,
    /// Restarts so far, and when the last was decided.
    pub restarts: u32,
    /// Those since a task was last healthy for long.
    #[serde(default)]
    pub restarts_in_a_row: u32,
    /// When the last restart was decided.
    pub restarted_at: Option<Timestamp>,
    /// When a stopped session was last resumed.
    #[serde(default)]
    pub resumed_at: Option<Timestamp>,
    /// The last task lost, and why.
    pub last_loss: Option<(ResourceKey, TaskLoss, String)>,
    /// Warnings given, with the time they warned of.
    pub warned: BTreeSet<(LimitKind, Span, Timestamp)>,
    /// Clean verification passes in a row.
    pub clean_passes: u32,
    /// When the last verification pass was.
    pub verified_at: Option<Timestamp>,
    /// What blocks the end, if anything.
    pub blockers: Vec<Blocker>,
    /// Its group, for budgets and totals; empty: none.
    #[serde(default)]
    pub group: String,
    /// Whether its tasks may have a public address, by the policy it was opened with.
    #[serde(default)]
    pub public_ip: bool,
    /// How its use is counted, by the policy it was opened with.
    #[serde(default)]
    pub accounting: Accounting,
    /// The prices it is billed by, each card from an instant on.
    #[serde(default)]
    pub prices: Vec<(Timestamp, Arc<RateCard>)>,
    /// labguard's own use of AWS for it, by the beginning of the quarter of an hour in which it was journalled.
    #[serde(default)]
    pub metered: BTreeMap<Timestamp, Metered>,
    /// The latest instant it was heard of at.
    #[serde(default)]
    pub heard_at: Timestamp,
    /// By how much the clock was set back since it was opened: what went by unseen is billed all the same.
    #[serde(default)]
    pub set_back: Span,
    /// How far the clock was set back since it was opened, in all.
    #[serde(default)]
    pub clock_moved_back: Span,
    /// When it last was.
    #[serde(default)]
    pub set_back_at: Option<Timestamp>,
    /// The schedules that act without labguard, by name, with their instants.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schedules: BTreeMap<String, Timestamp>,
    /// What is open of its own security group, as labguard last opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted: Option<Vec<Ingress>>,
    /// What is known of its nets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nets: BTreeMap<Net, NetState>,
    /// AWS's own account of it, where it was asked for after the end.
    #[serde(default)]
    pub billed: Option<Billed>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// The receipt.
    pub receipt: Option<serde_json::Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How its use is counted, of a policy as journalled.
fn accounting(policy: &serde_json::Value) -> Accounting {
    policy.get("accounting").and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
}

impl Record {
    /// A session's first event makes its record; any other event cannot.
    #[must_use]
    pub fn open(id: SessionId, at: Timestamp, event: &Event) -> Option<Record> {
        let Event::Opened { name, owner, group, policy, overshoot } = event else { return None };
        Some(Record {
            id,
            name: name.clone(),
            owner: owner.clone(),
            policy: policy.clone(),
            overshoot: *overshoot,
            opened_at: at,
            identity: None,
            network: None,
            phase: Phase::Pending,
            phase_since: at,
            phase_because: "accepted".to_owned(),
            ending: None,
            desired: Desired::default(),
            extensions: Extensions::default(),
            resources: BTreeMap::new(),
            question_failures: 0,
            question_fault: None,
            health: None,
            scan: None,
            first_healthy_at: None,
            url: None,
            last_activity: None,
            leases: BTreeMap::new(),
            restarts: 0,
            restarts_in_a_row: 0,
            restarted_at: None,
            resumed_at: None,
            last_loss: None,
            warned: BTreeSet::new(),
            clean_passes: 0,
            verified_at: None,
            blockers: Vec::new(),
            group: group.clone(),
            public_ip: policy.pointer("/network/public_ip").and_then(serde_json::Value::as_bool).unwrap_or(true),
            accounting: accounting(policy),
            prices: Vec::new(),
            metered: BTreeMap::new(),
            heard_at: at,
            set_back: Span::ZERO,
            clock_moved_back: Span::ZERO,
            set_back_at: None,
            schedules: BTreeMap::new(),
            admitted: None,
            nets: BTreeMap::new(),
            billed: None,
            closed_at: None,
            receipt: None,
        })
    }

    /// The resource of a kind of which there is one.
    #[must_use]
    pub fn only(&self, kind: ResourceKind) -> Option<&Resource> {
        self.resources.get(&ResourceKey::only(kind))
    }

    /// Every task ever known, oldest first.
    pub fn tasks(&self) -> impl DoubleEndedIterator<Item = (ResourceKey, &Resource)> {
        self.resources.iter().filter(|(key, _)| key.kind == ResourceKind::Task).map(|(key, task)| (*key, task))
    }

    /// The newest task that may exist.
    #[must_use]
    pub fn current_task(&self) -> Option<(ResourceKey, &Resource)> {
        self.tasks().rfind(|(_, task)| task.life.may_exist())
    }

    /// The number for the next task.
    #[must_use]
    pub fn next_task(&self) -> ResourceKey {
        ResourceKey::task(self.tasks().map(|(key, _)| key.number).max().unwrap_or(0) + 1)
    }

    /// What may exist in the cloud and is ours to remove.
    pub fn ours_left(&self) -> impl Iterator<Item = (ResourceKey, &Resource)> {
        self.resources
            .iter()
            .filter(|(_, resource)| resource.ours && resource.life.may_exist())
            .map(|(key, resource)| (*key, resource))
    }

    /// What nobody answered for: it may exist, and the end did not wait for it.
    pub fn unproven(&self) -> impl Iterator<Item = &str> {
        self.resources.values().filter_map(|resource| resource.unproven.as_deref())
    }

    /// When it was opened, by the clock as it is now: what it was set back by since lengthens no life.
    #[must_use]
    pub fn lives_from(&self) -> Timestamp {
        self.opened_at - self.clock_moved_back
    }

    /// Whether the session is over and its receipt written.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed_at.is_some()
    }
}
