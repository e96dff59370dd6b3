//! Every metric, once: name, unit, labels, stability, meaning.
//!
//! `docs/metrics.md` is written from this table ([`markdown`]), and a test keeps the two in step. A stable
//! metric keeps its name, unit, labels and meaning until the next major version.

use std::fmt::Write as _;

/// What its values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A count, or yes (1) and no (0).
    One,
    /// Seconds.
    Seconds,
    /// US dollars.
    Dollars,
    /// Hundredths of a whole.
    Percent,
}

impl Unit {
    /// How Prometheus names end, without the underscore.
    #[must_use]
    pub const fn prometheus(self) -> Option<&'static str> {
        match self {
            Unit::One => None,
            Unit::Seconds => Some("seconds"),
            Unit::Dollars => Some("dollars"),
            Unit::Percent => Some("percent"),
        }
    }

    /// CloudWatch's `StandardUnit`, which knows no money.
    #[must_use]
    pub const fn cloudwatch(self) -> &'static str {
        match self {
            Unit::One => "Count",
            Unit::Seconds => "Seconds",
            Unit::Dollars => "None",
            Unit::Percent => "Percent",
        }
    }
}

/// How its values behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows, from the daemon's start.
    Counter,
    /// Counted in buckets.
    Histogram,
    /// Always 1; the labels are the message.
    Info,
}

impl Kind {
    /// As documented.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

/// How much one may build on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Kept until the next major version.
    Stable,
    /// May change with any version.
    Experimental,
}

impl Stability {
    /// As documented.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Stability::Stable => "stable",
            Stability::Experimental => "experimental",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its whole Prometheus name, `labguard_…`.
    pub name: &'static str,
    /// Its CloudWatch name, where it can be published there.
    pub cloudwatch: Option<&'static str>,
    /// How its values behave.
    pub kind: Kind,
    /// What its values are.
    pub unit: Unit,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// How much one may build on it.
    pub stability: Stability,
    /// What it says; one sentence without the full stop.
    pub help: &'static str,
}

impl Metric {
    /// The name that policies use: without `labguard_`.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.name.strip_prefix("labguard_").unwrap_or(self.name)
    }

    /// The name without what the exposition format adds by itself: `_total`, `_info` and the unit.
    #[must_use]
    pub fn base(&self) -> &'static str {
        let end = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        let name = self.name.strip_suffix(end).unwrap_or(self.name);
        match self.unit.prometheus() {
            Some(unit) => name.strip_suffix(unit).and_then(|name| name.strip_suffix('_')).unwrap_or(name),
            None => name,
        }
    }
}

/// A gauge of one session, or of one shared budget.
const fn session(
    name: &'static str,
    cloudwatch: Option<&'static str>,
    unit: Unit,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, cloudwatch, kind: Kind::Gauge, unit, labels, stability: Stability::Stable, help }
}

/// What every session's metrics are labelled with: its id and its policy's name.
const OF_SESSION: &[&str] = &["session", "name"];

/// Health.
pub const SESSION_HEALTHY: Metric = session(
    "labguard_session_healthy",
    Some("SessionHealthy"),
    Unit::One,
    OF_SESSION,
    "Whether the session's task is healthy: 1 or 0; absent before the first verdict",
);
/// Probe latency.
pub const PROBE_LATENCY: Metric = session(
    "labguard_probe_latency_seconds",
    Some("ProbeLatency"),
    Unit::Seconds,
    OF_SESSION,
    "How long the last probe took; absent before the first one",
);
/// Idle time.
pub const SESSION_IDLE: Metric = session(
    "labguard_session_idle_seconds",
    Some("SessionIdle"),
    Unit::Seconds,
    OF_SESSION,
    "For how long the session has not been used; absent while that is not known",
);
/// Spend.
pub const SESSION_SPEND: Metric = session(
    "labguard_session_spend_dollars",
    Some("SessionSpend"),
    Unit::Dollars,
    OF_SESSION,
    "What the session has cost so far, gross, by the built-in rate card",
);
/// Budget left.
pub const SESSION_BUDGET_LEFT: Metric = session(
    "labguard_session_budget_left_dollars",
    Some("SessionBudgetLeft"),
    Unit::Dollars,
    OF_SESSION,
    "What is left of the budget after what the teardown will still cost",
);
/// Time to each limit.
pub const SESSION_LIMIT: Metric = session(
    "labguard_session_limit_seconds",
    Some("SessionLimit"),
    Unit::Seconds,
    &["session", "name", "limit"],
    "Time until a limit ends the session if nothing changes, for each limit that is set",
);
/// Nets.
pub const SESSION_NET_HOLDS: Metric = session(
    "labguard_session_net_holds",
    None,
    Unit::One,
    &["session", "name", "net"],
    "Whether a net would end the session's spend without labguard: 1, or 0 while it is made, torn, or cannot be had; \
     absent where the policy does not want it",
);
/// Phase.
pub const SESSION_PHASE: Metric = session(
    "labguard_session_phase",
    None,
    Unit::One,
    &["session", "name", "phase"],
    "1 for the phase the session is in, 0 for the others",
);
/// Restarts.
pub const SESSION_RESTARTS: Metric = session(
    "labguard_session_restarts",
    Some("SessionRestarts"),
    Unit::One,
    OF_SESSION,
    "How often the session's task was replaced",
);
/// Things left.
pub const SESSION_THINGS_LEFT: Metric = session(
    "labguard_session_things_left",
    Some("SessionThingsLeft"),
    Unit::One,
    OF_SESSION,
    "How many things that labguard made for the session may still exist in the cloud",
);

