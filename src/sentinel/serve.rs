//! The program around the rules: one thread looks at the counters and the fuse, one accepts, a few answer.
//!
//! Guarantees: at most [`MOST_OPEN`] connections are held, and a new one pushes out the oldest, so that strangers who say
//! nothing do not keep labguard out; each has [`PATIENCE`] for its request. A thread that cannot be started, a broken
//! connection, a full table of files: the fuse burns on in the main thread, which waits for nobody.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    clocks::Machine,
    core::{Asked, Core},
    fuse::End,
    http::{self, LIMIT, Parsed},
    sampler::Sampler,
    say,
    settings::Settings,
    task,
};
use crate::domain::model::sentinel as words;

/// Most connections at a time.
pub const MOST_OPEN: usize = 8;
/// How long one exchange may take.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How often counters and fuse are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the task's metadata is asked for.
const METADATA: Duration = Duration::from_secs(10);
/// Enough for a signature's arithmetic and a request.
const STACK: usize = 128 * 1024;

struct Shared {
    core: Mutex<Core>,
    sampler: Mutex<Sampler>,
    clock: Machine,
    own: AtomicU64,
    open: Mutex<Vec<(u64, TcpStream)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Reads the counters and hands them to the rules.
    fn look(&self) {
        let renewers = locked(&self.core).renewers().to_vec();
        let seen = locked(&self.sampler).read(&self.clock, &self.own, &renewers);
        let now = self.clock.now();
        locked(&self.core).observe(now, seen);
    }
}

/// Guards until the end.
///
/// # Errors
/// One line: what could not be read or listened on, and why.
pub fn run(settings: Settings) -> Result<End, String> {
    let clock = Machine::new();
    let (listen, metadata) = (settings.listen, settings.metadata.clone());
    let guarded = format!("session {}, ports {:?}", settings.session, settings.ports);
    let core = Core::new(settings.clone(), clock.now());
    if let Some(end) = core.left(clock.now()).ended() {
        return Ok(end);
    }
    let (folder, port) = (PathBuf::from("/proc/net"), listen.port());
    let sampler = Sampler::new(folder, settings.ports, port, settings.address, settings.whose)?;
    let listener = TcpListener::bind(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let shared = Arc::new(Shared {
        core: Mutex::new(core),
        sampler: Mutex::new(sampler),
        clock,
        own: AtomicU64::new(0),
        open: Mutex::new(Vec::new()),
    });
    let for_accepting = Arc::clone(&shared);
    spawn("accept", move || accept(&listener, &for_accepting)).map_err(|error| format!("cannot start: {error}"))?;
    if let Some(address) = metadata {
        let for_task = Arc::clone(&shared);
        // Without it the sentinel guards as well; only the task's own figures are missing.
        let _ = spawn("task", move || {
            loop {
                locked(&for_task.core).observe_task(task::ask(&address).unwrap_or_default());
                thread::sleep(METADATA);
            }
        });
    }
    let left = locked(&shared.core).left(clock.now());
    say(&format!(
        "guards {guarded}; answers on {listen}; ends in {} s, and in {} s unless renewed",
        left.deadline / 1000,
        left.lease / 1000
    ));
    loop {
        shared.look();
        let left = locked(&shared.core).left(clock.now());
        if let Some(end) = left.ended() {
            return Ok(end);
        }
        thread::sleep(LOOK.min(Duration::from_millis(left.soonest())));
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work).map(|_| ())
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut number = 0;
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // No file left, most likely: wait until some are closed.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        shared.own.fetch_add(1, Ordering::SeqCst);
        let Ok(handle) = stream.try_clone() else { continue };
        number += 1;
        {
            let mut open = locked(&shared.open);
            if open.len() >= MOST_OPEN {
                let (_, oldest) = open.remove(0);
                let _ = oldest.shutdown(Shutdown::Both);
            }
            open.push((number, handle));
        }
        let for_answer = Arc::clone(shared);
        let done = move || {
            // A broken connection is the other side's loss.
            let _ = exchange(stream, &for_answer);
            locked(&for_answer.open).retain(|(other, _)| *other != number);
        };
        if spawn("answer", done).is_err() {
            locked(&shared.open).retain(|(other, _)| *other != number);
        }
    }
}

/// Reads one request and answers it.
fn exchange(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let until = shared.clock.now().mono.saturating_add(PATIENCE.as_millis() as u64);
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut buffer = [0; LIMIT + 1];
    let mut length = 0;
    let answer = loop {
        let patience = until.saturating_sub(shared.clock.now().mono);
        if patience == 0 {
            return Ok(());
        }
        stream.set_read_timeout(Some(Duration::from_millis(patience)))?;
        let read = stream.read(&mut buffer[length..])?;
        length += read;
        match http::parse(&buffer[..length]) {
            Parsed::Partly if read > 0 && length < buffer.len() => {}
            Parsed::Partly => return Ok(()),
            Parsed::Bad(status, why) => break http::bad(status, why),
            Parsed::Whole(asked) => {
                if asked.path != words::HEALTH_PATH {
                    shared.look();
                }
                let now = shared.clock.now();
                let asked = Asked { peer: stream.peer_addr().ok().map(|peer| peer.ip()), ..asked };
                break locked(&shared.core).handle(now, &asked);
            }
        }
    };
    stream.write_all(&http::bytes(&answer))?;
    stream.shutdown(Shutdown::Write)
}

/// Whether a sentinel answers at `listen`, as ECS's health check asks it (the image has no shell to do so).
#[must_use]
pub fn healthy(listen: Option<&str>) -> bool {
    let Some(mut address) = listen.and_then(|it| it.parse::<SocketAddr>().ok()) else { return false };
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    let ask = || -> io::Result<bool> {
        let answer = task::exchange(address, &format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", words::HEALTH_PATH))?;
        Ok(answer.starts_with(b"HTTP/1.1 200 "))
    };
    ask().unwrap_or(false)
}
