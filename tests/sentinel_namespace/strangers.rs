//! Strangers across the wire: clients whose addresses do not count, beside people and labguard.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use labguard::{
    activity::sentinel::{Signer, Use},
    domain::model::sentinel as words,
    probe::tcp::TcpTransport,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};

use super::outside::{Application, Daemon, SESSION, TASK, run};

/// Ignored, and not allowed, in both families; labguard itself is at `.1`, which is not allowed either.
const STRANGERS: [(&str, usize); 3] = [("10.77.0.66", 0), ("192.0.2.5", 0), ("fd77::66", 1)];
const PERSON: &str = "10.77.0.7";

pub fn main() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story());
}

/// One connection from that address to the application, and its answer. From a port of its own: one that the kernel
/// chose might have been another visit's, and a sentinel that looks rarely takes both for one stranger.
async fn visit(from: &str, family: usize, path: &str) {
    /// This namespace is the test's alone, and below the ports that the kernel gives away.
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let port = NEXT.fetch_add(1, Ordering::Relaxed);
    let to = SocketAddr::new(TASK[family].parse().unwrap(), 5000);
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), port)).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("ok"), "{answer}");
}

/// What the sentinel says once it has looked again: where looking is dear, every ten seconds.
async fn settled(daemon: &mut Daemon) -> Use {
    tokio::time::sleep(Duration::from_secs(11)).await;
    daemon.renew(None).await
}

async fn story() {
    let task = Application::start();
    for (address, bits) in [("10.77.0.66", 24), ("192.0.2.5", 32), (PERSON, 24)] {
        run(&format!("ip addr add {address}/{bits} dev v0"));
    }
    // Deprecated: only who binds to it comes from there, and never labguard.
    run("ip -6 addr add fd77::66/64 dev v0 nodad preferred_lft 0");
    task.inside("ip route add 192.0.2.5/32 dev v1");
    let signer = Signer::derive(&[7; 32], SESSION).unwrap();
    let ranges = [(words::ALLOWED, "10.77.0.0/28,10.77.0.64/26"), (words::IGNORED, "10.77.0.66/32")];
    let mut sentinel = task.guard(&signer, &ranges);
    let mut first = String::new();
    BufReader::new(sentinel.stderr.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("guards session"), "{first}");
    let mut daemon = Daemon { transport: TcpTransport::default(), signer, serial: 0, probes: 0 };
    daemon.renew(None).await;

    // labguard's probes of both families: of IPv6 nobody is allowed, and they are settled all the same.
    daemon.probe(20).await;
    let seen = settled(&mut daemon).await;
    assert_eq!((seen.used, seen.last_use_ago_ms, seen.strangers), (0, None, Some(0)), "{seen:?}");

    // Strangers of all kinds: the application closes first, as most do, so that each is still met.
    for round in 0..60 {
        let (address, family) = STRANGERS[round % 3];
        visit(address, family, "/").await;
    }
    let seen = settled(&mut daemon).await;
    println!("60 short visits of strangers: {:?} were met", seen.strangers);
    assert_eq!((seen.used, seen.last_use_ago_ms), (0, None), "{seen:?}");
    assert_eq!(seen.strangers, Some(60), "{seen:?}");

    // A stranger's long request is no use; one person among them is, to the connection.
    let long = tokio::spawn(async { visit(STRANGERS[0].0, 0, "/slow/26").await });
    tokio::time::sleep(Duration::from_secs(12)).await;
    let seen = settled(&mut daemon).await;
    assert_eq!(
        (seen.used, seen.in_flight.map(|open| open.count), seen.last_use_ago_ms),
        (0, Some(0), None),
        "{seen:?}"
    );
    long.await.unwrap();
    for round in 0..31 {
        visit(STRANGERS[round % 3].0, STRANGERS[round % 3].1, "/").await;
    }
    visit(PERSON, 0, "/").await;
    daemon.probe(4).await;
    let seen = settled(&mut daemon).await;
    assert_eq!((seen.used, seen.strangers), (1, Some(92)), "{seen:?}");
    assert!(seen.last_use_ago_ms.is_some_and(|ago| ago < 13_000), "{seen:?}");

    sentinel.kill().unwrap();
    sentinel.wait().unwrap();
}
