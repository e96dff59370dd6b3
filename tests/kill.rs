//! `kill -9` of the real binary at random instants of the demo, then a restart: nothing is left each time.
//!
//! The sandbox runs as a process of its own, so that what a killed labguard leaves there can be counted. Half the
//! kills come at a random time, half shortly after a random line of the demo's story, so that every part of it is
//! met however fast the machine is. `LABGUARD_KILLS=N` sets the number of kills (50 by default); they run a few
//! at a time.
//!
//! And killed for ever: the guard inside the task stops it. `LABGUARD_DEATHS=N` sets the number of these (4 by default).

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};

#[path = "support/sandbox_process.rs"]
mod sandbox_process;
use sandbox_process::{Sandbox, labguard};

const AT_ONCE: usize = 4;

fn demo(folder: &Path, url: &str) -> Command {
    // Short, so that a kill meets all parts of the demo within seconds.
    idle_demo(folder, url, "2s")
}

/// The demo on the sandbox at `url`; nobody uses it, and it ends after `idle`.
fn idle_demo(folder: &Path, url: &str, idle: &str) -> Command {
    let mut command = labguard(folder);
    command.args(["--json", "--set", &format!("aws.endpoint_url={url}"), "--set", "aws.sandbox.enabled=false"]);
    command.args(["--set", &format!("daemon.state_dir={}", folder.join("state").display())]);
    command.args(["--set", &format!("sessions.admission.limits.idle_timeout={idle}")]);
    command.args(["--set", "sessions.admission.limits.warn_before=[]"]);
    command.arg("demo");
    command.env("AWS_ACCESS_KEY_ID", "labguard-sandbox").env("AWS_SECRET_ACCESS_KEY", "labguard-sandbox");
    command
}

/// Processes whose command line names `folder`, which every container of that world does.
fn processes_of(folder: &Path) -> Vec<String> {
    let wanted = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&wanted) && !line.contains(" sandbox ") {
            found.push(line);
        }
    }
    found
}

/// Where a kill came: after how long, and after which event of the story.
struct Kill {
    after: Duration,
    last: String,
}

/// Starts the demo, kills it at an instant that `seed` chooses, and tells where that was.
fn kill_a_demo(seed: u64, folder: &Path, url: &str) -> Kill {
    let mut rng = SmallRng::seed_from_u64(seed);
    let began = tokio::time::Instant::now();
    let mut running = demo(folder, url).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let (tell, told) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    let mut last = None;
    if seed.is_multiple_of(2) {
        std::thread::sleep(Duration::from_millis(rng.random_range(50..20_000)));
    } else {
        // The story has about 24 lines; a shorter one ends the waiting by ending the demo.
        for _ in 0..rng.random_range(1..24) {
            match told.recv_timeout(Duration::from_secs(30)) {
                Ok(line) => last = Some(line),
                Err(_) => break,
            }
        }
        std::thread::sleep(Duration::from_millis(rng.random_range(0..400)));
    }
    let after = began.elapsed();
    let _ = running.kill();
    let _ = running.wait();
    let _ = reader.join();
    let last = told.try_iter().last().or(last).unwrap_or_else(|| "nothing yet".to_owned());
    Kill { after, last: last.chars().take(160).collect() }
}

fn one_kill(seed: u64) -> Result<Kill, String> {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(folder.path());
    let kill = kill_a_demo(seed, folder.path(), &sandbox.url);
    let at = format!("seed {seed}: killed after {:?} (last told: {})", kill.after, kill.last);
    let again = demo(folder.path(), &sandbox.url).arg("--recover-only").stdout(Stdio::piped()).output().unwrap();
    if !again.status.success() {
        let out = String::from_utf8_lossy(&again.stdout);
        return Err(format!("{at}; the restart exited {:?}: {out}", again.status.code()));
    }
    let left = sandbox.leftovers();
    if left != "[]" {
        return Err(format!("{at}; left after the restart: {left}"));
    }
    let processes = processes_of(folder.path());
    if !processes.is_empty() {
        return Err(format!("{at}; processes left: {processes:?}"));
    }
    Ok(kill)
}

