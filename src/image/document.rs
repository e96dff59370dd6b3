//! Manifests, indexes and configurations as JSON: what of them labguard needs, Docker's kinds and OCI's.
//!
//! Their exact bytes are kept apart and pushed unchanged: nothing is ever written from what is parsed here.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use super::refused;
use crate::domain::model::{Arch, Fault, FaultClass};

pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const OCI_GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// Every kind of manifest, for `Accept`.
pub(super) fn accepted() -> String {
    [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST].join(", ")
}

/// `sha256:…` of some bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Whether it is `sha256:` and 64 hexadecimal digits in small letters: safe as a part of a path, too.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

/// Go writes `null` for an empty list or map.
fn lenient<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Points to a blob or manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Descriptor {
    #[serde(rename = "mediaType", default, deserialize_with = "lenient")]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

/// A platform as an index writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) variant: Option<String>,
}

impl Platform {
    /// Whether a task of that architecture runs it (64-bit ARM has the one variant v8).
    pub(super) fn fits(&self, arch: Arch) -> bool {
        let variant = match arch {
            Arch::X86_64 => self.variant.as_deref().is_none_or(|it| it.is_empty() || it == "v1" || it == "v2"),
            Arch::Arm64 => self.variant.as_deref().is_none_or(|it| it.is_empty() || it == "v8"),
        };
        self.os == "linux" && self.architecture == arch.oci_name() && variant
    }

    /// What stands in an index for an attestation.
    pub(super) fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.architecture == "unknown"
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
        write!(f, "{}/{}", word(&self.os), word(&self.architecture))?;
        match self.variant.as_deref() {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

/// A list of manifests.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Index {
    #[serde(deserialize_with = "lenient")]
    pub(super) manifests: Vec<Descriptor>,
}

/// One platform's manifest.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    #[serde(deserialize_with = "lenient")]
    pub(super) layers: Vec<Descriptor>,
}

/// The configuration of an image.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    pub(super) platform: Platform,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) config: Settings,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) rootfs: RootFs,
}

/// What a container is started with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Settings {
    #[serde(deserialize_with = "lenient")]
    pub(super) entrypoint: Vec<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) cmd: Vec<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) env: Vec<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) user: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) exposed_ports: BTreeMap<String, serde_json::Value>,
}

/// What the layers unpack to.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RootFs {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) diff_ids: Vec<String>,
}

/// What a manifest's bytes are.
#[derive(Clone, Debug)]
pub(super) enum Document {
    /// A list.
    Index(Index),
    /// One image.
    Manifest(Manifest),
}

impl Document {
    /// Reads it; `name` is for people.
    ///
    /// # Errors
    /// `Rejected` when it is neither, or points to something with an impossible digest.
    pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Self, Fault> {
        let value: serde_json::Value = parse(name, bytes)?;
        if value["schemaVersion"] == 1 {
            let message = format!("{name} is a manifest of the old schema 1");
            return Err(refused(FaultClass::Rejected, "ImageManifest", message, "push it again with a newer Docker"));
        }
        let document = if value["manifests"].is_array() {
            Document::Index(parse(name, bytes)?)
        } else if value["config"].is_object() {
            Document::Manifest(parse(name, bytes)?)
        } else {
            return Err(no_image(name, "it is neither a manifest nor an index"));
        };
        let pointers: Vec<&Descriptor> = match &document {
            Document::Index(index) => index.manifests.iter().collect(),
            Document::Manifest(manifest) => manifest.layers.iter().chain([&manifest.config]).collect(),
        };
        match pointers.iter().find(|pointer| !is_digest(&pointer.digest)) {
            Some(pointer) => Err(no_image(name, &format!("it points to {:?}, no SHA-256 digest", pointer.digest))),
            None => Ok(document),
        }
    }

    /// Its own media type: as written in it, or as told, or the usual one.
    pub(super) fn media_type(&self, bytes: &[u8], told: &str) -> String {
        #[derive(Deserialize)]
        struct Typed {
            #[serde(rename = "mediaType", default)]
            media_type: Option<String>,
        }
        let written = serde_json::from_slice::<Typed>(bytes).ok().and_then(|typed| typed.media_type);
        written.filter(|it| !it.is_empty()).unwrap_or_else(|| match self {
            _ if !told.is_empty() && told.starts_with("application/vnd.") => told.to_owned(),
            Document::Index(_) => OCI_INDEX.to_owned(),
            Document::Manifest(_) => OCI_MANIFEST.to_owned(),
        })
    }
}

/// JSON, or why not.
pub(super) fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| no_image(name, &error.to_string()))
}

/// That something is not what an image has in its place.
pub(super) fn no_image(name: &str, why: &str) -> Fault {
    refused(
        FaultClass::Rejected,
        "ImageManifest",
        format!("{name} is no image: {why}"),
        "give an OCI layout, the output of docker save, or another source",
    )
}

impl Descriptor {
    /// Whether it points to a container's configuration (an artefact's is something else).
    pub(super) fn is_image_config(&self) -> bool {
        self.media_type == OCI_CONFIG || self.media_type == DOCKER_CONFIG || self.media_type.is_empty()
    }

    /// Whether it points to a filesystem layer (an attestation's is a statement).
    pub(super) fn is_tar(&self) -> bool {
        let bare = self.media_type.split('+').next().unwrap_or_default();
        bare.ends_with(".tar") || bare.ends_with(".tar.gzip") || bare.ends_with(".tar.zstd")
    }

    /// Whether it points to an index, by its media type.
    pub(super) fn is_index(&self) -> bool {
        self.media_type == OCI_INDEX || self.media_type == DOCKER_INDEX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_told_apart_by_what_is_in_them() {
        let hex = "a".repeat(64);
        let pointer = format!(r#"{{"mediaType":"{OCI_CONFIG}","digest":"sha256:{hex}","size":2}}"#);
        let manifest = format!(r#"{{"schemaVersion":2,"config":{pointer},"layers":null}}"#);
        let read = Document::read("it", manifest.as_bytes()).unwrap();
        assert_eq!(read.media_type(manifest.as_bytes(), "text/plain"), OCI_MANIFEST);
        assert_eq!(read.media_type(manifest.as_bytes(), DOCKER_MANIFEST), DOCKER_MANIFEST);
        let index = format!(r#"{{"manifests":[{pointer}],"mediaType":"{DOCKER_INDEX}"}}"#);
        assert_eq!(Document::read("it", index.as_bytes()).unwrap().media_type(index.as_bytes(), ""), DOCKER_INDEX);
        let shortened = index.replace(&hex, "../../etc/passwd");
        for wrong in ["{", "[]", r#"{"schemaVersion":1}"#, shortened.as_str()] {
            assert_eq!(Document::read("it", wrong.as_bytes()).unwrap_err().code, "ImageManifest", "{wrong}");
        }
    }

    #[test]
    fn a_platform_fits_by_system_machine_and_variant() {
        let platform = |text: &str| {
            let mut parts = text.split('/').map(str::to_owned);
            let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
            Platform { os, architecture, variant: parts.next() }
        };
        for (text, arch, fits) in [
            ("linux/amd64", Arch::X86_64, true),
            ("linux/arm64/v8", Arch::Arm64, true),
            ("linux/amd64/v3", Arch::X86_64, false),
            ("linux/arm/v7", Arch::Arm64, false),
            ("windows/amd64", Arch::X86_64, false),
            ("unknown/unknown", Arch::X86_64, false),
        ] {
            assert_eq!(platform(text).fits(arch), fits, "{text}");
            assert_eq!(platform(text).to_string(), text);
        }
    }
}
