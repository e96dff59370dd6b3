//! Containers as real processes of this machine.
//!
//! Guarantees: no process outlives the sandbox, even when it is killed with SIGKILL: each is started through the
//! [wrapper](super::contain) by one thread that lives as long as the sandbox. A program must come from its image; it
//! runs with its own environment only, in its own directory, on its own loopback address. Output is read line by line,
//! never unbounded. Must never be used for images from people one does not trust: nothing isolates them.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{self, BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;

use super::{ContainerEvent, ContainerKey, ContainerSpec, Containers, Happening, Used, contain, unpack};
use crate::{
    domain::model::{Span, Timestamp, sentinel},
    transport::TransportError,
};

const LONGEST_LINE: u64 = 64 * 1024;
const LARGEST_ANSWER: usize = 1 << 20;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The process of each container.
type Pids = Arc<Mutex<HashMap<ContainerKey, u32>>>;

type Happenings = Arc<Mutex<Vec<(ContainerKey, Happening)>>>;

enum Order {
    Start(Box<ContainerSpec>),
    Stop(ContainerKey, Duration),
    Shutdown(Sender<()>),
}

/// Real processes.
#[derive(Debug)]
pub struct Processes {
    orders: Mutex<Sender<Order>>,
    happenings: Happenings,
    pids: Pids,
    next: AtomicU32,
}

impl Processes {
    /// `launcher` is a program that calls [`contain_main`](super::contain_main) for the subcommand `__contain` (labguard
    /// itself); images are unpacked below `scratch`, in a folder of this process. Folders of dead sandboxes there go.
    ///
    /// # Errors
    /// When `scratch` cannot be made, or no thread started.
    pub fn new(launcher: PathBuf, scratch: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&scratch)?;
        remove_stale(&scratch);
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let own = scratch.join(format!("sandbox-{}-{number}", std::process::id()));
        fs::create_dir_all(&own)?;
        let (happenings, pids) = (Happenings::default(), Pids::default());
        let (orders, inbox) = channel();
        let keeper = Keeper {
            launcher,
            scratch: own,
            happenings: Arc::clone(&happenings),
            pids: Arc::clone(&pids),
            children: HashMap::new(),
            stopped: false,
        };
        std::thread::Builder::new().name("labguard-containers".to_owned()).spawn(move || keeper.run(&inbox))?;
        let next = AtomicU32::new(std::process::id() % 0x3F_FF00);
        Ok(Self { orders: Mutex::new(orders), happenings, pids, next })
    }

    fn order(&self, order: Order) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        // The thread ends only after Shutdown; what comes later has nothing left to act on.
        let _ = orders.send(order);
    }
}

/// Ticks in a second, as Linux counts them for programs whatever the kernel does (USER_HZ).
const TICKS: u64 = 100;

/// CPU time of a process and of its children that are gone, from its `/proc/PID/stat` (proc(5)).
fn cpu_ms(stat: &str) -> Option<u64> {
    // The name stands in parentheses and may hold anything; utime is the twelfth field after it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = (0..4).map(|_| fields.next()?.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(ticks.saturating_mul(1000) / TICKS)
}

