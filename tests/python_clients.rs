//! The sandbox as outsiders see it: boto3 and the AWS CLI do the exercise by hand against the real binary.
//!
//! The suites are Python (`tests/python/`); this file only runs them, so that one `cargo test` is all tests. They need
//! the environment that `./test` makes under `target/venv`; without it they fail and say so, they are never skipped.

use std::{path::Path, process::Command};

/// `target/venv`, beside the profile's folder that cargo built the binary into.
fn environment() -> std::path::PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_labguard"));
    binary.ancestors().nth(2).expect("target/<profile>/labguard").join("venv")
}

fn run_suite(file: &str) {
    let pytest = environment().join("bin/pytest");
    assert!(pytest.exists(), "{} is missing: run ./test (or ./test --prepare) first", pytest.display());
    let done = Command::new(&pytest)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python"))
        .args(["-q", "-rs", "-p", "no:cacheprovider", file])
        .env("LABGUARD_BIN", env!("CARGO_BIN_EXE_labguard"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "pytest {file}: {}\n{out}{err}", done.status);
    // pytest answers 5 when it found no test; a suite that shrank to nothing must not pass either.
    assert!(out.contains(" passed") || out.contains(" skipped"), "pytest {file} ran nothing:\n{out}{err}");
    println!("{out}");
}

#[test]
fn boto3_does_the_exercise_by_hand() {
    run_suite("boto3_by_hand.py");
}

#[test]
fn the_aws_cli_does_the_exercise_by_hand() {
    run_suite("aws_cli_by_hand.py");
}

#[test]
fn the_sandbox_refuses_what_it_must() {
    run_suite("refusals.py");
}

#[test]
fn what_skopeo_and_docker_push_is_run() {
    run_suite("other_pushers.py");
}
