//! The sentinel's rules asked by labguard's own client, in memory: what is renewed, and every way in which it must not be.
//!
//! Clocks are numbers here: the daemon's goes into serials only, the task's are set by each test, together or apart.

use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use labguard::{
    activity::sentinel::{Question, ReadError, RenewError, Renewed, Signer, Use, Wish, read, renew},
    domain::model::{
        Span,
        sentinel::{self as words, LAST_SERIAL},
    },
    sentinel::{
        clocks::Clocks,
        core::{Asked, Core},
        fuse::End,
        settings::Settings,
        watch::Sample,
    },
    transport::{Transport, TransportError},
};

const MASTER: [u8; 32] = [7; 32];
const SESSION: &str = "lab-7k2m9q";
const NOON: u64 = 1_795_400_000_000;
const MINUTE: u64 = 60_000;
const QUESTION: Question = Question { port: 7300, timeout: Span::from_secs(2) };

fn settings(signer: &Signer) -> Settings {
    Settings::read(|name| {
        let value = match name {
            words::SESSION => SESSION.to_owned(),
            words::KEY => signer.public_key_hex(),
            words::DEADLINE => (NOON / 1000 + 3600).to_string(),
            words::LEASE => "300".to_owned(),
            words::LISTEN => "0.0.0.0:7300".to_owned(),
            words::PORTS => "5000".to_owned(),
            _ => return None,
        };
        Some(value)
    })
    .expect("settings")
}

/// A task with an hour to live and five minutes of lease, and the way to it.
#[derive(Debug)]
struct Task {
    core: Mutex<Core>,
    now: Mutex<Clocks>,
    bodies: Mutex<Vec<Bytes>>,
}

impl Task {
    fn new() -> (Self, Signer) {
        let signer = Signer::derive(&MASTER, SESSION).unwrap();
        let now = Clocks { mono: 1_000, wall: NOON };
        let core = Core::new(settings(&signer), now);
        (Self { core: Mutex::new(core), now: Mutex::new(now), bodies: Mutex::default() }, signer)
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap()
    }

    fn now(&self) -> Clocks {
        *self.now.lock().unwrap()
    }

    fn pass(&self, millis: u64) {
        let mut now = self.now.lock().unwrap();
        now.mono += millis;
        now.wall += millis;
    }

    fn set(&self, millis: i64) {
        let mut now = self.now.lock().unwrap();
        now.wall = now.wall.saturating_add_signed(millis);
    }

    fn ended(&self) -> Option<End> {
        self.core().left(self.now()).ended()
    }

    fn lease_left(&self) -> u64 {
        self.core().left(self.now()).lease
    }

    /// Sends a body as it stands.
    fn post(&self, body: &[u8]) -> (u16, String) {
        let asked = Asked { method: "POST", path: words::RENEWAL_PATH, authorization: None, body, peer: None };
        let answer = self.core().handle(self.now(), &asked);
        (answer.status, answer.body)
    }
}

impl Transport for Task {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let authorization = request.headers().get("authorization").map(|it| it.to_str().unwrap().to_owned());
        let asked = Asked {
            method: request.method().as_str(),
            path: request.uri().path(),
            authorization: authorization.as_deref(),
            body: request.body(),
            peer: None,
        };
        let answer = self.core().handle(self.now(), &asked);
        self.bodies.lock().unwrap().push(request.body().clone());
        let response = Response::builder().status(answer.status).body(Bytes::from(answer.body)).unwrap();
        Box::pin(async { Ok(response) })
    }
}

fn wish(serial: u64) -> Wish {
    Wish { serial, lease: Span::from_secs(300), idle: None, probes: 0 }
}

async fn ask(task: &Task, signer: &Signer, wish: &Wish) -> Result<Renewed, RenewError> {
    renew(task, "192.0.2.1", &QUESTION, signer, wish).await
}

async fn look(task: &Task, signer: &Signer, serial: u64) -> Result<Use, ReadError> {
    read(task, "192.0.2.1", &QUESTION, signer, serial).await
}

