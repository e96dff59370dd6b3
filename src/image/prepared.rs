//! An image ready to be pushed: exact manifests, and blobs that can be read again and again.
//!
//! Spool files have no name: they go when the last reader of them goes. Never changes a byte of a manifest.

use bytes::Bytes;

use super::{
    content::Content,
    document::{Config, Document, Platform},
    summary::{ConfigSummary, ImageSummary, LayerSummary, ManifestSummary},
};

/// A manifest or an index.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) digest: String,
    pub(super) media_type: String,
    pub(super) bytes: Bytes,
    pub(super) document: Document,
    /// Which platform it is for, as its index or configuration says.
    pub(super) platform: Option<Platform>,
    pub(super) config: Option<Config>,
}

/// A layer or configuration.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) digest: String,
    pub(super) size: u64,
    pub(super) content: Content,
    pub(super) check: Check,
}

/// What has to be checked of a blob before it is stored.
#[derive(Clone, Debug)]
pub(super) enum Check {
    /// Nothing: made by labguard, read whole before, or at a registry (which is checked by digest on the way).
    Nothing,
    /// Its digest.
    Digest,
    /// That it is the layer with this `diff_id` of these manifests (by place).
    Layer {
        /// Of what it unpacks to.
        diff_id: Option<String>,
        /// Places in `manifests`.
        images: Vec<usize>,
    },
}

/// An image ready to be pushed. Spool files live as long as it does.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Children before their parents; the root is the last.
    pub(super) manifests: Vec<Ready>,
    pub(super) blobs: Vec<Blob>,
    /// GiB that an image's layers may unpack to.
    pub(super) room_gib: u32,
}

impl Prepared {
    /// What it is.
    #[must_use]
    pub fn summary(&self) -> ImageSummary {
        let root = self.manifests.last();
        ImageSummary {
            digest: self.digest().to_owned(),
            media_type: root.map(|root| root.media_type.clone()).unwrap_or_default(),
            total_bytes: self.total_bytes(),
            manifests: self.manifests.iter().map(Ready::summary).collect(),
        }
    }

    /// `sha256:…` of the root.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.manifests.last().map_or("", |root| &root.digest)
    }

    /// Bytes of all blobs and manifests.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        let manifests: u64 = self.manifests.iter().map(|manifest| manifest.bytes.len() as u64).sum();
        manifests + self.blobs.iter().map(|blob| blob.size).sum::<u64>()
    }
}

impl Ready {
    fn summary(&self) -> ManifestSummary {
        let layers = match &self.document {
            Document::Index(_) => Vec::new(),
            Document::Manifest(manifest) => manifest.layers.clone(),
        };
        let layers = layers.into_iter();
        let attestation = self.platform.as_ref().is_some_and(Platform::is_unknown);
        ManifestSummary {
            digest: self.digest.clone(),
            media_type: self.media_type.clone(),
            size: self.bytes.len() as u64,
            platform: self.platform.as_ref().map(ToString::to_string),
            layers: layers
                .map(|layer| LayerSummary { digest: layer.digest, media_type: layer.media_type, size: layer.size })
                .collect(),
            config: self.config.as_ref().filter(|_| !attestation).map(summary_of),
        }
    }
}

fn summary_of(config: &Config) -> ConfigSummary {
    let settings = &config.config;
    let name = |pair: &String| pair.split('=').next().unwrap_or_default().to_owned();
    ConfigSummary {
        entrypoint: settings.entrypoint.clone(),
        cmd: settings.cmd.clone(),
        environment: settings.env.iter().map(name).collect(),
        user: Some(settings.user.clone()).filter(|user| !user.is_empty()),
        ports: settings.exposed_ports.keys().cloned().collect(),
    }
}
