//! Budgets that sessions share, on whole engines under paused time: who is let in, who is ended and when, and what a
//! crash, a reload and midnight change.
//!
//! Many worlds by seed (`LABGUARD_BUDGET_SEEDS=N`, 150 by default; `LABGUARD_BUDGET_SEED=S` replays one with its log):
//! owners and groups whose sessions come and go, crashes and reloads, under budgets that are reached. After each: no
//! budget over its limit by more than its stated overshoot, what was refused made nothing, nobody was ended by a
//! foreign budget, and the engine's sums are those of the journal to the nano-dollar.

#[path = "../support/crash.rs"]
mod crash;
#[path = "../support/fuse.rs"]
mod fuse;
#[path = "../support/lab.rs"]
mod lab;
#[path = "../support/memory.rs"]
#[expect(dead_code, reason = "other suites ask for more")]
mod memory;
#[path = "../support/seeds.rs"]
mod seeds;
mod stories;
mod world;

use seeds::Seeds;
use world::{Outcome, run_seed};

static SEEDS: Seeds = Seeds {
    count_knob: "LABGUARD_BUDGET_SEEDS",
    replay_knob: "LABGUARD_BUDGET_SEED",
    default: 150,
    test: "shared_budgets",
};

#[test]
fn in_every_world_shared_budgets_hold_and_touch_nobody_else() {
    let Some(played) = SEEDS.run(run_seed, Outcome::add) else { return };
    println!("{} seeds: {:?}", played.seeds, played.total);
    played.none_failed();
}