#[test]
fn only_who_renews_by_the_key_is_taken_for_labguard_and_the_latest_addresses_are_kept() {
    let (task, signer) = Task::new();
    let from = |serial: u64, ip: &str, body: Option<String>| {
        let body = body.unwrap_or_else(|| signer.seal(&wish(serial)));
        let peer = Some(ip.parse().unwrap());
        let asked =
            Asked { method: "POST", path: words::RENEWAL_PATH, authorization: None, body: body.as_bytes(), peer };
        task.core().handle(task.now(), &asked).status
    };
    let known = || task.core().renewers().iter().map(ToString::to_string).collect::<Vec<_>>();
    let forged = Signer::derive(&[9; 32], signer.session()).unwrap().seal(&wish(5));
    assert_eq!(from(5, "192.0.2.66", Some(forged)), 401);
    assert_eq!(known(), Vec::<String>::new(), "a stranger's word changes nothing");
    assert_eq!(from(5, "198.51.100.1", None), 200);
    assert_eq!(from(5, "192.0.2.66", None), 409, "replayed");
    assert_eq!(known(), ["198.51.100.1"]);
    for last in 2..12 {
        assert_eq!(from(5 + last, &format!("::ffff:198.51.100.{last}"), None), 200);
    }
    assert_eq!(from(50, "198.51.100.7", None), 200);
    let expected: Vec<String> = [4, 5, 6, 8, 9, 10, 11, 7].map(|last| format!("198.51.100.{last}")).into();
    assert_eq!(known(), expected);
}

#[tokio::test]
async fn renewals_hold_the_task_to_its_hard_deadline_and_not_beyond() {
    let (task, signer) = Task::new();
    for minute in 0..60 {
        let renewed = ask(&task, &signer, &wish(NOON + minute)).await.unwrap();
        assert_eq!((renewed.renewed, renewed.cut, renewed.usage.serial), (NOON + minute, false, NOON + minute));
        assert_eq!(renewed.usage.lease_left_ms, 5 * MINUTE);
        assert_eq!(renewed.usage.deadline_left_ms, (60 - minute) * MINUTE);
        task.pass(MINUTE);
    }
    assert_eq!(task.ended(), Some(End::Deadline));
    let gone = ask(&task, &signer, &wish(NOON + 100)).await.unwrap_err();
    assert!(
        matches!(&gone, RenewError::Read(ReadError::Refused { status: 410, why, .. }) if why == "deadline"),
        "{gone:?}"
    );
}

#[tokio::test]
async fn a_dead_daemon_means_an_ended_task_within_the_lease_and_no_late_renewal_wakes_it() {
    let (task, signer) = Task::new();
    ask(&task, &signer, &wish(1)).await.unwrap();
    task.pass(5 * MINUTE - 1);
    assert_eq!(task.ended(), None);
    task.pass(1);
    assert_eq!(task.ended(), Some(End::Lease));
    assert!(ask(&task, &signer, &wish(2)).await.is_err());
    assert_eq!(task.ended(), Some(End::Lease));
}

#[tokio::test]
async fn a_replayed_renewal_is_refused_and_gives_no_time() {
    let (task, signer) = Task::new();
    ask(&task, &signer, &wish(5)).await.unwrap();
    task.pass(MINUTE);
    ask(&task, &signer, &wish(6)).await.unwrap();
    task.pass(MINUTE);
    let recorded = task.bodies.lock().unwrap().clone();
    for body in &recorded {
        let (status, text) = task.post(body);
        assert_eq!((status, text.contains("\"last_serial\":6")), (409, true), "{text}");
        assert_eq!(task.lease_left(), 4 * MINUTE);
    }
}