/// Removes the folders of sandboxes whose process is gone.
fn remove_stale(scratch: &Path) {
    for entry in fs::read_dir(scratch).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name
            .strip_prefix("sandbox-")
            .and_then(|rest| rest.split('-').next())
            .and_then(|pid| pid.parse::<u32>().ok());
        if let Some(pid) = pid
            && !Path::new(&format!("/proc/{pid}")).exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Containers for Processes {
    fn knows(&self, _reference: &str) -> bool {
        false
    }

    fn address(&self) -> Ipv4Addr {
        for _ in 0..64 {
            let number = self.next.fetch_add(1, Ordering::Relaxed) % 0x003F_FFFE + 1;
            let address = Ipv4Addr::from(0x7F40_0000 + number);
            if TcpListener::bind((address, 5000)).is_ok() {
                return address;
            }
        }
        Ipv4Addr::LOCALHOST
    }

    fn start(&self, spec: ContainerSpec, _now: Timestamp) {
        self.order(Order::Start(Box::new(spec)));
    }

    fn stop(&self, key: &ContainerKey, _now: Timestamp, timeout: Span) {
        self.order(Order::Stop(key.clone(), timeout.as_duration()));
    }

    fn next_due(&self) -> Option<Timestamp> {
        None
    }

    fn poll(&self, now: Timestamp) -> Vec<ContainerEvent> {
        let taken = std::mem::take(&mut *self.happenings.lock().unwrap_or_else(PoisonError::into_inner));
        taken.into_iter().map(|(key, what)| ContainerEvent { key, at: now, what }).collect()
    }

    fn used(&self, key: &ContainerKey) -> Option<Used> {
        let pid = *self.pids.lock().unwrap_or_else(PoisonError::into_inner).get(key)?;
        // All share the machine's network: whose bytes they are cannot be told.
        Some(Used { cpu_ms: cpu_ms(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?, network: None })
    }

    fn needs_ticker(&self) -> bool {
        true
    }

    fn send(&self, _now: Timestamp, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(over_tcp(request))
    }

    fn shutdown(&self) {
        let (done, wait) = channel();
        self.order(Order::Shutdown(done));
        // An error means that the thread is gone, and with it every container.
        let _ = wait.recv_timeout(Duration::from_secs(10));
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.shutdown();
    }
}

async fn over_tcp(request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
    let broken = |error: &dyn std::fmt::Display| TransportError::Connection(error.to_string());
    let host = request.uri().host().unwrap_or_default().to_owned();
    let port = request.uri().port_u16().unwrap_or(80);
    let stream = tokio::net::TcpStream::connect((host.as_str(), port)).await.map_err(|error| broken(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let connection = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    if let Ok(value) = http::HeaderValue::from_str(&format!("{host}:{port}")) {
        parts.headers.entry(http::header::HOST).or_insert(value);
    }
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).parse();
    parts.uri = path.map_err(|error: http::uri::InvalidUri| broken(&error))?;
    let answer =
        sender.send_request(Request::from_parts(parts, Full::new(body))).await.map_err(|error| broken(&error))?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, LARGEST_ANSWER).collect().await;
    connection.abort();
    let body = body.map_err(|error| TransportError::Answer(error.to_string()))?.to_bytes();
    Ok(Response::from_parts(parts, body))
}

struct Running {
    child: Child,
    kill_in: Option<Duration>,
}

/// Lives in the one thread that starts and ends the processes.
struct Keeper {
    launcher: PathBuf,
    scratch: PathBuf,
    happenings: Happenings,
    pids: Pids,
    children: HashMap<ContainerKey, Running>,
    stopped: bool,
}

const BEAT: Duration = Duration::from_millis(50);

impl Keeper {
    fn run(mut self, inbox: &Receiver<Order>) {
        loop {
            match inbox.recv_timeout(BEAT) {
                Ok(Order::Start(spec)) if !self.stopped => self.start(*spec),
                Ok(Order::Start(spec)) => {
                    self.tell(spec.key, Happening::FailedToStart("the sandbox shuts down".to_owned()))
                }
                Ok(Order::Stop(key, timeout)) => self.stop(&key, timeout),
                Ok(Order::Shutdown(done)) => {
                    self.end_all();
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => self.beat(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.end_all();
                    return;
                }
            }
            self.reap();
        }
    }

    fn tell(&self, key: ContainerKey, what: Happening) {
        self.happenings.lock().unwrap_or_else(PoisonError::into_inner).push((key, what));
    }

    fn start(&mut self, spec: ContainerSpec) {
        let key = spec.key.clone();
        match self.spawn(spec) {
            Ok(mut child) => {
                // Before anybody reads what it says: nothing is told of a container before its start.
                self.tell(key.clone(), Happening::Started);
                self.pids.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), child.id());
                for pipe in [
                    child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
                    child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
                ]
                .into_iter()
                .flatten()
                {
                    let (key, happenings) = (key.clone(), Arc::clone(&self.happenings));
                    let reader = std::thread::Builder::new().name("labguard-output".to_owned());
                    let _ = reader.spawn(move || read_lines(pipe, &key, &happenings));
                }
                self.children.insert(key, Running { child, kill_in: None });
            }
            Err(error) => self.tell(key, Happening::FailedToStart(format!("CannotStartContainerError: {error}"))),
        }
    }

    fn spawn(&self, spec: ContainerSpec) -> io::Result<Child> {
        let image = spec.image.ok_or_else(|| io::Error::other("the image is not in the registry"))?;
        let folder: String = image.digest.chars().filter(char::is_ascii_alphanumeric).collect();
        let root = self.scratch.join(folder);
        if !root.exists() {
            let fresh = self.scratch.join("unpacking");
            let _ = fs::remove_dir_all(&fresh);
            fs::create_dir_all(&fresh)?;
            unpack::unpack(&image.layers, &fresh)?;
            fs::rename(&fresh, &root)?;
        }
        let config = &image.config["config"];
        let list = |name: &str| -> Vec<String> {
            config[name].as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let replaced = spec.entry_point.is_some();
        let mut line = spec.entry_point.unwrap_or_else(|| list("Entrypoint"));
        line.extend(spec.command.unwrap_or_else(|| if replaced { Vec::new() } else { list("Cmd") }));
        let Some((program, args)) = line.split_first() else {
            return Err(io::Error::other("no command specified in the image or the task definition"));
        };
        let mut environment: BTreeMap<String, String> = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
        environment.extend(
            list("Env").iter().filter_map(|item| item.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        environment.extend(spec.environment);
        environment.insert("HOST".to_owned(), spec.address.to_string());
        environment.insert("BIND_ADDRESS".to_owned(), spec.address.to_string());
        environment.insert("PORT".to_owned(), spec.port.to_string());
        if let Some(listen) = environment.get(sentinel::LISTEN) {
            // Containers share the machine's network here: a guard keeps to its task's own address.
            let port = listen.rsplit(':').next().unwrap_or_default();
            let own = format!("{}:{port}", spec.address);
            environment.insert(sentinel::LISTEN.to_owned(), own);
            environment.insert(sentinel::ADDRESS.to_owned(), spec.address.to_string());
        }
        let wanted = spec.working_directory.unwrap_or_else(|| config["WorkingDir"].as_str().unwrap_or("/").to_owned());
        let parts = Path::new(&wanted).components().filter(|part| matches!(part, std::path::Component::Normal(_)));
        let working_directory = root.join(parts.collect::<PathBuf>());
        fs::create_dir_all(&working_directory)?;
        if !working_directory.canonicalize()?.starts_with(root.canonicalize()?) {
            return Err(io::Error::other("the working directory leads outside the image"));
        }
        let path = environment.get("PATH").map_or(PATH, String::as_str);
        let program = unpack::find_program(&root, &working_directory, path, program)?;
        Command::new(&self.launcher)
            .arg(contain::SUBCOMMAND)
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(program)
            .args(args)
            .env_clear()
            .envs(environment)
            .current_dir(working_directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
    }

    fn stop(&mut self, key: &ContainerKey, timeout: Duration) {
        if let Some(running) = self.children.get_mut(key) {
            signal(&running.child, rustix::process::Signal::TERM);
            running.kill_in = Some(timeout);
        }
    }

    /// One beat has passed.
    fn beat(&mut self) {
        for running in self.children.values_mut() {
            let Some(left) = running.kill_in else { continue };
            if left.is_zero() {
                signal(&running.child, rustix::process::Signal::KILL);
                running.kill_in = None;
            } else {
                running.kill_in = Some(left.saturating_sub(BEAT));
            }
        }
    }

    fn reap(&mut self) {
        let mut over = Vec::new();
        for (key, running) in &mut self.children {
            if let Ok(Some(status)) = running.child.try_wait() {
                let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255);
                over.push((key.clone(), code));
            }
        }
        for (key, code) in over {
            self.pids.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            if let Some(running) = self.children.remove(&key) {
                // What it has started goes with it.
                signal(&running.child, rustix::process::Signal::KILL);
            }
            self.tell(key, Happening::Exited { code, reason: None });
        }
    }

    fn end_all(&mut self) {
        self.stopped = true;
        for running in self.children.values() {
            signal(&running.child, rustix::process::Signal::KILL);
        }
        for (_, mut running) in self.children.drain() {
            let _ = running.child.wait();
        }
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// Signals a container's whole process group; one that is gone already is fine.
fn signal(child: &Child, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

fn read_lines(pipe: Box<dyn Read + Send>, key: &ContainerKey, happenings: &Happenings) {
    let mut reader = BufReader::new(pipe);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                happenings.lock().unwrap_or_else(PoisonError::into_inner).push((key.clone(), Happening::Output(text)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_whatever_the_program_is_called() {
        let hz = TICKS;
        let stat = format!("7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 {hz} {} {hz} 0 20 0 1 0", 2 * hz);
        assert_eq!(cpu_ms(&stat), Some(4000));
        assert_eq!(cpu_ms("7 (x) S 1 7"), None);
        assert_eq!(cpu_ms(""), None);
    }
}
