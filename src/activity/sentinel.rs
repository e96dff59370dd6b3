//! labguard's side of the sentinel: signs, asks for use, renews the lease.
//!
//! The session's key is made from a master secret that never leaves this machine, and the session's name; the task gets
//! the public half alone. The caller keeps the serial: each renewal needs a higher one than all before. Milliseconds of
//! the day do; where the clock was set back, [`RenewError::Stale`] tells the last one, and the next is one more.
//!
//! Guarantees: the secret is in no message and no `Debug` text. It must never answer for a sentinel that did not: an
//! answer that cannot be read whole is an error.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use ring::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde::Deserialize;

use crate::{
    domain::model::{
        Span,
        sentinel::{self, Renewal},
    },
    transport::{Transport, TransportError},
};

/// The name of this source in readings and events.
pub const SOURCE: &str = "sentinel";

const USER_AGENT: &str = concat!("labguard-probe/", env!("CARGO_PKG_VERSION"));

/// Where the sentinel answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// TCP port.
    pub port: u16,
    /// The whole exchange may take that long.
    pub timeout: Span,
}

/// Signs for one session.
pub struct Signer {
    session: String,
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Why there is no key for a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The name cannot be signed.
    #[error("{0:?} is no name of a session for a sentinel: 1 to 128 of A-Z a-z 0-9 . _ -")]
    Session(String),
    /// The library made no key.
    #[error("no key could be made for session {0}")]
    Key(String),
}

impl Signer {
    /// The session's key pair: the seed is HMAC-SHA256 of the session's name under `master`, so that nothing but the
    /// master secret has to be kept, and one session's key says nothing of another's.
    ///
    /// # Errors
    /// [`SignerError::Session`] when the name is none that [`sentinel::is_session`] admits.
    pub fn derive(master: &[u8; 32], session: &str) -> Result<Self, SignerError> {
        if !sentinel::is_session(session) {
            return Err(SignerError::Session(session.to_owned()));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, master);
        let seed = hmac::sign(&key, sentinel::key_text(session).as_bytes());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref());
        Ok(Self { session: session.to_owned(), pair: pair.map_err(|_| SignerError::Key(session.to_owned()))? })
    }

    /// The session it signs for.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// What goes into the task as [`sentinel::KEY`].
    #[must_use]
    pub fn public_key_hex(&self) -> String {
        sentinel::hex(self.pair.public_key().as_ref())
    }

    /// The `authorization` header of a read. `serial`: the last renewal's, or higher.
    #[must_use]
    pub fn authorization(&self, serial: u64) -> String {
        let signature = self.pair.sign(sentinel::read_text(&self.session, serial).as_bytes());
        sentinel::authorization(&self.session, serial, signature.as_ref())
    }

    /// The body of a renewal.
    #[must_use]
    pub fn seal(&self, wish: &Wish) -> String {
        let renewal = Renewal {
            session: self.session.clone(),
            serial: wish.serial,
            lease: wish.lease.as_secs(),
            idle: wish.idle.map(Span::as_secs),
            probes: wish.probes,
        };
        renewal.sealed(self.pair.sign(renewal.text().as_bytes()).as_ref())
    }
}

/// What a renewal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Higher than every one before, at most [`sentinel::LAST_SERIAL`].
    pub serial: u64,
    /// Live on for so long from now, in whole seconds; more than the launch lease is cut to it.
    pub lease: Span,
    /// End after so long without use, in whole seconds; `None`: do not.
    pub idle: Option<Span>,
    /// Connections to guarded ports that labguard itself has begun since the task started.
    pub probes: u64,
}

/// Connections that are open now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct InFlight {
    /// How many.
    pub count: u64,
    /// Since how many milliseconds the oldest of them has been seen.
    pub oldest_ms: Option<u64>,
}

/// What the sentinel has seen. Times are milliseconds before (`_ago`) or after (`_left`) its answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Use {
    /// The session it guards.
    pub session: String,
    /// Serial of the last accepted renewal; 0 before the first.
    pub serial: u64,
    /// For how long it has run.
    pub uptime_ms: u64,
    /// Whether connections are counted by the kernel (`exact`) or met by looking (`sampled`, with an address).
    pub counting: String,
    /// Why the counters are not known now; `None` when they are.
    pub unknown: Option<String>,
    /// Connections that were accepted since its start in the network namespace, its own port's left out.
    pub connections: u64,
    /// How many of them are labguard's own, as the last renewal told.
    pub probes: u64,
    /// How many were certainly not labguard's, as far as renewals have settled it.
    pub used: u64,
    /// Connections of strangers that are left out of `connections`, where only some people's use counts.
    #[serde(default)]
    pub strangers: Option<u64>,
    /// Connections that the namespace itself opened since the start, inwards and outwards.
    pub opened: Option<u64>,
    /// How long ago the last use was, labguard's probes left out. A connection that has been open for ten seconds is
    /// use for as long as it is open. `None`: never used.
    pub last_use_ago_ms: Option<u64>,
    /// How long ago there was a new connection that no renewal has settled yet: it may be labguard's own.
    pub unsettled_ago_ms: Option<u64>,
    /// Open connections to guarded ports; `None` when not known.
    pub in_flight: Option<InFlight>,
    /// Bytes received since its start, all ports, loopback left out.
    pub bytes_in: Option<u64>,
    /// Bytes sent since its start, all ports, loopback left out.
    pub bytes_out: Option<u64>,
    /// The task's CPU time since its start in nanoseconds, from ECS's metadata.
    pub cpu_ns: Option<u64>,
    /// The task's bytes received, from ECS's metadata.
    pub task_bytes_in: Option<u64>,
    /// The task's bytes sent, from ECS's metadata.
    pub task_bytes_out: Option<u64>,
    /// Until the lease ends.
    pub lease_left_ms: u64,
    /// Until the idle end, if there is one.
    pub idle_left_ms: Option<u64>,
    /// Until the hard end.
    pub deadline_left_ms: u64,
}

