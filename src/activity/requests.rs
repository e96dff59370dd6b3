//! Use of the application, by its own request counter.
//!
//! The counter says how many requests there were, not when: a growth between two reads is use at the time
//! of the later read. What was counted before the first read says nothing about when, so that read is only
//! the baseline. labguard's own probes must be left out by the labels (`client="user"`).
//!
//! A counter also bridges outages: read again unchanged, nothing happened in between. After a restart (the
//! count fell) what happened in between is lost, and the watch starts anew.

use bytes::Bytes;
use http::{Request, header};

use super::exposition::{self, ExpositionError, Sum};
use crate::{
    domain::model::{ActivityReading, Span, Timestamp},
    transport::{Transport, TransportError},
};

/// The name of this source in readings and events.
pub const SOURCE: &str = "requests";

const USER_AGENT: &str = concat!("labguard-probe/", env!("CARGO_PKG_VERSION"));

/// Where the counter is read, and which samples count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// TCP port.
    pub port: u16,
    /// Path of the container's Prometheus text.
    pub metrics_path: String,
    /// Name of the counter.
    pub counter: String,
    /// Only samples with all of these labels count.
    pub labels: Vec<(String, String)>,
    /// The whole exchange may take that long.
    pub timeout: Span,
}

/// Why the counter could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No answer came.
    #[error("the metrics page gave no answer")]
    Transport(#[source] TransportError),
    /// None within the time-out.
    #[error("the metrics page gave no answer within {0}")]
    Late(Span),
    /// The question itself is wrong.
    #[error("{0:?} is no address of a metrics page")]
    Address(String),
    /// Another status than 200 to 299.
    #[error("the metrics page answered {0}")]
    Status(u16),
    /// The page is not what it should be.
    #[error("the metrics page cannot be read")]
    Page(#[source] ExpositionError),
    /// The page has no such counter.
    #[error("the metrics page has no counter {0}; see activity.counter in the configuration")]
    Missing(String),
}

/// Reads the counter's sum from the container at `ip`.
///
/// # Errors
/// [`ReadError`] when there is no answer in time, or none that holds the counter.
pub async fn read(transport: &dyn Transport, ip: &str, question: &Question) -> Result<f64, ReadError> {
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    let slash = if question.metrics_path.starts_with('/') { "" } else { "/" };
    let url = format!("http://{host}:{}{slash}{}", question.port, question.metrics_path);
    let request = Request::get(&url)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "text/plain;version=0.0.4, */*;q=0.1")
        .body(Bytes::new())
        .map_err(|_| ReadError::Address(url))?;
    let response = tokio::time::timeout(question.timeout.as_duration(), transport.send(request))
        .await
        .map_err(|_| ReadError::Late(question.timeout))?
        .map_err(ReadError::Transport)?;
    if !response.status().is_success() {
        return Err(ReadError::Status(response.status().as_u16()));
    }
    let page = String::from_utf8_lossy(response.body());
    match exposition::sum(&page, &question.counter, &question.labels).map_err(ReadError::Page)? {
        Sum::Missing => Err(ReadError::Missing(question.counter.clone())),
        Sum::Total { total, .. } => Ok(total),
    }
}

/// From reads to readings: a pure fold over one task's counter. Another task needs another one.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Counter {
    seen: Option<Seen>,
    outage: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    total: f64,
    /// No use is known after this moment, and the counter has been watched from it on.
    quiet_since: Timestamp,
}

impl Counter {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Since when the source has not answered sense, if it does not now.
    #[must_use]
    pub const fn outage(&self) -> Option<Timestamp> {
        self.outage
    }

