//! Images for tests: layouts and saved archives, right ones and (with the parts exchanged) wrong ones.

use std::{collections::BTreeMap, io::Write as _, path::PathBuf};

use serde_json::{Value, json};

use crate::domain::model::{Arch, Platforms};
use crate::image::{
    Desk, Report,
    choose::Shape,
    document::{OCI_CONFIG, OCI_GZIP_LAYER, OCI_INDEX, OCI_MANIFEST, digest},
    entries::tests::tar_of,
    pack::gzip,
};

/// What an amd64 task wants.
pub(super) const SHAPE: Shape = Shape { arch: Arch::X86_64, platforms: Platforms::Task, room_gib: 1 };

/// The whole index.
pub(super) const ALL: Shape = Shape { platforms: Platforms::All, ..SHAPE };

/// Blobs by digest.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
}

pub(super) fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut zipped = gzip(Vec::new(), 6);
    zipped.write_all(bytes).unwrap();
    zipped.finish().unwrap()
}

impl Sample {
    pub(super) fn put(&mut self, kind: &str, bytes: Vec<u8>) -> Value {
        let digest = digest(&bytes);
        let descriptor = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
        self.blobs.insert(digest, bytes);
        descriptor
    }

    /// An image of these layers (tars), each with its `diff_id`.
    pub(super) fn image_of(&mut self, arch: &str, layers: &[(Vec<u8>, String)]) -> Value {
        let ids: Vec<&String> = layers.iter().map(|(_, id)| id).collect();
        let config = json!({
            "architecture": arch, "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids},
            "config": {"Entrypoint": ["/app/web"], "Env": ["SECRET=hidden"], "Cmd": null, "User": "7"},
        });
        let config = self.put(OCI_CONFIG, config.to_string().into_bytes());
        let layers: Vec<Value> = layers.iter().map(|(packed, _)| self.put(OCI_GZIP_LAYER, packed.clone())).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        let mut descriptor = self.put(OCI_MANIFEST, manifest.to_string().into_bytes());
        descriptor["platform"] = json!({"os": "linux", "architecture": arch});
        descriptor
    }

    /// An image with one file in each of two layers.
    pub(super) fn image(&mut self, arch: &str) -> Value {
        let layer = |text: &str| {
            let tar = tar_of(&[("app/file", text.as_bytes())]);
            (zipped(&tar), digest(&tar))
        };
        self.image_of(arch, &[layer("base"), layer(arch)])
    }

    pub(super) fn attestation(&mut self) -> Value {
        let config = json!({"architecture": "unknown", "os": "unknown", "rootfs": {"diff_ids": ["sha256:x"]}});
        let config = self.put(OCI_CONFIG, config.to_string().into_bytes());
        let layer = self.put("application/vnd.in-toto+json", b"{\"a\":1}".to_vec());
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
        let mut descriptor = self.put(OCI_MANIFEST, manifest.to_string().into_bytes());
        descriptor["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        descriptor
    }

    pub(super) fn index(&mut self, children: &[Value]) -> Value {
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children});
        self.put(OCI_INDEX, index.to_string().into_bytes())
    }

    /// amd64, arm64, and an attestation.
    pub(super) fn many(&mut self) -> Value {
        let children = [self.image("arm64"), self.image("amd64"), self.attestation()];
        self.index(&children)
    }

    /// Names and bytes of the layout's files.
    pub(super) fn files(&self, tops: &[Value]) -> Vec<(String, Vec<u8>)> {
        let index = json!({"schemaVersion": 2, "manifests": tops}).to_string().into_bytes();
        let mut files = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), index),
        ];
        let blobs = self.blobs.iter();
        files.extend(blobs.map(|(digest, bytes)| (format!("blobs/{}", digest.replace(':', "/")), bytes.clone())));
        files
    }

    /// The layout as a tar.
    pub(super) fn tar(&self, tops: &[Value]) -> Vec<u8> {
        tar_of_files(&self.files(tops))
    }
}

pub(super) fn tar_of_files(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    tar_of(&files)
}

pub(super) fn named(mut descriptor: Value, name: &str) -> Value {
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    descriptor
}

/// What an older `docker save` writes: two layers, the second one a link to the first image's.
pub(super) fn saved(tags: &[&str]) -> Vec<u8> {
    let layers: Vec<Vec<u8>> = ["one", "two"].iter().map(|text| tar_of(&[("app/file", text.as_bytes())])).collect();
    let ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}});
    let config = config.to_string().into_bytes();
    let name = format!("{}.json", &digest(&config)[7..]);
    let list = json!([{"Config": name, "RepoTags": tags, "Layers": ["a/layer.tar", "b/layer.tar"]}]);
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, bytes).unwrap();
    };
    add("a/layer.tar", &layers[0]);
    add("c/layer.tar", &layers[1]);
    add(&name, &config);
    add("manifest.json", list.to_string().as_bytes());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "b/layer.tar", "../c/layer.tar").unwrap();
    tar.into_inner().unwrap()
}

/// A folder for a test, and files in it.
pub(super) struct Room {
    pub(super) folder: tempfile::TempDir,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    pub(super) fn desk(&self) -> Desk<'static> {
        Desk::by_hand(None, self.workspace(), Report::default())
    }

    /// What lies in the workspace, but for the memory.
    pub(super) fn left(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.workspace()) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "layers.json").collect()
    }
}
