//! The README keeps its word: every command in it exists with those flags, and some test really runs it.
//!
//! A command is covered by naming the test program that runs it; a new command in the README without one fails here.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// Each command of the README's `sh` blocks, and the file of the test that runs it, flags apart.
const COVERED: &[(&str, &str)] = &[
    ("cargo run --release -- demo", "tests/demo.rs"),
    ("./test", ".ci/run"),
    ("labguard config check", "tests/cli.rs"),
    ("labguard run", "tests/daemon.rs"),
    ("labguard plan", "tests/cli.rs"),
    ("labguard budgets", "tests/budgets.rs"),
    ("labguard up", "tests/cli.rs"),
    ("labguard status", "tests/cli.rs"),
    ("labguard touch", "tests/cli.rs"),
    ("labguard with-lease", "tests/leases.rs"),
    ("labguard extend", "tests/cli.rs"),
    ("labguard stop", "tests/cli.rs"),
    ("labguard resume", "tests/cli.rs"),
    ("labguard down", "tests/cli.rs"),
    ("labguard history", "tests/cli.rs"),
    ("labguard receipt", "tests/cli.rs"),
    ("labguard cost", "tests/cli.rs"),
    ("labguard journal", "tests/cli.rs"),
    ("labguard sweep", "tests/cli.rs"),
    ("labguard sandbox", "tests/python/sandbox_process.py"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of all ```sh blocks.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside && !command.is_empty() && !command.starts_with('#') => found.push(command.to_owned()),
            _ => {}
        }
    }
    found
}

fn covering(command: &str) -> Option<&'static str> {
    let starts = |name: &str| command == name || command.starts_with(&format!("{name} "));
    COVERED.iter().filter(|(name, _)| starts(name)).max_by_key(|(name, _)| name.len()).map(|(_, file)| *file)
}

fn readme() -> Vec<String> {
    let found = commands(&fs::read_to_string(root().join("README.md")).unwrap());
    assert!(found.len() >= 10, "found {found:?}");
    found
}

#[test]
fn commands_are_read_from_fenced_blocks_only() {
    let text = "labguard no\n```sh\nlabguard up a\n# a remark\n\n./test\n```\n```text\naws no\n```\n";
    assert_eq!(commands(text), ["labguard up a", "./test"]);
    assert_eq!(covering("labguard up a"), Some("tests/cli.rs"));
    assert_eq!(covering("labguard upside"), None);
}

#[test]
fn every_command_in_the_readme_is_run_by_a_test() {
    let mut wrong = Vec::new();
    for command in readme() {
        match covering(&command) {
            None => wrong.push(format!("{command}: no test runs it (tests/readme.rs)")),
            Some(file) => {
                let text = fs::read_to_string(root().join(file)).unwrap_or_default();
                // the word that tells this command from the others: its subcommand, or the script
                let word = command.split_whitespace().filter(|it| !it.starts_with('-')).nth(1).unwrap_or(&command);
                let word = if command.starts_with("cargo run") { "demo" } else { word };
                let quoted = text.contains(&format!("\"{word}\"")) || text.lines().any(|line| line.trim() == word);
                if !quoted {
                    wrong.push(format!("{command}: {file} does not run it"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_labguard_command_in_the_documents_exists_with_its_flags() {
    let mut seen = BTreeSet::new();
    let mut all = readme();
    all.extend(commands(&fs::read_to_string(root().join("docs/sandbox.md")).unwrap()));
    for command in all.iter().filter(|command| command.starts_with("labguard ")) {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let mut path = vec![words[0]];
        if words[0] == "config" {
            path.push(words[1]);
        }
        let done = Command::new(env!("CARGO_BIN_EXE_labguard")).args(&path).arg("--help").output().unwrap();
        let help = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{command}: labguard {} --help failed", path.join(" "));
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "{command}: no flag {flag} in\n{help}");
        }
        seen.insert(words[0].to_owned());
    }
    assert!(seen.len() > 8, "{seen:?}");
}

#[test]
fn no_covering_test_is_named_twice() {
    let names: BTreeSet<&str> = COVERED.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), COVERED.len());
}
