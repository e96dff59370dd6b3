//! Labelled traces of use: the right end for each, and how often each source alone and several together are right.
//!
//! `cargo test --test idle_traces -- --nocapture` prints precision and recall.

#[path = "../support/deployed.rs"]
mod deployed;
#[path = "../support/lab.rs"]
#[expect(dead_code, reason = "only the policy is needed")]
mod lab;
mod player;
mod traces;

use labguard::domain::{model::Source, policy::Combine};
use player::{IDLE, Setup, Trace, play};

/// The recommended sources: the application's counter and gauge.
const DEFAULT: Setup = Setup {
    name: "requests + in_flight",
    sources: &[Source::Requests, Source::InFlight],
    combine: Combine::Any,
    by_address: false,
};

const WITH_LOGS: Setup = Setup {
    name: "requests + in_flight + logs",
    sources: &[Source::Requests, Source::InFlight, Source::Logs],
    combine: Combine::Any,
    by_address: false,
};

/// CPU and network beside them, for work that no request shows.
const WITH_INSIGHTS: Setup = Setup {
    name: "requests + in_flight + insights",
    sources: &[Source::Requests, Source::InFlight, Source::Insights],
    combine: Combine::Any,
    by_address: false,
};

/// For an application that cannot be asked, behind somebody's load balancer.
const BALANCER: Setup =
    Setup { name: "load_balancer", sources: &[Source::LoadBalancer], combine: Combine::Any, by_address: false };

/// The load balancer only stands in for an application that does not answer.
const STANDS_IN: Setup = Setup {
    name: "requests + in_flight + load_b., m. t.",
    sources: &[Source::Requests, Source::InFlight, Source::LoadBalancer],
    combine: Combine::MostTrusted,
    by_address: false,
};

/// Known scanners are left out by their address.
const BY_ADDRESS: Setup = Setup { name: "requests + in_flight, by address", by_address: true, ..DEFAULT };

const SETUPS: [Setup; 17] = [
    Setup { name: "requests", sources: &[Source::Requests], combine: Combine::Any, by_address: false },
    Setup { name: "in_flight", sources: &[Source::InFlight], combine: Combine::Any, by_address: false },
    Setup { name: "logs", sources: &[Source::Logs], combine: Combine::Any, by_address: false },
    Setup { name: "sentinel", sources: &[Source::Sentinel], combine: Combine::Any, by_address: false },
    DEFAULT,
    Setup {
        name: "requests + logs",
        sources: &[Source::Requests, Source::Logs],
        combine: Combine::Any,
        by_address: false,
    },
    WITH_LOGS,
    Setup { name: "... most_trusted", sources: WITH_LOGS.sources, combine: Combine::MostTrusted, by_address: false },
    Setup {
        name: "requests + in_flight + sentinel",
        sources: &[Source::Requests, Source::InFlight, Source::Sentinel],
        combine: Combine::Any,
        by_address: false,
    },
    Setup { name: "insights", sources: &[Source::Insights], combine: Combine::Any, by_address: false },
    WITH_INSIGHTS,
    BALANCER,
    Setup {
        name: "requests + in_flight + load_balancer",
        sources: STANDS_IN.sources,
        combine: Combine::Any,
        by_address: false,
    },
    STANDS_IN,
    BY_ADDRESS,
    Setup { name: "logs, by address", sources: &[Source::Logs], combine: Combine::Any, by_address: true },
    Setup {
        name: "load_balancer + insights",
        sources: &[Source::LoadBalancer, Source::Insights],
        combine: Combine::Any,
        by_address: false,
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

#[test]
fn work_that_only_the_processor_or_the_network_shows_counts_where_container_insights_are_read() {
    let wrong_with = wrong(&WITH_INSIGHTS, &traces::of_insights());
    assert!(wrong_with.is_empty(), "{}", wrong_with.join("\n"));
    assert!(!wrong(&DEFAULT, &traces::of_insights()).is_empty(), "then nobody needs them");
}

#[test]
fn a_load_balancers_requests_are_use_and_its_silence_is_not_taken_for_peace() {
    let wrong = wrong(&BALANCER, &traces::of_balancer());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_load_balancer_that_counts_scanners_only_stands_in_where_the_application_can_be_asked() {
    let scanned = traces::at_the_balancer();
    let stands_in = wrong(&STANDS_IN, &scanned);
    assert!(stands_in.is_empty(), "{}", stands_in.join("\n"));
    assert_eq!(wrong(&BALANCER, &scanned).len(), scanned.len(), "alone it takes scanners for users");
}

#[test]
fn scanners_that_are_known_by_their_address_keep_nothing_alive() {
    let scanned = traces::by_address();
    let by_address = wrong(&BY_ADDRESS, &scanned);
    assert!(by_address.is_empty(), "{}", by_address.join("\n"));
    let logs = Setup { name: "logs", sources: &[Source::Logs], combine: Combine::Any, by_address: true };
    let plain: Vec<Trace> = scanned.iter().filter(|trace| !trace.name.contains("long")).cloned().collect();
    let in_the_log = wrong(&logs, &plain);
    assert!(in_the_log.is_empty(), "{}", in_the_log.join("\n"));
    assert_eq!(wrong(&DEFAULT, &scanned).len(), scanned.len(), "to labels they look like users");
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
    all.extend(traces::of_insights());
    all.extend(traces::of_balancer());
    all.extend(traces::by_address());
    println!("{} traces, minute by minute, idle time-out {} min", all.len(), IDLE / 60);
    println!("{:<38} precision  recall  false idle  missed (minutes)", "sources");
    for setup in &SETUPS {
        let score = Score::of(setup, &all);
        let (precision, recall) = (score.precision(), score.recall());
        println!(
            "{:<38} {:>6}.{} %  {:>3}.{} %  {:>10}  {:>6}",
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
