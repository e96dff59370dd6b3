//! Whole sessions under paused time, with faults, users and crashes, by seed.
//!
//! Each seed is one world: a sandbox with its own latencies and faults, foreign resources that must not be
//! touched, a policy, people who use the session, and crashes between any two journal writes or calls.
//! After each: the session is closed, nothing of ours is left, nothing foreign has changed, the spend is
//! within the budget plus the stated overshoot, and the state linter is silent.
//!
//! `LABGUARD_SIM_SEEDS=N` runs N seeds (2,000 by default), `LABGUARD_SIM_SEED=S` replays one with its log.

mod world;

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use labguard::domain::model::Money;
use world::{Outcome, run_seed};

fn knob(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// How far sessions passed their budgets, in parts of what had been stated.
fn overshoots(over: Vec<(Money, Money)>) -> String {
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
    if let Some(seed) = knob("LABGUARD_SIM_SEED") {
        let outcome = run_seed(seed, true).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        println!("seed {seed}: {outcome:#?}");
        return;
    }
    let seeds = knob("LABGUARD_SIM_SEEDS").unwrap_or(2_000);
    let next = AtomicU64::new(1);
    let crashes = AtomicUsize::new(0);
    let all_events = AtomicUsize::new(0);
    let over_budget = std::sync::Mutex::new(Vec::<(Money, Money)>::new());
    let (all_calls, all_millis, all_nanos) = (AtomicU64::new(0), AtomicU64::new(0), AtomicI64::new(0));
    let failures = std::sync::Mutex::new(Vec::new());
    let causes = std::sync::Mutex::new(std::collections::BTreeMap::<String, usize>::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds {
                        break;
                    }
                    match run_seed(seed, false) {
                        Ok(Outcome {
                            crashes: crashed,
                            cause,
                            over_budget: over,
                            stated,
                            calls,
                            simulated,
                            spend,
                            journal,
                        }) => {
                            crashes.fetch_add(crashed, Ordering::Relaxed);
                            all_calls.fetch_add(calls, Ordering::Relaxed);
                            all_millis.fetch_add(simulated.as_millis(), Ordering::Relaxed);
                            all_nanos.fetch_add(spend.nanos(), Ordering::Relaxed);
                            all_events.fetch_add(journal.len(), Ordering::Relaxed);
                            if over > Money::ZERO {
                                over_budget.lock().unwrap().push((over, stated));
                            }
                            *causes.lock().unwrap().entry(cause).or_default() += 1;
                        }
                        Err(failure) => failures.lock().unwrap().push((seed, failure)),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!(
        "{seeds} seeds, {:.0} simulated hours, {} AWS calls, {} events, {} spent, {} crashes, endings: {:?}\n{}",
        all_millis.load(Ordering::Relaxed) as f64 / 3_600_000.0,
        all_calls.load(Ordering::Relaxed),
        all_events.load(Ordering::Relaxed),
        Money::from_nanos(all_nanos.load(Ordering::Relaxed)),
        crashes.load(Ordering::Relaxed),
        causes.into_inner().unwrap(),
        overshoots(over_budget.into_inner().unwrap()),
    );
    for (seed, failure) in failures.iter().take(10) {
        println!(
            "seed {seed} failed: {failure}\n  replay: LABGUARD_SIM_SEED={seed} cargo test --test simulation -- --nocapture"
        );
    }
    assert!(failures.is_empty(), "{} of {seeds} seeds failed; the first: {:?}", failures.len(), failures.first());
}