/// What every shared budget's metrics are labelled with: its name, and the owner, group or account that it is of.
const OF_BUDGET: &[&str] = &["budget", "of"];

/// A shared budget's limit.
pub const BUDGET_LIMIT: Metric = session(
    "labguard_budget_limit_dollars",
    None,
    Unit::Dollars,
    OF_BUDGET,
    "How much the sessions that share a budget may spend in its period",
);
/// What is spent of it.
pub const BUDGET_SPENT: Metric = session(
    "labguard_budget_spent_dollars",
    None,
    Unit::Dollars,
    OF_BUDGET,
    "What the sessions that share a budget have spent in its present period, closed ones included",
);
/// That in hundredths.
pub const BUDGET_PERCENT: Metric = session(
    "labguard_budget_used_percent",
    None,
    Unit::Percent,
    OF_BUDGET,
    "What is spent of a shared budget in its present period, in hundredths of its limit, rounded down",
);

/// Calls to AWS.
pub const AWS_CALLS: Metric = Metric {
    name: "labguard_aws_calls_total",
    cloudwatch: None,
    kind: Kind::Counter,
    unit: Unit::One,
    labels: &["operation", "outcome"],
    stability: Stability::Stable,
    help: "Calls to AWS by operation and outcome: ok, or the class of the fault",
};
/// Their durations.
pub const AWS_CALL_SECONDS: Metric = Metric {
    name: "labguard_aws_call_duration_seconds",
    cloudwatch: None,
    kind: Kind::Histogram,
    unit: Unit::Seconds,
    labels: &["operation"],
    stability: Stability::Experimental,
    help: "How long calls to AWS took, with the retries of the SDK",
};
/// Teardown duration.
pub const TEARDOWN_SECONDS: Metric = Metric {
    name: "labguard_teardown_duration_seconds",
    cloudwatch: None,
    kind: Kind::Histogram,
    unit: Unit::Seconds,
    labels: &[],
    stability: Stability::Stable,
    help: "How long teardowns took, from the decision to the second clean pass",
};
/// Journal appends.
pub const JOURNAL_APPENDS: Metric = Metric {
    name: "labguard_journal_appends_total",
    cloudwatch: None,
    kind: Kind::Counter,
    unit: Unit::One,
    labels: &["outcome"],
    stability: Stability::Experimental,
    help: "Appends to the journal by outcome: ok or failed",
};
/// Their durations.
pub const JOURNAL_APPEND_SECONDS: Metric = Metric {
    name: "labguard_journal_append_duration_seconds",
    cloudwatch: None,
    kind: Kind::Histogram,
    unit: Unit::Seconds,
    labels: &[],
    stability: Stability::Experimental,
    help: "How long appends to the journal took until they were durable",
};
/// Turns of the loop.
pub const TURNS: Metric = Metric {
    name: "labguard_turns_total",
    cloudwatch: None,
    kind: Kind::Counter,
    unit: Unit::One,
    labels: &[],
    stability: Stability::Experimental,
    help: "Turns of the loop: observe, decide, act",
};
/// Build.
pub const BUILD_INFO: Metric = Metric {
    name: "labguard_build_info",
    cloudwatch: None,
    kind: Kind::Info,
    unit: Unit::One,
    labels: &["version"],
    stability: Stability::Stable,
    help: "The version of the running labguard",
};

