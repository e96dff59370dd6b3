//! From a tag to a digest, with a check that the image has the task's platform.

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::{
    assemble::digest,
    reference::Reference,
    refused,
    registry::{Registry, header, refusal},
};
use crate::{
    cloud::Cloud,
    domain::model::{Arch, Fault, FaultClass},
};

/// Every kind of manifest, single and many-platform, Docker's and OCI's.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

const MANIFEST: &str = "registry:GetManifest";
const BLOB: &str = "registry:GetBlob";

/// `HOST/REPOSITORY@sha256:…` of an image that has `arch`.
pub(super) async fn pin(cloud: &Cloud, uri: &str, arch: Arch) -> Result<String, Fault> {
    let reference = Reference::read(uri).ok_or_else(|| {
        refused(
            FaultClass::Rejected,
            "ImageReference",
            format!("\"{uri}\" is no image reference"),
            "write HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:…",
        )
    })?;
    let registry = open(cloud, &reference).await?;
    let place = format!("/v2/{}/manifests/{}", reference.repository, reference.target);
    let answer = registry.send(MANIFEST, Method::GET, &place, &[("accept", ACCEPT)], Bytes::new()).await?;
    if !answer.status().is_success() {
        return Err(refusal(MANIFEST, &answer));
    }
    let found = digest(answer.body());
    let said = reference.digest().or_else(|| header(&answer, "docker-content-digest"));
    if said.is_some_and(|said| said != found) {
        return Err(refused(
            FaultClass::Transient,
            "DigestMismatch",
            format!("the registry's manifest of {uri} is {found}, not {}", said.unwrap_or_default()),
            "try again; if it stays so, do not trust this registry",
        ));
    }
    let manifest: Value = serde_json::from_slice(answer.body()).map_err(|error| {
        refused(
            FaultClass::Rejected,
            "ImageManifest",
            format!("the manifest of {uri}: {error}"),
            "push the image again",
        )
    })?;
    let platforms = match manifest["manifests"].as_array() {
        Some(entries) => entries.iter().map(|entry| platform(&entry["platform"])).collect(),
        None => single(&registry, &reference, &manifest).await?,
    };
    let wanted = format!("linux/{}", arch.oci_name());
    if !platforms.contains(&wanted) {
        return Err(refused(
            FaultClass::Rejected,
            "ImageArchitecture",
            format!("the image {uri} has no {wanted}; it has {}", platforms.join(", ")),
            "build it for the task's architecture, or change the policy's `arch`",
        ));
    }
    Ok(reference.pinned(&found))
}

/// `linux/amd64` and the like.
fn platform(value: &Value) -> String {
    let member = |name: &str| value[name].as_str().unwrap_or("unknown");
    format!("{}/{}", member("os"), member("architecture"))
}

/// The one platform of a single manifest: its configuration tells.
async fn single(registry: &Registry, reference: &Reference, manifest: &Value) -> Result<Vec<String>, Fault> {
    let Some(config) = manifest["config"]["digest"].as_str() else {
        return Ok(vec!["no configuration".to_owned()]);
    };
    let mut place = format!("/v2/{}/blobs/{config}", reference.repository);
    // In memory redirects are ours to follow; over TCP the client does it.
    for _ in 0..3 {
        let answer = registry.send(BLOB, Method::GET, &place, &[], Bytes::new()).await?;
        if answer.status().is_redirection()
            && let Some(next) = super::registry::location(&answer)
        {
            place = next.to_owned();
            continue;
        }
        if !answer.status().is_success() {
            return Err(refusal(BLOB, &answer));
        }
        let config: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        return Ok(vec![platform(&config)]);
    }
    Ok(vec!["an endless redirect".to_owned()])
}

/// Logs in with AWS's token where the image is in an ECR registry or in the configured one.
async fn open(cloud: &Cloud, reference: &Reference) -> Result<Registry, Fault> {
    let ecr = reference.host.contains(".dkr.ecr.") || reference.host.contains(".dkr-ecr.");
    let local = cloud.has_own_registry();
    if !ecr && !local {
        return Registry::new(cloud, reference.endpoint(), None);
    }
    let login = cloud.registry_login().await?;
    let same = |endpoint: &str| endpoint.split_once("://").map_or(endpoint, |(_, host)| host) == reference.host;
    // An override stands for the account's own registry, whatever that is called.
    if ecr || same(&login.endpoint) {
        cloud.note_actions(&["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]);
        let endpoint = if local || same(&login.endpoint) { login.endpoint } else { reference.endpoint() };
        return Registry::new(cloud, endpoint, Some(login.authorization));
    }
    Registry::new(cloud, reference.endpoint(), None)
}
