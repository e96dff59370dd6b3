//! What counts as use, by which sources, and how what they say is put together.

use serde::{Deserialize, Serialize};

use super::super::model::{Range, Source, Span, Whose};

/// How several sources make one verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// Use seen by any source is use; idle is what every source calls quiet. One that cannot be asked holds the idle
    /// time off, but no longer than [`ActivityPolicy::max_gap`].
    #[default]
    Any,
    /// Only the most trusted sources that can be asked count; the others stand in while those cannot be.
    MostTrusted,
}

/// Signs of use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityPolicy {
    /// Ranges of addresses whose use counts; empty: everybody's.
    #[serde(default)]
    pub allowed_sources: Vec<String>,
    /// Ranges of addresses whose use does not count, even where they are allowed.
    #[serde(default)]
    pub ignored_sources: Vec<String>,
    /// Path of the container's Prometheus text; absent: neither request counter nor gauge.
    pub metrics_path: Option<String>,
    /// Name of the counter.
    pub counter: String,
    /// Only samples whose labels match all of these count.
    pub labels: Vec<(String, String)>,
    /// Samples whose labels match any of these do not count: `/metrics|/health*` is one of two, the second a beginning.
    #[serde(default)]
    pub exclude_labels: Vec<(String, String)>,
    /// The label whose value is the client's address; absent: the counter knows none.
    #[serde(default)]
    pub address_label: Option<String>,
    /// Fewer new requests than that between two reads are noise.
    #[serde(default = "one")]
    pub min_requests: u32,
    /// Name of the gauge of requests under way, on the same page; absent: not looked at.
    #[serde(default)]
    pub in_flight: Option<String>,
    /// Use is what the gauge shows above that.
    #[serde(default)]
    pub in_flight_above: u32,
    /// Time between reads of the page.
    pub interval: Span,
    /// Whether the connections that the sentinel counts are use (scanners' are among them).
    #[serde(default)]
    pub sentinel: bool,
    /// How sources are put together.
    #[serde(default)]
    pub combine: Combine,
    /// A source that cannot be asked holds the idle time off for that long at most.
    #[serde(default = "half_an_hour")]
    pub max_gap: Span,
    /// Lines in the session's log group.
    #[serde(default)]
    pub logs: LogLines,
    /// What Container Insights says of the task.
    #[serde(default)]
    pub insights: Insights,
    /// What a load balancer of the operator's counts.
    #[serde(default)]
    pub load_balancer: LoadBalancer,
    /// What the operator asks by a means of their own.
    #[serde(default)]
    pub check: Check,
}

/// Lines in the session's log group that are signs of use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLines {
    /// CloudWatch Logs filter pattern; absent: lines are not looked at.
    pub pattern: Option<String>,
    /// Time between questions.
    pub interval: Span,
    /// How late a line may appear.
    pub latency: Span,
}

impl Default for LogLines {
    fn default() -> Self {
        Self { pattern: None, interval: Span::from_mins(1), latency: Span::from_secs(90) }
    }
}

/// Network and CPU of the session's tasks, as Container Insights tells CloudWatch (aws-facts §7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Insights {
    /// Whether it is switched on for the session's cluster, and read.
    pub enabled: bool,
    /// Bytes a second, received and sent together, above which a task is in use; absent: not looked at.
    pub network_above: Option<u32>,
    /// Hundredths of the task's CPU above which it is in use; absent: not looked at.
    pub cpu_above: Option<u32>,
    /// Time between questions; each is paid for.
    pub interval: Span,
    /// How late a minute's data may come.
    pub latency: Span,
}

impl Default for Insights {
    fn default() -> Self {
        Self {
            enabled: false,
            network_above: Some(4096),
            cpu_above: Some(20),
            interval: Span::from_mins(2),
            latency: Span::from_mins(5),
        }
    }
}

/// The log group that AWS makes for a cluster with Container Insights, and leaves behind (aws-facts §7).
#[must_use]
pub fn insights_log(cluster: &str) -> String {
    format!("/aws/ecs/containerinsights/{cluster}/performance")
}

impl Insights {
    /// Metrics that one question asks for: each is paid for.
    #[must_use]
    pub const fn metrics(&self) -> u64 {
        if !self.enabled {
            return 0;
        }
        2 * (self.network_above.is_some() as u64) + self.cpu_above.is_some() as u64
    }
}

/// Requests that a load balancer counts. labguard makes none: it is the operator's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// As CloudWatch calls it: `app/NAME/ID`; absent: not looked at.
    pub name: Option<String>,
    /// Only what goes to that target group: `targetgroup/NAME/ID`.
    pub target_group: Option<String>,
    /// Fewer requests than that in a minute are noise.
    pub min_requests: u32,
    /// Time between questions; each is paid for.
    pub interval: Span,
    /// How late a minute's data may come.
    pub latency: Span,
}

impl Default for LoadBalancer {
    fn default() -> Self {
        Self {
            name: None,
            target_group: None,
            min_requests: one(),
            interval: Span::from_mins(2),
            latency: Span::from_mins(4),
        }
    }
}

impl LoadBalancer {
    /// Metrics that one question asks for: the requests, and what shows that the load balancer is there.
    #[must_use]
    pub const fn metrics(&self) -> u64 {
        if self.name.is_some() { 2 } else { 0 }
    }
}

/// The operator's own question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Program and arguments; empty: none.
    pub command: Vec<String>,
    /// `http://` address; absent: none.
    pub url: Option<String>,
    /// Time between questions.
    pub interval: Span,
    /// Time for one answer.
    pub timeout: Span,
}

impl Default for Check {
    fn default() -> Self {
        Self { command: Vec::new(), url: None, interval: Span::from_mins(1), timeout: Span::from_secs(10) }
    }
}

