//! One request and its answer, with a time-out, told in a person's words.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{Method, Request, Response, header};

use crate::{domain::model::Span, transport::Transport};

/// How probes name themselves, so that an application's request counter can leave them out.
pub const USER_AGENT: &str = concat!("labguard-probe/", env!("CARGO_PKG_VERSION"));

/// What a question came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it was the expected answer.
    pub good: bool,
    /// What was asked and what came, for people.
    pub detail: String,
    /// From asking to the whole answer (or to giving up), in microseconds.
    pub latency_us: u64,
}

/// What is sent.
pub(super) struct Ask<'a> {
    /// Any HTTP method.
    pub method: &'a str,
    /// With its leading slash; may have a query.
    pub path: &'a str,
    /// TCP port.
    pub port: u16,
    /// Posted as JSON.
    pub json: Option<Bytes>,
    /// The whole exchange may take that long.
    pub timeout: Span,
}

/// Sends the request and has `judge` look at the answer; `judge` returns what is wrong with it, if anything.
///
/// Both outcomes begin with the request line: `GET http://192.0.2.1:5000/ping …`.
pub(super) async fn exchange(
    transport: &dyn Transport,
    ip: &str,
    ask: &Ask<'_>,
    judge: impl FnOnce(&Response<Bytes>) -> Result<String, String>,
) -> Answer {
    let url = url(ip, ask.port, ask.path);
    let line = format!("{} {url}", ask.method);
    let mut builder = Request::builder().uri(&url).header(header::USER_AGENT, USER_AGENT).header(header::ACCEPT, "*/*");
    builder = match Method::from_bytes(ask.method.as_bytes()) {
        Ok(method) => builder.method(method),
        Err(_) => return Answer { good: false, detail: format!("{:?} is no HTTP method", ask.method), latency_us: 0 },
    };
    if ask.json.is_some() {
        builder = builder.header(header::CONTENT_TYPE, "application/json");
    }
    let request = match builder.body(ask.json.clone().unwrap_or_default()) {
        Ok(request) => request,
        Err(error) => {
            return Answer { good: false, detail: format!("{line}: cannot be asked: {error}"), latency_us: 0 };
        }
    };
    let start = tokio::time::Instant::now();
    let outcome = tokio::time::timeout(ask.timeout.as_duration(), transport.send(request)).await;
    let latency_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    let (good, tail) = match outcome {
        Err(_) => (false, format!(": no answer within {}", ask.timeout)),
        Ok(Err(error)) => (false, format!(": {error}")),
        Ok(Ok(response)) => match judge(&response) {
            Ok(praise) => (true, format!(" {praise}")),
            Err(fault) => (false, format!(" {fault}")),
        },
    };
    Answer { good, detail: line + &tail, latency_us }
}

/// `http://IP:PORT/PATH`, with brackets around an IPv6 address.
fn url(ip: &str, port: u16, path: &str) -> String {
    let mut url = String::from("http://");
    let written = if ip.contains(':') { write!(url, "[{ip}]:{port}") } else { write!(url, "{ip}:{port}") };
    debug_assert!(written.is_ok(), "writing to a text does not fail");
    if !path.starts_with('/') {
        url.push('/');
    }
    url + path
}

#[cfg(test)]
pub(super) mod staged {
    //! A container that answers as a test says.

    use std::time::Duration;

    use futures::future::BoxFuture;

    use super::*;
    use crate::transport::TransportError;

    /// Answers after a delay, and checks what it is asked.
    #[derive(Debug)]
    pub struct Staged {
        pub answer: Result<(u16, &'static str), TransportError>,
        pub delay: Duration,
        pub asked: std::sync::Mutex<Vec<Request<Bytes>>>,
    }

    impl Staged {
        pub fn answering(status: u16, body: &'static str) -> Self {
            Self { answer: Ok((status, body)), delay: Duration::from_millis(3), asked: Default::default() }
        }
    }

    impl Transport for Staged {
        fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
            self.asked.lock().unwrap().push(request);
            Box::pin(async {
                tokio::time::sleep(self.delay).await;
                let (status, body) = self.answer.clone()?;
                Ok(Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).unwrap())
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_make_a_url() {
        assert_eq!(url("192.0.2.1", 5000, "/ping"), "http://192.0.2.1:5000/ping");
        assert_eq!(url("2001:db8::1", 80, "ping"), "http://[2001:db8::1]:80/ping");
    }
}
