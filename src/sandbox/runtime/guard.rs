//! A sentinel in memory: its own rules, driven by the sandbox's clock and its neighbour's connections.
//!
//! Guarantees: decides nothing itself; what it says and when it ends is [`crate::sentinel`]'s doing.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use crate::{
    domain::model::{Span, Timestamp, sentinel as words},
    sentinel::{
        clocks::Clocks,
        core::{Asked, Core},
        settings::Settings,
        watch::Sample,
    },
};

/// One task's sentinel.
#[derive(Debug)]
pub(super) struct Guard {
    core: Core,
    started_at: Timestamp,
}

impl Guard {
    /// What a shell that sleeps exits with when its time has come.
    pub(super) const SLEPT: i32 = words::EXIT_DEADLINE as i32;

    /// Whether it exits so when it has ended by itself.
    pub(super) fn ended_by_itself(code: i32) -> bool {
        words::End::of_code(code).is_some()
    }

    /// The second at which a guard ends that is only a shell asleep.
    pub(super) fn sleeps_until(environment: &BTreeMap<String, String>) -> Option<String> {
        environment.get(words::DEADLINE).filter(|_| !environment.contains_key(words::LISTEN)).cloned()
    }

    /// Lights it, where the environment is a sentinel's. `Err`: the exit code of one that ends at once.
    pub(super) fn light(environment: &BTreeMap<String, String>, now: Timestamp) -> Option<Result<Self, i32>> {
        if !environment.contains_key(words::DEADLINE) || !environment.contains_key(words::LISTEN) {
            return None;
        }
        let settings = Settings::read(|name| environment.get(name).cloned());
        Some(match settings {
            Ok(settings) => Ok(Self { core: Core::new(settings, clocks(now, now)), started_at: now }),
            Err(_) => Err(i32::from(words::EXIT_SETTINGS)),
        })
    }

    /// Takes in how many connections its neighbour took; says when it ends if nothing changes, and with which code.
    pub(super) fn look(&mut self, now: Timestamp, connections: u64) -> (Timestamp, i32) {
        let clocks = clocks(self.started_at, now);
        self.core.observe(clocks, Ok(Sample { connections, ..Sample::default() }));
        let left = self.core.left(clocks);
        (now + Span::from_millis(left.soonest()), i32::from(left.first().code()))
    }

    /// Answers one request.
    pub(super) fn answer(&mut self, now: Timestamp, request: &Request<Bytes>) -> Response<Bytes> {
        let header = request.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let asked = Asked {
            method: request.method().as_str(),
            path: request.uri().path(),
            authorization: header,
            body: request.body(),
            peer: None,
        };
        let answer = self.core.handle(clocks(self.started_at, now), &asked);
        let mut response = Response::new(Bytes::from(answer.body));
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
    }
}

/// Both clocks of a task that started then.
fn clocks(started_at: Timestamp, now: Timestamp) -> Clocks {
    Clocks { mono: now.since(started_at).as_millis(), wall: u64::try_from(now.as_millis()).unwrap_or(0) }
}
