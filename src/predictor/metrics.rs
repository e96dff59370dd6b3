//! What the service counts, and how Prometheus reads it.
//!
//! Guarantees: a bounded number of series whatever is asked for; labguard's own probes are counted apart from use; a
//! request in flight is given back even when its client goes away. Never counts by address or by content.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{Method, header};

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const PROBE_AGENT: &str = "labguard-probe";
const PATHS: [&str; 4] = ["/", "/metrics", "/ping", "/predict"];
const CLIENTS: [&str; 2] = ["labguard-probe", "user"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    method: &'static str,
    path: &'static str,
    status: u16,
    client: &'static str,
}

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<Labels, u64>,
    in_flight: BTreeMap<&'static str, u64>,
}

/// The counters of one router.
#[derive(Clone, Debug)]
pub(super) struct Metrics(Arc<Mutex<Counts>>);

impl Default for Metrics {
    /// A prediction never asked for is a zero, not an absent series.
    fn default() -> Self {
        let unused = Labels { method: "POST", path: "/predict", status: 200, client: "user" };
        let requests = BTreeMap::from([(unused, 0)]);
        let in_flight = CLIENTS.into_iter().map(|client| (client, 0)).collect();
        Self(Arc::new(Mutex::new(Counts { requests, in_flight })))
    }
}

impl Metrics {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, client: &'static str) -> InFlight {
        *self.counts().in_flight.entry(client).or_default() += 1;
        InFlight { metrics: self.clone(), client }
    }

    /// The exposition, in Prometheus's text format 0.0.4.
    pub(super) fn exposition(&self) -> String {
        let counts = self.counts();
        let mut text = String::from(
            "# HELP http_requests_total Requests answered. client is labguard-probe for labguard's probes, else user.\n\
             # TYPE http_requests_total counter\n",
        );
        for (Labels { method, path, status, client }, count) in &counts.requests {
            let _ = writeln!(
                text,
                "http_requests_total{{method=\"{method}\",path=\"{path}\",status=\"{status}\",client=\"{client}\"}} {count}"
            );
        }
        text.push_str(
            "# HELP http_requests_in_flight Requests being answered.\n# TYPE http_requests_in_flight gauge\n",
        );
        for (client, count) in &counts.in_flight {
            let _ = writeln!(text, "http_requests_in_flight{{client=\"{client}\"}} {count}");
        }
        text
    }
}

struct InFlight {
    metrics: Metrics,
    client: &'static str,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(count) = self.metrics.counts().in_flight.get_mut(self.client) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Counts each request by how it was answered.
pub(super) async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let agent = request.headers().get(header::USER_AGENT).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let client = CLIENTS[usize::from(!agent.starts_with(PROBE_AGENT.as_bytes()))];
    let method = method_label(request.method());
    let asked = request.uri().path();
    let path = PATHS.into_iter().find(|known| *known == asked).unwrap_or("other");
    let in_flight = metrics.enter(client);
    let response = next.run(request).await;
    drop(in_flight);
    let labels = Labels { method, path, status: response.status().as_u16(), client };
    *metrics.counts().requests.entry(labels).or_default() += 1;
    response
}

fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_service_already_shows_that_nobody_used_it() {
        let text = Metrics::default().exposition();
        assert!(
            text.contains("http_requests_total{method=\"POST\",path=\"/predict\",status=\"200\",client=\"user\"} 0\n")
        );
        assert!(text.contains("http_requests_in_flight{client=\"user\"} 0\n"));
    }

    #[test]
    fn a_request_whose_client_left_is_no_longer_in_flight() {
        let metrics = Metrics::default();
        let held = metrics.enter("user");
        assert!(metrics.exposition().contains("in_flight{client=\"user\"} 1\n"));
        drop(held);
        assert!(metrics.exposition().contains("in_flight{client=\"user\"} 0\n"));
    }
}
