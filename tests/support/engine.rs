//! The local Docker engine, for tests: a base image made of this machine's own programs, since none can be fetched, and
//! whatever a test makes there, removed again.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bollard::{
    Docker, body_full,
    query_parameters::{CreateImageOptions, ListImagesOptionsBuilder, RemoveImageOptionsBuilder},
};
use futures::TryStreamExt;

/// The engine; none where none answers, which is said.
pub async fn engine() -> Option<Docker> {
    let found = Docker::connect_with_defaults();
    let reached = match &found {
        Ok(docker) => docker.ping().await.map(drop),
        Err(error) => Err(bollard::errors::Error::SocketNotFoundError(error.to_string())),
    };
    match reached {
        Ok(()) => found.unwrap().negotiate_version().await.ok(),
        Err(error) => {
            println!("skipped: no Docker engine answers ({error})");
            None
        }
    }
}

/// An image that goes when the test is over, with all that was built on it.
pub struct Base {
    pub docker: Docker,
    pub name: String,
}

/// A program with the libraries that it loads.
fn with_libraries(program: &Path, files: &mut BTreeSet<PathBuf>) {
    files.insert(program.to_owned());
    let listed = Command::new("ldd").arg(program).output().unwrap();
    for word in String::from_utf8_lossy(&listed.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        files.insert(PathBuf::from(word));
    }
}

/// Where PATH has it.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("no {name} in PATH"))
}

impl Base {
    /// An image with a shell, a few tools, and a `cargo` whose only build is the labguard of this test run.
    pub async fn make(docker: &Docker, called: &str) -> Self {
        let mut files = BTreeSet::new();
        let tools = ["sh", "mkdir", "touch", "rm", "cp", "cat", "sed", "sleep", "strip", "tee"];
        for tool in tools {
            with_libraries(&program(tool), &mut files);
        }
        let own = Path::new(env!("CARGO_BIN_EXE_labguard"));
        with_libraries(own, &mut files);
        files.remove(own);
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |name: &str, bytes: &[u8], mode: u32| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(mode);
            tar.append_data(&mut header, name.trim_start_matches('/'), bytes).unwrap();
        };
        for file in files {
            // By the name that it is loaded by, whatever that is a link to; tools in one place.
            let name = if tools.iter().any(|tool| file.ends_with(tool)) {
                format!("bin/{}", file.file_name().unwrap().to_str().unwrap())
            } else {
                file.display().to_string()
            };
            add(&name, &fs::read(&file).unwrap(), 0o755);
        }
        let folder = tempfile::tempdir().unwrap();
        let stripped = folder.path().join("labguard");
        assert!(Command::new("strip").arg("-o").arg(&stripped).arg(own).status().unwrap().success());
        add("prebuilt/labguard", &fs::read(&stripped).unwrap(), 0o755);
        add(
            "bin/cargo",
            b"#!/bin/sh\nmkdir -p target/release && cp /prebuilt/labguard target/release/labguard\n",
            0o755,
        );
        add("bin/apt-get", b"#!/bin/sh\nexit 0\n", 0o755);
        add("var/lib/apt/lists/none", b"", 0o644);
        let name = format!("labguard-test-{called}-{}", std::process::id());
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(name.clone()),
            tag: Some("base".to_owned()),
            // Whatever is built on it bears it too.
            changes: vec![format!("LABEL labguard.test={name}:base")],
            ..CreateImageOptions::default()
        };
        let body = body_full(tar.into_inner().unwrap().into());
        let made = docker.create_image(Some(options), Some(body), None);
        made.try_collect::<Vec<_>>().await.unwrap();
        Self { docker: docker.clone(), name: format!("{name}:base") }
    }

    async fn remove(&self) {
        let docker = Docker::connect_with_defaults().unwrap().negotiate_version().await.unwrap();
        let ours = HashMap::from([("label", vec![format!("labguard.test={}", self.name)])]);
        let options = ListImagesOptionsBuilder::default().all(true).filters(&ours).build();
        let force = RemoveImageOptionsBuilder::default().force(true).build();
        for image in docker.list_images(Some(options)).await.unwrap() {
            // A layer of an image goes with that image: then it is gone already.
            let _ = docker.remove_image(&image.id, Some(force.clone()), None).await;
        }
    }
}

impl Drop for Base {
    /// Removes the image, and everything that was built on it, also when the test failed.
    fn drop(&mut self) {
        let remove = || tokio::runtime::Runtime::new().unwrap().block_on(self.remove());
        std::thread::scope(|scope| scope.spawn(remove).join().unwrap());
    }
}
