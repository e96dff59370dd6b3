//! Labelled traces of use: the right end for each, and how often each source alone and several together are right.
//!
//! `cargo test --test idle_traces -- --nocapture` prints precision and recall.

#[path = "../support/lab.rs"]
#[expect(dead_code, reason = "only the policy is needed")]
mod lab;
mod player;
mod traces;

use labguard::domain::{model::Source, policy::Combine};
use player::{IDLE, Setup, Trace, play};

/// The recommended sources: the application's counter and gauge.
const DEFAULT: Setup =
    Setup { name: "requests + in_flight", sources: &[Source::Requests, Source::InFlight], combine: Combine::Any };

const WITH_LOGS: Setup = Setup {
    name: "requests + in_flight + logs",
    sources: &[Source::Requests, Source::InFlight, Source::Logs],
    combine: Combine::Any,
};

const SETUPS: [Setup; 9] = [
    Setup { name: "requests", sources: &[Source::Requests], combine: Combine::Any },
    Setup { name: "in_flight", sources: &[Source::InFlight], combine: Combine::Any },
    Setup { name: "logs", sources: &[Source::Logs], combine: Combine::Any },
    Setup { name: "sentinel", sources: &[Source::Sentinel], combine: Combine::Any },
    DEFAULT,
    Setup { name: "requests + logs", sources: &[Source::Requests, Source::Logs], combine: Combine::Any },
    WITH_LOGS,
    Setup { name: "... most_trusted", sources: WITH_LOGS.sources, combine: Combine::MostTrusted },
    Setup {
        name: "requests + in_flight + sentinel",
        sources: &[Source::Requests, Source::InFlight, Source::Sentinel],
        combine: Combine::Any,
    },
];

/// After its right end a trace is looked at for that long, in seconds.
const AFTER: u64 = 40 * 60;

/// Plays the traces and names those that do not end when and as they should.
fn wrong(setup: &Setup, traces: &[Trace]) -> Vec<String> {
    let mut wrong = Vec::new();
    for trace in traces {
        let (right, cause) = trace.ends;
        let latest = right + setup.tolerance();
        let ended = play(trace, setup, latest);
        if !ended.is_some_and(|(at, by)| by == cause && (right..=latest).contains(&at)) {
            wrong.push(format!("{}: {ended:?}, not by {cause} from {right} to {latest}", trace.name));
        }
    }
    wrong
}

#[test]
fn every_trace_ends_at_its_right_time_with_the_recommended_sources() {
    let traces = traces::all();
    assert!(traces.len() >= 40, "{}", traces.len());
    let wrong = wrong(&DEFAULT, &traces);
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), traces.len(), wrong.join("\n"));
}

#[test]
fn work_that_only_the_log_shows_counts_where_the_log_is_read() {
    let wrong = wrong(&WITH_LOGS, &traces::of_lines());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Minutes called idle that were, that were not, and idle ones that were not called so.
#[derive(Clone, Copy, Default)]
struct Score {
    right: u64,
    false_idle: u64,
    missed: u64,
}

impl Score {
    fn of(setup: &Setup, traces: &[Trace]) -> Score {
        let mut score = Score::default();
        for trace in traces {
            let (right, _) = trace.ends;
            let until = right + AFTER;
            let ended = play(trace, setup, until).map_or(u64::MAX, |(at, _)| at);
            for minute in (0..until).step_by(60) {
                match (minute >= right, minute >= ended) {
                    (true, true) => score.right += 1,
                    (false, true) => score.false_idle += 1,
                    (true, false) => score.missed += 1,
                    (false, false) => {}
                }
            }
        }
        score
    }

    /// Per thousand.
    fn precision(self) -> u64 {
        1000 * self.right / (self.right + self.false_idle).max(1)
    }

    /// Per thousand.
    fn recall(self) -> u64 {
        1000 * self.right / (self.right + self.missed).max(1)
    }
}

#[test]
fn idle_is_called_idle_and_nothing_else_is_with_the_recommended_sources() {
    let mut all = traces::all();
    let without_lines = Score::of(&DEFAULT, &all);
    all.extend(traces::of_lines());
    println!("{} traces, minute by minute, idle time-out {} min", all.len(), IDLE / 60);
    println!("{:<34} precision  recall  false idle  missed (minutes)", "sources");
    for setup in &SETUPS {
        let score = Score::of(setup, &all);
        let (precision, recall) = (score.precision(), score.recall());
        println!(
            "{:<34} {:>6}.{} %  {:>3}.{} %  {:>10}  {:>6}",
            setup.name,
            precision / 10,
            precision % 10,
            recall / 10,
            recall % 10,
            score.false_idle,
            score.missed
        );
    }
    let (precision, recall) = (without_lines.precision(), without_lines.recall());
    println!("{} without work that only the log shows: {precision} and {recall} per thousand", DEFAULT.name);
    assert_eq!(without_lines.false_idle, 0, "a session in use was ended");
    assert!(without_lines.recall() >= 970, "{} of 1000 idle minutes", without_lines.recall());
    let with_lines = Score::of(&WITH_LOGS, &traces::of_lines());
    assert_eq!(with_lines.false_idle, 0, "work that the log showed was ended");
}
