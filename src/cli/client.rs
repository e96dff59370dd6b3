//! The daemon's API, as the commands use it.
//!
//! Guarantees: it only ever talks to the one daemon (no proxies, no redirects); the token is read from the
//! daemon's own file and never printed; every failure says what to do next.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures::StreamExt as _;
use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect::Policy};
use serde::{Serialize, de::DeserializeOwned};

use super::error::CliError;
use crate::{
    api::{
        AuthError, Problem, ProblemCode, read_token,
        wire::{Accepted, ChargesQuery, CostQuery, OpenLease, OpenSession, Ready, Reason, Reconcile, Sweep, Touch},
    },
    domain::model::{CostReport, Entry, Estimate, Extension, Receipt, Span},
    reconcile::{
        handle::SweepReport,
        status::{BudgetStatus, SessionStatus},
    },
};

/// How long an answer may take: a little longer than the daemon gives itself, so that its own words arrive.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);
/// The same where the daemon asks AWS for all that is there before it answers.
const CLOUD_WITHIN: Duration = Duration::from_secs(310);
/// How long a daemon may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(4);
/// Tries, a second apart, to find a daemon again that went away: when it is restarted it comes back.
pub const RECONNECTS: u32 = 10;

/// A daemon that can be asked.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    token: String,
    /// Where that is from.
    token_file: PathBuf,
    http: reqwest::Client,
}

impl Client {
    /// For the daemon at `url` that keeps its token in `token_file`.
    ///
    /// # Errors
    /// When there is no usable token.
    pub async fn new(url: &str, token_file: &Path) -> Result<Self, CliError> {
        let url = url.trim_end_matches('/').to_owned();
        let http = connector(&url)?;
        match read_token(token_file) {
            Ok(token) => Ok(Self { url, token, token_file: token_file.to_owned(), http }),
            Err(source) => {
                // Without a daemon the token file is not what is missing.
                if let Err(error) = http.get(format!("{url}/healthz")).send().await {
                    return Err(unreachable(&url, error));
                }
                let missing =
                    matches!(&source, AuthError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
                let why =
                    if missing { format!("its token is not at {}", token_file.display()) } else { source.to_string() };
                Err(CliError::NoToken { url, why, source })
            }
        }
    }

    /// Whether the daemon at `url` takes commands, or stands still; needs no token.
    ///
    /// # Errors
    /// When nobody answers there, or somebody else.
    pub async fn ready(url: &str) -> Result<Ready, CliError> {
        let url = url.trim_end_matches('/').to_owned();
        let asker = Self { http: connector(&url)?, url, token: String::new(), token_file: PathBuf::new() };
        let request = asker.http.get(format!("{}/readyz", asker.url)).timeout(READY_WITHIN);
        let response = request.send().await.map_err(|error| unreachable(&asker.url, error))?;
        // One that stands still says so with this status, in the same words.
        let still = response.status() == StatusCode::SERVICE_UNAVAILABLE;
        asker.read(if still { response } else { asker.accepted(response).await? }).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/v1{path}", self.url)).bearer_auth(&self.token)
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|error| unreachable(&self.url, error))?;
        self.accepted(response).await
    }

