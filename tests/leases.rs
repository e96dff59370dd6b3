//! `labguard with-lease` by the real binary: a session lives while a command runs, whose signals and exit code pass through.

#[path = "support/house.rs"]
#[expect(dead_code, reason = "not every test needs every corner")]
mod house;

use std::{
    fs,
    process::{Child, Command},
    thread,
    time::Duration,
};

use house::House;
use labguard::domain::model::{Span, Timestamp};
use serde_json::Value;

/// A daemon whose sessions are idle after five seconds.
fn impatient() -> House {
    let mut house = House::new();
    house.rewrite(|text| text.replace("idle_timeout = \"10m\"", "idle_timeout = \"5s\""));
    house.start();
    house
}

fn phase(house: &House) -> String {
    house.json(&["status", "admission"])["phase"].as_str().unwrap_or_default().to_owned()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_session_lives_as_long_as_the_command_and_its_exit_code_passes_through() {
    let house = impatient();
    // Held before it runs: no start of a program has to fit into the idle time-out.
    let id = house.text(&["up", "admission", "--detach"]).trim().to_owned();
    let script = "while [ ! -e enough ]; do sleep 0.1; done; exit 7";
    let command = ["with-lease", "--ttl", "3s", "--by", "train.py", "--", "sh", "-c", script];
    let mut running = with_globals_first(&house, &command).spawn().unwrap();
    house.until("held", |house| {
        let status = house.json(&["status", "admission"]);
        let held = status["leases"][0]["by"] == "train.py" && status["last_activity"]["source"] == "lease";
        held && status["phase"] == "Running"
    });
    let said = house.text(&["status", "admission"]);
    assert!(said.contains("held by a lease (train.py)") && said.contains("lease     train.py, since"), "{said}");
    thread::sleep(Duration::from_secs(14));
    assert_eq!(phase(&house), "Running", "nearly three idle time-outs later");
    fs::write(house.folder.path().join("enough"), "").unwrap();
    let ended = running.wait().unwrap();
    assert_eq!(ended.code(), Some(7));
    house.until("closed", |house| phase(house) == "Ended");
    // Given back, it was in use until then: the journal tells, however late a look comes.
    let journal = house.json(&["journal", &id]);
    let at = |what: &dyn Fn(&Value) -> bool| {
        let entry = journal.as_array().unwrap().iter().find(|entry| what(&entry["event"]));
        entry.unwrap_or_else(|| panic!("{journal:#}"))["at"].as_str().unwrap().parse::<Timestamp>().unwrap()
    };
    let released = at(&|event| event["request"]["request"] == "release");
    let idle = at(&|event| event["event"] == "ending").since(released);
    assert!(idle >= Span::from_secs(5), "ended {idle} after the lease was given back");
    assert!(house.text(&["receipt", "admission"]).contains("idle timeout"));
}

#[test]
fn signals_reach_the_command_and_the_lease_of_a_killed_holder_lapses() {
    let house = impatient();
    house.text(&["up", "admission", "--detach"]);
    // Held by another all the while: no start of a program has to fit into the idle time-out.
    let another = ["with-lease", "--by", "another", "--", "sh", "-c", "while [ ! -e enough ]; do sleep 0.1; done"];
    let mut another = with_globals_first(&house, &another).spawn().unwrap();
    house.until("running", |house| phase(house) == "Running");
    let mark = house.folder.path().join("ready");
    let script = format!("trap 'exit 42' TERM; echo > {}; while :; do sleep 0.1; done", mark.display());
    let mut running = with_globals_first(&house, &["with-lease", "--", "sh", "-c", &script]).spawn().unwrap();
    house.until("ready", |_| mark.exists());
    signal(&running, "TERM");
    assert_eq!(running.wait().unwrap().code(), Some(42), "the command's own answer to its signal");

    let own_end = with_globals_first(&house, &["with-lease", "--", "sh", "-c", "kill -9 $$"]).status().unwrap();
    assert_eq!(own_end.code(), Some(128 + 9));
    let missing = with_globals_first(&house, &["with-lease", "--", "no-such-program-here"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(127), "{}", String::from_utf8_lossy(&missing.stderr));
    let unknown = ["with-lease", "--session", "nobody", "--", "touch", "was-run"];
    assert_eq!(with_globals_first(&house, &unknown).status().unwrap().code(), Some(5));
    assert!(!house.folder.path().join("was-run").exists(), "without a lease nothing is run");

    // As long as there is its folder, should it outlive its holder.
    let script = "while [ -e overlay.toml ]; do sleep 0.1; done";
    let mut killed =
        with_globals_first(&house, &["with-lease", "--ttl", "2s", "--", "sh", "-c", script]).spawn().unwrap();
    house.until("held by both", |house| {
        house.json(&["status", "admission"])["leases"].as_array().is_some_and(|leases| leases.len() == 2)
    });
    fs::write(house.folder.path().join("enough"), "").unwrap();
    assert!(another.wait().unwrap().success());
    thread::sleep(Duration::from_secs(7));
    assert_eq!(phase(&house), "Running", "held past its idle time-out");
    signal(&killed, "KILL");
    killed.wait().unwrap();
    house.until("idle", |house| phase(house) != "Running");
    house.until("closed", |house| phase(house) == "Ended");
    assert!(house.text(&["receipt", "admission"]).contains("idle timeout"));
}

#[test]
fn without_a_daemon_the_command_is_not_run() {
    let house = House::new();
    let refused = with_globals_first(&house, &["with-lease", "--", "touch", "was-run"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(4), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(!house.folder.path().join("was-run").exists());
}

/// What stands after `--` is the command's: the house's own flags go before it.
fn with_globals_first(house: &House, arguments: &[&str]) -> Command {
    let place = arguments.iter().position(|argument| *argument == "--").unwrap();
    let mut command = house.command(&arguments[..place]);
    command.args(&arguments[place..]);
    command
}
