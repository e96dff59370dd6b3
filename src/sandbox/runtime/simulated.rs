//! Containers in memory: the reference prediction service, scripted, under any clock.
//!
//! The script comes from the environment (`LABGUARD_SIM_…`) of the image and the task definition, over what a test
//! registered for the image. A container with `DEADLINE_EPOCH` ends by itself at that second.
//!
//! A container with a sentinel's settings is one: the sentinel's own rules under this clock ([`super::guard`]).
//!
//! Guarantees: nothing happens but at its scripted instant; deterministic. Never opens a socket.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::Ipv4Addr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};

use super::{ContainerEvent, ContainerKey, ContainerSpec, Containers, Happening, Used, guard::Guard};
use crate::{
    domain::model::{Span, Timestamp},
    transport::TransportError,
};

/// The script of a container; times count from its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// It answers only after this (connections are refused before). `LABGUARD_SIM_START_DELAY=2s`
    pub start_delay: Span,
    /// It ends by itself. `LABGUARD_SIM_CRASH_AFTER=30s`
    pub crash_after: Option<Span>,
    /// With this code (1 when not said otherwise). `LABGUARD_SIM_EXIT_CODE=3`
    pub exit_code: Option<i32>,
    /// It answers 503 from the first to the second instant. `LABGUARD_SIM_UNHEALTHY=10s..20s`
    pub unhealthy: Option<(Span, Span)>,
    /// It always answers 503. `LABGUARD_SIM_NEVER_HEALTHY=1`
    pub never_healthy: bool,
    /// It is killed for its memory (exit 137). `LABGUARD_SIM_MEMORY_KILL=1m`
    pub memory_kill: Option<Span>,
    /// It ignores SIGTERM and waits for SIGKILL. `LABGUARD_SIM_IGNORE_TERM=1`
    pub ignores_term: bool,
}

impl Behaviour {
    fn over(mut self, environment: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| environment.get(&format!("LABGUARD_SIM_{name}"));
        let span = |name: &str| text(name).and_then(|text| text.parse::<Span>().ok());
        let flag = |name: &str| text(name).is_some_and(|text| text != "0" && !text.is_empty());
        self.start_delay = span("START_DELAY").unwrap_or(self.start_delay);
        self.crash_after = span("CRASH_AFTER").or(self.crash_after);
        self.exit_code = text("EXIT_CODE").and_then(|text| text.parse().ok()).or(self.exit_code);
        self.memory_kill = span("MEMORY_KILL").or(self.memory_kill);
        self.never_healthy |= flag("NEVER_HEALTHY");
        self.ignores_term |= flag("IGNORE_TERM");
        let range = text("UNHEALTHY").and_then(|text| text.split_once(".."));
        if let Some((Ok(from), Ok(to))) = range.map(|(from, to)| (from.parse(), to.parse())) {
            self.unhealthy = Some((from, to));
        }
        self
    }
}

#[derive(Debug)]
struct Running {
    address: Ipv4Addr,
    port: u16,
    started_at: Timestamp,
    behaviour: Behaviour,
    requests: u64,
    /// Connections that were taken, labguard's own among them: what a guard counts.
    connections: u64,
    used: Used,
    guard: Option<Guard>,
    ends: Option<(Timestamp, i32, Option<String>)>,
}

/// Bytes of a plain request and its answer, as they go over a wire with their headers.
const PLAIN: (u64, u64) = (400, 250);

/// What a request costs in milliseconds of CPU.
const CPU_MS: u64 = 1;

impl Running {
    fn carry(&mut self, received: u64, sent: u64) {
        let (before_in, before_out) = self.used.network.unwrap_or_default();
        self.used.network = Some((before_in + received, before_out + sent));
    }

    /// Counts a request and its answer: bodies by their length, the rest as of a plain one.
    fn exchanged(&mut self, asked: usize, answered: usize) {
        self.carry(PLAIN.0 + asked as u64, PLAIN.1 + answered as u64);
        self.used.cpu_ms += CPU_MS;
    }
}