    async fn accepted(&self, response: Response) -> Result<Response, CliError> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        match response.json::<Problem>().await {
            Ok(problem) if problem.code == ProblemCode::Unauthorized && !self.token.is_empty() => {
                Err(CliError::WrongToken { url: self.url.clone(), file: self.token_file.clone() })
            }
            Ok(problem) => Err(CliError::Problem(problem)),
            Err(_) => Err(CliError::Foreign { url: self.url.clone(), why: format!("it answered {status}") }),
        }
    }

    async fn value<T: DeserializeOwned>(&self, request: RequestBuilder, within: Duration) -> Result<T, CliError> {
        let response = self.answer(request.timeout(within)).await?;
        self.read(response).await
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, CliError> {
        let bytes = response.bytes().await.map_err(|source| CliError::Broken { url: self.url.clone(), source })?;
        serde_json::from_slice(&bytes)
            .map_err(|error| CliError::Foreign { url: self.url.clone(), why: error.to_string() })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.value(self.request(Method::GET, path), ANSWER_WITHIN).await
    }

    async fn command<B: Serialize>(&self, method: Method, path: &str, body: &B) -> Result<String, CliError> {
        let accepted: Accepted = self.value(self.request(method, path).json(body), ANSWER_WITHIN).await?;
        Ok(accepted.session)
    }

    /// Every session.
    ///
    /// # Errors
    /// As every method here: no daemon, its refusal, or a broken connection.
    pub async fn sessions(&self) -> Result<Vec<SessionStatus>, CliError> {
        self.get("/sessions").await
    }

    /// One session.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn session(&self, name: &str) -> Result<SessionStatus, CliError> {
        self.get(&format!("/sessions/{}", segment(name))).await
    }

    /// Opens a session; its id.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn open(&self, policy: &str) -> Result<String, CliError> {
        self.command(Method::POST, "/sessions", &OpenSession { policy: policy.to_owned() }).await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn end(&self, name: &str, reason: Option<String>) -> Result<String, CliError> {
        self.command(Method::DELETE, &format!("/sessions/{}", segment(name)), &Reason { reason }).await
    }

    /// Stops a session's tasks.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn stop(&self, name: &str, reason: Option<String>) -> Result<String, CliError> {
        self.command(Method::POST, &format!("/sessions/{}/stop", segment(name)), &Reason { reason }).await
    }

    /// Resumes a stopped session.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn resume(&self, name: &str) -> Result<String, CliError> {
        self.command(Method::POST, &format!("/sessions/{}/resume", segment(name)), &serde_json::json!({})).await
    }

    /// A heartbeat.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn touch(&self, name: &str, by: Option<String>) -> Result<String, CliError> {
        self.command(Method::POST, &format!("/sessions/{}/touch", segment(name)), &Touch { by }).await
    }

    /// Opens or renews a lease; the session's id.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn lease(&self, name: &str, lease: &str, by: Option<String>, ttl: Span) -> Result<String, CliError> {
        let path = format!("/sessions/{}/leases/{}", segment(name), segment(lease));
        self.command(Method::PUT, &path, &OpenLease { by, ttl }).await
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn release(&self, name: &str, lease: &str) -> Result<String, CliError> {
        let path = format!("/sessions/{}/leases/{}", segment(name), segment(lease));
        self.command(Method::DELETE, &path, &serde_json::json!({})).await
    }

    /// Moves a soft limit.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn extend(&self, name: &str, extension: &Extension) -> Result<String, CliError> {
        self.command(Method::POST, &format!("/sessions/{}/extend", segment(name)), extension).await
    }

    /// What a session of a policy would make and cost.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn plan(&self, policy: &str) -> Result<Estimate, CliError> {
        self.get(&format!("/plan/{}", segment(policy))).await
    }

    /// Shared budgets as they stand.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn budgets(&self) -> Result<Vec<BudgetStatus>, CliError> {
        self.get("/budgets").await
    }

    /// Receipts, newest first.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn history(&self, limit: usize) -> Result<Vec<Receipt>, CliError> {
        self.get(&format!("/history?limit={limit}")).await
    }

    /// One receipt.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn receipt(&self, name: &str) -> Result<Receipt, CliError> {
        self.get(&format!("/sessions/{}/receipt", segment(name))).await
    }

    /// A session's journal, from its first entry.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn journal(&self, name: &str) -> Result<Vec<Entry>, CliError> {
        self.get(&format!("/sessions/{}/journal", segment(name))).await
    }

    /// What sessions cost.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn cost(&self, query: &CostQuery) -> Result<CostReport, CliError> {
        self.get(&format!("/cost?{}", written(query)?)).await
    }

    /// AWS's own account of a closed session; refused with its price unless that is agreed to.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn reconcile(&self, name: &str, yes: bool) -> Result<Receipt, CliError> {
        let path = format!("/sessions/{}/reconcile", segment(name));
        self.value(self.request(Method::POST, &path).json(&Reconcile { yes }), CLOUD_WITHIN).await
    }

    /// Lines of cost, as they are to be written.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn charges(&self, query: &ChargesQuery) -> Result<String, CliError> {
        let request = self.request(Method::GET, &format!("/cost/charges?{}", written(query)?));
        let body = self.answer(request.timeout(ANSWER_WITHIN)).await?;
        body.text().await.map_err(|source| CliError::Broken { url: self.url.clone(), source })
    }

    /// What bears labguard's tag and belongs to no live session, of these sessions or of all. With `remove` its removal
    /// begins, or the one that goes on already is told; [`Client::follow_sweep`] sees it to its end.
    ///
    /// # Errors
    /// See [`Client::sessions`].
    pub async fn sweep(&self, remove: bool, sessions: &[String]) -> Result<SweepReport, CliError> {
        let asked = Sweep { remove, sessions: sessions.to_vec() };
        self.value(self.request(Method::POST, "/sweep").json(&asked), CLOUD_WITHIN).await
    }

    /// The removal's report as it changes.
    #[must_use]
    pub fn follow_sweep(&self) -> Follow<SweepReport> {
        self.events("/sweep/events".to_owned(), SweepReport::is_over)
    }

    /// A session's status as it changes.
    #[must_use]
    pub fn follow(&self, session: &str) -> Follow<SessionStatus> {
        self.events(format!("/sessions/{}/events", segment(session)), |status| status.closed_at.is_some())
    }

    fn events<T>(&self, path: String, is_last: fn(&T) -> bool) -> Follow<T> {
        Follow { client: self.clone(), path, is_last, stream: None, tries: 0, ended: false }
    }
}