    /// Takes in what a read at `at` brought, and says what that means.
    pub fn take(&mut self, at: Timestamp, read: &Result<f64, ReadError>) -> ActivityReading {
        let total = match read {
            Ok(total) if total.is_finite() => *total,
            Ok(_) | Err(_) => {
                self.outage = self.outage.or(Some(at));
                return ActivityReading::Unknown;
            }
        };
        self.outage = None;
        let used = match self.seen {
            None => 0.0,
            // Restarted: whatever it counts now happened since the last read.
            Some(seen) if total < seen.total => total,
            Some(seen) if total > seen.total => total - seen.total,
            Some(seen) => return ActivityReading::Quiet { since: seen.quiet_since },
        };
        self.seen = Some(Seen { total, quiet_since: at });
        if used > 0.0 {
            let what = if used == 1.0 { "1 request".to_owned() } else { format!("{used} requests") };
            ActivityReading::Active { last: at, source: SOURCE.to_owned(), what }
        } else {
            ActivityReading::Quiet { since: at }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::BoxFuture;
    use http::Response;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn quiet(secs: i64) -> ActivityReading {
        ActivityReading::Quiet { since: at(secs) }
    }

    fn active(secs: i64, what: &str) -> ActivityReading {
        ActivityReading::Active { last: at(secs), source: SOURCE.into(), what: what.into() }
    }

    #[test]
    fn the_first_read_is_only_the_baseline_and_growth_is_use() {
        let mut counter = Counter::new();
        assert_eq!(counter.take(at(10), &Ok(41.0)), quiet(10));
        assert_eq!(counter.take(at(20), &Ok(41.0)), quiet(10));
        assert_eq!(counter.take(at(30), &Ok(42.0)), active(30, "1 request"));
        assert_eq!(counter.take(at(40), &Ok(42.0)), quiet(30));
        assert_eq!(counter.take(at(50), &Ok(45.0)), active(50, "3 requests"));
    }

    #[test]
    fn a_restarted_counter_counts_from_zero_and_what_was_lost_is_not_called_quiet() {
        let mut counter = Counter::new();
        counter.take(at(10), &Ok(41.0));
        assert_eq!(counter.take(at(20), &Ok(2.0)), active(20, "2 requests"));
        assert_eq!(counter.take(at(30), &Ok(0.0)), quiet(30), "watched anew since the restart was seen");
        assert_eq!(counter.take(at(40), &Ok(0.0)), quiet(30));
    }

    #[test]
    fn an_outage_is_unknown_and_an_unchanged_count_after_it_proves_that_nothing_happened() {
        let mut counter = Counter::new();
        let gone = Err(ReadError::Status(500));
        assert_eq!(counter.take(at(5), &gone), ActivityReading::Unknown);
        counter.take(at(10), &Ok(1.0));
        assert_eq!(counter.take(at(20), &gone), ActivityReading::Unknown);
        assert_eq!(counter.take(at(30), &gone), ActivityReading::Unknown);
        assert_eq!(counter.outage(), Some(at(20)));
        assert_eq!(counter.take(at(40), &Ok(1.0)), quiet(10));
        assert_eq!(counter.outage(), None);
        counter.take(at(50), &gone);
        assert_eq!(counter.take(at(60), &Ok(2.0)), active(60, "1 request"));
    }

    /// A metrics page, after a delay.
    #[derive(Debug)]
    struct Page(u16, &'static str, Duration);

    impl Transport for Page {
        fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
            assert_eq!(request.uri(), "http://192.0.2.1:5000/metrics");
            assert!(request.headers()["user-agent"].to_str().unwrap().starts_with("labguard-probe/"));
            Box::pin(async {
                tokio::time::sleep(self.2).await;
                Ok(Response::builder().status(self.0).body(Bytes::from_static(self.1.as_bytes())).unwrap())
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_page_is_read_and_every_failure_told_apart() {
        let question = Question {
            port: 5000,
            metrics_path: "/metrics".into(),
            counter: "http_requests_total".into(),
            labels: vec![("client".into(), "user".into())],
            timeout: Span::from_secs(2),
        };
        let page = "http_requests_total{client=\"user\"} 4\nhttp_requests_total{client=\"probe\"} 90\n";
        let read = async |status, page, secs| {
            super::read(&Page(status, page, Duration::from_secs(secs)), "192.0.2.1", &question).await
        };
        assert_eq!(read(200, page, 1).await, Ok(4.0));
        assert_eq!(read(200, page, 3).await, Err(ReadError::Late(Span::from_secs(2))));
        assert_eq!(read(404, page, 0).await, Err(ReadError::Status(404)));
        assert_eq!(read(200, "<html>", 0).await, Err(ReadError::Missing("http_requests_total".into())));
        assert!(matches!(read(200, "http_requests_total{", 0).await, Err(ReadError::Page(_))));
    }
}
