//! The sentinel as a process: how it ends, with which code and which words, and that it fails closed.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    time::{Duration, Instant, SystemTime},
};

#[path = "support/held_port.rs"]
mod held_port;

use held_port::HeldPort;
use labguard::{
    activity::sentinel::{Question, Signer, Wish, read, renew},
    domain::model::{Span, sentinel as words},
    probe::tcp::TcpTransport,
};

#[expect(clippy::disallowed_methods, reason = "a real process takes real time")]
fn clocks() -> (Instant, u64) {
    (Instant::now(), SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
}

/// A port that nobody else is given as long as these tests run.
fn held_port() -> u16 {
    let held = HeldPort::new();
    let port = held.number;
    std::mem::forget(held);
    port
}

/// Settings with an hour to live; the counters are those of an address that nobody uses.
fn settings() -> BTreeMap<&'static str, String> {
    let signer = Signer::derive(&[7; 32], "lab-7k2m9q").unwrap();
    BTreeMap::from([
        (words::SESSION, "lab-7k2m9q".to_owned()),
        (words::KEY, signer.public_key_hex()),
        (words::DEADLINE, (clocks().1 + 3600).to_string()),
        (words::LEASE, "3600".to_owned()),
        (words::LISTEN, format!("127.0.0.1:{}", held_port())),
        (words::PORTS, "5000".to_owned()),
        (words::ADDRESS, "127.77.7.7".to_owned()),
    ])
}

/// Runs it to its end: what came out, and after how long.
fn run(program: &[&str], settings: &BTreeMap<&'static str, String>) -> (Output, Duration) {
    let begun = clocks().0;
    let output = Command::new(program[0]).args(&program[1..]).env_clear().envs(settings).output().unwrap();
    (output, begun.elapsed())
}

const ALONE: &[&str] = &[env!("CARGO_BIN_EXE_labguard-sentinel")];
const WHOLE: &[&str] = &[env!("CARGO_BIN_EXE_labguard"), "sentinel"];

#[test]
fn each_end_has_its_word_its_code_and_its_time() {
    for program in [ALONE, WHOLE] {
        for (name, value, word, code) in [
            (words::DEADLINE, (clocks().1 + 3).to_string(), "deadline", 80),
            (words::LEASE, "2".to_owned(), "lease", 81),
            (words::IDLE, "2".to_owned(), "idle", 82),
        ] {
            let mut settings = settings();
            settings.insert(name, value);
            let (output, took) = run(program, &settings);
            let talk = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{talk}");
            assert_eq!(talk.lines().last(), Some(format!("labguard-sentinel: ends the task: {word}").as_str()));
            assert!((1_500..8_000).contains(&took.as_millis()), "{word}: {took:?}");
        }
    }
}

#[test]
fn a_deadline_that_is_past_ends_it_at_once() {
    let mut settings = settings();
    settings.insert(words::DEADLINE, "1".to_owned());
    let (output, took) = run(ALONE, &settings);
    assert_eq!(output.status.code(), Some(80));
    assert_eq!(output.stderr, b"labguard-sentinel: ends the task: deadline\n");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn what_is_missing_or_garbled_ends_it_at_once_with_64_and_one_line() {
    for program in [ALONE, WHOLE] {
        for name in [words::SESSION, words::KEY, words::DEADLINE, words::LEASE, words::LISTEN, words::PORTS] {
            let mut without = settings();
            without.remove(name);
            let mut garbled = settings();
            garbled.insert(name, "garbled, as it were".to_owned());
            for (settings, found) in
                [(without, format!("{name} is not set")), (garbled, format!("{name} is \"garbled, as it were\""))]
            {
                let (output, took) = run(program, &settings);
                let talk = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(64), "{talk}");
                let start = format!("labguard-sentinel: guards nothing and ends the task: {found}, expected ");
                assert!(talk.starts_with(&start) && talk.lines().count() == 1, "{talk}");
                assert!(took < Duration::from_secs(5), "{took:?}");
            }
        }
    }
}

#[test]
fn a_port_that_is_taken_ends_it_with_69() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = settings();
    settings.insert(words::LISTEN, taken.local_addr().unwrap().to_string());
    let (output, _) = run(ALONE, &settings);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{talk}");
    assert!(talk.starts_with("labguard-sentinel: cannot listen on 127.0.0.1:"), "{talk}");
}

/// One connection to `address`, ended by the other side.
fn visit(address: std::net::SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"x").unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn beside_a_sandbox_container_the_connections_of_its_address_count_and_no_others() {
    let (container, neighbour) =
        (TcpListener::bind("127.77.7.8:0").unwrap(), TcpListener::bind("127.77.7.9:0").unwrap());
    let address = container.local_addr().unwrap();
    for listener in [container, neighbour.try_clone().unwrap()] {
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut byte = [0; 1];
                // Who says nothing is waited for, as a long request is.
                std::thread::spawn(move || stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte)));
            }
        });
    }
    let mut settings = settings();
    settings.insert(words::ADDRESS, address.ip().to_string());
    settings.insert(words::PORTS, format!("{},{}", address.port(), neighbour.local_addr().unwrap().port()));
    let port = held_port();
    settings.insert(words::LISTEN, format!("127.0.0.1:{port}"));
    let mut guard =
        Command::new(WHOLE[0]).arg(WHOLE[1]).env_clear().envs(&settings).stderr(Stdio::null()).spawn().unwrap();
    let signer = Signer::derive(&[7; 32], "lab-7k2m9q").unwrap();
    let question = Question { port, timeout: Span::from_secs(2) };
    let transport = TcpTransport::default();
    let begun = clocks().0;
    while read(&transport, "127.0.0.1", &question, &signer, 0).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never answered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..20 {
        visit(address);
        visit(neighbour.local_addr().unwrap());
    }
    let open = TcpStream::connect(address).unwrap();
    let seen = loop {
        let seen = read(&transport, "127.0.0.1", &question, &signer, 0).await.unwrap();
        if seen.connections >= 21 {
            break seen;
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "{seen:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(
        (seen.counting.as_str(), seen.connections, seen.in_flight.unwrap().count),
        ("sampled", 21, 1),
        "{seen:?}"
    );
    let wish = Wish { serial: 1, lease: Span::from_secs(60), idle: None, probes: 20 };
    let renewed = renew(&transport, "127.0.0.1", &question, &signer, &wish).await.unwrap();
    assert_eq!((renewed.cut, renewed.usage.used), (false, 1), "{renewed:?}");
    drop(open);
    guard.kill().unwrap();
    guard.wait().unwrap();
}

#[test]
fn healthy_asks_the_one_that_runs() {
    let settings = settings();
    let healthy = [ALONE, &["healthy"]].concat();
    assert_eq!(run(&healthy, &settings).0.status.code(), Some(1), "nobody runs yet");
    let mut guard = Command::new(ALONE[0]).env_clear().envs(&settings).stderr(Stdio::null()).spawn().unwrap();
    let begun = clocks().0;
    while run(&healthy, &settings).0.status.code() != Some(0) {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never answered");
        std::thread::sleep(Duration::from_millis(20));
    }
    guard.kill().unwrap();
    guard.wait().unwrap();
    assert_eq!(run(&[ALONE, &["nonsense"]].concat(), &settings).0.status.code(), Some(64));
}