fn connector(url: &str) -> Result<reqwest::Client, CliError> {
    // A second installation is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(Duration::from_secs(3))
        .build()
        .map_err(|source| CliError::Broken { url: url.to_owned(), source })
}

/// A state as it changes, over broken connections.
pub struct Follow<T> {
    client: Client,
    path: String,
    is_last: fn(&T) -> bool,
    stream: Option<Events>,
    tries: u32,
    ended: bool,
}

struct Events {
    response: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    pending: Vec<u8>,
}

impl<T: DeserializeOwned> Follow<T> {
    /// The next state; none after the last.
    ///
    /// # Errors
    /// When the daemon cannot be reached again, or answers something else.
    pub async fn next(&mut self) -> Result<Option<T>, CliError> {
        while !self.ended {
            let Some(events) = &mut self.stream else {
                self.connect().await?;
                continue;
            };
            if let Some(data) = next_data(&mut events.pending) {
                let state: T = serde_json::from_slice(&data)
                    .map_err(|error| CliError::Foreign { url: self.client.url.clone(), why: error.to_string() })?;
                // It was there: the next try is one to find it again.
                self.tries = 1;
                self.ended = (self.is_last)(&state);
                return Ok(Some(state));
            }
            match events.response.next().await {
                Some(Ok(chunk)) => events.pending.extend_from_slice(&chunk),
                Some(Err(_)) | None => self.stream = None,
            }
        }
        Ok(None)
    }

    async fn connect(&mut self) -> Result<(), CliError> {
        if self.tries > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.tries += 1;
        match self.client.answer(self.client.request(Method::GET, &self.path)).await {
            Ok(response) => {
                self.stream = Some(Events { response: response.bytes_stream().boxed(), pending: Vec::new() });
                Ok(())
            }
            // A daemon that is being restarted comes back; one that was never there does not.
            Err(CliError::NoDaemon { .. } | CliError::Broken { .. }) if (2..RECONNECTS).contains(&self.tries) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Takes the data of the first whole event out of what was received.
fn next_data(pending: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        let end = pending.windows(2).position(|pair| pair == b"\n\n")?;
        let event: Vec<u8> = pending.drain(..end + 2).collect();
        let lines = event.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data:"));
        let data: Vec<u8> = lines.map(|line| line.strip_prefix(b" ").unwrap_or(line)).collect::<Vec<_>>().join(&b'\n');
        if !data.is_empty() {
            return Some(data);
        }
    }
}

/// A name as one segment of a path.
fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A query as its place in a path.
fn written<Q: Serialize>(query: &Q) -> Result<String, CliError> {
    serde_urlencoded::to_string(query)
        .map_err(|error| CliError::Local { what: "write the query".into(), source: std::io::Error::other(error) })
}

fn unreachable(url: &str, error: reqwest::Error) -> CliError {
    if !error.is_connect() && !error.is_timeout() {
        return CliError::Broken { url: url.to_owned(), source: error };
    }
    if error.is_timeout() && !error.is_connect() {
        return CliError::Late { url: url.to_owned() };
    }
    let mut why = if error.is_timeout() { "no answer in time" } else { "cannot connect" };
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            why = "connection refused";
        }
        cause = error.source();
    }
    CliError::NoDaemon { url: url.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::Ordering};

    use super::*;
    use crate::{
        api::{
            ProblemCode,
            fake::{self, Fake},
        },
        cli::exit_code::ExitCode,
        reconcile::handle::SweepStage,
    };

    async fn daemon() -> (Arc<Fake>, Client, fake::Daemon) {
        let daemon = fake::daemon().await;
        let client = Client::new(&daemon.url, &daemon.token()).await.unwrap();
        (Arc::clone(&daemon.engine), client, daemon)
    }

