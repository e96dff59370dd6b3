//! Images in every form that labguard reads, made here byte by byte.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_PLAIN_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(bytes).unwrap();
    zipped.finish().unwrap()
}

/// A tar of files; their names are written as they stand, however bad they are.
pub fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// An OCI layout in the making.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub blobs: BTreeMap<String, Vec<u8>>,
    pub tops: Vec<Value>,
}

impl Layout {
    pub fn put(&mut self, kind: &str, bytes: Vec<u8>) -> Value {
        let digest = digest(&bytes);
        let descriptor = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
        self.blobs.insert(digest, bytes);
        descriptor
    }

    /// An image of these tars, gzipped.
    pub fn image(&mut self, arch: &str, tars: &[Vec<u8>]) -> Value {
        let ids: Vec<String> = tars.iter().map(|tar| digest(tar)).collect();
        let layers = tars.iter().map(|tar| self.put(OCI_GZIP_LAYER, gzip(tar))).collect();
        self.image_of(arch, &ids, layers)
    }

    pub fn image_of(&mut self, arch: &str, diff_ids: &[String], layers: Vec<Value>) -> Value {
        let config = json!({
            "architecture": arch, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "config": {"Entrypoint": ["/app/serve"]},
        });
        let config = self.put(OCI_CONFIG, config.to_string().into_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        let mut descriptor = self.put(OCI_MANIFEST, manifest.to_string().into_bytes());
        descriptor["platform"] = json!({"os": "linux", "architecture": arch});
        descriptor
    }

    /// amd64, arm64, and what a builder attests of them.
    pub fn index(&mut self) -> Value {
        let mut children = Vec::new();
        for arch in ["amd64", "arm64"] {
            let tars = [tar_of(&[("base", b"both")]), tar_of(&[("app/serve", arch.as_bytes())])];
            children.push(self.image(arch, &tars));
        }
        let config =
            self.put(OCI_CONFIG, br#"{"architecture":"unknown","os":"unknown","rootfs":{"diff_ids":["x"]}}"#.to_vec());
        let layer = self.put("application/vnd.in-toto+json", b"{\"built\":\"here\"}".to_vec());
        let attestation = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]});
        let mut attestation = self.put(OCI_MANIFEST, attestation.to_string().into_bytes());
        attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        children.push(attestation);
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children});
        self.put(OCI_INDEX, index.to_string().into_bytes())
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let index = json!({"schemaVersion": 2, "manifests": self.tops}).to_string().into_bytes();
        let mut files = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), index),
        ];
        files.extend(
            self.blobs.iter().map(|(digest, bytes)| (format!("blobs/{}", digest.replace(':', "/")), bytes.clone())),
        );
        files
    }

    /// As a folder.
    pub fn folder(&self, at: &Path) -> PathBuf {
        for (name, bytes) in self.files() {
            let path = at.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        at.to_owned()
    }

    /// As a tar.
    pub fn tar(&self) -> Vec<u8> {
        let files = self.files();
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        tar_of(&files)
    }
}

/// What `docker save` before Docker 25 writes of an image with these layers.
pub fn saved(tars: &[Vec<u8>]) -> Vec<u8> {
    let ids: Vec<String> = tars.iter().map(|tar| digest(tar)).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}});
    let names: Vec<String> = (0..tars.len()).map(|number| format!("{number}/layer.tar")).collect();
    let list = json!([{"Config": "config.json", "RepoTags": ["lab:1"], "Layers": names}]).to_string();
    let config = config.to_string();
    let mut files: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(tars.iter().map(Vec::as_slice)).collect();
    files.push(("config.json", config.as_bytes()));
    files.push(("manifest.json", list.as_bytes()));
    tar_of(&files)
}

/// What Docker 25 and newer writes: an OCI layout with plain layers, and the old list beside it.
pub fn saved_lately(tars: &[Vec<u8>]) -> Vec<u8> {
    let mut layout = Layout::default();
    let ids: Vec<String> = tars.iter().map(|tar| digest(tar)).collect();
    let layers: Vec<Value> = tars.iter().map(|tar| layout.put(OCI_PLAIN_LAYER, tar.clone())).collect();
    let image = layout.image_of("amd64", &ids, layers);
    let manifest: Value = serde_json::from_slice(&layout.blobs[image["digest"].as_str().unwrap()]).unwrap();
    let path = |descriptor: &Value| format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"));
    let layers: Vec<String> = manifest["layers"].as_array().unwrap().iter().map(path).collect();
    let list = json!([{"Config": path(&manifest["config"]), "RepoTags": ["lab:1"], "Layers": layers}]);
    layout.tops.push(image);
    let mut files = layout.files();
    files.push(("manifest.json".to_owned(), list.to_string().into_bytes()));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    tar_of(&files)
}
