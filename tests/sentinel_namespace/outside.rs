//! The other side of the wire: clients, labguard, and what the test expects.

use std::{
    fs,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::Request;
use labguard::{
    activity::sentinel::{Question, Signer, Use, Wish, read, renew},
    domain::model::{Span, sentinel as words},
    probe::tcp::TcpTransport,
    transport::Transport as _,
};

pub const SESSION: &str = "lab-7k2m9q";
pub const TASK: [&str; 2] = ["10.77.0.2", "fd77::2"];
const QUESTION: Question = Question { port: 7300, timeout: Span::from_secs(5) };

/// Starts this program again in namespaces of its own.
pub fn enter() {
    let tried = Command::new("unshare").args(["-rn", "ip", "link", "set", "lo", "up"]).output();
    match tried {
        Ok(output) if output.status.success() => {}
        Ok(output) => return skip(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => return skip(&format!("unshare: {error}")),
    }
    let own = std::env::current_exe().unwrap();
    for (side, test) in [
        ("__outside", "what_the_sentinel_counts_is_what_the_application_accepted"),
        ("__strangers", "strangers_that_the_sentinel_meets_are_nobodys_use"),
        ("__inside", "what_a_proxy_inside_the_task_passes_on_is_counted_once"),
    ] {
        let status = Command::new("unshare").arg("-rn").arg(&own).arg(side).status().unwrap();
        assert!(status.success(), "the other side of the wire ended with {status}");
        println!("test {test} ... ok");
    }
}

fn skip(why: &str) {
    println!("SKIPPED: no network namespace can be made here: {}", why.trim());
}

pub fn run(line: &str) {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The application in its namespace, with the wire in it.
pub struct Application {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Application {
    pub fn start() -> Self {
        let own = std::env::current_exe().unwrap();
        let mut process = Command::new("unshare")
            .arg("-n")
            .arg(own)
            .arg("__task")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = process.id();
        let outer = fs::read_link("/proc/self/ns/net").unwrap();
        while fs::read_link(format!("/proc/{pid}/ns/net")).unwrap() == outer {
            thread::sleep(Duration::from_millis(5));
        }
        run("ip link set lo up");
        run(&format!("ip link add v0 type veth peer name v1 netns {pid}"));
        for (inside, device, last) in [(String::new(), "v0", 1), (format!("nsenter -t {pid} -n "), "v1", 2)] {
            run(&format!("{inside}ip link set lo up"));
            run(&format!("{inside}ip addr add 10.77.0.{last}/24 dev {device}"));
            run(&format!("{inside}ip -6 addr add fd77::{last}/64 dev {device} nodad"));
            run(&format!("{inside}ip link set {device} up"));
        }
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut application = Self { process, input, output };
        assert_eq!(application.say("go"), "ready");
        application
    }

    fn say(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    fn accepted(&mut self) -> u64 {
        self.say("count").parse().unwrap()
    }

    /// Runs a command in its namespace.
    pub fn inside(&self, line: &str) {
        run(&format!("nsenter -t {} -n {line}", self.process.id()));
    }

    /// The sentinel beside it.
    pub fn guard(&self, signer: &Signer, more: &[(&str, &str)]) -> Child {
        #[expect(clippy::disallowed_methods, reason = "the sentinel's deadline is the machine's time")]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        Command::new("nsenter")
            .args(["-t", &self.process.id().to_string(), "-n", env!("CARGO_BIN_EXE_labguard-sentinel")])
            .env_clear()
            .env(words::SESSION, SESSION)
            .env(words::KEY, signer.public_key_hex())
            .env(words::DEADLINE, (now + 3600).to_string())
            .env(words::LEASE, "600")
            .env(words::LISTEN, "[::]:7300")
            .env(words::PORTS, "5000")
            .envs(more.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "real processes take real time")]
fn stopwatch() -> Instant {
    Instant::now()
}

/// One connection, one request, one answer.
fn visit(address: SocketAddr, path: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let asked = stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.ends_with("ok")
}

fn application(family: usize) -> SocketAddr {
    SocketAddr::new(TASK[family].parse().unwrap(), 5000)
}

/// `count` short connections from four clients, of the families given; all must be answered.
fn crowd(count: usize, families: &'static [usize]) {
    let clients: Vec<_> = (0..4)
        .map(|client| {
            thread::spawn(move || {
                (0..count / 4).filter(|at| visit(application(families[(at + client) % families.len()]), "/")).count()
            })
        })
        .collect();
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(answered, count);
}

/// labguard: asks and renews, and keeps the serial and the count of its probes.
pub struct Daemon {
    pub transport: TcpTransport,
    pub signer: Signer,
    pub serial: u64,
    pub probes: u64,
}

impl Daemon {
    pub async fn probe(&mut self, count: u64) {
        self.probe_at("/ping", count).await;
    }

    pub async fn probe_at(&mut self, path: &str, count: u64) {
        for at in 0..count {
            self.probes += 1;
            let host = if at % 2 == 0 { TASK[0].to_owned() } else { format!("[{}]", TASK[1]) };
            let request = Request::get(format!("http://{host}:5000{path}")).body(Bytes::new()).unwrap();
            assert_eq!(self.transport.send(request).await.unwrap().status(), 200);
        }
    }

    pub async fn renew(&mut self, idle: Option<Span>) -> Use {
        self.serial += 1;
        let wish = Wish { serial: self.serial, lease: Span::from_secs(600), idle, probes: self.probes };
        let address = TASK[usize::try_from(self.serial % 2).unwrap()];
        renew(&self.transport, address, &QUESTION, &self.signer, &wish).await.unwrap().usage
    }

    async fn read(&self) -> Use {
        read(&self.transport, TASK[0], &QUESTION, &self.signer, self.serial).await.unwrap()
    }
}

/// Everything that happens outside the task.
pub fn main() {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story());
}

async fn story() {
    let mut task = Application::start();
    let signer = Signer::derive(&[7; 32], SESSION).unwrap();
    let mut sentinel = task.guard(&signer, &[]);
    let pid = sentinel.id();
    let mut last_words = BufReader::new(sentinel.stderr.take().unwrap());
    let mut first = String::new();
    last_words.read_line(&mut first).unwrap();
    assert!(first.starts_with("labguard-sentinel: guards session lab-7k2m9q, ports [5000]; answers on"), "{first}");
    let mut daemon = Daemon { transport: TcpTransport::default(), signer, serial: 0, probes: 0 };

    // labguard's probes are counted, and are nobody's use.
    assert_eq!(daemon.renew(None).await.connections, 0);
    daemon.probe(100).await;
    let seen = daemon.renew(None).await;
    assert_eq!((seen.connections, seen.used, seen.last_use_ago_ms), (100, 0, None), "{seen:?}");
    assert_eq!(task.accepted(), 100);

    // What comes to the sentinel's own port is not the application's.
    let guard = SocketAddr::new(TASK[0].parse().unwrap(), QUESTION.port);
    for _ in 0..50 {
        visit(guard, words::HEALTH_PATH);
        drop(TcpStream::connect(guard).unwrap());
    }
    let seen = daemon.renew(None).await;
    assert_eq!((seen.connections, seen.used, seen.unsettled_ago_ms), (100, 0, None), "{seen:?}");

    // Strangers who say nothing do not keep labguard out.
    let silent: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(guard).unwrap()).collect();
    let begun = stopwatch();
    assert_eq!(daemon.renew(None).await.connections, 100);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    drop(silent);

    // A hundred thousand short connections of both families, with probes between them: to the last one.
    let begun = stopwatch();
    tokio::task::spawn_blocking(|| crowd(100_000, &[0, 1])).await.unwrap();
    println!("100,000 connections took {:.1} s", begun.elapsed().as_secs_f64());
    daemon.probe(7).await;
    let (seen, accepted) = (daemon.renew(None).await, task.accepted());
    assert_eq!((seen.connections, seen.used), (accepted, 100_000), "{seen:?}");
    assert_eq!(accepted, 100_107);
    assert!(seen.last_use_ago_ms.is_some() && seen.bytes_in > Some(100_000 * 30), "{seen:?}");
    println!("the application accepted {accepted}, the sentinel counted {}", seen.connections);

    // IPv6 alone.
    tokio::task::spawn_blocking(|| crowd(500, &[1])).await.unwrap();
    let seen = daemon.renew(None).await;
    assert_eq!((seen.connections, seen.used, task.accepted()), (100_607, 100_500, 100_607), "{seen:?}");

    // Long requests of both families are seen while they last, and are use for as long.
    let long: Vec<_> = [0, 1].map(|family| thread::spawn(move || visit(application(family), "/slow/25"))).into();
    tokio::time::sleep(Duration::from_secs(22)).await;
    let seen = daemon.renew(None).await;
    let flight = seen.in_flight.unwrap();
    assert_eq!((flight.count, seen.used), (2, 100_502), "{seen:?}");
    assert!(flight.oldest_ms.is_some_and(|it| (10_000..23_000).contains(&it)), "{seen:?}");
    assert!(seen.last_use_ago_ms.is_some_and(|it| it <= 11_000), "{seen:?}");
    println!("two long requests: {flight:?}, last use {} ms ago", seen.last_use_ago_ms.unwrap());
    assert!(tokio::task::spawn_blocking(|| long.into_iter().all(|it| it.join().unwrap())).await.unwrap());
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(daemon.read().await.in_flight.unwrap().count, 0);

    // What it took.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap().to_owned();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks: Vec<u64> = stat.split(' ').skip(13).take(2).map(|it| it.parse().unwrap()).collect();
    let up = daemon.read().await.uptime_ms;
    println!("{peak} (this build), processor {} ms of {up} ms", (ticks[0] + ticks[1]) * 10);

    // And it ends the task by itself when nobody comes.
    let begun = stopwatch();
    daemon.renew(Some(Span::from_secs(30))).await;
    let status = tokio::task::spawn_blocking(move || sentinel.wait().unwrap()).await.unwrap();
    let mut rest = String::new();
    last_words.read_to_string(&mut rest).unwrap();
    assert_eq!((status.code(), rest.as_str()), (Some(82), "labguard-sentinel: ends the task: idle\n"));
    assert!(begun.elapsed() < Duration::from_secs(32), "{:?}", begun.elapsed());
}
