//! The sentinel without sockets: its rules, asked in requests, with clocks and counts handed in.
//!
//! The program puts threads and files around it; labguard's sandbox puts paused time and invented counts around the same
//! code. So `now` is always an argument, and nothing in here sleeps, reads or writes:
//!
//! 1. [`Core::observe`] whenever counts were read,
//! 2. [`Core::handle`] for each request (read counts just before a renewal: it settles whose connections they were),
//! 3. [`Core::left`] says when to look again, and whether it has ended.
//!
//! Guarantees: after the end nothing is accepted; what is not signed by the session's key changes nothing; reading
//! changes nothing. It must never panic, whatever it is asked.

use std::{fmt::Write as _, net::IpAddr};

use ring::signature::{ED25519, UnparsedPublicKey};

use super::{
    clocks::Clocks,
    fuse::{Fuse, Left, Refused},
    settings::Settings,
    watch::{Sample, Watch},
};
use crate::domain::model::sentinel::{self as words, Renewal};

/// Most addresses of labguard's that are remembered.
const MOST_RENEWERS: usize = 8;

/// One request, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path, without host; a query is none of ours.
    pub path: &'a str,
    /// The `authorization` header.
    pub authorization: Option<&'a str>,
    /// The whole body.
    pub body: &'a [u8],
    /// Who asks, where that is known.
    pub peer: Option<IpAddr>,
}

/// One answer; the body is JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
}

/// What ECS's metadata says of the whole task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TaskUse {
    /// CPU time of all containers, in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Bytes received.
    pub bytes_in: Option<u64>,
    /// Bytes sent.
    pub bytes_out: Option<u64>,
}

/// The rules of one task's sentinel.
#[derive(Clone, Debug)]
pub struct Core {
    settings: Settings,
    fuse: Fuse,
    watch: Watch,
    task: TaskUse,
    /// Where accepted renewals came from: labguard, which tells its own connections itself.
    renewers: Vec<IpAddr>,
}

impl Core {
    /// Lights the fuse. Look at [`Core::left`] next: the deadline may be past already.
    #[must_use]
    pub fn new(settings: Settings, now: Clocks) -> Self {
        let fuse = Fuse::new(now, settings.deadline, settings.lease, settings.idle).first_lease(settings.first_lease);
        Self { settings, fuse, watch: Watch::default(), task: TaskUse::default(), renewers: Vec::new() }
    }

    /// Takes in counts, or why there are none.
    pub fn observe(&mut self, now: Clocks, seen: Result<Sample, String>) {
        self.watch.take(now.mono, seen);
    }

    /// Takes in what ECS's metadata says.
    pub fn observe_task(&mut self, task: TaskUse) {
        self.task = task;
    }

    /// The addresses that renewals came from, the latest last: connections from there are settled by renewals, whoever
    /// else is a stranger.
    #[must_use]
    pub fn renewers(&self) -> &[IpAddr] {
        &self.renewers
    }

    /// Time until each end.
    #[must_use]
    pub fn left(&self, now: Clocks) -> Left {
        self.fuse.left(now, self.watch.last_use(), self.watch.watched())
    }

    /// Answers a request.
    #[must_use]
    pub fn handle(&mut self, now: Clocks, asked: &Asked<'_>) -> Answer {
        let path = asked.path.split('?').next().unwrap_or_default();
        let answer = match (path, asked.method) {
            (words::HEALTH_PATH, "GET") => return Answer { status: 200, body: "{\"healthy\":true}".to_owned() },
            (words::USE_PATH, "GET") => self.read(now, asked.authorization),
            (words::RENEWAL_PATH, "POST") => self.renew(now, asked),
            (words::HEALTH_PATH | words::USE_PATH | words::RENEWAL_PATH, _) => {
                Err(Refusal::new(405, "this path is not asked so"))
            }
            _ => Err(Refusal::new(404, "there is nothing here")),
        };
        match answer {
            Ok(body) => Answer { status: 200, body },
            Err(refusal) => refusal.answer(),
        }
    }

    fn read(&self, now: Clocks, authorization: Option<&str>) -> Result<String, Refusal> {
        let (session, serial, signature) = authorization
            .and_then(words::read_authorization)
            .ok_or(Refusal::new(401, "no authorization header that can be read"))?;
        self.check(session, &words::read_text(session, serial), &signature)?;
        if serial < self.fuse.serial() {
            return Err(Refusal::stale(self.fuse.serial()));
        }
        Ok(self.told(now))
    }

