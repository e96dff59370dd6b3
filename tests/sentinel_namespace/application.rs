//! The application of the test: answers at once, or after some seconds, or through what is behind it, and counts what it
//! accepts.

use std::{
    io::{BufRead as _, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Serves on port 5000 of both families; a line on standard input is answered with the count.
pub fn serve() {
    // The namespace is empty until the other side has put the wire in and says so.
    let mut lines = std::io::stdin().lock().lines();
    assert_eq!(lines.next().unwrap().unwrap(), "go");
    let listener = Arc::new(TcpListener::bind("[::]:5000").unwrap());
    let behind = TcpListener::bind("127.0.0.1:8000").unwrap();
    thread::spawn(move || behind.incoming().for_each(|stream| answer(stream.unwrap())));
    let accepted = Arc::new(AtomicU64::new(0));
    for _ in 0..2 {
        let (listener, accepted) = (Arc::clone(&listener), Arc::clone(&accepted));
        thread::spawn(move || {
            loop {
                let (stream, _) = listener.accept().unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                answer(stream);
            }
        });
    }
    println!("ready");
    for _ in lines {
        println!("{}", accepted.load(Ordering::SeqCst));
    }
}

/// Asks what is behind, as a proxy does; every other time it is the proxy that closes first.
fn pass_on() {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut inner = TcpStream::connect("127.0.0.1:8000").unwrap();
    inner.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    if COUNT.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
        let _ = inner.shutdown(std::net::Shutdown::Write);
    }
    let _ = inner.read_to_end(&mut Vec::new());
}

fn answer(mut stream: TcpStream) {
    let mut request = [0; 1024];
    let length = stream.read(&mut request).unwrap_or(0);
    if request.starts_with(b"GET /through") {
        pass_on();
    }
    let seconds = request[..length].strip_prefix(b"GET /slow/").map(|rest| {
        let digits: Vec<u8> = rest.iter().copied().take_while(u8::is_ascii_digit).collect();
        String::from_utf8(digits).unwrap().parse().unwrap()
    });
    let reply = move |mut stream: TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    };
    match seconds {
        None => reply(stream),
        Some(seconds) => {
            thread::spawn(move || {
                thread::sleep(Duration::from_secs(seconds));
                reply(stream);
            });
        }
    }
}
