//! One decision under way: the record as it will be once the notes so far are journalled.
//!
//! Guarantee: every rule sees the effect of the notes before it, because they are applied with the same
//! function that the journal uses.

use std::borrow::Cow;

use crate::domain::{
    meter,
    model::{Cause, Event, Life, Money, Observation, Phase, Record, Resource, ResourceKey, Stage, Step, Timestamp},
    policy::{Names, Policy, RunMode},
};

use super::Rules;

/// One decision under way.
pub(super) struct Turn<'a> {
    pub record: Cow<'a, Record>,
    pub seen: &'a Observation,
    pub rules: Rules<'a>,
    pub now: Timestamp,
    pub notes: Vec<Event>,
    pub steps: Vec<Step>,
    /// Whether the image that is being supplied is still wanted.
    pub supply: bool,
    /// Instants at which something becomes due.
    pub due: Vec<Timestamp>,
}

impl<'a> Turn<'a> {
    pub fn new(record: &'a Record, seen: &'a Observation, rules: Rules<'a>, now: Timestamp) -> Self {
        let (notes, steps, due) = (Vec::new(), Vec::new(), Vec::new());
        Self { record: Cow::Borrowed(record), seen, rules, now, notes, steps, supply: false, due }
    }

    pub fn policy(&self) -> &'a Policy {
        self.rules.policy
    }

    pub fn names(&self) -> Names {
        self.policy().names.for_session(self.record.id.as_str())
    }

    /// Journals a note and lets the rules after it see its effect.
    pub fn note(&mut self, event: Event) {
        self.record.to_mut().apply(self.now, &event);
        self.notes.push(event);
    }

    /// Enters a phase, unless it is the present one.
    pub fn enter(&mut self, phase: Phase, because: impl Into<String>) {
        if self.record.phase != phase {
            self.note(Event::Entered { phase, because: because.into() });
        }
    }

    /// Ends the session, where that says more than is known: a worse cause or a further stage.
    pub fn end(&mut self, cause: Cause, detail: impl Into<String>, stage: Stage) {
        let more = self.record.ending.as_ref().is_none_or(|known| cause > known.cause || stage > known.stage);
        if more {
            self.note(Event::Ending { cause, detail: detail.into(), stage });
        }
    }

    /// How far it ends, if it does.
    pub fn ending_stage(&self) -> Option<Stage> {
        self.record.ending.as_ref().map(|ending| ending.stage)
    }

    /// Whether `at` has come; if not, it is remembered as due.
    pub fn reached(&mut self, at: Timestamp) -> bool {
        let reached = at <= self.now;
        if !reached {
            self.due.push(at);
        }
        reached
    }

    /// Whether a step for `key` is in the plan already.
    pub fn has_step(&self, key: ResourceKey) -> bool {
        self.steps.iter().any(|step| step.key() == Some(key))
    }

    pub fn service_mode(&self) -> bool {
        is_service(self.policy())
    }

    /// Spend so far, what ending now will still cost, and the rate per hour.
    pub fn committed(&self) -> (Money, Money, Money) {
        let (spend, of_resources) = meter::spend(&self.record, self.rules.card, self.now);
        let rate = of_resources + meter::own_rate(&self.record, self.policy(), self.rules.card);
        let teardown = meter::teardown_cost(&self.record, self.policy(), self.rules.card);
        (spend, teardown, rate)
    }
}

pub(super) fn is_service(policy: &Policy) -> bool {
    matches!(policy.task.run, RunMode::Service { .. })
}

/// Whether a task was given up for a restart: it is stopped and never served again.
pub(super) fn is_condemned(record: &Record, policy: &Policy, task: &Resource) -> bool {
    !is_service(policy) && record.restarted_at.is_some_and(|restarted| task.intended_at < restarted)
}

/// The task that serves, or is to serve: the oldest live one not given up, else the newest intended one. Of a
/// service, the newest that runs.
pub(super) fn serving<'r>(record: &'r Record, policy: &Policy) -> Option<(ResourceKey, &'r Resource)> {
    let candidates = || record.tasks().filter(|(_, task)| task.ours && !is_condemned(record, policy, task));
    let live = |task: &Resource| task.life == Life::Live;
    if is_service(policy) {
        let started = |task: &Resource| task.task.as_ref().is_some_and(|facts| facts.started_at.is_some());
        return candidates()
            .rfind(|(_, task)| live(task) && started(task))
            .or_else(|| candidates().rfind(|(_, task)| live(task)));
    }
    let mut alive = candidates();
    alive.find(|(_, task)| live(task)).or_else(|| candidates().rfind(|(_, task)| task.life == Life::Intended))
}
