//! Use of the application, by its own metrics page: a request counter, and a gauge of requests under way.
//!
//! The counter says how many requests there were, not when: a growth between two reads is use at the time
//! of the later read. What was counted before the first read says nothing about when, so that read is only
//! the baseline. labguard's own probes must be left out by the labels (`client="user"`), and what else should not
//! count by excluded ones. A few requests between two reads may be called noise.
//!
//! A counter also bridges outages: read again unchanged, nothing happened in between. After a restart (the
//! count fell) what happened in between is lost, and the watch starts anew. A count that falls again and again is several
//! processes' that answer in turn: that says nothing. The gauge makes a request use for as long
//! as it is under way.

use bytes::Bytes;
use http::{Request, header};

use super::{
    exposition::{self, ExpositionError, Sum, Wanted},
    fold::Seen,
};
use crate::{
    domain::model::{Span, Timestamp, with_causes},
    transport::{Transport, TransportError},
};

const USER_AGENT: &str = concat!("labguard-probe/", env!("CARGO_PKG_VERSION"));

/// Where the page is read, and what of it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// TCP port.
    pub port: u16,
    /// Path of the container's Prometheus text.
    pub metrics_path: String,
    /// Name of the counter.
    pub counter: String,
    /// Name of the gauge of requests under way, if it is looked at.
    pub in_flight: Option<String>,
    /// Which samples of both count.
    pub wanted: Wanted,
    /// The whole exchange may take that long.
    pub timeout: Span,
}

/// What a page says.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The counter's sum.
    pub requests: Result<f64, ReadError>,
    /// The gauge's sum, if it is looked at.
    pub in_flight: Option<Result<f64, ReadError>>,
}

/// Why the page could not be read.
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
    /// The page has no such metric.
    #[error("the metrics page has no metric {0}; see [defaults.activity] in the configuration")]
    Missing(String),
}

/// Reads the page of the container at `ip`.
///
/// # Errors
/// [`ReadError`] when there is no answer in time, or none that is good.
pub async fn read(transport: &dyn Transport, ip: &str, question: &Question) -> Result<Page, ReadError> {
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
    let sum = |metric: &String| match exposition::sum(&page, metric, &question.wanted) {
        Err(error) => Err(ReadError::Page(error)),
        Ok(Sum::Missing) => Err(ReadError::Missing(metric.clone())),
        Ok(Sum::Total { total, .. }) => Ok(total),
    };
    Ok(Page { requests: sum(&question.counter), in_flight: question.in_flight.as_ref().map(sum) })
}

/// What the gauge means: more than `above` under way is use now.
#[must_use]
pub fn in_flight(at: Timestamp, read: &Result<f64, ReadError>, above: u32) -> Seen {
    match read {
        Err(error) => Seen::Unreadable(with_causes(error)),
        Ok(number) if *number > f64::from(above) => {
            Seen::Used { last: at, what: counted(number - f64::from(above), "under way") }
        }
        Ok(_) => Seen::Nothing,
    }
}

fn counted(number: f64, of_what: &str) -> String {
    let requests = if number == 1.0 { "1 request".to_owned() } else { format!("{number} requests") };
    if of_what.is_empty() { requests } else { format!("{requests} {of_what}") }
}

/// From counts to looks. Another task needs another one.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Counter {
    total: Option<f64>,
    /// Fewer new requests than that are noise.
    least: u32,
    /// How many reads ago the count fell, and from what.
    fell: Option<(u32, f64)>,
    /// Whether it has come back to that and fallen again within [`APART`] reads.
    in_turn: bool,
}

/// Restarts of one process are further apart than so many reads.
const APART: u32 = 20;

impl Counter {
    /// Nothing read yet. Fewer than `least` new requests between two reads are noise; at least 1.
    #[must_use]
    pub fn new(least: u32) -> Self {
        Self { least: least.max(1), ..Self::default() }
    }

    /// Takes in what a read at `at` brought, and says what was seen.
    pub fn take(&mut self, at: Timestamp, read: &Result<f64, ReadError>) -> Seen {
        let total = match read {
            Ok(total) => *total,
            Err(error) => return Seen::Unreadable(with_causes(error)),
        };
        let before = self.total.replace(total);
        if self.is_in_turn(before.filter(|before| total < *before)) {
            return Seen::Unreadable(format!(
                "the count fell, came back and fell again within {APART} reads: several processes seem to answer in turn, each with a count of its \
                 own (let them share one page, or use another source)"
            ));
        }
        let fresh = match before {
            None => return Seen::Nothing,
            // Restarted: whatever it counts now happened since the last read, and some may be lost.
            Some(before) if total < before => total,
            Some(before) => total - before,
        };
        if fresh >= f64::from(self.least) {
            Seen::Used { last: at, what: counted(fresh, "") }
        } else if before.is_some_and(|before| total < before) {
            Seen::Anew(at)
        } else {
            Seen::Nothing
        }
    }
}

