//! What ECS's pull of an image gets, or the words it fails with.
//!
//! Guarantees: the image is whole and fits the architecture, or the error is a `CannotPullContainerError`.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::Ecr;

/// An image, ready to be unpacked.
#[derive(Clone, Debug)]
pub struct PulledImage {
    /// Digest of the manifest (not of an index above it).
    pub digest: String,
    /// The OCI or Docker image configuration.
    pub config: Value,
    /// Layers as stored (compressed), the lowest first.
    pub layers: Vec<Arc<Bytes>>,
    /// Their media types, in the same order.
    pub media_types: Vec<String>,
}

impl Ecr {
    /// Resolves `HOST/REPOSITORY:TAG` or `HOST/REPOSITORY@sha256:…` for `arch` (`amd64`, `arm64`, `X86_64`, `ARM64`).
    ///
    /// # Errors
    /// AWS's text for a task that cannot pull its image.
    pub fn pull(&self, image_ref: &str, arch: &str) -> Result<PulledImage, String> {
        let refused = |why: &str| {
            format!(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {image_ref}: {why}"
            )
        };
        let arch = match arch.to_ascii_lowercase().as_str() {
            "arm64" | "aarch64" => "arm64",
            _ => "amd64",
        };
        let Some((host, rest)) = image_ref.split_once('/').filter(|(host, _)| self.is_our_host(host)) else {
            return Err(refused(
                "request canceled while waiting for connection: the sandbox reaches no other registry than its own",
            ));
        };
        let (name, reference) = match rest.split_once('@') {
            Some((name, digest)) => (name.split(':').next().unwrap_or(name), digest),
            None => rest.rsplit_once(':').unwrap_or((rest, "latest")),
        };
        let not_found = || refused(&format!("{host}/{name}:{reference}: not found"));
        let repository = self.repositories.get(name).ok_or_else(|| {
            refused(&format!("unexpected status from HEAD request to {}/v2/{name}/manifests/{reference}: 404 Not Found (repository {name} does not exist)", self.endpoint))
        })?;
        let mut image = repository.image(reference).ok_or_else(not_found)?;
        let mismatch = || {
            format!(
                "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/{arch}'"
            )
        };
        if !image.children().is_empty() {
            let index: Value = serde_json::from_slice(&image.body).unwrap_or_default();
            let child = index["manifests"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|entry| {
                    entry["platform"]["architecture"] == arch
                        && entry["platform"]["os"].as_str().unwrap_or("linux") == "linux"
                })
                .and_then(|entry| entry["digest"].as_str())
                .ok_or_else(mismatch)?;
            image = repository.images.get(child).ok_or_else(not_found)?;
        }
        let manifest: Value = serde_json::from_slice(&image.body).map_err(|error| refused(&error.to_string()))?;
        let blob = |digest: &Value| {
            let digest = digest.as_str().unwrap_or_default();
            repository.blobs.get(digest).cloned().ok_or_else(|| refused(&format!("blob {digest} not found")))
        };
        let config: Value = serde_json::from_slice(&blob(&manifest["config"]["digest"])?)
            .map_err(|error| refused(&error.to_string()))?;
        if config["architecture"].as_str().is_some_and(|found| found != arch) {
            return Err(mismatch());
        }
        let (mut layers, mut media_types) = (Vec::new(), Vec::new());
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            layers.push(blob(&layer["digest"])?);
            media_types
                .push(layer["mediaType"].as_str().unwrap_or("application/vnd.oci.image.layer.v1.tar+gzip").to_owned());
        }
        Ok(PulledImage { digest: image.digest.clone(), config, layers, media_types })
    }

    /// Whether `host` is this registry's: its address, or the name it has in memory.
    #[must_use]
    pub fn is_our_host(&self, host: &str) -> bool {
        host == self.host || host == format!("{}.dkr.ecr.{}.labguard.invalid", self.account, self.region)
    }
}