/// Every metric, as documented.
pub const ALL: [Metric; 20] = [
    SESSION_HEALTHY,
    PROBE_LATENCY,
    SESSION_IDLE,
    SESSION_SPEND,
    SESSION_BUDGET_LEFT,
    SESSION_LIMIT,
    SESSION_NET_HOLDS,
    SESSION_PHASE,
    SESSION_RESTARTS,
    SESSION_THINGS_LEFT,
    BUDGET_LIMIT,
    BUDGET_SPENT,
    BUDGET_PERCENT,
    AWS_CALLS,
    AWS_CALL_SECONDS,
    TEARDOWN_SECONDS,
    JOURNAL_APPENDS,
    JOURNAL_APPEND_SECONDS,
    TURNS,
    BUILD_INFO,
];

/// The metric of that name: `session_spend_dollars`, `labguard_session_spend_dollars` or `SessionSpend`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Metric> {
    static TABLE: [Metric; 20] = ALL;
    TABLE.iter().find(|metric| metric.name == name || metric.key() == name || metric.cloudwatch == Some(name))
}

/// The names a policy may choose for CloudWatch (`metrics.cloudwatch`).
#[must_use]
pub fn publishable() -> Vec<&'static str> {
    ALL.iter().filter(|metric| metric.cloudwatch.is_some()).map(Metric::key).collect()
}

/// `docs/metrics.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         <!-- Written from src/telemetry/catalogue.rs; a test keeps it in step. -->\n\n\
         Served as OpenMetrics text at `/metrics` of the daemon's local address. The daemon publishes to CloudWatch only what the\n\
         policy chooses (`metrics.cloudwatch`, by the names below without `labguard_`), since each custom metric costs money;\n\
         that cost is counted in the session's spend. CloudWatch dimensions are `Session` (its id) and `Name` (its policy), and\n\
         `Limit` where there is a `limit`.\n\n\
         A *stable* metric keeps its name, unit, labels and meaning until the next major version; an *experimental* one may\n\
         change with any version. Money is counted in whole nano-dollars inside labguard and becomes a floating-point number of\n\
         dollars only here.\n\n\
         | metric | kind | unit | labels | CloudWatch | stability | meaning |\n|---|---|---|---|---|---|---|\n",
    );
    for metric in ALL {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let cloudwatch =
            metric.cloudwatch.map_or_else(|| "–".to_owned(), |name| format!("`{name}` ({})", metric.unit.cloudwatch()));
        // Writing to a text does not fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {cloudwatch} | {} | {} |",
            metric.name,
            metric.kind.name(),
            metric.unit.prometheus().unwrap_or("–"),
            if labels.is_empty() { "–".to_owned() } else { labels.join(", ") },
            metric.stability.name(),
            metric.help,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_their_unit() {
        for (place, metric) in ALL.iter().enumerate() {
            assert!(metric.name.starts_with("labguard_"), "{}", metric.name);
            let end = match (metric.kind, metric.unit.prometheus()) {
                (Kind::Counter, _) => "_total",
                (Kind::Info, _) => "_info",
                (_, Some(unit)) => unit,
                (_, None) => "",
            };
            assert!(metric.name.ends_with(end), "{} does not end in {end}", metric.name);
            assert!(!metric.help.ends_with('.') && !metric.help.is_empty());
            assert!(ALL[place + 1..].iter().all(|other| other.name != metric.name));
            assert_eq!(find(metric.key()), Some(metric));
            assert_eq!(find(metric.name), Some(metric));
        }
        assert_eq!(find("SessionSpend"), Some(&SESSION_SPEND));
        assert_eq!(find("spend"), None);
        assert!(publishable().contains(&"session_idle_seconds") && !publishable().contains(&"session_phase"));
    }

    #[test]
    fn the_documentation_is_in_step_with_the_catalogue() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("LABGUARD_WRITE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, markdown(), "LABGUARD_WRITE_DOCS=1 cargo test --lib catalogue writes {path} anew");
    }
}
