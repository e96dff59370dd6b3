//! A proxy inside the task, and clients that say their last word before they have their answer.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use labguard::{activity::sentinel::Signer, domain::model::sentinel as words, probe::tcp::TcpTransport};

use super::outside::{Application, Daemon, SESSION, TASK};

pub fn main() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story());
}

/// One request whose client shuts its side down behind it, as `nc -N` does.
fn ask_and_shut(path: &str) {
    let mut stream = TcpStream::connect(SocketAddr::new(TASK[0].parse().unwrap(), 5000)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("ok"), "{answer}");
}

async fn story() {
    let task = Application::start();
    let signer = Signer::derive(&[7; 32], SESSION).unwrap();
    let mut sentinel = task.guard(&signer, &[(words::IGNORED, "127.0.0.0/8,::1/128")]);
    let mut first = String::new();
    BufReader::new(sentinel.stderr.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("guards session"), "{first}");
    let mut daemon = Daemon { transport: TcpTransport::default(), signer, serial: 0, probes: 0 };
    daemon.renew(None).await;

    // Each probe is two connections to the kernel; renewals come faster than looks where those are dear.
    for _ in 0..12 {
        daemon.probe_at("/through", 2).await;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        daemon.renew(None).await;
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    let seen = daemon.renew(None).await;
    assert_eq!((seen.connections, seen.used, seen.strangers), (24, 0, Some(24)), "{seen:?}");
    assert_eq!((seen.last_use_ago_ms, seen.opened), (None, Some(24)), "{seen:?}");

    // People through the same proxy are people; one of them waits, and has said all.
    let people: Vec<_> =
        ["/through", "/through", "/slow/25"].map(|path| thread::spawn(move || ask_and_shut(path))).into();
    tokio::time::sleep(Duration::from_secs(22)).await;
    let seen = daemon.renew(None).await;
    let flight = seen.in_flight.unwrap();
    assert_eq!((seen.used, flight.count), (3, 1), "{seen:?}");
    assert!(flight.oldest_ms.is_some_and(|it| it >= 10_000), "{seen:?}");
    println!("half-closed: {flight:?}, {:?} met inside", seen.strangers);
    people.into_iter().for_each(|it| it.join().unwrap());

    sentinel.kill().unwrap();
    sentinel.wait().unwrap();
}
