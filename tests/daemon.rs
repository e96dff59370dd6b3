//! The daemon as a service manager meets it: signals, drains, restarts, and a journal that has an owner.
//!
//! The real binary; where a daemon must find its sessions again, the sandbox is a process of its own.

#[path = "support/house.rs"]
mod house;
#[path = "support/sandbox_process.rs"]
mod sandbox_process;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::Stdio,
    time::Duration,
};

use house::House;
use labguard::{
    config,
    daemon::{self, StartOptions},
};
use sandbox_process::Sandbox;

/// Lines that point a daemon to a sandbox of its own process.
fn on(sandbox: &Sandbox) -> String {
    format!("[aws]\nendpoint_url = \"{}\"\n[aws.sandbox]\nenabled = false\n", sandbox.url)
}

/// What the daemon itself would make of the policy now, asked past the command line (which reads the files too).
fn plan_of_the_daemon(house: &House) -> String {
    let token = fs::read_to_string(house.folder.path().join("state/token")).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", house.port)).unwrap();
    let request = format!(
        "GET /v1/plan/admission HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        house.port,
        token.trim()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

#[test]
fn a_second_daemon_on_the_same_journal_is_refused_and_told_whose_it_is() {
    let mut house = House::new();
    house.start();
    let second = house.run(&["run"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(9), "{said}");
    assert!(said.contains("another labguard") && said.contains("pid"), "{said}");
    assert_eq!(house.end(), Some(0));
}

#[test]
fn a_changed_file_is_taken_up_and_a_bad_one_changes_nothing() {
    let mut house = House::new();
    house.start();
    let before = plan_of_the_daemon(&house);
    house.rewrite(|text| text.replace("lifetime = \"20m\"", "lifetime = \"25m\""));
    house.signal("HUP");
    house.until("taken up", |house| plan_of_the_daemon(house) != before);
    let good = plan_of_the_daemon(&house);

    house.rewrite(|text| text.replace("lifetime = \"25m\"", "lifetime = \"soon\"\nlifetme = 1"));
    house.signal("HUP");
    house.until("refused", |house| house.log().contains("the old one stays in force"));
    assert!(house.log().contains("lifetme"), "every mistake is named:\n{}", house.log());
    assert_eq!(plan_of_the_daemon(&house), good);
    assert_eq!(house.end(), Some(0));
}

#[tokio::test]
async fn what_changed_while_the_daemon_started_is_taken_up_without_a_word() {
    let house = House::new();
    let request = config::Request {
        files: vec![house.folder.path().join("overlay.toml")],
        embedded: vec![("the demo's configuration", config::DEMO_TOML)],
        ..config::Request::default()
    };
    let mut settings = config::load(&request).unwrap();
    settings.daemon.state_dir = Some(house.folder.path().join("state"));
    let options = StartOptions { api: false, launcher: env!("CARGO_BIN_EXE_labguard").into() };
    let mut daemon = daemon::start(settings.clone(), options).await.unwrap();
    let plan = |daemon: &daemon::Daemon| format!("{:?}", daemon.handle.plan("admission").unwrap());
    let before = plan(&daemon);
    house.rewrite(|text| text.replace("lifetime = \"20m\"", "lifetime = \"25m\""));
    daemon.reload_on_change(request, settings, daemon::hangups());
    let taken_up = async {
        while plan(&daemon) == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), taken_up).await.expect("the change is not taken up");
    daemon.drain().await;
}

#[test]
fn a_drain_keeps_or_tears_down_as_the_policy_says_and_the_next_daemon_takes_over() {
    let home = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(home.path());
    let mut house = House::with(&format!("{}[sessions.admission.end]\non_shutdown = \"keep\"\n", on(&sandbox)));
    house.start();
    let address = house.text(&["up", "admission"]);
    assert_eq!(house.end(), Some(0), "what is kept is no failure");
    assert_ne!(sandbox.leftovers(), "[]", "the session lives on without its daemon");

    house.start();
    let id = house.json(&["status", "admission"])["id"].as_str().unwrap_or_default().to_owned();
    house.until("taken over", |house| house.json(&["status", "admission"]).to_string().contains(address.trim()));
    assert!(id.starts_with("admission-"), "{id:?}");

    house.rewrite(|text| text.replace("on_shutdown = \"keep\"", "on_shutdown = \"teardown\""));
    house.signal("HUP");
    house.until("changed", |house| house.log().contains("live_sessions_changed"));
    assert_eq!(house.end(), Some(0));
    assert_eq!(sandbox.leftovers(), "[]", "torn down before the daemon left");
}

#[test]
fn a_state_folder_that_cannot_be_written_is_told_with_its_path() {
    let house = House::new();
    let state = house.folder.path().join("state");
    // A file in the folder's place: nobody, not even root, can make a journal in it.
    fs::write(&state, "in the way").unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o400)).unwrap();
    let refused = house.run(&["run"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(9), "{said}");
    assert!(said.contains(&*state.display().to_string()), "{said}");
    assert_eq!(fs::read_to_string(&state).unwrap(), "in the way", "what was there is as it was");
}

#[test]
fn a_bad_file_keeps_nobody_from_a_daemon_that_runs() {
    let mut house = House::new();
    house.start();
    let address = house.text(&["up", "admission"]);
    house.rewrite(|text| text.replace("lifetime = \"20m\"", "lifetime = \"soon\"\nlifetme = 1"));
    let status = house.run(&["status", "admission", "--json"]);
    let said = String::from_utf8_lossy(&status.stderr);
    assert_eq!(status.status.code(), Some(0), "{said}");
    assert!(String::from_utf8_lossy(&status.stdout).contains(address.trim()));
    assert!(said.starts_with("warning: the configuration has 2 mistakes") && said.contains("overlay.toml"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    // Not even TOML, and in [daemon] itself: the address and the folder are given.
    house.rewrite(|text| text.replace("[daemon]", "[daemon]\nlog_level = = 1"));
    let down = house.run(&["down", "admission"]);
    assert_eq!(down.status.code(), Some(0), "{}", String::from_utf8_lossy(&down.stderr));
    assert!(house.text(&["status", "--ready", "--json"]).contains("\"ready\": true"));
    assert_eq!(house.run(&["status", "--ready", "--config", "nowhere.toml"]).status.code(), Some(0));
    assert_eq!(house.run(&["config", "check"]).status.code(), Some(3));
    assert_eq!(house.end(), Some(0));
    assert_eq!(house.run(&["status", "--ready"]).status.code(), Some(4));
}

#[test]
fn what_only_the_daemon_decides_is_not_taken_from_those_who_ask_it() {
    let mut house = House::new();
    house.start();
    let budget = ["--set", "sessions.admission.limits.budget=0.10 USD", "--set", "aws.profile=x"];
    for command in [&["up", "admission"][..], &["plan", "admission"], &["status"]] {
        let refused = house.run(&[command, &budget].concat());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(3), 0), "{command:?}: {said}");
        for part in ["2 mistakes", "sessions.admission.limits.budget", "\"0.10 USD\"", "aws.profile", "`labguard run`"]
        {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    }
    let with = |command: &[&str]| {
        let name = "LABGUARD__SESSIONS__ADMISSION__LIMITS__BUDGET";
        house.command(command).env(name, "0.10 USD").output().unwrap()
    };
    assert_eq!(with(&["plan", "admission"]).status.code(), Some(3));
    // The container's own variables are those of its daemon: who only asks is told and let through.
    let status = with(&["status"]);
    let said = String::from_utf8_lossy(&status.stderr);
    assert_eq!(status.status.code(), Some(0), "{said}");
    assert!(said.contains("warning: ") && said.contains("LIMITS__BUDGET sets nothing here"), "{said}");
    assert_eq!(house.json(&["status"]), serde_json::json!([]), "nothing was opened");
    house.text(&["status", "--set", "daemon.log_level=debug"]);
    assert_eq!(house.end(), Some(0));
}

#[test]
fn who_watches_outlives_a_restart_of_the_daemon_and_nothing_longer() {
    let mut house = House::new();
    house.start();
    let said = house.folder.path().join("watch.log");
    let log = fs::File::create(&said).unwrap();
    let mut watch = house.command(&["status", "--watch"]);
    let mut watch = watch.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let heard = |words: &str| fs::read_to_string(&said).unwrap().contains(words);
    house.until("drawn", |_| heard("no sessions"));
    assert_eq!(house.end(), Some(0));
    house.until("missed", |_| heard("warning: the daemon does not answer now"));
    house.start();
    house.until("found again", |_| heard("the daemon answers again"));
    assert!(watch.try_wait().unwrap().is_none());
    assert_eq!(house.end(), Some(0));
    assert_eq!(watch.wait().unwrap().code(), Some(4));
}

#[test]
fn a_daemon_on_every_address_is_called_by_loopback() {
    let mut house = House::new();
    let token = house.folder.path().join("token");
    house.rewrite(|text| {
        let guard = format!("token_file = \"{}\"\nallowed_hosts = [\"lab.example.org\"]", token.display());
        text.replace("listen = \"127.0.0.1:", &format!("{guard}\nlisten = \"0.0.0.0:"))
    });
    house.start();
    let config = house.folder.path().join("overlay.toml");
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_labguard"))
        .args(["status", "--config", config.to_str().unwrap()])
        .env_clear()
        .env("HOME", house.folder.path())
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(0), "{}", String::from_utf8_lossy(&status.stderr));
    assert_eq!(house.end(), Some(0));
}

#[test]
fn a_log_for_programs_is_nothing_but_json_and_a_watch_ends_with_its_reader() {
    let mut house = House::new();
    house.start();
    for json in [false, true] {
        let mut command = house.command(&["status", "--watch", "--every", "200ms"]);
        if json {
            command.arg("--json");
        }
        let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
        // Whoever reads it goes away, as `head` does.
        drop(watch.stdout.take());
        house.text(&["up", "admission", "--detach"]);
        let watch = std::cell::RefCell::new(watch);
        house.until("ended with its reader", |_| watch.borrow_mut().try_wait().unwrap().is_some());
        assert_eq!(watch.into_inner().wait().unwrap().code(), Some(0), "json: {json}");
        house.text(&["down", "admission", "--detach"]);
        house.until("over", |house| {
            let all = house.json(&["status"]);
            all.as_array().unwrap().iter().all(|session| !session["closed_at"].is_null())
        });
    }
    assert_eq!(house.end(), Some(0));
    for line in house.log().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "this is no JSON: {line}");
    }
    assert!(house.log().contains("labguard runs at http://127.0.0.1:"));
}