#[test]
fn a_killed_demo_leaves_nothing_after_a_restart() {
    let kills = std::env::var("LABGUARD_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    // A demo that never gets anywhere leaves nothing either, and proves nothing.
    let met = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= kills {
                        break;
                    }
                    match one_kill(seed as u64) {
                        Ok(kill) => {
                            met.fetch_add(usize::from(kill.last.contains("\"step\"")), Ordering::Relaxed);
                            println!("seed {seed}: {:.1} s, after {}", kill.after.as_secs_f64(), kill.last);
                        }
                        Err(failure) => failures.lock().unwrap().push(failure),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("{kills} kills, {} left something", failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
    let met = met.into_inner();
    assert!(met * 5 >= kills, "only {met} of {kills} kills met a demo in the middle of its steps");
}

/// The status of the task that is not stopped, as the sandbox tells it: `ecs task ARN STATUS`.
fn task(sandbox: &Sandbox) -> Option<String> {
    let left: Vec<String> = serde_json::from_str(&sandbox.leftovers()).unwrap();
    let task = left.iter().find(|it| it.starts_with("ecs task "))?;
    task.split_whitespace().last().map(str::to_owned)
}

/// How long a demo may take to its task, and a task to its start: only so that a test that hangs says why.
const PATIENCE: Duration = Duration::from_secs(300);

/// Kills a guarded demo for ever; how long after that its task ran, if one did.
fn one_death(seed: u64) -> Result<Option<Duration>, String> {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(folder.path());
    // Nothing but its death ends it in this time.
    let mut command = idle_demo(folder.path(), &sandbox.url, "150s");
    let log = File::create(folder.path().join("demo.log")).unwrap();
    let mut running = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let mut rng = SmallRng::seed_from_u64(seed);
    // Most deaths meet a task: from its first second to a while after its first renewals.
    let began = tokio::time::Instant::now();
    while task(&sandbox).is_none() {
        let ended = running.try_wait().unwrap();
        if ended.is_some() || began.elapsed() > PATIENCE {
            let _ = running.kill();
            let _ = running.wait();
            let told = std::fs::read_to_string(folder.path().join("demo.log")).unwrap();
            return Err(format!(
                "seed {seed}: no task after {:?}; the demo ended: {ended:?}:\n{told}",
                began.elapsed()
            ));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_millis(rng.random_range(0..25_000)));
    let _ = running.kill();
    let _ = running.wait();
    if task(&sandbox).is_none() {
        return Ok(None);
    }
    let died = tokio::time::Instant::now();
    // The guard starts with its task, which may only then be given its images.
    let mut guarded = None;
    while let Some(status) = task(&sandbox) {
        if !matches!(status.as_str(), "PROVISIONING" | "PENDING" | "ACTIVATING") {
            guarded.get_or_insert_with(tokio::time::Instant::now);
        }
        match guarded.map(|since: tokio::time::Instant| since.elapsed()) {
            // The lease of a minute, its start, and what stopping takes.
            Some(for_long) if for_long > Duration::from_secs(90) => {
                return Err(format!("seed {seed}: a task is {status} {for_long:?} after labguard's death"));
            }
            None if died.elapsed() > PATIENCE => {
                return Err(format!("seed {seed}: a task is {status} {:?} after labguard's death", died.elapsed()));
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    let after = guarded.map_or(Duration::ZERO, |since| since.elapsed());
    std::thread::sleep(Duration::from_secs(1));
    let processes = processes_of(folder.path());
    if !processes.is_empty() {
        return Err(format!("seed {seed}: processes left: {processes:?}"));
    }
    Ok(Some(after))
}

#[test]
fn a_labguard_that_is_killed_for_ever_has_its_task_stopped_by_the_guard_inside() {
    let deaths = std::env::var("LABGUARD_DEATHS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let next = AtomicUsize::new(0);
    let told = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= deaths {
                        break;
                    }
                    let death = one_death(seed as u64);
                    told.lock().unwrap().push(death);
                }
            });
        }
    });
    let told = told.into_inner().unwrap();
    let failed: Vec<_> = told.iter().filter_map(|it| it.as_ref().err()).collect();
    let mut after: Vec<Duration> = told.iter().filter_map(|it| it.as_ref().ok().copied().flatten()).collect();
    after.sort_unstable();
    println!("{deaths} deaths, {} of them with a task, which stopped after {after:.1?}", after.len());
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(after.len() * 2 >= deaths, "too few deaths met a task");
}

#[test]
fn a_demo_with_the_embedded_sandbox_leaves_no_process_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = labguard(folder.path());
    command.args(["--json", "--set", &format!("daemon.state_dir={}", folder.path().join("state").display())]);
    // Nothing but the kill ends it.
    command.args(["--set", "sessions.admission.limits.idle_timeout=150s", "demo"]);
    let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    // Killed once its container answers, so that there is one to leave behind.
    let live = lines.by_ref().map_while(Result::ok).any(|line| line.contains("http://127."));
    assert!(live, "the demo never announced an address");
    assert!(!processes_of(folder.path()).is_empty(), "the container is a real process");
    let _ = running.kill();
    let _ = running.wait();
    for _ in 0..100 {
        if processes_of(folder.path()).is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("left behind: {:?}", processes_of(folder.path()));
}

#[test]
fn a_sandbox_that_is_killed_takes_its_containers_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(folder.path());
    // Nothing but the kill ends it.
    let mut running = idle_demo(folder.path(), &sandbox.url, "150s").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let live = lines.by_ref().map_while(Result::ok).any(|line| line.contains("http://127."));
    assert!(live, "the demo never announced an address");
    let container = |line: &String| !line.contains(" demo");
    assert!(processes_of(folder.path()).iter().any(container), "the container is a real process");
    let _ = running.kill();
    let _ = running.wait();
    drop(sandbox);
    for _ in 0..100 {
        if processes_of(folder.path()).is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("left behind: {:?}", processes_of(folder.path()));
}
