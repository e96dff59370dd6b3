//! How bytes get to a registry and back: over TCP, or in memory. One request, one answer; no retry, no login.
//!
//! Guarantees: a streamed body has the exact length told and is never held whole over TCP; redirects are never followed
//! here, so that a login goes nowhere it was not meant for.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::{domain::model::with_causes, transport::Transport};

/// Longest wait for a connection, an answer's beginning, or the next piece of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Largest answer that is read whole: a manifest is at most 4 MiB.
const LARGEST_ANSWER: usize = 5 * 1024 * 1024;

/// How bytes get there.
#[derive(Clone, Debug)]
pub(super) enum Wire {
    /// In memory: bodies are collected.
    Memory(Arc<dyn Transport>),
    /// Over TCP.
    Tcp(reqwest::Client),
}

/// A request's body.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Whole.
    Bytes(Bytes),
    /// In chunks, of that many bytes in all.
    Stream(u64, mpsc::Receiver<io::Result<Bytes>>),
}

/// An answer's body.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Whole.
    Bytes(Bytes),
    /// Still to come.
    Tcp(Box<reqwest::Response>),
}

/// A stream with its exact length.
struct Measured {
    left: u64,
    chunks: mpsc::Receiver<io::Result<Bytes>>,
}

impl Body for Measured {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = std::task::ready!(self.chunks.poll_recv(context));
        Poll::Ready(match next {
            Some(Ok(chunk)) => {
                self.left = self.left.saturating_sub(chunk.len() as u64);
                Some(Ok(Frame::data(chunk)))
            }
            Some(Err(error)) => Some(Err(error)),
            // Whoever feeds it has gone before the end: the connection must break, not end.
            None if self.left > 0 => Some(Err(io::Error::other("the upload was given up"))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Wire {
    /// Over TCP.
    ///
    /// # Errors
    /// When the machine's TLS settings are unusable.
    pub(super) fn tcp() -> Result<Self, String> {
        // reqwest is built without a provider of its own; a second installation is refused and fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build();
        client.map(Wire::Tcp).map_err(|error| with_causes(&error))
    }

    /// Whether it goes to memory, where one thing at a time keeps runs repeatable.
    pub(super) fn is_memory(&self) -> bool {
        matches!(self, Wire::Memory(_))
    }

    /// Sends it; the answer's body is still to be read.
    ///
    /// # Errors
    /// In words, when no answer came.
    pub(super) async fn send(&self, request: Request<Outgoing>) -> Result<Response<Incoming>, String> {
        let (parts, body) = request.into_parts();
        match self {
            Wire::Memory(transport) => {
                let body = match body {
                    Outgoing::Bytes(bytes) => bytes,
                    Outgoing::Stream(length, chunks) => collect(length, chunks).await?,
                };
                let answer = transport.send(Request::from_parts(parts, body)).await;
                Ok(answer.map_err(|error| error.to_string())?.map(Incoming::Bytes))
            }
            Wire::Tcp(client) => {
                let body = match body {
                    Outgoing::Bytes(bytes) => reqwest::Body::from(bytes),
                    Outgoing::Stream(left, chunks) => reqwest::Body::wrap(Measured { left, chunks }),
                };
                let request =
                    reqwest::Request::try_from(Request::from_parts(parts, body)).map_err(|it| with_causes(&it))?;
                let answer = client.execute(request).await.map_err(|error| with_causes(&error))?;
                let mut whole = Response::builder().status(answer.status());
                if let Some(headers) = whole.headers_mut() {
                    headers.extend(answer.headers().clone());
                }
                whole.body(Incoming::Tcp(Box::new(answer))).map_err(|error| error.to_string())
            }
        }
    }
}

async fn collect(length: u64, mut chunks: mpsc::Receiver<io::Result<Bytes>>) -> Result<Bytes, String> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = chunks.recv().await {
        whole.extend_from_slice(&chunk.map_err(|error| error.to_string())?);
    }
    if whole.len() as u64 == length { Ok(whole.freeze()) } else { Err("the upload was given up".to_owned()) }
}

impl Incoming {
    /// The next piece; none at the end.
    ///
    /// # Errors
    /// In words, when the connection broke or nothing came for a minute.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Incoming::Bytes(bytes) => {
                let all = std::mem::take(bytes);
                Ok((!all.is_empty()).then_some(all))
            }
            Incoming::Tcp(answer) => match tokio::time::timeout(PATIENCE, answer.chunk()).await {
                Ok(chunk) => chunk.map_err(|error| with_causes(&error)),
                Err(_) => Err("nothing more came for a minute".to_owned()),
            },
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`Incoming::next`]; or when it is larger than any answer should be.
    pub(super) async fn whole(mut self) -> Result<Bytes, String> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.next().await? {
            whole.extend_from_slice(&chunk);
            if whole.len() > LARGEST_ANSWER {
                return Err("the answer is larger than 5 MiB".to_owned());
            }
        }
        Ok(whole.freeze())
    }
}
