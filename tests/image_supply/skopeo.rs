//! Debian's `skopeo`: the client that pulls back what labguard pushed.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use super::{images::digest, registry::debian};

/// `skopeo ARGUMENTS`, with a home of its own and without signature policies.
pub fn run(home: &Path, arguments: &[&str]) -> Output {
    let folder = debian().expect("the registry was there, and its client comes with it");
    let libraries: Vec<String> = fs::read_dir(folder.join("usr/lib"))
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    Command::new(folder.join("usr/bin/skopeo"))
        .arg("--insecure-policy")
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home)
        .env("LD_LIBRARY_PATH", libraries.join(":"))
        .output()
        .expect("skopeo starts")
}

/// Copies; the last words must be good ones.
pub fn copy(home: &Path, arguments: &[&str]) {
    let done = run(home, &[&["copy"], arguments].concat());
    assert!(done.status.success(), "skopeo copy {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Pulls everything that hangs on a reference; its root, and every blob and manifest by digest. Each has the digest it is
/// called by, or this fails.
pub fn pull(home: &Path, reference: &str) -> (String, BTreeMap<String, Vec<u8>>) {
    let into = tempfile::tempdir_in(home).unwrap();
    let to = format!("dir:{}", into.path().display());
    copy(home, &["--all", "--src-tls-verify=false", &format!("docker://{reference}"), &to]);
    let mut found = BTreeMap::new();
    let mut root = String::new();
    for entry in fs::read_dir(into.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "version" {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let is = digest(&bytes);
        match name.trim_end_matches(".manifest.json") {
            "manifest.json" => root.clone_from(&is),
            called => assert_eq!(is, format!("sha256:{called}"), "{reference} gave other bytes"),
        }
        found.insert(is, bytes);
    }
    // A plain manifest names its blobs, an index its children: nothing of it may be missing.
    let document: Value = serde_json::from_slice(&found[&root]).unwrap();
    for child in document["manifests"]
        .as_array()
        .into_iter()
        .flatten()
        .chain(document["layers"].as_array().into_iter().flatten())
    {
        assert!(found.contains_key(child["digest"].as_str().unwrap()), "{child} was not pulled");
    }
    (root, found)
}
