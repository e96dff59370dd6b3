//! Many seeded worlds, side by side; or one of them again.
//!
//! What a world comes to hangs on its seed alone, not on who plays it or when. Guarantees: every seed is played,
//! whatever became of the others; what failed is told with the command that plays it again.

use std::{fmt::Debug, ops::RangeInclusive, sync::Mutex};

/// A suite's seeds, and the variables that choose among them.
pub struct Seeds {
    /// How many are played.
    pub count_knob: &'static str,
    /// Which one is played alone, with its log.
    pub replay_knob: &'static str,
    /// So many, unless told.
    pub default: u64,
    /// Where they are played: what `cargo test --test` is told.
    pub test: &'static str,
}

/// What a suite's seeds came to.
#[must_use = "some may have failed"]
pub struct Played<T> {
    of: &'static Seeds,
    pub seeds: u64,
    /// Of those that did not fail.
    pub total: T,
    failures: Vec<(u64, String)>,
}

impl Seeds {
    /// Plays them and adds up what they came to. `play` is told a seed, and whether to be loud about it. One that was
    /// asked for alone is only told: then there is nothing to add up.
    pub fn run<O: Debug, T: Default + Send>(
        &'static self,
        play: impl Fn(u64, bool) -> Result<O, String> + Sync,
        add: impl Fn(&mut T, O) + Sync,
    ) -> Option<Played<T>> {
        if let Some(seed) = knob(self.replay_knob) {
            let outcome = play(seed, true).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
            println!("seed {seed}: {outcome:#?}");
            return None;
        }
        let seeds = knob(self.count_knob).unwrap_or(self.default);
        let total = Mutex::new(T::default());
        let failed = side_by_side(1..=seeds, |seed| match play(seed, false) {
            Ok(outcome) => {
                add(&mut total.lock().unwrap(), outcome);
                None
            }
            Err(failure) => Some(failure),
        });
        let failures = failed.into_iter().filter_map(|(seed, failure)| Some((seed, failure?))).collect();
        Some(Played { of: self, seeds, total: total.into_inner().unwrap(), failures })
    }
}

impl<T> Played<T> {
    /// Fails if one of them did, and says how to play it again.
    #[track_caller]
    pub fn none_failed(&self) {
        let Seeds { replay_knob, test, .. } = self.of;
        for (seed, failure) in self.failures.iter().take(10) {
            println!(
                "seed {seed} failed: {failure}\n  replay: {replay_knob}={seed} cargo test --test {test} -- --nocapture"
            );
        }
        let failures = &self.failures;
        assert!(
            failures.is_empty(),
            "{} of {} seeds failed; the first: {:?}",
            failures.len(),
            self.seeds,
            failures.first()
        );
    }
}

/// Each on the next processor that is free; what they came to, in their order.
pub fn side_by_side<T: Send>(seeds: RangeInclusive<u64>, play: impl Fn(u64) -> T + Sync) -> Vec<(u64, T)> {
    let next = Mutex::new(seeds);
    let played = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(seed) = next.lock().unwrap().next() else { break };
                    let outcome = play(seed);
                    played.lock().unwrap().push((seed, outcome));
                }
            });
        }
    });
    let mut played = played.into_inner().unwrap();
    played.sort_by_key(|(seed, _)| *seed);
    played
}

fn knob(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