impl Counter {
    /// Whether several processes answer in turn, for all that is known, after a read at which the count fell from `height`
    /// or did not.
    fn is_in_turn(&mut self, height: Option<f64>) -> bool {
        let last = self.fell.map(|(reads, height)| (reads + 1, height)).filter(|(reads, _)| *reads <= APART);
        let back = last.zip(height).is_some_and(|((_, before), now)| now >= before);
        self.in_turn = last.is_some() && (self.in_turn || back);
        self.fell = height.map(|height| (0, height)).or(last);
        self.in_turn
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

    fn used(secs: i64, what: &str) -> Seen {
        Seen::Used { last: at(secs), what: what.into() }
    }

    #[test]
    fn the_first_read_is_only_the_baseline_and_growth_is_use() {
        let mut counter = Counter::new(1);
        assert_eq!(counter.take(at(10), &Ok(41.0)), Seen::Nothing);
        assert_eq!(counter.take(at(20), &Ok(41.0)), Seen::Nothing);
        assert_eq!(counter.take(at(30), &Ok(42.0)), used(30, "1 request"));
        assert!(matches!(counter.take(at(40), &Err(ReadError::Status(500))), Seen::Unreadable(_)));
        assert_eq!(counter.take(at(50), &Ok(45.0)), used(50, "3 requests"));
    }

    #[test]
    fn a_restarted_counter_counts_from_zero_and_what_was_lost_is_not_called_quiet() {
        let mut counter = Counter::new(1);
        counter.take(at(10), &Ok(41.0));
        assert_eq!(counter.take(at(20), &Ok(2.0)), used(20, "2 requests"));
        assert_eq!(counter.take(at(30), &Ok(0.0)), Seen::Anew(at(30)));
        assert_eq!(counter.take(at(40), &Ok(0.0)), Seen::Nothing);
    }

    #[test]
    fn processes_that_answer_in_turn_are_no_use_until_they_share_a_page() {
        let mut counter = Counter::new(1);
        let mut seen: Vec<Seen> = [100.0, 40.0, 100.0, 40.0, 40.0, 100.0]
            .iter()
            .zip(1..)
            .map(|(count, secs)| counter.take(at(secs), &Ok(*count)))
            .collect();
        assert!(seen.split_off(3).iter().all(|it| matches!(it, Seen::Unreadable(why) if why.contains("in turn"))));
        let mut later = (7..60).map(|secs| counter.take(at(secs), &Ok(100.0)));
        assert!(matches!(later.next(), Some(Seen::Unreadable(_))));
        assert_eq!(later.last(), Some(Seen::Nothing), "one process by now");
        // One that restarts from time to time is no such thing.
        let mut counter = Counter::new(1);
        let restarts = (0..200).map(|read| counter.take(at(read), &Ok((read % 25) as f64)));
        assert!(restarts.skip(1).all(|seen| !matches!(seen, Seen::Unreadable(_))));
    }

    #[test]
    fn fewer_requests_than_the_policy_asks_for_are_noise_however_often_they_come() {
        let mut counter = Counter::new(5);
        for read in 0..50 {
            assert_eq!(counter.take(at(read * 15), &Ok(read as f64 * 4.0)), Seen::Nothing, "{read}");
        }
        assert_eq!(counter.take(at(900), &Ok(201.0)), used(900, "5 requests"));
    }

    #[test]
    fn a_request_is_use_while_it_is_under_way_and_what_always_is_does_not_count() {
        assert_eq!(in_flight(at(5), &Ok(1.0), 0), used(5, "1 request under way"));
        assert_eq!(in_flight(at(5), &Ok(1.0), 1), Seen::Nothing);
        assert_eq!(in_flight(at(5), &Ok(3.0), 1), used(5, "2 requests under way"));
        let missing = Err(ReadError::Missing("gauge".into()));
        assert!(matches!(in_flight(at(5), &missing, 0), Seen::Unreadable(why) if why.contains("no metric gauge")));
    }

    /// A metrics page, after a delay.
    #[derive(Debug)]
    struct Served(u16, &'static str, Duration);

    impl Transport for Served {
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
            in_flight: Some("http_in_flight".into()),
            wanted: Wanted { with: vec![("client".into(), "user".into())], ..Wanted::default() },
            timeout: Span::from_secs(2),
        };
        let page = "http_requests_total{client=\"user\"} 4\nhttp_requests_total{client=\"probe\"} 90\n\
                    http_in_flight{client=\"user\"} 2\nhttp_in_flight{client=\"probe\"} 1\n";
        let read = async |status, page, secs| {
            super::read(&Served(status, page, Duration::from_secs(secs)), "192.0.2.1", &question).await
        };
        assert_eq!(read(200, page, 1).await, Ok(Page { requests: Ok(4.0), in_flight: Some(Ok(2.0)) }));
        assert_eq!(read(200, page, 3).await, Err(ReadError::Late(Span::from_secs(2))));
        assert_eq!(read(404, page, 0).await, Err(ReadError::Status(404)));
        let missing = |name: &str| Err(ReadError::Missing(name.into()));
        let html = Page { requests: missing("http_requests_total"), in_flight: Some(missing("http_in_flight")) };
        assert_eq!(read(200, "<html>", 0).await, Ok(html));
        let broken = read(200, "http_requests_total{", 0).await.unwrap();
        assert!(matches!(broken.requests, Err(ReadError::Page(_))));
    }
}
