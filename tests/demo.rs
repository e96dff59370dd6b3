//! The README's first command with an empty HOME: from nothing to a receipt, by itself, twice in a row.

#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
#[expect(dead_code, reason = "other suites plant and ask more")]
mod memory;

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use labguard::{
    cloud::Cloud,
    config,
    domain::model::{Cause, ImageSource, Span},
    sandbox::latency::Latency,
};
use memory::House;

fn demo() -> (String, Duration) {
    let home = tempfile::tempdir().unwrap();
    let began = tokio::time::Instant::now();
    let done = Command::new(env!("CARGO_BIN_EXE_labguard"))
        .args(["demo", "--json"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout).into_owned(), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{}\n{out}\n{err}", done.status);
    (out, began.elapsed())
}

#[test]
fn the_demo_answers_the_exercise_ends_by_itself_and_can_be_run_again_at_once() {
    for run in 1..=2 {
        let (out, took) = demo();
        assert!(out.contains("0.733"), "run {run}: the exercise's answer is not in\n{out}");
        for line in out.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        }
        assert!(took < Duration::from_secs(90), "run {run} took {took:?}");
    }
}

/// Of the 90 seconds a part is how fast this machine starts programs and unpacks images. Under paused time only what the
/// demo waits for itself adds up: the sandbox's latency, its own intervals and limits, and AWS's pace. A third of the
/// promise is left to the machine.
#[tokio::test(start_paused = true)]
async fn what_the_demo_waits_for_leaves_half_a_minute_of_its_promise_to_the_machine() {
    let embedded = vec![("the demo's configuration", config::DEMO_TOML)];
    let settings = config::load(&config::Request { embedded, ..config::Request::default() }).unwrap();
    let mut house = House::new(Latency::named(&settings.aws.sandbox.latency).unwrap()).await;
    let mut cloud = lab::cloud_config(&house.parts.clock);
    cloud.http_client = Some(house.sandbox.http_client());
    cloud.registry_transport = Some(house.sandbox.transport());
    cloud.pace = true;
    house.parts.cloud = Cloud::connect(cloud).await;

    let simulated = house.policy();
    let mut policy = settings.sessions["admission"].clone();
    let ImageSource::Executable { path, .. } = &simulated.image.source else { unreachable!("made from an executable") };
    policy.fuse.sentinel_executable = Some(path.clone());
    policy.image = simulated.image;
    policy.task.size.arch = simulated.task.size.arch;
    // A simulated container counts its users alone.
    policy.activity.labels.clear();
    policy.activity.in_flight = None;
    let began = house.parts.clock.now();
    let session = house.open(policy).await;
    let address = session.until_live().await;
    let live = house.parts.clock.now();
    assert!(house.containers.use_it(&address, 1));
    let receipt = session.closed().await;
    let (deployed, took) = (live.since(began), house.parts.clock.now().since(began));
    println!("deployed after {deployed}, closed after {took}");
    assert_eq!(receipt.cause, Some(Cause::Idle), "{}", receipt.cause_detail);
    assert!(took < Span::from_secs(60), "it takes {took}, {deployed} of them to its address");
}

/// Sends SIGINT once the story has told `line`, and sees the demo to its end.
fn interrupted_after(line: &str) -> (ExitStatus, String, PathBuf, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let mut running = Command::new(env!("CARGO_BIN_EXE_labguard"))
        .args(["demo", "--json"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    let mut sent = false;
    for text in BufReader::new(running.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if !sent && text.contains(line) {
            sent = true;
            assert!(Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap().success());
        }
        told.push_str(&text);
        told.push('\n');
    }
    let ended = running.wait().unwrap();
    assert!(sent, "{line:?} was never told:\n{told}");
    (ended, told, home.path().to_owned(), home)
}

#[test]
fn ctrl_c_in_the_middle_tears_down_leaves_no_process_and_exits_130() {
    for line in ["banner", "cluster admission_prediction_cluster", "task 1", "\"address\"", "foretold", "ending:"] {
        let (ended, told, folder, _home) = interrupted_after(line);
        assert_eq!(ended.code(), Some(130), "after {line:?}: {told}");
        if line != "banner" {
            let last = told.lines().last().unwrap_or_default();
            assert!(last.contains("\"receipt\"") && last.contains("\"proven_clean\":true"), "after {line:?}: {told}");
        }
        let wanted = folder.display().to_string();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(command) = std::fs::read(entry.path().join("cmdline")) else { continue };
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            assert!(!command.contains(&wanted), "after {line:?} there still runs {command}");
        }
    }
}
