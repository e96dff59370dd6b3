//! A daemon of one's own for tests: the real binary with an empty HOME, a port and a configuration.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

#[path = "held_port.rs"]
pub mod held_port;
use held_port::HeldPort;

/// A daemon with a folder, a port and a configuration of its own.
pub struct House {
    pub folder: tempfile::TempDir,
    pub port: u16,
    // For the daemon, which sets SO_REUSEADDR as tokio's listeners do; also while it is away.
    _held: HeldPort,
    daemon: Option<Child>,
}

impl House {
    /// On the embedded sandbox.
    pub fn new() -> Self {
        Self::with("")
    }

    /// With more lines of configuration.
    pub fn with(more: &str) -> Self {
        let held = HeldPort::new();
        let port = held.number;
        let folder = tempfile::tempdir().unwrap();
        let overlay = format!(
            r#"
[daemon]
listen = "127.0.0.1:{port}"
[sessions.admission.image]
path = "{}"
args = ["predictor", "serve"]
[sessions.admission.limits]
idle_timeout = "10m"
lifetime = "20m"
max_lifetime = "2h"
max_budget = "1.00 USD"
"#,
            env!("CARGO_BIN_EXE_labguard")
        );
        fs::write(folder.path().join("overlay.toml"), format!("{overlay}{more}")).unwrap();
        Self { folder, port, _held: held, daemon: None }
    }

    /// `labguard ARGUMENTS`, with this house's folder, port and configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_labguard"));
        command
            .args(arguments)
            .arg("--config")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo.toml"))
            .arg("--config")
            .arg(self.folder.path().join("overlay.toml"))
            .arg("--state-dir")
            .arg(self.folder.path().join("state"))
            .args(["--daemon", &format!("http://127.0.0.1:{}", self.port)])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("AWS_ACCESS_KEY_ID", "labguard-sandbox")
            .env("AWS_SECRET_ACCESS_KEY", "labguard-sandbox")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Must succeed; its stdout.
    pub fn text(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "labguard {arguments:?}: {}\n{said}\ndaemon:\n{}", done.status, self.log());
        String::from_utf8(done.stdout).unwrap()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("labguard {arguments:?} --json: {error}\n{text}"))
    }

    pub fn start(&mut self) {
        // One that was killed holds the journal until it is gone.
        if let Some(mut killed) = self.daemon.take() {
            killed.wait().unwrap();
        }
        let log = File::create(self.folder.path().join("daemon.log")).unwrap();
        let daemon = self.command(&["run"]).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.daemon = Some(daemon);
        for _ in 0..600 {
            if self.run(&["status", "--json"]).status.success() {
                return;
            }
            let ended = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().unwrap());
            assert!(ended.is_none(), "the daemon ended:\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the daemon does not answer:\n{}", self.log());
    }

    /// Changes the configuration's own lines.
    pub fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let path = self.folder.path().join("overlay.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, change(text)).unwrap();
    }

    /// Sends the daemon a signal: `HUP`, `TERM`.
    pub fn signal(&self, name: &str) {
        let daemon = self.daemon.as_ref().expect("a daemon runs");
        let sent = Command::new("kill").args([&format!("-{name}"), &daemon.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGTERM, and the exit code once it has drained.
    pub fn end(&mut self) -> Option<i32> {
        self.signal("TERM");
        let mut daemon = self.daemon.take().expect("a daemon runs");
        for _ in 0..1200 {
            if let Some(status) = daemon.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = daemon.kill();
        panic!("the daemon did not end:\n{}", self.log());
    }

    /// Waits until `done`, a minute at most.
    pub fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..600 {
            if done(self) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("never {what}; the daemon:\n{}", self.log());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("daemon.log")).unwrap_or_default()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status();
            for _ in 0..600 {
                if daemon.try_wait().is_ok_and(|ended| ended.is_some()) {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}
