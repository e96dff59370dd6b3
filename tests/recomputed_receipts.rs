//! Receipts, computed a second time by somebody else: a Python program that knows only the journal and AWS's rules.
//!
//! Many seeded worlds, with faults, crashes, lost tasks, prices that move and clocks that are set, are played to their end;
//! `tests/python/recompute_receipt.py` must find every line and the total of each receipt again, to the nano-dollar, and
//! must notice a receipt that was altered by a single one.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use labguard::domain::model::{Entry, Event, Money};
use serde_json::Value;

#[path = "support/seeds.rs"]
#[expect(dead_code, reason = "a world is replayed by the simulation's own test")]
mod seeds;
#[path = "simulation/world.rs"]
#[expect(dead_code, reason = "what a world tells besides its journal is for the simulation's own test")]
mod world;

/// So many worlds by default; `LABGUARD_RECEIPT_SEEDS=N` plays others.
const SEEDS: u64 = 60;

fn python() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_labguard"));
    let python = binary.ancestors().nth(2).expect("target/<profile>/labguard").join("venv/bin/python");
    assert!(python.exists(), "{} is missing: run ./test (or ./test --prepare) first", python.display());
    python
}

/// Asks the second opinion of journals, each in a file of that folder.
fn recompute(folder: &Path, journals: &[(String, Value)]) -> Output {
    let files = journals.iter().map(|(name, journal)| {
        let path = folder.join(name);
        std::fs::write(&path, journal.to_string()).unwrap();
        path
    });
    Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/recompute_receipt.py"))
        .args(files)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap()
}

/// As the API sends it.
fn sent(journal: &[Entry]) -> Value {
    serde_json::to_value(journal).unwrap()
}

fn played(seeds: std::ops::RangeInclusive<u64>) -> Vec<(u64, Vec<Entry>)> {
    let played = seeds::side_by_side(seeds, |seed| {
        world::run_seed(seed, false).unwrap_or_else(|why| panic!("seed {seed}: {why}")).journal
    });
    played.into_iter().filter(|(_, journal)| !journal.is_empty()).collect()
}

#[test]
fn every_receipt_is_found_again_from_its_journal_to_the_nano_dollar() {
    let seeds = std::env::var("LABGUARD_RECEIPT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let played = played(1..=seeds);
    let has = |wanted: fn(&Event) -> bool| {
        played.iter().filter(|(_, journal)| journal.iter().any(|entry| wanted(&entry.event))).count()
    };
    let lost = has(|event| matches!(event, Event::TaskLost { .. }));
    let set_back = has(|event| matches!(event, Event::ClockSetBack { .. }));
    let failed = has(|event| matches!(event, Event::Failed { .. }));
    let priced = |journal: &[Entry]| journal.iter().filter(|it| matches!(it.event, Event::Priced { .. })).count() > 1;
    let priced = played.iter().filter(|(_, journal)| priced(journal)).count();
    println!(
        "{} receipts; {lost} with lost tasks, {failed} with faults, {priced} with prices that moved, {set_back} with a clock set back",
        played.len()
    );
    if seeds == SEEDS {
        assert!(lost > 0 && set_back > 0 && failed > 0 && priced > 0, "these worlds are too quiet to prove much");
    }
    let folder = tempfile::tempdir().unwrap();
    let journals: Vec<(String, Value)> =
        played.iter().map(|(seed, journal)| (format!("seed-{seed}.json"), sent(journal))).collect();
    let done = recompute(folder.path(), &journals);
    let told = String::from_utf8_lossy(&done.stdout);
    let agreed = told.lines().filter(|line| line.ends_with("as the receipt says")).count();
    let differ: Vec<&str> = told.lines().filter(|line| !line.ends_with("as the receipt says")).collect();
    assert!(done.status.success(), "{}\n{}", differ.join("\n"), String::from_utf8_lossy(&done.stderr));
    assert_eq!(agreed, journals.len(), "{told}");
}

#[test]
fn a_receipt_altered_by_one_nano_dollar_is_noticed() {
    let played = played(1..=12);
    let folder = tempfile::tempdir().unwrap();
    let (_, journal) = played
        .iter()
        .find(|(_, journal)| {
            let sent = sent(journal);
            let closed = sent.as_array().unwrap().iter().find(|entry| entry["event"]["event"] == "closed");
            let lines = closed.and_then(|closed| closed["event"]["receipt"]["lines"].as_array());
            lines.is_some_and(|lines| lines.iter().any(|line| line["billed_as"] == "vcpu_x86"))
                && recompute(folder.path(), &[("whole.json".into(), sent)]).status.success()
        })
        .expect("one of a dozen has a task, and its receipt is found again");
    let nano = |text: &Value| {
        let amount: Money = text.as_str().unwrap().parse().unwrap();
        Value::from((amount + Money::from_nanos(1)).exact())
    };
    type Alter<'a> = (&'a str, &'a dyn Fn(&mut Value));
    let alterations: [Alter<'_>; 5] = [
        ("total", &|receipt| receipt["total"] = nano(&receipt["total"])),
        ("amount", &|receipt| {
            // So that the lines still add up.
            receipt["lines"][0]["amount"] = nano(&receipt["lines"][0]["amount"]);
            receipt["total"] = nano(&receipt["total"]);
        }),
        ("price", &|receipt| receipt["lines"][0]["unit_price"] = nano(&receipt["lines"][0]["unit_price"])),
        ("units", &|receipt| receipt["lines"][0]["units"]["of"] = Value::from(1)),
        ("line", &|receipt| drop(receipt["lines"].as_array_mut().unwrap().pop())),
    ];
    for (what, alter) in alterations {
        let mut altered = sent(journal);
        let closed =
            altered.as_array_mut().unwrap().iter_mut().find(|entry| entry["event"]["event"] == "closed").unwrap();
        alter(&mut closed["event"]["receipt"]);
        let done = recompute(folder.path(), &[("altered.json".into(), altered)]);
        assert_eq!(
            done.status.code(),
            Some(1),
            "an altered {what} was not noticed: {}",
            String::from_utf8_lossy(&done.stdout)
        );
    }
}
