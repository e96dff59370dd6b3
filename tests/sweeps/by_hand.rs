//! Alice and Bob, each with a daemon and a journal, on one sandbox: what a person at the real binary meets.

use std::{
    fs,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{house::House, sandbox_process::Sandbox};

fn on(sandbox: &Sandbox) -> String {
    format!("[aws]\nendpoint_url = \"{}\"\n[aws.sandbox]\nenabled = false\n", sandbox.url)
}

fn said(done: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code(), text(&done.stdout), text(&done.stderr))
}

#[test]
fn alices_session_outlives_bobs_sweep_until_he_names_it() {
    let folder = tempfile::tempdir().unwrap();
    // Six refusals: the group goes at the third try, some ten seconds later than the rest.
    let sandbox = Sandbox::start_with(folder.path(), &["--fault", "ec2:DeleteSecurityGroup=throttle:6"]);
    let (mut alice, mut bob) = (House::with(&on(&sandbox)), House::with(&on(&sandbox)));
    alice.start();
    bob.start();
    let (code, _, talk) = said(&bob.run(&["sweep"]));
    assert_eq!(code, Some(0), "{talk}");
    assert!(talk.contains("no orphans in us-east-1"), "{talk}");

    alice.text(&["up", "admission"]);
    let id = alice.json(&["status", "admission"])["id"].as_str().unwrap().to_owned();
    for arguments in [&["sweep"][..], &["sweep", "--yes"]] {
        let (code, table, talk) = said(&bob.run(arguments));
        assert_eq!(code, Some(7), "{arguments:?}: {table}{talk}");
        for part in ["may be guarded by another labguard", "demo@localhost", &id, " runs"] {
            assert!(table.contains(part), "{part} is not in\n{table}");
        }
        assert!(talk.contains(&format!("labguard sweep {id} --yes")), "{talk}");
    }
    let shown: Value = serde_json::from_slice(&bob.run(&["sweep", "--json"]).stdout).unwrap();
    let session = &shown["sessions"][0];
    assert_eq!(
        (session["verdict"].as_str(), session["owner"].as_str()),
        (Some("maybe_guarded"), Some("demo@localhost"))
    );
    assert!(!session["running"].as_array().unwrap().is_empty(), "{session}");
    assert_eq!(alice.json(&["status", "admission"])["phase"], "Running");
    assert_eq!(said(&alice.run(&["sweep", &id])).0, Some(6), "to her daemon it is no orphan");
    assert_eq!(said(&bob.run(&["sweep", "lab-nobody"])).0, Some(5));

    // Her daemon dies; nobody guards it any more, and Bob says so by its name. He does not wait for it.
    alice.signal("KILL");
    let log = folder.path().join("sweep.log");
    let mut waiting = bob.command(&["sweep", &id, "--yes"]);
    waiting.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut waiting = waiting.spawn().unwrap();
    bob.until("removing", |_| fs::read_to_string(&log).unwrap_or_default().contains("to remove"));
    assert!(Command::new("kill").args(["-INT", &waiting.id().to_string()]).status().unwrap().success());
    assert_eq!(waiting.wait().unwrap().code(), Some(130));
    let talk = fs::read_to_string(&log).unwrap();
    assert!(talk.contains(&format!("goes on in the daemon: `labguard sweep {id} --yes` joins it")), "{talk}");

    // It goes on: asked again, what is under way is joined and seen to its end.
    let (code, table, talk) = said(&bob.run(&["sweep", &id, "--yes"]));
    assert_eq!(code, Some(0), "{table}{talk}");
    assert!(["security group", "gone: removed", "gone: stopped"].iter().all(|part| table.contains(part)), "{table}");
    assert!(talk.contains("removed"), "{talk}");
    for _ in 0..100 {
        if sandbox.leftovers() == "[]" {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(sandbox.leftovers(), "[]");
    let (code, _, talk) = said(&bob.run(&["sweep", "--yes"]));
    assert_eq!(code, Some(0), "{talk}");
}

#[test]
fn who_waits_for_a_sweep_learns_that_its_daemon_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start_with(folder.path(), &["--fault", "ec2:DeleteSecurityGroup=throttle"]);
    let (mut alice, mut bob) = (House::with(&on(&sandbox)), House::with(&on(&sandbox)));
    alice.start();
    bob.start();
    alice.text(&["up", "admission"]);
    let id = alice.json(&["status", "admission"])["id"].as_str().unwrap().to_owned();
    alice.signal("KILL");
    let log = folder.path().join("sweep.log");
    let mut waiting = bob.command(&["sweep", &id, "--yes"]);
    waiting.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut waiting = waiting.spawn().unwrap();
    bob.until("removing", |_| fs::read_to_string(&log).unwrap_or_default().contains("to remove"));
    bob.signal("KILL");
    bob.start();
    let code = waiting.wait().unwrap().code();
    let talk = fs::read_to_string(&log).unwrap();
    assert_eq!(code, Some(7), "{talk}");
    for part in ["broke off, as its daemon was started anew", &format!("`labguard sweep {id} --yes` tries again")] {
        assert!(talk.contains(part), "{part} is not in {talk}");
    }
}
