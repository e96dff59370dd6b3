//! What is in `deploy/` holds together: the systemd unit keeps its hardening and its long stop, the images stay small
//! and unprivileged. Parsed, not run; `systemd-analyze` has its say where it is installed.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// `Section.Key` → values, in order; systemd keys may stand several times.
fn unit(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut section = String::new();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("no key and value: {line}"));
            found.entry(format!("{section}.{key}")).or_default().push(value.to_owned());
        }
    }
    found
}

#[test]
fn the_unit_is_ready_watched_and_given_time_to_tear_down() {
    let unit = unit(&read("deploy/labguard.service"));
    for (key, value) in [
        ("Service.Type", "notify"),
        ("Service.NotifyAccess", "main"),
        ("Service.WatchdogSec", "60"),
        ("Service.TimeoutStopSec", "20min"),
        ("Service.KillMode", "mixed"),
        ("Service.Restart", "on-failure"),
        ("Service.ExecReload", "/bin/kill -HUP $MAINPID"),
        ("Service.StateDirectory", "labguard"),
        ("Service.StateDirectoryMode", "0700"),
    ] {
        assert_eq!(unit.get(key).map(Vec::as_slice), Some(&[value.to_owned()][..]), "{key}");
    }
    assert!(unit["Service.ExecStart"][0].ends_with("labguard run"));
}

#[test]
fn the_unit_gives_the_daemon_nothing_that_it_does_not_need() {
    let unit = unit(&read("deploy/labguard.service"));
    for (key, value) in [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictNamespaces", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX AF_NETLINK"),
        ("SystemCallArchitectures", "native"),
        ("UMask", "0077"),
    ] {
        assert_eq!(unit.get(&format!("Service.{key}")).map(Vec::as_slice), Some(&[value.to_owned()][..]), "{key}");
    }
    assert_eq!(unit["Service.SystemCallFilter"], ["@system-service", "~@privileged @resources"]);
}

#[test]
fn systemd_itself_finds_no_fault_with_the_unit_where_it_is_installed() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("systemd-analyze is not installed here: the unit was only parsed");
        return;
    }
    // The program need not be installed for the unit to be right.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labguard.service");
    fs::write(&path, read("deploy/labguard.service").replace("/usr/local/bin/labguard run", "/bin/true")).unwrap();
    let done = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("labguard.service")).collect();
    assert!(done.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_images_are_multi_stage_pinned_and_unprivileged() {
    for (path, command) in [("deploy/Dockerfile", "run"), ("deploy/prediction/Dockerfile", "predictor\", \"serve")] {
        let text = read(path);
        let arguments = text.lines().filter_map(|line| line.strip_prefix("ARG ")?.split_once('='));
        let stages = text.lines().filter(|line| line.starts_with("FROM "));
        // With the arguments' defaults in their places.
        let stages: Vec<String> = arguments.fold(stages.map(ToOwned::to_owned).collect(), |stages, (name, value)| {
            stages.iter().map(|stage| stage.replace(&format!("${{{name}}}"), value)).collect()
        });
        assert_eq!(stages.len(), 2, "{path}");
        assert!(stages.iter().all(|stage| stage.contains(':') && !stage.contains(":latest")), "{path}: {stages:?}");
        let last = text.rsplit("FROM ").next().unwrap();
        assert!(last.contains("\nUSER "), "{path} runs as root");
        assert!(last.contains(&format!("CMD [\"{command}\"]")), "{path} does not start {command}");
        assert!(text.contains("--locked"), "{path} does not build what Cargo.lock says");
    }
    // A stuck session makes no container unhealthy: it would be restarted in the middle of the teardown.
    let text = read("deploy/Dockerfile");
    let health = text.lines().find(|line| line.starts_with("HEALTHCHECK")).unwrap();
    assert!(health.ends_with(r#"CMD ["labguard", "status", "--ready"]"#), "{health}");
}

/// The instructions of a Dockerfile's first stage, continued lines joined.
fn first_stage(text: &str) -> Vec<(String, String)> {
    let text = text.replace("\\\n", " ");
    let mut lines = text.lines().skip_while(|line| !line.starts_with("FROM "));
    lines.next();
    let stage = lines.take_while(|line| !line.starts_with("FROM "));
    let instructions = stage.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    instructions.map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).collect()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

/// Builds nothing: a program of this name there is none. But before cargo says so, it has found the lock file right and
/// each file there that the manifests name.
const LOOK: &str =
    "(cargo build --release --locked --offline --bin none-such 2>&1 | tee /dev/stderr | grep -q 'no bin target named')";

/// Runs a build stage in a folder: its COPY as they stand, its RUN with a look instead of each build. No engine, and
/// nothing from outside.
#[test]
fn the_image_builds_from_what_its_context_holds() {
    for path in ["deploy/Dockerfile", "deploy/prediction/Dockerfile"] {
        let ignored = read(".dockerignore");
        let ignored: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('/')).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut builds = 0;
        for (instruction, rest) in first_stage(&read(path)) {
            let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            match instruction.as_str() {
                "COPY" => {
                    let (to, from) = words.split_last().unwrap();
                    for from in from {
                        let source = from.trim_end_matches('/');
                        assert!(!ignored.contains(&source), "{path}: {source} is not in the context (.dockerignore)");
                        let mut target = folder.path().join(to.trim_start_matches("./"));
                        if to.ends_with('/') {
                            target = target.join(Path::new(source).file_name().unwrap());
                        }
                        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(source), &target);
                    }
                }
                "RUN" if rest.starts_with("apt-get") => {}
                "RUN" => {
                    builds += rest.matches("cargo build --release --locked").count();
                    let looked = rest
                        .replace("cargo build --release --locked", LOOK)
                        .replace("strip target/release/labguard", "true");
                    let done = Command::new("sh").arg("-ec").arg(&looked).current_dir(folder.path()).output().unwrap();
                    assert!(done.status.success(), "{path}: {rest}\n{}", String::from_utf8_lossy(&done.stderr));
                }
                _ => {}
            }
        }
        assert!(builds > 0, "{path} builds nothing");
    }
}
