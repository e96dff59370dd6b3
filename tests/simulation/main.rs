//! Whole sessions under paused time, with faults, users and crashes, by seed.
//!
//! Each seed is one world: a sandbox with its own latencies and faults, foreign resources that must not be
//! touched, a policy, people who use the session, and crashes between any two journal writes or calls.
//! After each: the session is closed, nothing of ours is left, nothing foreign has changed, the spend is
//! within the budget plus the stated overshoot, and the state linter is silent.
//!
//! `LABGUARD_SIM_SEEDS=N` runs N seeds (2,000 by default), `LABGUARD_SIM_SEED=S` replays one with its log.

#[path = "../support/seeds.rs"]
mod seeds;
mod world;

use std::collections::BTreeMap;

use labguard::domain::model::Money;
use seeds::{Seeds, side_by_side};
use world::{Outcome, run_seed};

static SEEDS: Seeds =
    Seeds { count_knob: "LABGUARD_SIM_SEEDS", replay_knob: "LABGUARD_SIM_SEED", default: 2_000, test: "simulation" };

/// What all worlds came to.
#[derive(Default)]
struct Total {
    crashes: usize,
    events: usize,
    calls: u64,
    simulated_millis: u64,
    spend: Money,
    /// By how much sessions passed their budgets, and by how much it was stated that they may.
    over_budget: Vec<(Money, Money)>,
    causes: BTreeMap<String, usize>,
}

impl Total {
    fn add(&mut self, outcome: Outcome) {
        self.crashes += outcome.crashes;
        self.events += outcome.journal.len();
        self.calls += outcome.calls;
        self.simulated_millis += outcome.simulated.as_millis();
        self.spend += outcome.spend;
        if outcome.over_budget > Money::ZERO {
            self.over_budget.push((outcome.over_budget, outcome.stated));
        }
        *self.causes.entry(outcome.cause).or_default() += 1;
    }
}

/// How far sessions passed their budgets, in parts of what had been stated.
fn overshoots(over: &[(Money, Money)]) -> String {
    let mut parts: Vec<i64> = over.iter().map(|(over, stated)| over.nanos() * 1000 / stated.nanos().max(1)).collect();
    parts.sort_unstable();
    let at = |share: usize| parts.get(parts.len().saturating_sub(1) * share / 1000).map_or(0, |part| *part);
    let most = over.iter().map(|(over, _)| *over).max().unwrap_or_default();
    format!(
        "{} over their budget, none over the stated overshoot; in thousandths of it: p50 {}, p90 {}, p99 {}, max {}; at most {}",
        parts.len(),
        at(500),
        at(900),
        at(990),
        at(1000),
        most.exact()
    )
}

#[test]
fn every_seed_ends_with_nothing_left_and_nothing_foreign_touched() {
    let Some(played) = SEEDS.run(run_seed, Total::add) else { return };
    let total = &played.total;
    println!(
        "{} seeds, {:.0} simulated hours, {} AWS calls, {} events, {} spent, {} crashes, endings: {:?}\n{}",
        played.seeds,
        total.simulated_millis as f64 / 3_600_000.0,
        total.calls,
        total.events,
        total.spend,
        total.crashes,
        total.causes,
        overshoots(&total.over_budget),
    );
    played.none_failed();
}

/// A failed seed is worth something if it fails again.
#[test]
fn a_seed_comes_to_the_same_again_whoever_plays_beside_it() {
    let play = |seed| {
        let mut outcome = run_seed(seed, false);
        // Its first entry tells where its folder is.
        outcome.iter_mut().for_each(|outcome| outcome.journal.retain(|entry| entry.seq > 1));
        format!("{outcome:#?}")
    };
    let first = side_by_side(1..=40, play);
    for (seed, before) in first.into_iter().rev() {
        let again = play(seed);
        let differ = before.lines().zip(again.lines()).position(|(one, other)| one != other);
        let around = |text: &str| {
            text.lines().skip(differ.unwrap_or(0).saturating_sub(9)).take(12).collect::<Vec<_>>().join("\n")
        };
        assert!(before == again, "seed {seed} came to\n{}\nand then to\n{}", around(&before), around(&again));
    }
}
