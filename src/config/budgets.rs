//! `[budgets.NAME]`: reading, judging and showing the budgets that sessions share.
//!
//! Guarantees: a budget that passes has a limit, does something at some share of it, and does the milder thing first.
//! Must never drop a budget in silence: one that nobody can spend is warned of.

use std::collections::{BTreeMap, BTreeSet};

use ::config::{Map, ValueKind};
use toml::Value;

use super::{
    across::Across,
    keys::BUDGET,
    mistake::{Mistake, nearest},
    origins,
    reader::Reader,
    show::Flat,
    value,
};
use crate::domain::{
    model::{Period, Scope},
    policy::{Policy, SharedBudget, Shares},
};

/// Every budget of the merged layers, and what is wrong with them. `places` says where each begins.
pub(super) fn read(
    merged: &Reader,
    places: &BTreeMap<String, String>,
    poisoned: &BTreeSet<String>,
    known: &mut BTreeMap<String, String>,
) -> (Vec<SharedBudget>, Vec<Mistake>) {
    let (mut budgets, mut mistakes) = (Vec::new(), Vec::new());
    let mut sections = merged.section("budgets");
    for (name, place) in places {
        let own = match sections.remove(name).map(|value| value.kind) {
            Some(ValueKind::Table(table)) => table,
            _ => Map::new(),
        };
        let read = Reader::over(vec![merged.section("budget_defaults"), own.clone()]);
        let (section, own) = (format!("budgets.{name}"), Reader::over(vec![own]));
        let budget = budget(name, &read);
        let mut judge = Across::new(&section, place, &read, Some(&own), poisoned);
        judge.defaults = "budget_defaults";
        judge.budget(&budget);
        mistakes.append(&mut judge.mistakes);
        known.extend(origins(&section, BUDGET, &read));
        budgets.push(budget);
    }
    (budgets, mistakes)
}

/// One budget, over its defaults.
fn budget(name: &str, read: &Reader) -> SharedBudget {
    let (scope, period) = (read.text("scope"), read.text("period"));
    let mut notify: Vec<u8> =
        read.list("notify_at", |value| value::integer(value).ok().and_then(|percent| u8::try_from(percent).ok()));
    notify.sort_unstable();
    notify.dedup();
    SharedBudget {
        name: name.to_owned(),
        scope: Scope::ALL.into_iter().find(|it| it.name() == scope).unwrap_or(Scope::Daemon),
        of: read.optional_text("of"),
        period: Period::ALL.into_iter().find(|it| it.name() == period).unwrap_or(Period::Life),
        zone: read.text("zone"),
        limit: read.money("limit").unwrap_or_default(),
        shares: Shares {
            notify,
            block: read.optional_integer("block_at"),
            stop: read.optional_integer("stop_at"),
            teardown: read.optional_integer("teardown_at"),
        },
    }
}

impl Across<'_> {
    /// A budget's own rules.
    fn budget(&mut self, budget: &SharedBudget) {
        if self.sound(&["limit"]) && self.read.money("limit").is_none() {
            self.wrong(&["limit"], None, "required: how much, such as \"5.00 USD\"".into(), None);
        }
        let of = budget.of.clone().unwrap_or_default();
        self.rule(&["of", "scope"], budget.scope != Scope::Daemon || of.is_empty(), &of, || {
            "nothing with scope \"daemon\": there is one daemon; scope \"owner\", \"group\" or \"account\" takes a name"
                .into()
        });
        let twelve = of.len() == 12 && of.bytes().all(|byte| byte.is_ascii_digit());
        self.rule(&["of", "scope"], budget.scope != Scope::Account || of.is_empty() || twelve, &of, || {
            "an account number of twelve digits with scope \"account\"".into()
        });
        let shares = &budget.shares;
        let acts = shares.block.or(shares.stop).or(shares.teardown).is_some();
        self.rule(&["teardown_at", "stop_at", "block_at"], acts, "never", || {
            "block_at, stop_at or teardown_at set: a budget that does nothing guards nothing".into()
        });
        let ordered = [
            ("stop_at", shares.stop, "block_at", shares.block),
            ("teardown_at", shares.teardown, "stop_at", shares.stop),
        ];
        for (key, later, before, sooner) in ordered {
            self.after(key, later, before, sooner);
        }
        if shares.stop.is_none() {
            self.after("teardown_at", shares.teardown, "block_at", shares.block);
        }
    }

    /// The milder measure comes first.
    fn after(&mut self, key: &str, later: Option<u8>, before: &str, sooner: Option<u8>) {
        if let (Some(later), Some(sooner)) = (later, sooner) {
            self.rule(&[key, before], later >= sooner, later, || {
                format!("not less than {before}, which is {sooner}, or \"never\"")
            });
        }
    }
}

/// A budget by key.
pub(super) fn shown(it: &SharedBudget) -> Flat {
    let text = |text: &str| Value::String(text.to_owned());
    let percent = |at: Option<u8>| at.map_or_else(|| text("never"), |percent| Value::Integer(percent.into()));
    Flat::from([
        ("scope", text(it.scope.name())),
        ("of", text(it.of.as_deref().unwrap_or_default())),
        ("period", text(it.period.name())),
        ("zone", text(&it.zone)),
        ("limit", text(&it.limit.exact())),
        ("notify_at", Value::Array(it.shares.notify.iter().map(|at| Value::Integer((*at).into())).collect())),
        ("block_at", percent(it.shares.block)),
        ("stop_at", percent(it.shares.stop)),
        ("teardown_at", percent(it.shares.teardown)),
    ])
}

/// Budgets of owners and groups that no session has: legal, and most likely misspelt.
pub(super) fn warnings(budgets: &[SharedBudget], sessions: &BTreeMap<String, Policy>) -> Vec<String> {
    let mut warnings = Vec::new();
    for budget in budgets {
        let known: BTreeSet<&str> = match budget.scope {
            Scope::Owner => sessions.values().map(|policy| policy.owner.as_str()).collect(),
            Scope::Group => sessions.values().map(|policy| policy.group.as_str()).collect(),
            Scope::Daemon | Scope::Account => continue,
        };
        let Some(of) = budget.of.as_deref().filter(|of| !known.contains(of)) else { continue };
        let meant = nearest(of, known).map(|meant| format!(" (is {meant:?} meant?)")).unwrap_or_default();
        let scope = budget.scope.name();
        warnings.push(format!(
            "budget {}: no session has the {scope} {of:?}{meant}, so nothing is counted in it",
            budget.name
        ));
    }
    warnings
}
