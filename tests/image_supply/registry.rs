//! Debian's `docker-registry` on a free loopback port, with its storage to look into.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// The one login of [`Registry::guarded`], and its bcrypt hash.
pub const USER: &str = "ada";
pub const PASSWORD: &str = "a-test-password";
const HASH: &str = "$2b$05$abcdefghijklmnopqrstuukvYklUfnuUBF63ESy2SqVoti7eMfK2C";

/// Where `./test` unpacked Debian's packages; none where this is no Debian, which is said.
pub fn debian() -> Option<PathBuf> {
    let binary = Path::new(env!("CARGO_BIN_EXE_labguard"));
    let folder = binary.ancestors().nth(2).expect("target/<profile>/labguard").join("debian");
    if let Ok(why) = fs::read_to_string(folder.join("skipped")) {
        println!("skipped: {}", why.trim());
        return None;
    }
    assert!(folder.join("usr/bin/skopeo").exists(), "{} is missing: run ./test --prepare first", folder.display());
    Some(folder)
}

/// A running registry; killed when dropped.
pub struct Registry {
    child: Child,
    pub port: u16,
    folder: tempfile::TempDir,
}

impl Registry {
    /// Open to everybody; none where there is no such program.
    pub fn start() -> Option<Self> {
        Self::with("")
    }

    /// For [`USER`] alone.
    pub fn guarded() -> Option<Self> {
        Self::with("auth:\n  htpasswd:\n    realm: lab\n    path: FOLDER/users\n")
    }

    fn with(more: &str) -> Option<Self> {
        let program = debian()?.join("usr/bin/docker-registry");
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display().to_string();
        fs::write(folder.path().join("users"), format!("{USER}:{HASH}\n")).unwrap();
        let settings = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
             rootdirectory: {place}/storage\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:0\n{}",
            more.replace("FOLDER", &place)
        );
        fs::write(folder.path().join("config.yml"), settings).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg("serve")
            .arg(folder.path().join("config.yml"))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut registry = Self { child, port: 0, folder };
        for _ in 0..2400 {
            if let Some(port) = registry.listens_on() {
                registry.port = port;
                return Some(registry);
            }
            assert!(registry.child.try_wait().unwrap().is_none(), "the registry ended:\n{}", registry.said());
            thread::sleep(Duration::from_millis(25));
        }
        panic!("the registry does not listen:\n{}", registry.said());
    }

    /// The port that the kernel gave it, once it tells.
    fn listens_on(&self) -> Option<u16> {
        let said = self.said();
        let (_, told) = said.split_once("listening on 127.0.0.1:")?;
        let (port, _) = told.split_once(|letter: char| !letter.is_ascii_digit())?;
        port.parse().ok()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `127.0.0.1:PORT/NAME`.
    pub fn place(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Digests of every blob and manifest whose bytes are stored.
    pub fn stored(&self) -> Vec<String> {
        let mut found = Vec::new();
        let blobs = self.folder.path().join("storage/docker/registry/v2/blobs/sha256");
        for prefix in fs::read_dir(blobs).into_iter().flatten() {
            for blob in fs::read_dir(prefix.unwrap().path()).unwrap() {
                found.push(format!("sha256:{}", blob.unwrap().file_name().to_str().unwrap()));
            }
        }
        found.sort();
        found
    }

    /// The tags of a repository.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let tags = format!("storage/docker/registry/v2/repositories/{repository}/_manifests/tags");
        let entries = fs::read_dir(self.folder.path().join(tags)).into_iter().flatten();
        entries.map(|tag| tag.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Its own child only; an error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