#[derive(Debug, Default)]
struct Stage {
    anything: bool,
    /// Whether guards can be reached by nobody.
    deaf: bool,
    /// Whether nothing can be reached, as behind a network that is away.
    away: bool,
    behaviours: HashMap<String, Behaviour>,
    running: HashMap<ContainerKey, Running>,
    by_address: HashMap<Ipv4Addr, BTreeSet<ContainerKey>>,
    ends: BTreeSet<(Timestamp, ContainerKey)>,
    events: Vec<ContainerEvent>,
    next: u32,
}

/// The containers of a simulation.
#[derive(Debug, Default)]
pub struct Simulated(Mutex<Stage>);

impl Simulated {
    /// Runs what is pushed to the registry, whatever is in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs any image reference, pushed or not.
    #[must_use]
    pub fn any_image() -> Self {
        Self(Mutex::new(Stage { anything: true, ..Stage::default() }))
    }

    /// From now on containers of `reference` behave so, and it needs not be in the registry.
    pub fn on_image(&self, reference: &str, behaviour: Behaviour) {
        self.stage().behaviours.insert(reference.to_owned(), behaviour);
    }

    /// Simulates `requests` of a user to the container at `address`; false when none runs there.
    pub fn use_it(&self, address: &str, requests: u64) -> bool {
        let Ok(address) = address.parse::<Ipv4Addr>() else { return false };
        let mut stage = self.stage();
        let Some(key) = stage.application(address) else { return false };
        stage.running.get_mut(&key).is_some_and(|running| {
            running.requests += requests;
            running.connections += requests;
            for _ in 0..requests {
                running.carry(PLAIN.0, PLAIN.1);
            }
            true
        })
    }

    /// From now on nobody reaches a guard, or everybody does again; their fuses burn on.
    pub fn shut_guards_off(&self, deaf: bool) {
        self.stage().deaf = deaf;
    }

    /// From now on nobody reaches any container, or everybody does again; all of them run on.
    pub fn cut_off(&self, away: bool) {
        self.stage().away = away;
    }

    /// Lets the container at `address` receive and send so many bytes more, and compute for so long, without a request;
    /// false when none runs there.
    pub fn work(&self, address: &str, received: u64, sent: u64, cpu: Span) -> bool {
        let Ok(address) = address.parse::<Ipv4Addr>() else { return false };
        let mut stage = self.stage();
        let Some(key) = stage.application(address) else { return false };
        stage.running.get_mut(&key).is_some_and(|running| {
            running.carry(received, sent);
            running.used.cpu_ms += cpu.as_millis();
            true
        })
    }

    /// How many containers run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.stage().running.len()
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    /// The container at an address that is no guard.
    fn application(&self, address: Ipv4Addr) -> Option<ContainerKey> {
        let keys = self.by_address.get(&address)?;
        keys.iter().find(|key| self.running.get(*key).is_some_and(|running| running.guard.is_none())).cloned()
    }

    /// The guard at an address.
    fn guard(&self, address: Ipv4Addr) -> Option<ContainerKey> {
        let keys = self.by_address.get(&address)?;
        keys.iter().find(|key| self.running.get(*key).is_some_and(|running| running.guard.is_some())).cloned()
    }

    /// Lets a guard count what its neighbour was asked, and sets the instant of its next end.
    fn look(&mut self, key: &ContainerKey, now: Timestamp) {
        let Some(address) = self.running.get(key).map(|running| running.address) else { return };
        let neighbour = self.application(address).and_then(|key| self.running.get(&key));
        let connections = neighbour.map_or(0, |running| running.connections);
        let Some(running) = self.running.get_mut(key) else { return };
        let Some(guard) = running.guard.as_mut() else { return };
        let (at, code) = guard.look(now, connections);
        // A stop that was asked for stands.
        if running.ends.as_ref().is_some_and(|(_, code, _)| !Guard::ended_by_itself(*code)) {
            return;
        }
        if let Some((old, ..)) = running.ends.take() {
            self.ends.remove(&(old, key.clone()));
        }
        running.ends = Some((at, code, None));
        self.ends.insert((at, key.clone()));
    }

