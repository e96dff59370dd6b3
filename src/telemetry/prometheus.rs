//! The metrics page: OpenMetrics text for Prometheus.
//!
//! A session's gauges are kept as the engine last gave them and written out at each scrape, so that a
//! forgotten session leaves no series behind. Cheap to clone; all methods are short and never block on I/O.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge, histogram::Histogram, info::Info},
    registry::{Metric as Registrable, Registry, Unit},
};
use tokio::time::Instant;

use super::{
    catalogue::{self, Metric},
    gauges::SessionGauges,
    shared::{BudgetGauges, SharedBudgets},
};
use crate::domain::model::{SessionId, Span};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names and values of labels.
type Labels = Vec<(&'static str, String)>;

/// From half a millisecond to half a minute.
const FAST: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// From a second to half an hour: an ENI alone may take minutes to go.
const SLOW: [f64; 10] = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0];

/// Everything that is counted and measured. Clones share it.
#[derive(Clone, Debug)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    sessions: Sessions,
    budgets: SharedBudgets,
    calls: Family<Labels, Counter>,
    call_seconds: Family<Labels, Histogram, fn() -> Histogram>,
    teardowns: Histogram,
    appends: Family<Labels, Counter>,
    append_seconds: Histogram,
    turns: Counter,
}

impl Metrics {
    /// All at zero, no session known.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let sessions = Sessions::default();
        registry.register_collector(Box::new(sessions.clone()));
        let budgets = SharedBudgets::default();
        registry.register_collector(Box::new(budgets.clone()));
        let calls = add(&mut registry, &catalogue::AWS_CALLS, Family::<Labels, Counter>::default());
        let fast: fn() -> Histogram = || Histogram::new(FAST);
        let call_seconds =
            add(&mut registry, &catalogue::AWS_CALL_SECONDS, Family::<Labels, _, _>::new_with_constructor(fast));
        let teardowns = add(&mut registry, &catalogue::TEARDOWN_SECONDS, Histogram::new(SLOW));
        let appends = add(&mut registry, &catalogue::JOURNAL_APPENDS, Family::<Labels, Counter>::default());
        let append_seconds = add(&mut registry, &catalogue::JOURNAL_APPEND_SECONDS, fast());
        let turns = add(&mut registry, &catalogue::TURNS, Counter::default());
        let build = &catalogue::BUILD_INFO;
        registry.register(build.base(), build.help, Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        let inner =
            Inner { registry, sessions, budgets, calls, call_seconds, teardowns, appends, append_seconds, turns };
        Self { inner: Arc::new(inner) }
    }

    /// Takes one session's figures, in place of those before.
    pub fn session(&self, gauges: &SessionGauges) {
        self.inner.sessions.known().insert(gauges.id.clone(), (Instant::now(), gauges.clone()));
    }

    /// Drops a session's series.
    pub fn forget(&self, session: &SessionId) {
        self.inner.sessions.known().remove(session);
    }

    /// Takes the shared budgets' figures, in place of those before.
    pub fn budgets(&self, budgets: Vec<BudgetGauges>) {
        self.inner.budgets.replace(budgets);
    }

    /// Counts one call to AWS: `operation` such as `ecs:RunTask`, `outcome` `ok` or a fault class's name.
    pub fn call(&self, operation: &str, outcome: &str, micros: u64) {
        let operation = ("operation", operation.to_owned());
        self.inner.calls.get_or_create(&vec![operation.clone(), ("outcome", outcome.to_owned())]).inc();
        self.inner.call_seconds.get_or_create(&vec![operation]).observe(micros as f64 / 1e6);
    }

    /// Counts one teardown, in seconds from the decision to the second clean pass.
    pub fn teardown(&self, secs: f64) {
        self.inner.teardowns.observe(secs);
    }

    /// Counts one append to the journal.
    pub fn append(&self, ok: bool, micros: u64) {
        let outcome = if ok { "ok" } else { "failed" };
        self.inner.appends.get_or_create(&vec![("outcome", outcome.to_owned())]).inc();
        self.inner.append_seconds.observe(micros as f64 / 1e6);
    }

    /// Counts one turn of the loop.
    pub fn turn(&self) {
        self.inner.turns.inc();
    }

