//! The real binary, as a shell meets it: exit codes, data on stdout, talk on stderr.

use std::process::{Command, Output};

fn labguard(arguments: &[&str]) -> Output {
    let home = std::env::temp_dir().join("labguard-no-such-home");
    Command::new(env!("CARGO_BIN_EXE_labguard"))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .output()
        .expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn wrong_usage_is_2_and_says_nothing_on_stdout() {
    for arguments in [&["extend", "x"][..], &["up"], &["nonsense"], &["status", "--every", "1s"]] {
        let output = labguard(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn without_a_daemon_every_client_command_is_4_and_tells_how_to_start_one() {
    // Port 9 (discard) is not listened on.
    for command in [&["status"][..], &["up", "x"], &["history"], &["sweep"], &["receipt", "x", "--json"]] {
        let mut arguments = command.to_vec();
        arguments.extend(["--daemon", "http://127.0.0.1:9"]);
        let output = labguard(&arguments);
        let talk = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {talk}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        if command.contains(&"--json") {
            assert!(talk.starts_with(r#"{"error":{"#), "{talk}");
            continue;
        }
        assert_eq!(
            talk,
            "error: no labguard daemon at http://127.0.0.1:9 (connection refused); start one with `labguard run`\n"
        );
    }
}

#[test]
fn the_demo_never_leaves_the_sandbox() {
    let home = tempfile::tempdir().unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_labguard"))
        .arg("demo")
        .env("HOME", home.path())
        .env("LABGUARD__AWS__SANDBOX__ENABLED", "false")
        .output()
        .unwrap();
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(3), "{said}");
    assert!(said.contains("never on AWS") && said.contains("LABGUARD__AWS__SANDBOX__ENABLED"), "{said}");
}

#[test]
fn an_address_without_a_scheme_is_one_of_http() {
    let home = tempfile::tempdir().unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_labguard"))
        .args(["status", "--daemon", "127.0.0.1:1"])
        .env("HOME", home.path())
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(4));
    assert!(text(&done.stderr).contains("no labguard daemon at http://127.0.0.1:1 (connection refused)"));
}

#[test]
fn mistakes_in_the_configuration_are_3_and_all_named() {
    let output = labguard(&["config", "check", "--set", "daemon.lisen=x", "--set", "daemon.max_sessions=0"]);
    let talk = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{talk}");
    assert!(talk.contains("daemon.lisen") && talk.contains("daemon.max_sessions"), "{talk}");
}

#[test]
fn the_sandbox_says_all_that_is_wrong_before_it_listens() {
    let faults = ["--fault", "nonsense", "--fault", "ecs:RunTask=capcity:2", "--fault", "ecs:RunTsk=capacity:2"];
    let output = labguard(&[&["sandbox", "--listen", "0.0.0.0:4599"][..], &faults].concat());
    let talk = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(3), String::new()), "{talk}");
    for part in
        ["\"nonsense\"", "capcity", "nearest: ecs:RunTask=capacity:2", "never strike", "--listen 127.0.0.1:4599"]
    {
        assert!(talk.contains(part), "{part} is not in {talk}");
    }
    assert!(!talk.contains("daemon.token_file"), "that is no help here: {talk}");

    let set = r#"aws.sandbox.faults=["ecs:RunTask=capacity:2", "nonsense", "ecs:RunTsk=capacity"]"#;
    let output = labguard(&["config", "check", "--set", set]);
    let talk = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{talk}");
    for part in ["2 mistakes", "aws.sandbox.faults[1]", "aws.sandbox.faults[2]", "nearest:  ecs:RunTask=capacity"] {
        assert!(talk.contains(part), "{part} is not in {talk}");
    }
}

#[test]
fn with_json_mistakes_and_errors_are_data() {
    let json = |bytes: &[u8]| -> serde_json::Value {
        serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", text(bytes)))
    };
    let checked = labguard(&["config", "check", "--json", "--set", "daemon.lisen=x", "--set", "daemon.max_sessions=0"]);
    assert_eq!(checked.status.code(), Some(3));
    let document = json(&checked.stdout);
    assert_eq!((&document["ok"], document["mistakes"].as_array().unwrap().len()), (&false.into(), 2), "{document}");
    let mistake = &document["mistakes"][0];
    assert_eq!((&mistake["key"], &mistake["nearest"]), (&"daemon.lisen".into(), &"daemon.listen".into()));
    let error = &json(&checked.stderr)["error"];
    assert_eq!((&error["code"], &error["exit_code"]), (&"configuration".into(), &3.into()), "{error}");
    assert_eq!(error["mistakes"], document["mistakes"]);

    let away = labguard(&["history", "--json", "--daemon", "http://127.0.0.1:9"]);
    let error = &json(&away.stderr)["error"];
    assert_eq!((&error["code"], &error["exit_code"]), (&"no_daemon".into(), &4.into()), "{error}");
    assert!(error["message"].as_str().unwrap().contains("127.0.0.1:9") && error["advice"].is_string(), "{error}");

    let script = labguard(&["completions", "bash", "--json"]);
    assert_eq!((script.status.code(), script.stdout.len()), (Some(2), 0));
    assert_eq!(json(&script.stderr)["error"]["code"], "no_json");

    let shown = json(&labguard(&["config", "show", "--json", "--set", "aws.max_attempts=7"]).stdout);
    assert_eq!(shown["aws"]["max_attempts"], 7);
    assert_eq!(
        (&shown["daemon"]["listen"], &shown["aws"]["sandbox"]["enabled"]),
        (&"127.0.0.1:7373".into(), &true.into())
    );
}

#[test]
fn config_check_says_what_is_legal_and_yet_worth_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    let budget = "[budgets.nobodys]\nscope = \"owner\"\nof = \"nobody\"\nlimit = \"1 USD\"\n";
    let session = "[sessions.a]\nowner = \"me\"\nimage.uri = \"registry.example.org/app:1\"\n";
    let end = "limits.ends_at = \"2020-01-31T18:00:00Z\"\n";
    std::fs::write(&path, format!("{budget}{session}{end}[aws.sandbox]\nenabled = false\n")).unwrap();
    let file = path.to_str().unwrap();
    let said = text(&labguard(&["config", "check", "--config", file]).stderr);
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("warning: ")).collect();
    for part in ["nobodys", "open to anybody", "limits.ends_at"] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part} is not in {said}");
    }
    let checked = labguard(&["config", "check", "--config", file, "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((checked.status.code(), document["warnings"].as_array().unwrap().len()), (Some(0), lines.len()));
    assert_eq!(document["mistakes"], serde_json::json!([]));
}

#[test]
fn a_sound_configuration_is_0_and_its_data_is_on_stdout() {
    let checked = labguard(&["config", "check", "--json"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).contains("\"ok\": true"));
    let schema = labguard(&["config", "schema"]);
    assert!(serde_json::from_slice::<serde_json::Value>(&schema.stdout).is_ok());
    let completions = labguard(&["completions", "bash"]);
    assert!(text(&completions.stdout).contains("complete -F _labguard"));
    assert!(!text(&completions.stdout).contains('\u{1b}'));
}

#[test]
fn an_image_is_looked_at_without_a_daemon_and_a_bad_one_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let inspect = |source: &str, more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_labguard"))
            .args(["image", "inspect", source])
            .args(more)
            .env_clear()
            .env("HOME", folder.path())
            .output()
            .expect("the binary starts")
    };
    let own = format!("executable:{}", env!("CARGO_BIN_EXE_labguard"));
    let platform = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
    let asked = ["--platform", platform, "--port", "5000", "--arg", "predictor"];
    let shown = inspect(&own, &asked);
    let table = text(&shown.stdout);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    for part in ["sha256:", platform, "5000/tcp", "LAYER", "[\"predictor\"]"] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let shown = inspect(&own, &[&asked[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert!(table.starts_with(json["digest"].as_str().unwrap()), "the same input, another digest: {json}");

    let missing = folder.path().join("nowhere.tar").display().to_string();
    let refused = inspect(&format!("archive:{missing}"), &[]);
    assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(6), String::new()));
    assert!(text(&refused.stderr).contains(&missing), "{}", text(&refused.stderr));
    assert_eq!(inspect("lab.tar", &[]).status.code(), Some(2));
}
