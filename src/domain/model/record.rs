//! The record: what the journal's events add up to.
//!
//! [`Record::apply`] is the one total function event × record → record, used for live writes and for
//! replay alike. It never fails and never looks at a clock: an event that makes no sense for the
//! present state changes nothing it cannot change, and the linter (`domain::decide::invariants`) says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    event::{Billed, Blocker, Event, Extension, LimitKind, Request},
    fault::Fault,
    id::{Identity, SessionId},
    money::Money,
    net::{Net, NetState},
    phase::{Cause, Phase, Stage},
    price::{Accounting, RateCard},
    resource::{Action, Askings, Effect, Life, Resource, ResourceKey, ResourceKind},
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

/// A program's word that it uses the session while it runs, good until it expires or is renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who or what holds it.
    pub by: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was last renewed.
    pub renewed_at: Timestamp,
    /// For how long each renewal is good.
    pub ttl: Span,
    /// When it lapses unless it is renewed.
    pub expires_at: Timestamp,
}

impl Lease {
    /// When it lapses at the latest, seen from `now`: a clock that was set back does not make it last longer.
    #[must_use]
    pub fn lapses(&self, now: Timestamp) -> Timestamp {
        self.expires_at.min(now + self.ttl)
    }
}

/// What has been asked for and not yet become an [`Ending`] or a resume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Desired {
    /// End, and why.
    pub end: Option<String>,
    /// Stop, and why.
    pub stop: Option<String>,
    /// Resume.
    pub resume: bool,
}

/// By how much soft limits were moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Extensions {
    /// More lifetime.
    pub lifetime: Span,
    /// More budget.
    pub budget: Money,
    /// Not idle before then.
    pub idle_until: Option<Timestamp>,
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