    /// The page, of type [`CONTENT_TYPE`].
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        // Writing to a text does not fail; should it, half a page without its end mark is refused by the reader.
        if text::encode(&mut page, &self.inner.registry).is_err() {
            tracing::error!("the metrics page could not be written");
        }
        page
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers a metric by its entry in the catalogue.
fn add<M: Registrable + Clone>(registry: &mut Registry, entry: &Metric, metric: M) -> M {
    match unit(entry) {
        Some(unit) => registry.register_with_unit(entry.base(), entry.help, unit, metric.clone()),
        None => registry.register(entry.base(), entry.help, metric.clone()),
    }
    metric
}

fn unit(entry: &Metric) -> Option<Unit> {
    entry.unit.prometheus().map(|unit| Unit::Other(unit.to_owned()))
}

/// The sessions that are known now, and when their figures were taken.
#[derive(Clone, Debug, Default)]
struct Sessions(Arc<Mutex<BTreeMap<SessionId, (Instant, SessionGauges)>>>);

impl Sessions {
    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<SessionId, (Instant, SessionGauges)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Sessions {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Copied, so that a slow reader of the page never holds the engine up.
        let known: Vec<(Instant, SessionGauges)> = self.known().values().cloned().collect();
        let whole = |since: &Instant| Span::from_secs(since.elapsed().as_secs());
        let known: Vec<SessionGauges> = known.iter().map(|(since, gauges)| gauges.later(whole(since))).collect();
        let samples: Vec<_> =
            known.iter().flat_map(|gauges| gauges.samples().into_iter().map(move |sample| (gauges, sample))).collect();
        for metric in catalogue::ALL {
            let mut of_metric = samples.iter().filter(|(_, sample)| sample.metric == metric).peekable();
            if of_metric.peek().is_none() {
                continue;
            }
            let (unit, help) = (unit(&metric), format!("{}.", metric.help));
            let mut family = encoder.encode_descriptor(metric.base(), &help, unit.as_ref(), MetricType::Gauge)?;
            for (gauges, sample) in of_metric {
                let mut labels = vec![("session", gauges.id.as_str()), ("name", gauges.name.as_str())];
                labels.extend(sample.label);
                ConstGauge::new(sample.value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::gauges::staged;

    fn full() -> Metrics {
        let metrics = Metrics::new();
        metrics.session(&staged::running());
        let money = |text: &str| text.parse().unwrap();
        let class = ("class".to_owned(), "ml".to_owned());
        let (limit, spent) = (money("5 USD"), money("1 USD"));
        metrics.budgets(vec![BudgetGauges { budget: class.0, of: class.1, limit, spent, percent: 20 }]);
        metrics.call("ecs:RunTask", "ok", 120_000);
        metrics.call("ecs:RunTask", "throttled", 90_000);
        metrics.teardown(42.0);
        metrics.append(true, 900);
        metrics.turn();
        metrics
    }

    #[test]
    fn the_page_holds_every_metric_of_the_catalogue_and_no_other() {
        let page = full().render();
        for metric in catalogue::ALL {
            let kind = metric.kind.name();
            let family = metric.name.strip_suffix("_total").unwrap_or(metric.name);
            let family = if kind == "info" { metric.base() } else { family };
            assert!(page.contains(&format!("# TYPE {family} {kind}\n")), "{family} {kind} is not in:\n{page}");
            assert!(page.contains(&format!("# HELP {family} {}.\n", metric.help)), "{family}");
        }
        assert_eq!(page.matches("# TYPE ").count(), catalogue::ALL.len());
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn labels_are_those_of_the_catalogue() {
        let page = full().render();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let metric = catalogue::ALL
                .iter()
                .find(|metric| {
                    name == metric.name
                        || ["_bucket", "_sum", "_count"]
                            .map(|end| format!("{}{end}", metric.name))
                            .contains(&name.to_owned())
                })
                .unwrap_or_else(|| panic!("{name}"));
            let inner = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            let labels: Vec<&str> = inner
                .split("\",")
                .filter_map(|pair| pair.split_once("=\""))
                .map(|(name, _)| name)
                .filter(|name| *name != "le")
                .collect();
            assert_eq!(labels, metric.labels, "{line}");
        }
    }

    #[test]
    fn values_are_those_given() {
        let page = full().render();
        let id = staged::running().id;
        for line in [
            format!("labguard_session_healthy{{session=\"{id}\",name=\"admission\"}} 1.0"),
            format!("labguard_session_spend_dollars{{session=\"{id}\",name=\"admission\"}} 0.0173425"),
            format!("labguard_session_limit_seconds{{session=\"{id}\",name=\"admission\",limit=\"idle\"}} 1080.0"),
            format!("labguard_session_phase{{session=\"{id}\",name=\"admission\",phase=\"Stuck\"}} 0.0"),
            "labguard_aws_calls_total{operation=\"ecs:RunTask\",outcome=\"throttled\"} 1".to_owned(),
            "labguard_teardown_duration_seconds_sum 42.0".to_owned(),
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in:\n{page}");
        }
    }

    #[test]
    fn a_forgotten_session_leaves_no_series() {
        let metrics = full();
        metrics.forget(&staged::running().id);
        assert!(!metrics.render().contains("labguard_session"));
    }

    #[test]
    fn odd_names_cannot_break_the_page() {
        let metrics = Metrics::new();
        metrics.session(&SessionGauges { name: "a\"b\\c\nd".into(), ..staged::running() });
        assert!(metrics.render().contains(r#"name="a\"b\\c\nd""#));
    }
}
