//! The README's first command with an empty HOME: from nothing to a receipt, by itself, twice in a row.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

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
