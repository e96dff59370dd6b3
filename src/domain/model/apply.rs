//! Event × record → record.
//!
//! [`Record::apply`] is the one total function of it, used for live writes and for replay alike. It never fails and
//! never looks at a clock: an event that makes no sense for the present state changes nothing it cannot change, and the
//! linter (`domain::decide::invariants`) says so.

use std::sync::Arc;

use super::{
    event::Event,
    net::{Net, NetState, SERVICE_DELETE, stops_of, twice},
    phase::{Cause, Stage},
    record::{Ending, LastActivity, Metered, Record, Scan},
    resource::{Action, Effect, Life, Resource, ResourceKey, ResourceKind},
    size::TaskSize,
    time::{Span, Timestamp},
};

/// Milliseconds of a quarter of an hour: every time zone's midnight is at the end of one.
const QUARTER: i64 = 900_000;

/// A task that was healthy for so long is no part of a row of failures.
const WELL_FOR: Span = Span::from_mins(10);

impl Record {
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
                self.drop_schedules_of(*key);
            }
            Event::Unproven { key, why } => {
                if let Some(resource) = self.resources.get_mut(key) {
                    resource.end(at, self.set_back);
                    resource.unproven = Some(why.clone());
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
                if facts.is_stopped() {
                    self.drop_schedules_of(*key);
                }
            }
            Event::TaskLost { key, loss, detail } => {
                if let Some(task) = self.resources.get_mut(key) {
                    task.end(at, self.set_back);
                }
                self.drop_schedules_of(*key);
                self.last_loss = Some((*key, *loss, detail.clone()));
                self.end_of_health(at);
                self.health = None;
                self.url = None;
            }
            Event::Restarting { restart, .. } => {
                self.end_of_health(at);
                self.restarts = *restart;
                self.restarts_in_a_row = self.restarts_in_a_row.saturating_add(1);
                self.restarted_at = Some(at);
                self.health = None;
                self.url = None;
            }
            Event::Health { healthy, detail } => {
                if self.health.as_ref().is_none_or(|(was, ..)| was != healthy) {
                    self.end_of_health(at);
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
                self.blockers.clear();
                self.resumed_at = Some(at);
                // An end or a stop that was asked for meanwhile still stands.
                self.desired.resume = false;
                self.health = None;
                self.url = None;
                self.last_activity = None;
                self.first_healthy_at = None;
                self.try_the_net_again();
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
                    resource.unproven = None;
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
                self.clock_moved_back = self.clock_moved_back + *by;
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

    /// What was healthy for long ends a row of restarts.
    fn end_of_health(&mut self, at: Timestamp) {
        if self.health.as_ref().is_some_and(|(healthy, since, _)| *healthy && at.since(*since) >= WELL_FOR) {
            self.restarts_in_a_row = 0;
        }
    }

    /// A net that tore while nothing ran is no verdict on the one that is needed now.
    fn try_the_net_again(&mut self) {
        self.nets.retain(|net, state| *net != Net::Scheduler || state.holds);
        if let Some(group) = self.resources.get_mut(&ResourceKey::only(ResourceKind::ScheduleGroup)) {
            group.failures = 0;
            group.last_fault = None;
        }
    }

    /// A task that is gone needs no stop any more: its schedules do nothing. Those of a group that is gone went with it.
    fn drop_schedules_of(&mut self, key: ResourceKey) {
        match key.kind {
            ResourceKind::Task => {
                for name in stops_of(key) {
                    self.schedules.remove(&name);
                }
            }
            // So that one of a life before is not taken for what ended a task of the next.
            ResourceKind::Service => {
                for name in twice(SERVICE_DELETE) {
                    self.schedules.remove(&name);
                }
            }
            ResourceKind::ScheduleGroup => self.schedules.clear(),
            _ => {}
        }
    }

    /// labguard's own use in this quarter of an hour: what is used at the end of one belongs to it.
    fn metered_now(&mut self) -> &mut Metered {
        let now = (self.heard_at + self.set_back).as_millis() - 1;
        self.metered.entry(Timestamp::from_millis(now.div_euclid(QUARTER) * QUARTER)).or_default()
    }

    /// What idle time and waits are counted from moves with the clock: it is as long ago as it was. (What is billed by does
    /// not: its time goes on, `set_back` ahead of the clock.)
    fn move_back(&mut self, by: Span) {
        self.phase_since = self.phase_since - by;
        self.restarted_at = self.restarted_at.map(|at| at - by);
        self.verified_at = self.verified_at.map(|at| at - by);
        if let Some(ending) = &mut self.ending {
            ending.at = ending.at - by;
        }
        if let Some((at, _)) = &mut self.question_fault {
            *at = *at - by;
        }
        for resource in self.resources.values_mut() {
            resource.asked_at = resource.asked_at.map(|at| at - by);
            resource.leaving_at = resource.leaving_at.map(|at| at - by);
            if let Some((at, _)) = &mut resource.last_fault {
                *at = *at - by;
            }
        }
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

    fn intend(&mut self, at: Timestamp, key: ResourceKey, action: Action, name: &str, size: Option<TaskSize>) {
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
            Effect::Removed | Effect::AlreadyGone | Effect::RemovalRequested => {
                resource.end(at, self.set_back);
                if key.kind == ResourceKind::Service {
                    self.drop_schedules_of(key);
                }
            }
            Effect::NotOurs => {
                resource.ours = false;
                resource.life = if action == Action::Create { Life::Never } else { Life::Gone };
                resource.gone_at = Some(at);
                resource.set_back.1 = self.set_back;
            }
        }
    }

    pub(super) fn active(&mut self, last: Timestamp, source: &str, what: &str) {
        if self.last_activity.as_ref().is_none_or(|known| known.at < last) {
            self.last_activity = Some(LastActivity { at: last, source: source.to_owned(), what: what.to_owned() });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{Money, Request, SessionId};

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
    fn the_schedules_of_what_is_gone_are_dropped() {
        let mut record = opened();
        let (task, other) = (ResourceKey::task(1), ResourceKey::task(2));
        for key in [task, other] {
            let event = Event::Intended { key, action: Action::Create, name: "t".to_owned(), size: None };
            record.apply(at(1), &event);
        }
        let names = ["task-1-stop", "task-1-stop-again", "task-2-stop", "cluster-delete"];
        let schedules = names.iter().map(|name| ((*name).to_owned(), at(9))).collect();
        record.apply(at(2), &Event::Scheduled { schedules });
        let loss = crate::domain::model::TaskLoss::Exited;
        record.apply(at(3), &Event::TaskLost { key: task, loss, detail: String::new() });
        assert_eq!(record.schedules.keys().collect::<Vec<_>>(), ["cluster-delete", "task-2-stop"]);
        record.apply(at(4), &Event::Vanished { key: ResourceKey::only(ResourceKind::ScheduleGroup) });
        assert!(record.schedules.is_empty());
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