#[tokio::test]
async fn a_forged_renewal_is_refused_whatever_was_changed() {
    let (task, signer) = Task::new();
    task.pass(MINUTE);
    let good = signer.seal(&wish(9));
    // Every byte of a good one changed in turn: it is garbled, for another session, or not signed.
    for at in 0..good.len() {
        let mut body = good.clone().into_bytes();
        body[at] ^= 1;
        let (status, text) = task.post(&body);
        assert!([400, 401, 403].contains(&status), "byte {at}: {status} {text}");
        assert!(text.contains("\"last_serial\":null"), "strangers are told nothing: {text}");
    }
    for (from, to) in [("serial=9", "serial=10"), ("lease=300", "lease=3000"), ("idle=none", "idle=1")] {
        assert_eq!(task.post(good.replacen(from, to, 1).as_bytes()).0, 401, "{to}");
    }
    // Another master's key, and another session's under the same master.
    let stranger = Signer::derive(&[8; 32], SESSION).unwrap();
    let neighbour = Signer::derive(&MASTER, "lab-000000").unwrap();
    assert_eq!(task.post(stranger.seal(&wish(9)).as_bytes()).0, 401);
    assert_eq!(task.post(neighbour.seal(&wish(9)).as_bytes()).0, 403);
    assert_eq!(task.post(neighbour.seal(&wish(9)).replace("lab-000000", SESSION).as_bytes()).0, 401);
    assert_ne!(stranger.public_key_hex(), signer.public_key_hex());
    assert_eq!(task.lease_left(), 4 * MINUTE, "nothing has changed");
    assert_eq!(task.post(good.as_bytes()).0, 200, "and the good one still counts");
}

#[tokio::test]
async fn what_was_signed_to_read_renews_nothing_and_the_other_way_round() {
    let (task, signer) = Task::new();
    let header = signer.authorization(9);
    let signature = header.rsplit(' ').next().unwrap();
    let sealed = signer.seal(&wish(9));
    let own = sealed.trim_end().rsplit('=').next().unwrap();
    assert_eq!(task.post(sealed.replace(own, signature).as_bytes()).0, 401);
    let asked = Asked {
        method: "GET",
        path: words::USE_PATH,
        authorization: Some(&header.replace(signature, own)),
        body: b"",
        peer: None,
    };
    assert_eq!(task.core().handle(task.now(), &asked).status, 401);
}

#[tokio::test]
async fn a_past_serial_is_refused_with_the_last_one_so_that_a_clock_set_back_can_go_on() {
    let (task, signer) = Task::new();
    ask(&task, &signer, &wish(NOON)).await.unwrap();
    task.pass(MINUTE);
    // The daemon's clock was set back by ten minutes.
    let Err(RenewError::Stale { last_serial }) = ask(&task, &signer, &wish(NOON - 10 * MINUTE)).await else {
        panic!("expected a refusal");
    };
    assert_eq!((last_serial, task.lease_left()), (NOON, 4 * MINUTE));
    ask(&task, &signer, &wish(last_serial + 1)).await.unwrap();
    assert_eq!(task.lease_left(), 5 * MINUTE);
}

#[tokio::test]
async fn a_far_future_serial_or_lease_gives_no_more_than_the_launch_lease() {
    let (task, signer) = Task::new();
    let greedy = Wish { lease: Span::from_millis(u64::MAX), idle: Some(Span::from_millis(u64::MAX)), ..wish(1) };
    assert!(ask(&task, &signer, &greedy).await.unwrap().cut);
    assert_eq!(task.lease_left(), 5 * MINUTE);
    for serial in [LAST_SERIAL + 1, u64::MAX] {
        let error = ask(&task, &signer, &wish(serial)).await.unwrap_err();
        assert!(
            matches!(error, RenewError::Read(ReadError::Refused { status: 422, last_serial: Some(1), .. })),
            "{error:?}"
        );
    }
    // A daemon whose clock was ten minutes ahead and is right again goes on with one more than the last.
    ask(&task, &signer, &wish(NOON + 10 * MINUTE)).await.unwrap();
    assert!(
        matches!(ask(&task, &signer, &wish(NOON)).await, Err(RenewError::Stale { last_serial }) if last_serial == NOON + 10 * MINUTE)
    );
    ask(&task, &signer, &wish(NOON + 10 * MINUTE + 1)).await.unwrap();
}

#[tokio::test]
async fn ten_minutes_of_skew_between_daemon_and_task_change_no_lease() {
    for skew in [-600_000, 0, 600_000_i64] {
        let (task, signer) = Task::new();
        task.set(skew);
        for minute in 0..20 {
            ask(&task, &signer, &wish(NOON + minute * MINUTE)).await.unwrap();
            assert_eq!(task.lease_left(), 5 * MINUTE, "{skew}");
            task.pass(MINUTE);
        }
        task.pass(4 * MINUTE);
        assert_eq!(task.ended(), Some(End::Lease), "{skew}");
    }
}

