//! What counts as use, by which sources, and how what they say is put together.

use serde::{Deserialize, Serialize};

use super::super::model::{Source, Span};

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
    /// Path of the container's Prometheus text; absent: neither request counter nor gauge.
    pub metrics_path: Option<String>,
    /// Name of the counter.
    pub counter: String,
    /// Only samples whose labels match all of these count.
    pub labels: Vec<(String, String)>,
    /// Samples whose labels match any of these do not count: `/metrics|/health*` is one of two, the second a beginning.
    #[serde(default)]
    pub exclude_labels: Vec<(String, String)>,
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
            metrics_path: None,
            counter: "http_requests_total".to_owned(),
            labels: Vec::new(),
            exclude_labels: Vec::new(),
            min_requests: one(),
            in_flight: None,
            in_flight_above: 0,
            interval: Span::from_secs(15),
            sentinel: false,
            combine: Combine::Any,
            max_gap: half_an_hour(),
            logs: LogLines::default(),
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
        [requests, in_flight, sentinel, command, url, logs].into_iter().flatten().collect()
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
    fn what_is_asked_is_what_the_policy_names() {
        let mut policy = ActivityPolicy { in_flight: Some("g".into()), ..ActivityPolicy::none() };
        assert_eq!(policy.sources(), [], "the gauge stands on a page that nobody named");
        policy.metrics_path = Some("/metrics".into());
        policy.logs.pattern = Some("predict".into());
        policy.check.command = vec!["true".into()];
        policy.check.url = Some("http://hub/".into());
        let names: Vec<Source> = policy.sources().into_iter().map(|(source, ..)| source).collect();
        assert_eq!(names, [Source::Requests, Source::InFlight, Source::Command, Source::Url, Source::Logs]);
    }
}