/// An accepted renewal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Renewed {
    /// Its serial.
    pub renewed: u64,
    /// Whether the lease was cut to the launch lease.
    pub cut: bool,
    /// What the sentinel has seen, as [`read`] gives it.
    #[serde(rename = "use")]
    pub usage: Use,
}

/// Why use could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No answer came.
    #[error("the sentinel gave no answer")]
    Transport(#[source] TransportError),
    /// None within the time-out.
    #[error("the sentinel gave no answer within {0}")]
    Late(Span),
    /// The question itself is wrong.
    #[error("{0:?} is no address of a sentinel")]
    Address(String),
    /// It answers, and does not take what was signed.
    #[error("the sentinel refused with {status}: {why}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// In its words.
        why: String,
        /// The last serial it accepted, where the signature was right.
        last_serial: Option<u64>,
    },
    /// What answers is no sentinel, or another version.
    #[error("the sentinel's answer cannot be read: {0}")]
    Answer(String),
}

/// Why a lease was not renewed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewError {
    /// The serial is not higher than the last accepted one: go on with one more than that.
    #[error("the sentinel has accepted serial {last_serial} already")]
    Stale {
        /// The last accepted one.
        last_serial: u64,
    },
    /// Anything else.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Reads use from the sentinel at `ip`. Changes nothing there. `serial`: the last renewal's, or higher.
///
/// # Errors
/// [`ReadError`] when there is no answer in time, a refusal, or none that can be read.
pub async fn read(
    transport: &dyn Transport,
    ip: &str,
    question: &Question,
    signer: &Signer,
    serial: u64,
) -> Result<Use, ReadError> {
    let url = url(ip, question, sentinel::USE_PATH);
    let request = Request::get(&url).header(header::AUTHORIZATION, signer.authorization(serial));
    answer(exchange(transport, question, request, url, Bytes::new()).await?.body())
}

/// Renews the lease of the sentinel at `ip`, and reads use.
///
/// An answer that was lost leaves open whether the renewal counted: the next one, with a higher serial, is right in
/// both cases.
///
/// # Errors
/// [`RenewError::Stale`] when the serial is too low; otherwise as [`read`].
pub async fn renew(
    transport: &dyn Transport,
    ip: &str,
    question: &Question,
    signer: &Signer,
    wish: &Wish,
) -> Result<Renewed, RenewError> {
    let url = url(ip, question, sentinel::RENEWAL_PATH);
    let request = Request::post(&url).header(header::CONTENT_TYPE, "text/plain");
    match exchange(transport, question, request, url, Bytes::from(signer.seal(wish))).await {
        Ok(response) => Ok(answer(response.body())?),
        Err(ReadError::Refused { status, last_serial: Some(last_serial), .. })
            if status == StatusCode::CONFLICT.as_u16() =>
        {
            Err(RenewError::Stale { last_serial })
        }
        Err(error) => Err(RenewError::Read(error)),
    }
}

fn url(ip: &str, question: &Question, path: &str) -> String {
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    format!("http://{host}:{}{path}", question.port)
}

fn answer<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, ReadError> {
    serde_json::from_slice(body).map_err(|error| ReadError::Answer(error.to_string()))
}

async fn exchange(
    transport: &dyn Transport,
    question: &Question,
    request: http::request::Builder,
    url: String,
    body: Bytes,
) -> Result<Response<Bytes>, ReadError> {
    #[derive(Deserialize)]
    struct Refusal {
        refused: String,
        last_serial: Option<u64>,
    }
    let request =
        request.header(header::USER_AGENT, USER_AGENT).body(body).map_err(|_| ReadError::Address(url.clone()))?;
    let response = tokio::time::timeout(question.timeout.as_duration(), transport.send(request))
        .await
        .map_err(|_| ReadError::Late(question.timeout))?
        .map_err(ReadError::Transport)?;
    if response.status() == StatusCode::OK {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let Refusal { refused: why, last_serial } = answer(response.body())
        .map_err(|_| ReadError::Answer(format!("status {status}, and not in a sentinel's words")))?;
    Err(ReadError::Refused { status, why, last_serial })
}
