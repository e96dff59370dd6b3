//! What the sentinel takes: its file, its memory, its processor time, and the application's answer times with and without.
//!
//! `cargo bench --bench sentinel` builds `deploy/sentinel` (the small program as it is deployed) and measures that one, on
//! Linux. `LABGUARD_BENCH_SECONDS` is how long it is watched doing nothing (60 by default), and `LABGUARD_BENCH_REQUESTS` how
//! many requests make one round (20,000 by default). Rounds with and without it alternate, so that a machine that grows slower
//! meanwhile takes no side.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use labguard::{activity::sentinel::Signer, domain::model::sentinel as words};

const SESSION: &str = "lab-7k2m9q";
const LISTEN: &str = "127.0.0.1:7399";

fn main() {
    // `cargo test --benches` only asks whether it runs: with the program of the tests' own profile.
    let bench = std::env::args().any(|argument| argument == "--bench");
    let asked = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let program = if bench { build() } else { PathBuf::from(env!("CARGO_BIN_EXE_labguard-sentinel")) };
    let (seconds, requests) =
        if bench { (asked("LABGUARD_BENCH_SECONDS", 60), asked("LABGUARD_BENCH_REQUESTS", 20_000)) } else { (1, 50) };
    println!("file            {:>9} bytes", fs::metadata(&program).unwrap().len());
    idle(&program, seconds);
    latency(&program, usize::try_from(requests).unwrap(), if bench { 8 } else { 2 });
}

/// The program as it is deployed.
fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::temp_dir().join("labguard-bench-sentinel");
    let status = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(root.join("deploy/sentinel/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .unwrap();
    assert!(status.success(), "deploy/sentinel does not build");
    target.join("release/labguard-sentinel")
}

#[expect(clippy::disallowed_methods, reason = "what is measured is this machine's own time")]
fn clocks() -> (Instant, u64) {
    (Instant::now(), SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
}

/// A running sentinel that guards `port`.
struct Guard(Child);

impl Guard {
    fn start(program: &Path, port: u16) -> Self {
        let signer = Signer::derive(&[7; 32], SESSION).unwrap();
        let child = Command::new(program)
            .env_clear()
            .env(words::SESSION, SESSION)
            .env(words::KEY, signer.public_key_hex())
            .env(words::DEADLINE, (clocks().1 + 3600).to_string())
            .env(words::LEASE, "3600")
            .env(words::LISTEN, LISTEN)
            .env(words::PORTS, port.to_string())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = clocks().0;
        while TcpStream::connect(LISTEN).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "it does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        Self(child)
    }

    /// A line of `/proc/PID/status`, in KiB.
    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Nanoseconds on a processor so far, of all threads.
    fn processor(&self) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let of = |path: PathBuf| fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        let first = |text: String| text.split(' ').next().and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
        threads.map(|thread| first(of(thread.unwrap().path()))).sum()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn idle(program: &Path, seconds: u64) {
    let guard = Guard::start(program, 5000);
    // Asked now and then, as labguard does.
    let signer = Signer::derive(&[7; 32], SESSION).unwrap();
    let before = guard.processor();
    let begun = clocks().0;
    for _ in 0..seconds.div_ceil(10) {
        let mut stream = TcpStream::connect(LISTEN).unwrap();
        let head = signer.authorization(0);
        write!(stream, "GET {} HTTP/1.1\r\nauthorization: {head}\r\n\r\n", words::USE_PATH).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        thread::sleep(Duration::from_secs(seconds.min(10)));
    }
    let (took, passed) = (guard.processor() - before, begun.elapsed().as_nanos());
    println!("resident        {:>9} KiB, at most {} KiB", guard.memory("VmRSS"), guard.memory("VmHWM"));
    let share = took as f64 / passed as f64 * 100.0;
    println!("processor       {share:>9.4} % of one, over {:.0} s", passed as f64 / 1e9);
}

/// The application: a thread that accepts and answers.
fn application() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        }
    });
    address
}

/// Answer times of one round in nanoseconds, sorted.
fn round(address: SocketAddr, requests: usize) -> Vec<u128> {
    let mut times: Vec<u128> = (0..requests)
        .map(|_| {
            let begun = clocks().0;
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            begun.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    times
}

fn latency(program: &Path, requests: usize, rounds: usize) {
    let address = application();
    round(address, requests);
    let (mut without, mut with): (Vec<Vec<u128>>, Vec<Vec<u128>>) = (Vec::new(), Vec::new());
    for at in 0..rounds {
        // Without, with, with, without: neither is always the later one.
        for guarded in [at % 2 == 1, at % 2 == 0] {
            let guard = guarded.then(|| Guard::start(program, address.port()));
            let times = if guarded { &mut with } else { &mut without };
            times.push(round(address, requests));
            drop(guard);
        }
    }
    let sorted = |rounds: &[Vec<u128>]| {
        let mut times = rounds.concat();
        times.sort_unstable();
        times
    };
    let halves: [Vec<Vec<u128>>; 2] =
        [0, 1].map(|half| without.iter().skip(half).step_by(2).cloned().collect::<Vec<_>>());
    let (all, half, other) = (sorted(&without), sorted(&halves[0]), sorted(&halves[1]));
    let with = sorted(&with);
    for (name, share) in [("median", 50), ("p90", 90), ("p99", 99)] {
        let at = |times: &[u128]| times[(times.len() - 1) * share / 100] as f64 / 1000.0;
        let (bare, guarded) = (at(&all), at(&with));
        let (ratio, noise) = (guarded / bare, at(&other) / at(&half));
        println!(
            "answer {name:<6}   without {bare:>8.1} µs, with {guarded:>8.1} µs: ratio {ratio:.3} (without against itself {noise:.3})"
        );
    }
}
