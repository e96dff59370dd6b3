//! The way to a session's container: plain HTTP to its address.
//!
//! Probes and activity sources ask through a [`Transport`], so that the same code reaches a real address
//! over TCP and a simulated container in memory under paused time.

use bytes::Bytes;
use futures::future::BoxFuture;

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nobody listens there, or the connection broke.
    #[error("no connection: {0}")]
    Connection(String),
    /// The answer is larger than the limit, or not HTTP.
    #[error("unusable answer: {0}")]
    Answer(String),
}

/// Sends one request and reads the whole answer (at most 1 MiB). Time-outs are the caller's.
pub trait Transport: Send + Sync + std::fmt::Debug {
    /// `request` has an absolute `http://` URI.
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>>;
}
