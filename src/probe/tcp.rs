//! The real way to a container: HTTP/1.1 over a fresh TCP connection.
//!
//! Guarantees: a new connection for every question (a probe asks whether somebody listens *now*); no
//! redirects, no proxies, no cookies; at most [`BODY_LIMIT`] bytes of an answer are kept.

use std::{error::Error, io, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::transport::{Transport, TransportError};

/// The largest answer that is read, in bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// Plain HTTP over TCP.
#[derive(Clone, Debug)]
pub struct TcpTransport {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl TcpTransport {
    /// Gives up a connection attempt after `connect_timeout`; the whole exchange's time-out is the caller's.
    #[must_use]
    pub fn new(connect_timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self { client }
    }
}

impl Default for TcpTransport {
    fn default() -> Self {
        Self::new(Duration::from_secs(5))
    }
}

impl Transport for TcpTransport {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let response = self.client.request(request.map(Full::new)).await.map_err(|error| told(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    TransportError::Answer("longer than 1 MiB".to_owned())
                } else {
                    told(error.as_ref())
                }
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        })
    }
}

/// What went wrong, in a person's words: found by walking down the chain of causes.
fn told(error: &(dyn Error + 'static)) -> TransportError {
    let mut link = Some(error);
    let mut deepest = error.to_string();
    while let Some(cause) = link {
        if let Some(error) = cause.downcast_ref::<io::Error>()
            && let Some(words) = words(error.kind())
        {
            return TransportError::Connection(words.to_owned());
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            if error.is_parse() || error.is_parse_too_large() {
                return TransportError::Answer("it is not HTTP".to_owned());
            }
            if error.is_incomplete_message() {
                return TransportError::Connection("closed in the middle of the answer".to_owned());
            }
        }
        deepest = cause.to_string();
        link = cause.source();
    }
    TransportError::Connection(deepest)
}

const fn words(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some("refused"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Some("reset"),
        io::ErrorKind::ConnectionAborted => Some("aborted"),
        io::ErrorKind::TimedOut => Some("timed out"),
        io::ErrorKind::HostUnreachable => Some("host unreachable"),
        io::ErrorKind::NetworkUnreachable => Some("network unreachable"),
        io::ErrorKind::UnexpectedEof => Some("closed in the middle of the answer"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// One connection, one canned answer.
    async fn answered(answer: Vec<u8>) -> Result<Response<Bytes>, TransportError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ping", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            let length = stream.read(&mut asked).await.unwrap();
            assert!(asked[..length].starts_with(b"GET /ping HTTP/1.1\r\n"));
            // The other side may stop reading at its limit.
            let _ = stream.write_all(&answer).await;
        });
        let request = Request::builder().uri(url).body(Bytes::new()).unwrap();
        let answer = TcpTransport::default().send(request).await;
        served.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn an_answer_comes_whole() {
        let answer = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npong".to_vec()).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (200, b"pong".as_ref()));
    }

    #[tokio::test]
    async fn redirects_are_answers_like_any_other() {
        let answer =
            answered(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_vec())
                .await;
        assert_eq!(answer.unwrap().status().as_u16(), 302);
    }

    #[tokio::test]
    async fn more_than_a_mebibyte_is_refused() {
        let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n".to_vec();
        answer.resize(2_000_000, b'x');
        assert_eq!(answered(answer).await.unwrap_err(), TransportError::Answer("longer than 1 MiB".into()));
    }

    #[tokio::test]
    async fn broken_answers_are_told_apart() {
        let told = |answer: &'static [u8]| async { answered(answer.to_vec()).await.unwrap_err().to_string() };
        assert_eq!(told(b"220 mail.example.com ESMTP\r\n").await, "unusable answer: it is not HTTP");
        let cut = told(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npo").await;
        assert_eq!(cut, "no connection: closed in the middle of the answer");
    }

    #[tokio::test]
    async fn nobody_there_is_a_refused_connection() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let request = Request::builder().uri(format!("http://{free}/")).body(Bytes::new()).unwrap();
        let error = TcpTransport::default().send(request).await.unwrap_err();
        assert_eq!(error.to_string(), "no connection: refused");
    }
}
