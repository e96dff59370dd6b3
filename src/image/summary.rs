//! What an image is, for people and machines: shown by `image inspect`. Never shows the values of environment variables.

use serde::Serialize;

/// One image, and what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageSummary {
    /// `sha256:…` of the root: what a pinned reference ends with.
    pub digest: String,
    /// The root's media type.
    pub media_type: String,
    /// Bytes of everything that a registry without it would be sent.
    pub total_bytes: u64,
    /// Its manifests, children first; the root is the last.
    pub manifests: Vec<ManifestSummary>,
}

impl ImageSummary {
    /// `linux/amd64` and the like, in the order of the index; attestations are left out.
    #[must_use]
    pub fn platforms(&self) -> Vec<&str> {
        let platforms = self.manifests.iter().filter_map(|manifest| manifest.platform.as_deref());
        platforms.filter(|platform| *platform != "unknown/unknown").collect()
    }
}

/// One manifest or index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManifestSummary {
    /// `sha256:…`.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// Its own size in bytes.
    pub size: u64,
    /// `linux/amd64`, `unknown/unknown` for an attestation; none for an index.
    pub platform: Option<String>,
    /// Its layers in order; none for an index.
    pub layers: Vec<LayerSummary>,
    /// What its configuration says; none for an index or an attestation.
    pub config: Option<ConfigSummary>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerSummary {
    /// `sha256:…`.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// Bytes, as stored.
    pub size: u64,
}

/// What an image's configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigSummary {
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub cmd: Vec<String>,
    /// Names of the environment variables, without their values.
    pub environment: Vec<String>,
    /// `User`; absent: root.
    pub user: Option<String>,
    /// `ExposedPorts`, as `5000/tcp`.
    pub ports: Vec<String>,
}