const fn one() -> u32 {
    1
}

const fn half_an_hour() -> Span {
    Span::from_mins(30)
}

impl ActivityPolicy {
    /// No source: only heartbeats and leases count.
    #[must_use]
    pub fn none() -> Self {
        Self {
            allowed_sources: Vec::new(),
            ignored_sources: Vec::new(),
            metrics_path: None,
            counter: "http_requests_total".to_owned(),
            labels: Vec::new(),
            exclude_labels: Vec::new(),
            address_label: None,
            min_requests: one(),
            in_flight: None,
            in_flight_above: 0,
            interval: Span::from_secs(15),
            sentinel: false,
            combine: Combine::Any,
            max_gap: half_an_hour(),
            logs: LogLines::default(),
            insights: Insights::default(),
            load_balancer: LoadBalancer::default(),
            check: Check::default(),
        }
    }

    /// The request counter `counter` on the page at `path`.
    #[must_use]
    pub fn counting(path: &str, counter: &str, interval: Span) -> Self {
        Self { metrics_path: Some(path.to_owned()), counter: counter.to_owned(), interval, ..Self::none() }
    }

    /// Every source that is asked, each with its latency and the time between its reads.
    #[must_use]
    pub fn sources(&self) -> Vec<(Source, Span, Span)> {
        let page = self.metrics_path.is_some();
        let requests = page.then_some((Source::Requests, Span::ZERO, self.interval));
        let in_flight = (page && self.in_flight.is_some()).then_some((Source::InFlight, Span::ZERO, self.interval));
        let (logs, check) = (&self.logs, &self.check);
        let command = (!check.command.is_empty()).then_some((Source::Command, check.timeout, check.interval));
        let url = check.url.is_some().then_some((Source::Url, check.timeout, check.interval));
        let logs = logs.pattern.is_some().then_some((Source::Logs, logs.latency, logs.interval));
        let sentinel = self.sentinel.then_some((Source::Sentinel, Span::ZERO, self.interval));
        let it = &self.insights;
        let insights = (it.metrics() > 0).then_some((Source::Insights, it.latency, it.interval));
        let it = &self.load_balancer;
        let load_balancer = it.name.is_some().then_some((Source::LoadBalancer, it.latency, it.interval));
        let all = [requests, in_flight, sentinel, command, url, logs, insights, load_balancer];
        all.into_iter().flatten().collect()
    }

    /// Whose use counts, by address.
    #[must_use]
    pub fn whose(&self) -> Whose {
        let read = |texts: &[String]| texts.iter().filter_map(|text| text.parse::<Range>().ok()).collect();
        Whose { allowed: read(&self.allowed_sources), ignored: read(&self.ignored_sources) }
    }

    /// The most metrics that are asked for in an hour: GetMetricData is paid for by each (aws-facts §2.2).
    #[must_use]
    pub fn metrics_read_per_hour(&self) -> u64 {
        let of = |metrics: u64, interval: Span| {
            if metrics == 0 { 0 } else { metrics * 3_600_000_u64.div_ceil(interval.as_millis().max(1000)) }
        };
        of(self.insights.metrics(), self.insights.interval)
            + of(self.load_balancer.metrics(), self.load_balancer.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_journalled_before_there_were_several_sources_reads_as_it_was_meant() {
        let old = r#"{"metrics_path":"/metrics","counter":"c","labels":[["client","user"]],"interval":"15s"}"#;
        let policy: ActivityPolicy = serde_json::from_str(old).unwrap();
        let labels = vec![("client".to_owned(), "user".to_owned())];
        let meant = ActivityPolicy { labels, ..ActivityPolicy::counting("/metrics", "c", Span::from_secs(15)) };
        assert_eq!(policy, meant);
        assert_eq!(policy.sources(), [(Source::Requests, Span::ZERO, Span::from_secs(15))]);
    }

    #[test]
    fn every_metric_that_is_asked_for_is_counted() {
        let mut policy = ActivityPolicy::none();
        assert_eq!(policy.metrics_read_per_hour(), 0);
        policy.insights.enabled = true;
        assert_eq!(policy.metrics_read_per_hour(), 3 * 30);
        policy.insights.cpu_above = None;
        assert_eq!(policy.metrics_read_per_hour(), 2 * 30);
        policy.load_balancer.name = Some("app/lab/1".into());
        policy.load_balancer.interval = Span::from_secs(3599);
        assert_eq!(policy.metrics_read_per_hour(), 60 + 2 * 2, "a begun interval asks");
    }

    #[test]
    fn what_is_asked_is_what_the_policy_names() {
        let mut policy = ActivityPolicy { in_flight: Some("g".into()), ..ActivityPolicy::none() };
        assert_eq!(policy.sources(), [], "the gauge stands on a page that nobody named");
        policy.metrics_path = Some("/metrics".into());
        policy.logs.pattern = Some("predict".into());
        policy.check.command = vec!["true".into()];
        policy.check.url = Some("http://hub/".into());
        let names =
            |policy: &ActivityPolicy| -> Vec<Source> { policy.sources().iter().map(|(source, ..)| *source).collect() };
        let before = [Source::Requests, Source::InFlight, Source::Command, Source::Url, Source::Logs];
        assert_eq!(names(&policy), before);
        policy.insights.enabled = true;
        policy.load_balancer.name = Some("app/lab/1".into());
        assert_eq!(names(&policy), [&before[..], &[Source::Insights, Source::LoadBalancer]].concat());
        (policy.insights.network_above, policy.insights.cpu_above) = (None, None);
        assert_eq!(names(&policy), [&before[..], &[Source::LoadBalancer]].concat(), "nothing of it is looked at");
    }
}
