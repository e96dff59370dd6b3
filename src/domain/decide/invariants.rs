//! A linter for state: silent in every healthy record, plain about everything else.
//!
//! It knows what must hold of any record that this program wrote; a finding is a defect of ours or a foreign
//! hand in the journal.

use serde::{Deserialize, Serialize};

use super::turn::{is_service, serving};
use crate::domain::{
    meter::{self, RateBook},
    model::{Life, Money, Phase, Receipt, Record, ResourceKey, ResourceKind, Span, Stage, Timestamp},
    policy::Policy,
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Strange, and harmless so far.
    Warning,
    /// A promise is broken.
    Error,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, for people.
    pub text: String,
}

/// Everything that must not be in a record between two turns.
#[must_use]
pub fn lint(record: &Record, policy: &Policy, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |severity: Severity, text: String| findings.push(Finding { severity, text });
    phases(record, policy, &mut say);
    lives(record, &mut say);
    order(record, &mut say);
    money(record, policy, now, &mut say);
    closing(record, &mut say);
    findings
}

type Say<'a> = dyn FnMut(Severity, String) + 'a;

fn phases(record: &Record, policy: &Policy, say: &mut Say<'_>) {
    let stage = record.ending.as_ref().map(|ending| ending.stage);
    let fits = match record.phase {
        Phase::Pending | Phase::Provisioning | Phase::Starting | Phase::Running => stage.is_none(),
        Phase::Stopping => stage == Some(Stage::Stop),
        Phase::TearingDown | Phase::Stuck | Phase::Ended => stage == Some(Stage::Teardown),
    };
    if !fits {
        say(Severity::Error, format!("phase {} does not fit an ending of {stage:?}", record.phase));
    }
    if record.phase == Phase::Running {
        if serving(record, policy).is_none() {
            say(Severity::Error, "running without a task that serves".to_owned());
        }
        if record.url.is_none() || record.first_healthy_at.is_none() {
            say(Severity::Error, "running without having been announced".to_owned());
        }
    }
    if record.phase == Phase::Stuck && record.blockers.is_empty() {
        say(Severity::Error, "stuck without a named blocker".to_owned());
    }
    if record.restarts > policy.task.max_restarts {
        say(Severity::Error, format!("{} restarts, allowed are {}", record.restarts, policy.task.max_restarts));
    }
}

fn lives(record: &Record, say: &mut Say<'_>) {
    for (key, resource) in &record.resources {
        let name = &resource.name;
        if !resource.ours && matches!(resource.life, Life::Leaving) {
            say(Severity::Error, format!("{key} {name} is being removed and is not ours"));
        }
        let fits = match resource.life {
            Life::Intended => resource.gone_at.is_none(),
            Life::Live => resource.live_at.is_some() && resource.gone_at.is_none(),
            Life::Leaving => resource.leaving_at.is_some(),
            Life::Gone | Life::Never => resource.gone_at.is_some(),
        };
        if !fits {
            say(Severity::Error, format!("{key} {name} is {:?} without the times that belong to it", resource.life));
        }
    }
}

fn order(record: &Record, say: &mut Say<'_>) {
    let exists = |kind| record.only(kind).is_some_and(|it| it.life.may_exist());
    let ours_gone = |kind| record.only(kind).is_some_and(|it| it.ours && it.life == Life::Gone);
    let tasks = record.tasks().any(|(_, task)| task.life.may_exist());
    if ours_gone(ResourceKind::Cluster) && (tasks || exists(ResourceKind::Service)) {
        say(Severity::Error, "the cluster is gone before what ran in it".to_owned());
    }
    if tasks && record.identity.is_none() {
        say(Severity::Error, "a task was asked for before it was known who we are".to_owned());
    }
    if record.network.is_none() && record.resources.contains_key(&ResourceKey::only(ResourceKind::SecurityGroup)) {
        say(Severity::Error, "a security group was made before its network was known".to_owned());
    }
}

fn money(record: &Record, policy: &Policy, now: Timestamp, say: &mut Say<'_>) {
    let card = RateBook::embedded().card(&policy.region);
    let spend = meter::ledger(record, &card, record.closed_at.unwrap_or(now)).total;
    let most = policy.limits.max_budget.max(policy.limits.budget);
    let budget = (policy.limits.budget + record.extensions.budget).min(most);
    let stated = record.overshoot.max(meter::overshoot(policy, &card));
    // A session that is stuck says itself what it still costs.
    if record.phase != Phase::Stuck && record.blockers.is_empty() && spend > budget + stated {
        say(
            Severity::Error,
            format!("spent {spend}: more than the budget of {budget} and the stated overshoot of {stated}"),
        );
    }
    let live: Vec<Timestamp> =
        record.tasks().filter(|(_, task)| task.life == Life::Live).filter_map(|(_, task)| task.live_at).collect();
    let newest = live.iter().max().copied().unwrap_or_default();
    if !is_service(policy) && record.ending.is_none() && live.len() > 1 && now.since(newest) > Span::from_mins(5) {
        say(Severity::Warning, format!("{} tasks live where one is wanted", live.len()));
    }
}

fn closing(record: &Record, say: &mut Say<'_>) {
    if (record.phase == Phase::Ended) != record.is_closed() {
        say(
            Severity::Error,
            format!(
                "phase {} while the session is{} closed",
                record.phase,
                if record.is_closed() { "" } else { " not" }
            ),
        );
    }
    if !record.is_closed() {
        return;
    }
    for (key, resource) in record.ours_left() {
        say(Severity::Error, format!("closed with {key} {} left", resource.name));
    }
    if record.clean_passes < 2 {
        say(Severity::Error, format!("closed after {} clean passes", record.clean_passes));
    }
    let receipt: Option<Receipt> = record.receipt.clone().and_then(|receipt| serde_json::from_value(receipt).ok());
    match receipt {
        None => say(Severity::Error, "closed without a receipt that can be read".to_owned()),
        Some(receipt) => {
            let sum: Money = receipt.lines.iter().map(|line| line.amount).sum();
            if sum != receipt.total {
                say(Severity::Error, format!("the receipt's lines add up to {sum}, its total says {}", receipt.total));
            }
        }
    }
}