/// Milliseconds of a quarter of an hour: every time zone's midnight is at the end of one.
const QUARTER: i64 = 900_000;

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

    /// Whether the session is over and its receipt written.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed_at.is_some()
    }

    /// Takes one event in.
    pub fn apply(&mut self, at: Timestamp, event: &Event) {
        // What AWS says days after the end is no news of the session: its time stopped when it closed.
        if !matches!(event, Event::Billed { .. }) {
            self.heard_at = self.heard_at.max(at);
        }
        match event {
            Event::Opened { .. } => {}
            Event::PolicyChanged { policy } => self.policy = policy.clone(),
            Event::Identified { identity } => {
                self.identity = Some(identity.clone());
                self.question_answered();
            }
            Event::Surveyed { network } => {
                self.network = Some(network.clone());
                self.question_answered();
            }
            Event::Entered { phase, because } => {
                if self.phase != *phase {
                    self.phase_since = at;
                }
                self.phase = *phase;
                self.phase_because.clone_from(because);
            }
            Event::Intended { key, action, name, size } => self.intend(at, *key, *action, name, *size),
            Event::Done { key, action, effect, id } => self.done(at, *key, *action, *effect, id.as_deref()),
            Event::Failed { key: Some(key), action, fault } => {
                if let Some(resource) = self.resources.get_mut(key) {
                    if *action == Action::Create {
                        resource.count_refusal(fault);
                    }
                    resource.failures = resource.failures.saturating_add(1);
                    resource.last_fault = Some((at, fault.clone()));
                }
            }
            Event::Failed { key: None, fault, .. } => {
                self.question_failures = self.question_failures.saturating_add(1);
                self.question_fault = Some((at, fault.clone()));
            }
            Event::Vanished { key } => {
                if let Some(resource) = self.resources.get_mut(key) {
                    resource.end(at, self.set_back);
                }
            }
            Event::TaskSeen { key, facts, size } => {
                let set_back = self.set_back;
                let task = self.resources.entry(*key).or_insert_with(|| Resource::intended(at, set_back, &facts.arn));
                task.id = Some(facts.arn.clone());
                // AWS's clock is ahead of ours: what it has billed by then has gone by.
                let ahead = facts.latest().since(self.heard_at + self.set_back);
                if ahead > Span::ZERO {
                    self.set_back = self.set_back + ahead;
                    self.set_back_at = Some(at);
                }
                task.size = Some(*size);
                task.live_at = task.live_at.or(Some(at));
                // What is seen exists, whatever was believed of it.
                if matches!(task.life, Life::Intended | Life::Never) || (task.life == Life::Gone && !facts.is_stopped())
                {
                    task.life = Life::Live;
                    task.gone_at = None;
                    self.clean_passes = 0;
                }
                if facts.is_stopped() {
                    task.end(at, self.set_back);
                }
                task.task = Some(facts.clone());
            }
            Event::TaskLost { key, loss, detail } => {
                if let Some(task) = self.resources.get_mut(key) {
                    task.end(at, self.set_back);
                }
                self.last_loss = Some((*key, *loss, detail.clone()));
                self.health = None;
                self.url = None;
            }
            Event::Restarting { restart, .. } => {
                self.restarts = *restart;
                self.restarted_at = Some(at);
                self.health = None;
                self.url = None;
            }
            Event::Health { healthy, detail } => {
                if self.health.as_ref().is_none_or(|(was, ..)| was != healthy) {
                    self.health = Some((*healthy, at, detail.clone()));
                }
                if *healthy {
                    self.first_healthy_at = self.first_healthy_at.or(Some(at));
                }
            }
            Event::Announced { url } => self.url = Some(url.clone()),
            Event::Active { last, source, what } => self.active(*last, source, what),
            Event::Requested { request } => self.requested(at, request),
            Event::Ending { cause, detail, stage } => self.end(at, *cause, detail, *stage),
            Event::Resumed => {
                self.ending = None;
                self.resumed_at = Some(at);
                // An end or a stop that was asked for meanwhile still stands.
                self.desired.resume = false;
                self.health = None;
                self.url = None;
                self.last_activity = None;
                self.first_healthy_at = None;
            }
            Event::Warned { limit, lead, at } => {
                self.warned.insert((*limit, *lead, *at));
            }
            Event::Verified { left } => {
                self.clean_passes = if left.is_empty() { self.clean_passes + 1 } else { 0 };
                self.verified_at = Some(at);
            }
            Event::Reappeared { key, id } => {
                if let Some(resource) = self.resources.get_mut(key).filter(|resource| !resource.life.may_exist()) {
                    resource.life = Life::Live;
                    resource.id = id.clone().or(resource.id.take());
                    resource.live_at = resource.live_at.or(Some(at));
                    resource.gone_at = None;
                    resource.leaving_at = None;
                    self.clean_passes = 0;
                }
            }
            Event::Blocked { blockers } => self.blockers.clone_from(blockers),
            Event::Metered { put_metric_calls, metric_hours, metrics_read } => {
                let metered = self.metered_now();
                metered.put_metric_calls += put_metric_calls;
                metered.metric_hours += metric_hours;
                metered.metrics_read += metrics_read;
            }
            Event::Scheduled { schedules } => {
                let fresh = schedules.iter().filter(|(name, _)| !self.schedules.contains_key(name)).count();
                self.metered_now().schedules += u64::try_from(fresh).unwrap_or(u64::MAX);
                self.schedules.extend(schedules.iter().cloned());
            }
            Event::Admitted { ingress } => self.admitted = Some(ingress.clone()),
            Event::NetChanged { net, holds, detail } => {
                self.nets.insert(*net, NetState { holds: *holds, detail: detail.clone(), since: at });
            }
            Event::Priced { card, overshoot } => {
                self.prices.push((self.heard_at + self.set_back, Arc::clone(card)));
                self.overshoot = self.overshoot.max(*overshoot);
            }
            Event::Measured { key, bytes } => {
                if let Some(resource) = self.resources.get_mut(key) {
                    resource.bytes = Some(*bytes);
                }
            }
            Event::Scanned { digest, verdict, detail } => {
                self.scan = Some(Scan { digest: digest.clone(), verdict: *verdict, detail: detail.clone() });
            }
            Event::ClockSetBack { by } => {
                self.set_back = self.set_back + *by;
                self.set_back_at = Some(at);
                self.heard_at = at;
                self.move_back(*by);
            }
            Event::Billed { billed } => self.billed = Some(billed.clone()),
            Event::Closed { receipt } => {
                self.closed_at = Some(at);
                self.receipt = Some(receipt.clone());
            }
        }
    }

    /// labguard's own use in this quarter of an hour: what is used at the end of one belongs to it.
    fn metered_now(&mut self) -> &mut Metered {
        let now = (self.heard_at + self.set_back).as_millis() - 1;
        self.metered.entry(Timestamp::from_millis(now.div_euclid(QUARTER) * QUARTER)).or_default()
    }

    /// What idle time is counted from moves with the clock: it is as long ago as it was.
    fn move_back(&mut self, by: Span) {
        self.phase_since = self.phase_since - by;
        self.first_healthy_at = self.first_healthy_at.map(|at| at - by);
        if let Some(last) = &mut self.last_activity {
            last.at = last.at - by;
        }
        for lease in self.leases.values_mut() {
            lease.opened_at = lease.opened_at - by;
            lease.renewed_at = lease.renewed_at - by;
            lease.expires_at = lease.expires_at - by;
        }
    }

    fn question_answered(&mut self) {
        self.question_failures = 0;
        self.question_fault = None;
    }

    fn intend(
        &mut self,
        at: Timestamp,
        key: ResourceKey,
        action: Action,
        name: &str,
        size: Option<super::size::TaskSize>,
    ) {
        let set_back = self.set_back;
        let resource = self.resources.entry(key).or_insert_with(|| Resource::intended(at, set_back, name));
        resource.asked_at = Some(at);
        match action {
            Action::Create => {
                // Intending again what is gone (a resume) starts a new life; a live one stays as it is.
                if !resource.life.may_exist() {
                    *resource = Resource::intended(at, set_back, name);
                }
                resource.asked_at = Some(at);
                resource.count_asking();
                resource.size = size.or(resource.size);
            }
            Action::Stop | Action::Remove => {
                if resource.leaving_at.is_none() {
                    resource.leaving_at = Some(at);
                    resource.failures = 0;
                    resource.last_fault = None;
                }
                if resource.life.may_exist() {
                    resource.life = Life::Leaving;
                }
            }
        }
        self.clean_passes = 0;
    }

    fn done(&mut self, at: Timestamp, key: ResourceKey, action: Action, effect: Effect, id: Option<&str>) {
        let Some(resource) = self.resources.get_mut(&key) else { return };
        if let Some(id) = id {
            resource.id = Some(id.to_owned());
        }
        resource.failures = 0;
        resource.last_fault = None;
        match effect {
            Effect::Created | Effect::AlreadyThere | Effect::Adopted => {
                if key.kind == ResourceKind::ScheduleGroup && effect == Effect::Created {
                    // A new group is empty, whatever was in an earlier one.
                    self.schedules.clear();
                }
                resource.ours = effect != Effect::Adopted;
                resource.live_at = resource.live_at.or(Some(at));
                if resource.life == Life::Intended {
                    resource.life = Life::Live;
                }
            }
            Effect::StopRequested => {
                if let Some(facts) = &mut resource.task {
                    facts.wanted = false;
                }
            }
            Effect::Removed | Effect::AlreadyGone | Effect::RemovalRequested => resource.end(at, self.set_back),
            Effect::NotOurs => {
                resource.ours = false;
                resource.life = if action == Action::Create { Life::Never } else { Life::Gone };
                resource.gone_at = Some(at);
                resource.set_back.1 = self.set_back;
            }
        }
    }

    fn active(&mut self, last: Timestamp, source: &str, what: &str) {
        if self.last_activity.as_ref().is_none_or(|known| known.at < last) {
            self.last_activity = Some(LastActivity { at: last, source: source.to_owned(), what: what.to_owned() });
        }
    }

    fn requested(&mut self, at: Timestamp, request: &Request) {
        match request {
            Request::End { reason } => self.desired.end = Some(reason.clone()),
            Request::Stop { reason } => {
                self.desired.stop = Some(reason.clone());
                self.desired.resume = false;
            }
            Request::Resume => {
                // Only what is stopped, or on its way to it, can be resumed; a late wish must not undo a later stop.
                self.desired.resume = self.ending.as_ref().is_some_and(|ending| ending.stage == Stage::Stop);
                self.desired.stop = None;
            }
            Request::Touch { by } => self.active(at, "touch", by),
            Request::Lease { lease, by, ttl } => {
                self.leases.retain(|id, known| id == lease || known.expires_at > at);
                let opened_at = self.leases.get(lease).map_or(at, |known| known.opened_at);
                let held = Lease { by: by.clone(), opened_at, renewed_at: at, ttl: *ttl, expires_at: at + *ttl };
                self.leases.insert(lease.clone(), held);
                self.active(at, "lease", by);
            }
            Request::Release { lease } => {
                if let Some(held) = self.leases.remove(lease) {
                    self.active(at.min(held.expires_at), "lease", &held.by);
                }
            }
            Request::Extend(Extension::Lifetime { by }) => {
                self.extensions.lifetime = self.extensions.lifetime + *by;
            }
            Request::Extend(Extension::Budget { by }) => self.extensions.budget += *by,
            Request::Extend(Extension::Idle { by }) => {
                self.extensions.idle_until = self.extensions.idle_until.max(Some(at + *by));
            }
        }
    }

    /// A worse cause overrides, a milder never does; a further stage overrides a nearer one.
    fn end(&mut self, at: Timestamp, cause: Cause, detail: &str, stage: Stage) {
        let fresh = Ending { cause, detail: detail.to_owned(), stage, at };
        match &mut self.ending {
            None => self.ending = Some(fresh),
            Some(known) => {
                if cause > known.cause {
                    *known = Ending { stage: stage.max(known.stage), ..fresh };
                } else if stage > known.stage {
                    known.stage = stage;
                }
            }
        }
    }
}