    fn end_at(&mut self, key: &ContainerKey, at: Timestamp, code: i32, reason: Option<String>) {
        let Some(running) = self.running.get_mut(key) else { return };
        if let Some((old, ..)) = &running.ends {
            if *old <= at {
                return;
            }
            self.ends.remove(&(*old, key.clone()));
        }
        running.ends = Some((at, code, reason));
        self.ends.insert((at, key.clone()));
    }

    fn answer(&mut self, now: Timestamp, request: &Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let refused = || TransportError::Connection("connection refused".to_owned());
        if self.away {
            return Err(refused());
        }
        let address: Ipv4Addr = request.uri().host().and_then(|host| host.parse().ok()).ok_or_else(refused)?;
        let port = request.uri().port_u16().unwrap_or(80);
        let key = self
            .by_address
            .get(&address)
            .into_iter()
            .flatten()
            .find(|key| self.running.get(*key).is_some_and(|running| running.port == port))
            .cloned()
            .ok_or_else(refused)?;
        if self.running.get(&key).is_some_and(|running| running.guard.is_some()) {
            if self.deaf {
                return Err(refused());
            }
            self.look(&key, now);
            let guard = self.running.get_mut(&key).and_then(|running| running.guard.as_mut()).ok_or_else(refused)?;
            let answer = guard.answer(now, request);
            self.look(&key, now);
            return Ok(answer);
        }
        let running = self.running.get_mut(&key).ok_or_else(refused)?;
        let age = now.since(running.started_at);
        if age < running.behaviour.start_delay || running.ends.as_ref().is_some_and(|(at, ..)| *at <= now) {
            return Err(refused());
        }
        running.connections += 1;
        // It looks every second; else it would date this one by when it is asked next.
        if let Some(guard) = self.guard(address) {
            self.look(&guard, now);
        }
        let running = self.running.get_mut(&key).ok_or_else(refused)?;
        let agent = request.headers().get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let path = request.uri().path();
        if !agent.is_some_and(|agent| agent.starts_with("labguard-probe")) && path != "/metrics" {
            running.requests += 1;
        }
        let sick = running.behaviour.never_healthy
            || running.behaviour.unhealthy.is_some_and(|(from, to)| age >= from && age < to);
        let (status, kind, body) = match (request.method(), path) {
            (&Method::GET, "/metrics") => (
                StatusCode::OK,
                "text/plain; version=0.0.4",
                format!("# TYPE http_requests_total counter\nhttp_requests_total {}\n", running.requests),
            ),
            _ if sick => (StatusCode::SERVICE_UNAVAILABLE, "text/plain", "unhealthy".to_owned()),
            (&Method::GET, "/") => (StatusCode::OK, "text/html", "<!doctype html><title>prediction</title>".to_owned()),
            (&Method::GET, "/ping") => (StatusCode::OK, "application/json", "{\"status\":\"ok\"}".to_owned()),
            (&Method::POST, "/predict") => {
                (StatusCode::OK, "application/json", "{\"chance_of_admit\":0.7335}".to_owned())
            }
            _ => (StatusCode::NOT_FOUND, "text/plain", "not found".to_owned()),
        };
        running.exchanged(request.body().len(), body.len());
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
        Ok(response)
    }
}

impl Containers for Simulated {
    fn knows(&self, reference: &str) -> bool {
        let stage = self.stage();
        stage.anything || stage.behaviours.contains_key(reference)
    }

    fn address(&self) -> Ipv4Addr {
        let mut stage = self.stage();
        stage.next = stage.next % 0x003F_FFFE + 1;
        Ipv4Addr::from(0x7F40_0000 + stage.next)
    }

