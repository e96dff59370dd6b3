//! Budgets that sessions share, on whole engines under paused time: who is let in, who is ended and when, and what a
//! crash, a reload and midnight change.
//!
//! Many worlds by seed (`LABGUARD_BUDGET_SEEDS=N`, 150 by default; `LABGUARD_BUDGET_SEED=S` replays one with its log):
//! owners and groups whose sessions come and go, crashes and reloads, under budgets that are reached. After each: no
//! budget over its limit by more than its stated overshoot, what was refused made nothing, nobody was ended by a
//! foreign budget, and the engine's sums are those of the journal to the nano-dollar.

#[path = "../support/crash.rs"]
mod crash;
#[path = "../support/lab.rs"]
mod lab;
#[path = "../support/memory.rs"]
#[expect(dead_code, reason = "other suites ask for more")]
mod memory;
mod stories;
mod world;

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use world::{Outcome, run_seed};

fn knob(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn in_every_world_shared_budgets_hold_and_touch_nobody_else() {
    if let Some(seed) = knob("LABGUARD_BUDGET_SEED") {
        let outcome = run_seed(seed, true).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        println!("seed {seed}: {outcome:#?}");
        return;
    }
    let seeds = knob("LABGUARD_BUDGET_SEEDS").unwrap_or(150);
    let next = AtomicU64::new(1);
    let failures = Mutex::new(Vec::new());
    let total = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds {
                        break;
                    }
                    match run_seed(seed, false) {
                        Ok(outcome) => total.lock().unwrap().add(&outcome),
                        Err(failure) => failures.lock().unwrap().push((seed, failure)),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("{seeds} seeds: {:?}", total.into_inner().unwrap());
    for (seed, failure) in failures.iter().take(10) {
        println!(
            "seed {seed} failed: {failure}\n  replay: LABGUARD_BUDGET_SEED={seed} cargo test --test shared_budgets -- --nocapture"
        );
    }
    assert!(failures.is_empty(), "{} of {seeds} seeds failed; the first: {:?}", failures.len(), failures.first());
}