    #[tokio::test]
    async fn the_client_and_the_api_understand_each_other_over_tcp() {
        let (engine, client, _daemon) = daemon().await;
        assert_eq!(client.sessions().await.unwrap(), [fake::running()]);
        assert_eq!(client.open("admission").await.unwrap(), "admission-7k2m9q");
        assert_eq!(client.plan("admission").await.unwrap(), fake::estimate());
        assert_eq!(client.history(3).await.unwrap(), [fake::receipt()]);
        let asked =
            CostQuery { since: Some(fake::noon()), zone: "Europe/Berlin".parse().unwrap(), ..CostQuery::default() };
        assert_eq!(client.cost(&asked).await.unwrap(), fake::report(&asked.into()));
        let charges = client.charges(&ChargesQuery { session: Some("admission".into()), ..Default::default() }).await;
        assert!(charges.unwrap().contains(r#""billed_as":"vcpu_x86""#));
        assert_eq!(client.journal("admission").await.unwrap()[0].seq, 1);
        let named = ["old-abcdef".to_owned()];
        assert_eq!(client.sweep(false, &named).await.unwrap(), fake::swept(false, named.to_vec()));
        assert_eq!(client.sweep(true, &[]).await.unwrap(), fake::swept(true, Vec::new()));
        client.extend("admission", &Extension::Budget { by: "0.50 USD".parse().unwrap() }).await.unwrap();
        assert!(engine.asked().last().unwrap().contains(r#""limit":"budget","by":"0.50 USD""#));
        let Err(error) = client.session("no such/thing").await else { panic!("it is not there") };
        assert_eq!(error.exit_code(), ExitCode::NotFound);
        assert!(error.to_string().contains("no session \"no such/thing\""), "{error}");
    }

    #[tokio::test]
    async fn whether_it_is_ready_is_read_from_either_answer() {
        let (engine, _client, daemon) = daemon().await;
        assert!(Client::ready(&daemon.url).await.unwrap().ready);
        engine.stands_still.store(true, Ordering::Relaxed);
        let ready = Client::ready(&daemon.url).await.unwrap();
        assert_eq!((ready.ready, ready.sessions), (false, 1));
        let Err(CliError::Problem(other)) = Client::ready(&format!("{}v1", daemon.url)).await else { panic!() };
        assert_eq!(other.code, ProblemCode::Unauthorized);
    }

    #[tokio::test]
    async fn a_session_is_followed_to_its_end() {
        let (engine, client, _daemon) = daemon().await;
        let mut follow = client.follow("admission");
        assert_eq!(follow.next().await.unwrap().unwrap(), fake::running());
        let mut closed = fake::running();
        closed.closed_at = Some(fake::noon());
        engine.status.send_replace(Arc::new(closed.clone()));
        assert_eq!(follow.next().await.unwrap().unwrap(), closed);
        assert_eq!(follow.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_sweep_is_followed_to_its_end() {
        let (engine, client, _daemon) = daemon().await;
        let done = fake::swept(true, Vec::new());
        let going = SweepReport { stage: SweepStage::Removing, ended_at: None, ..done.clone() };
        engine.sweep.send_replace(Arc::new(going.clone()));
        let mut follow = client.follow_sweep();
        assert_eq!(follow.next().await.unwrap().unwrap(), going);
        engine.sweep.send_replace(Arc::new(done.clone()));
        assert_eq!(follow.next().await.unwrap().unwrap(), done);
        assert_eq!(follow.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn without_a_daemon_it_says_how_to_start_one() {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let error = Client::new(&format!("http://{free}"), &folder.path().join("token")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("no labguard daemon at http://{free} (connection refused); start one with `labguard run`")
        );
        assert_eq!(error.exit_code(), ExitCode::NoDaemon);
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_answer_is_not_a_missing_one() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let client =
            Client { url: url.clone(), token: "t".into(), token_file: PathBuf::new(), http: connector(&url).unwrap() };
        let asked = client.value::<Ready>(client.request(Method::GET, "/sessions"), Duration::from_millis(200)).await;
        let error = asked.unwrap_err();
        assert_eq!((error.code(), error.exit_code()), ("timeout", ExitCode::Internal));
        assert!(error.to_string().contains("does not answer in time"), "{error}");
    }

    #[tokio::test]
    async fn a_wrong_token_is_a_problem_of_reaching_it() {
        let (_engine, mut client, _daemon) = daemon().await;
        client.token = "0".repeat(64);
        let Err(error) = client.sessions().await else { panic!("it was let in") };
        assert_eq!((error.code(), error.exit_code()), ("unauthorized", ExitCode::NoDaemon));
        assert!(error.to_string().contains("refuses the token of ") && error.to_string().contains("--state-dir"));
    }

    #[test]
    fn events_are_cut_out_of_whatever_pieces_arrive() {
        let mut pending = b": keep-alive\n\nevent: status\nid: 1\ndata: {\"a\":1}\n\ndata: {".to_vec();
        assert_eq!(next_data(&mut pending).unwrap(), b"{\"a\":1}");
        assert_eq!(next_data(&mut pending), None);
        assert_eq!(pending, b"data: {");
    }
}