    fn start(&self, spec: ContainerSpec, now: Timestamp) {
        let mut stage = self.stage();
        let mut environment: BTreeMap<String, String> = spec
            .image
            .iter()
            .flat_map(|image| image.config["config"]["Env"].as_array().into_iter().flatten())
            .filter_map(|item| item.as_str()?.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect();
        environment.extend(spec.labels);
        environment.extend(spec.environment);
        let behaviour = stage.behaviours.get(&spec.reference).cloned().unwrap_or_default().over(&environment);
        let sleeper = Guard::sleeps_until(&environment);
        let key = spec.key;
        let running = Running {
            address: spec.address,
            // A shell that sleeps listens nowhere.
            port: if sleeper.is_some() { 0 } else { spec.port },
            started_at: now,
            behaviour: behaviour.clone(),
            requests: 0,
            connections: 0,
            used: Used { cpu_ms: 0, network: Some((0, 0)) },
            guard: None,
            ends: None,
        };
        stage.by_address.entry(spec.address).or_default().insert(key.clone());
        stage.running.insert(key.clone(), running);
        if let Some(after) = behaviour.crash_after {
            stage.end_at(&key, now + after, behaviour.exit_code.unwrap_or(1), None);
        }
        if let Some(after) = behaviour.memory_kill {
            let reason = "OutOfMemoryError: Container killed due to memory usage".to_owned();
            stage.end_at(&key, now + after, 137, Some(reason));
        }
        if let Some(seconds) = environment.get("DEADLINE_EPOCH").or(sleeper.as_ref()) {
            match seconds.parse::<i64>() {
                Ok(seconds) => {
                    let code = if sleeper.is_some() { Guard::SLEPT } else { 0 };
                    stage.end_at(&key, Timestamp::from_millis(seconds.saturating_mul(1000)).max(now), code, None)
                }
                Err(_) => stage.end_at(&key, now, 64, None),
            }
        }
        match Guard::light(&environment, now) {
            None => {}
            Some(Ok(guard)) => {
                if let Some(running) = stage.running.get_mut(&key) {
                    running.guard = Some(guard);
                }
                stage.look(&key, now);
            }
            Some(Err(code)) => stage.end_at(&key, now, code, None),
        }
        stage.events.push(ContainerEvent { key, at: now, what: Happening::Started });
    }

    fn stop(&self, key: &ContainerKey, now: Timestamp, timeout: Span) {
        let mut stage = self.stage();
        let stubborn = stage.running.get(key).is_some_and(|running| running.behaviour.ignores_term);
        if stubborn {
            stage.end_at(key, now + timeout, 137, None);
        } else {
            stage.end_at(key, now, 143, None);
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        let stage = self.stage();
        stage.events.first().map(|event| event.at).into_iter().chain(stage.ends.first().map(|(at, _)| *at)).min()
    }

    fn poll(&self, now: Timestamp) -> Vec<ContainerEvent> {
        let mut stage = self.stage();
        let mut events = std::mem::take(&mut stage.events);
        while let Some((at, key)) = stage.ends.first().filter(|(at, _)| *at <= now).cloned() {
            stage.look(&key, now);
            if stage.ends.first().is_none_or(|first| *first != (at, key.clone())) {
                // Its guard has seen use meanwhile, and ends later.
                continue;
            }
            stage.ends.remove(&(at, key.clone()));
            if let Some(running) = stage.running.remove(&key) {
                if let Some(keys) = stage.by_address.get_mut(&running.address) {
                    keys.remove(&key);
                    if keys.is_empty() {
                        stage.by_address.remove(&running.address);
                    }
                }
                let (code, reason) = running.ends.map_or((0, None), |(_, code, reason)| (code, reason));
                events.push(ContainerEvent { key, at, what: Happening::Exited { code, reason } });
            }
        }
        events
    }

    fn used(&self, key: &ContainerKey) -> Option<Used> {
        self.stage().running.get(key).map(|running| running.used)
    }

    fn needs_ticker(&self) -> bool {
        false
    }

    fn send(&self, now: Timestamp, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let answer = self.stage().answer(now, &request);
        Box::pin(async move { answer })
    }

    fn shutdown(&self) {
        let mut stage = self.stage();
        stage.running.clear();
        stage.by_address.clear();
        stage.ends.clear();
        stage.events.clear();
    }
}