impl Resource {
    fn intended(at: Timestamp, set_back: Span, name: &str) -> Self {
        Resource {
            name: name.to_owned(),
            id: None,
            life: Life::Intended,
            ours: true,
            intended_at: at,
            set_back: (set_back, Span::ZERO),
            asked_at: None,
            asked: Askings::default(),
            live_at: None,
            leaving_at: None,
            gone_at: None,
            task: None,
            size: None,
            bytes: None,
            failures: 0,
            last_fault: None,
        }
    }

    fn end(&mut self, at: Timestamp, set_back: Span) {
        if self.life.may_exist() {
            self.set_back.1 = set_back;
            self.life = if self.live_at.is_some() { Life::Gone } else { Life::Never };
            self.gone_at = Some(at);
        }
        self.failures = 0;
        // The refusal of what never came to be is the proof of that, and worth telling.
        if self.life != Life::Never {
            self.last_fault = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::time::Span;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000) + Span::from_secs(secs)
    }

    fn opened() -> Record {
        let event = Event::Opened {
            name: "lab".to_owned(),
            owner: "me".to_owned(),
            group: String::new(),
            policy: serde_json::Value::Null,
            overshoot: Money::ZERO,
        };
        Record::open(SessionId::new("lab", 1), at(0), &event).unwrap()
    }

    fn asked(request: Request) -> Event {
        Event::Requested { request }
    }

    #[test]
    fn an_end_asked_for_while_a_resume_is_under_way_still_stands() {
        let mut record = opened();
        record.apply(at(1), &Event::Ending { cause: Cause::Operator, detail: String::new(), stage: Stage::Stop });
        record.apply(at(2), &asked(Request::Resume));
        record.apply(at(3), &asked(Request::End { reason: "enough".to_owned() }));
        record.apply(at(4), &Event::Resumed);
        assert_eq!(record.desired.end.as_deref(), Some("enough"));
        assert!(!record.desired.resume && record.ending.is_none());
    }

    #[test]
    fn a_worse_cause_overrides_and_a_milder_never_does() {
        let mut record = opened();
        let ending = |cause, stage| Event::Ending { cause, detail: String::new(), stage };
        record.apply(at(1), &ending(Cause::Idle, Stage::Stop));
        record.apply(at(2), &ending(Cause::Budget, Stage::Teardown));
        record.apply(at(3), &ending(Cause::Operator, Stage::Stop));
        let ending = record.ending.unwrap();
        assert_eq!((ending.cause, ending.stage, ending.at), (Cause::Budget, Stage::Teardown, at(2)));
    }
}