    fn renew(&mut self, now: Clocks, asked: &Asked<'_>) -> Result<String, Refusal> {
        let (renewal, signature) = Renewal::unseal(asked.body).map_err(|why| Refusal::new(400, why))?;
        self.check(&renewal.session, &renewal.text(), &signature)?;
        if let Some(end) = self.left(now).ended() {
            return Err(Refusal::new(410, end.word()).with(self.fuse.serial()));
        }
        let cut = self.fuse.renew(now, &renewal).map_err(|refused| match refused {
            Refused::Stale(last) => Refusal::stale(last),
            Refused::TooHigh(last) => Refusal::new(422, "the serial is above all that can be used").with(last),
        })?;
        self.watch.settle(now.mono, renewal.probes);
        if let Some(peer) = asked.peer {
            let peer = peer.to_canonical();
            self.renewers.retain(|known| *known != peer);
            if self.renewers.len() >= MOST_RENEWERS {
                self.renewers.remove(0);
            }
            self.renewers.push(peer);
        }
        Ok(format!("{{\"renewed\":{},\"cut\":{cut},\"use\":{}}}", renewal.serial, self.told(now)))
    }

    /// The session first: it tells a mix-up from an attack, and costs nothing.
    fn check(&self, session: &str, text: &str, signature: &[u8; 64]) -> Result<(), Refusal> {
        if session != self.settings.session {
            return Err(Refusal::new(403, "meant for another session"));
        }
        UnparsedPublicKey::new(&ED25519, self.settings.key)
            .verify(text.as_bytes(), signature)
            .map_err(|_| Refusal::new(401, "the signature does not fit"))
    }

    fn told(&self, now: Clocks) -> String {
        let (watch, sample, left) = (&self.watch, self.watch.sample(), self.left(now));
        let ago = |at: Option<u64>| at.map(|at| now.mono.saturating_sub(at));
        let counting = if self.settings.address.is_some() { "sampled" } else { "exact" };
        let mut json = Json(String::with_capacity(768));
        json.raw("session", &quoted(&self.settings.session));
        json.number("serial", self.fuse.serial());
        json.number("uptime_ms", now.mono.saturating_sub(self.fuse.started()));
        json.raw("counting", &quoted(counting));
        json.raw("unknown", &watch.unknown().map_or_else(|| "null".to_owned(), quoted));
        json.number("connections", sample.connections);
        json.number("probes", watch.probes());
        json.number("used", watch.used());
        json.maybe("strangers", sample.strangers);
        json.maybe("opened", sample.opened);
        json.maybe("last_use_ago_ms", ago(watch.sure()));
        json.maybe("unsettled_ago_ms", ago(watch.unsettled()));
        if watch.watched() {
            let mut inner = Json(String::new());
            inner.number("count", sample.in_flight);
            inner.maybe("oldest_ms", ago(sample.oldest));
            json.raw("in_flight", &inner.end());
        } else {
            json.raw("in_flight", "null");
        }
        json.maybe("bytes_in", sample.bytes_in);
        json.maybe("bytes_out", sample.bytes_out);
        json.maybe("cpu_ns", self.task.cpu_ns);
        json.maybe("task_bytes_in", self.task.bytes_in);
        json.maybe("task_bytes_out", self.task.bytes_out);
        json.number("lease_left_ms", left.lease);
        json.maybe("idle_left_ms", left.idle);
        json.number("deadline_left_ms", left.deadline);
        json.end()
    }
}

/// A refusal: why, and the last serial where the asker has shown the key.
struct Refusal {
    status: u16,
    why: &'static str,
    last: Option<u64>,
}

impl Refusal {
    const fn new(status: u16, why: &'static str) -> Self {
        Self { status, why, last: None }
    }

    const fn with(self, last: u64) -> Self {
        Self { last: Some(last), ..self }
    }

    const fn stale(last: u64) -> Self {
        Self::new(409, "the serial is not higher than the last one").with(last)
    }

    fn answer(&self) -> Answer {
        let mut json = Json(String::new());
        json.raw("refused", &quoted(self.why));
        json.maybe("last_serial", self.last);
        Answer { status: self.status, body: json.end() }
    }
}

/// Writes one JSON object. Writing into a string does not fail.
struct Json(String);

impl Json {
    fn raw(&mut self, name: &str, value: &str) {
        let comma = if self.0.is_empty() { '{' } else { ',' };
        let _ = write!(self.0, "{comma}\"{name}\":{value}");
    }

    fn number(&mut self, name: &str, value: u64) {
        self.raw(name, &value.to_string());
    }

    fn maybe(&mut self, name: &str, value: Option<u64>) {
        self.raw(name, &value.map_or_else(|| "null".to_owned(), |it| it.to_string()));
    }

    fn end(self) -> String {
        self.0 + "}"
    }
}

/// A JSON string of plain characters: whatever else there is becomes a question mark.
fn quoted(text: &str) -> String {
    let plain = |c: char| if c == '"' || c == '\\' || c.is_control() { '?' } else { c };
    format!("\"{}\"", text.chars().map(plain).collect::<String>())
}