#[tokio::test]
async fn a_task_clock_that_is_set_never_lives_past_the_deadline_of_either_clock() {
    for (skew, minutes) in [(-600_000, 60), (0, 60), (600_000_i64, 50)] {
        let (task, signer) = Task::new();
        let mut lived = 0;
        while task.ended().is_none() {
            ask(&task, &signer, &wish(1 + lived)).await.unwrap();
            task.pass(MINUTE);
            lived += 1;
            if lived == 1 {
                task.set(skew);
            }
        }
        assert_eq!((lived, task.ended()), (minutes, Some(End::Deadline)), "{skew}");
    }
}

#[tokio::test]
async fn use_is_read_with_the_key_only_and_reading_changes_nothing() {
    let (task, signer) = Task::new();
    ask(&task, &signer, &wish(4)).await.unwrap();
    task.pass(MINUTE);
    let sample =
        Sample { connections: 12, in_flight: 2, oldest: Some(1_000), bytes_in: Some(900), ..Sample::default() };
    task.core().observe(task.now(), Ok(sample));
    task.pass(1_500);
    for serial in [4, 5, 4] {
        let seen = look(&task, &signer, serial).await.unwrap();
        assert_eq!((seen.session.as_str(), seen.serial, seen.connections, seen.used), (SESSION, 4, 12, 0));
        assert_eq!((seen.last_use_ago_ms, seen.unsettled_ago_ms), (Some(1_500), Some(1_500)));
        let flight = seen.in_flight.unwrap();
        assert_eq!((flight.count, flight.oldest_ms), (2, Some(MINUTE + 1_500)));
        assert_eq!((seen.bytes_in, seen.bytes_out, seen.unknown), (Some(900), None, None));
        assert_eq!(seen.lease_left_ms, 4 * MINUTE - 1_500);
    }
    assert!(matches!(look(&task, &signer, 3).await, Err(ReadError::Refused { status: 409, last_serial: Some(4), .. })));
    let stranger = Signer::derive(&[8; 32], SESSION).unwrap();
    assert!(matches!(look(&task, &stranger, 9).await, Err(ReadError::Refused { status: 401, last_serial: None, .. })));
    let bare = Asked { method: "GET", path: words::USE_PATH, authorization: None, body: b"", peer: None };
    assert_eq!(task.core().handle(task.now(), &bare).status, 401);
    for (method, path, status) in [
        ("GET", words::HEALTH_PATH, 200),
        ("POST", words::HEALTH_PATH, 405),
        ("DELETE", words::RENEWAL_PATH, 405),
        ("GET", "/", 404),
    ] {
        let asked = Asked { method, path, ..bare };
        assert_eq!(task.core().handle(task.now(), &asked).status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn counters_that_cannot_be_read_are_told_as_unknown_and_end_nothing() {
    let (task, signer) = Task::new();
    let idle = Wish { idle: Some(Span::from_secs(60)), ..wish(1) };
    ask(&task, &signer, &idle).await.unwrap();
    task.core().observe(task.now(), Err("cannot read /proc/net/snmp: \"gone\"".to_owned()));
    task.pass(4 * MINUTE);
    assert_eq!(task.ended(), None, "unknown is not idle");
    let seen = look(&task, &signer, 1).await.unwrap();
    assert_eq!(seen.unknown.as_deref(), Some("cannot read /proc/net/snmp: ?gone?"));
    assert_eq!((seen.in_flight, seen.idle_left_ms), (None, None));
    task.core().observe(task.now(), Ok(Sample::default()));
    assert_eq!(task.ended(), Some(End::Idle), "an unchanged count proves that nothing happened meanwhile");
}

#[test]
fn the_secret_shows_nowhere_and_a_name_that_cannot_be_signed_has_no_key() {
    let signer = Signer::derive(&MASTER, SESSION).unwrap();
    assert_eq!(format!("{signer:?}"), "Signer { session: \"lab-7k2m9q\", .. }");
    assert_eq!(signer.public_key_hex(), Signer::derive(&MASTER, SESSION).unwrap().public_key_hex());
    for name in ["", "a b", "a\nserial=9", &"x".repeat(129)] {
        assert!(Signer::derive(&MASTER, name).is_err(), "{name:?}");
    }
}
