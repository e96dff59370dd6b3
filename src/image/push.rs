//! Pushes an assembled image: missing blobs in one PUT each, then the manifest (aws-facts §3.2).
//!
//! ECR's chunked upload is off the specification, so it is never used.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::{
    assemble::{Blob, Image, MANIFEST},
    refused,
    registry::{Registry, header, location, refusal},
};
use crate::{
    cloud::{Cloud, Ensured},
    domain::model::{Effect, Fault, FaultClass},
};

const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

/// The rights that a push needs on AWS (aws-facts §3.2).
const ACTIONS: [&str; 6] = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
    "ecr:BatchGetImage",
];

/// Pushes what is missing; `AlreadyThere` when nothing was.
pub(super) async fn push(cloud: &Cloud, image: &Image, repository: &str, tag: &str) -> Result<Ensured, Fault> {
    let uri = cloud.repository_uri(repository).await?;
    let login = cloud.registry_login().await?;
    let registry = Registry::new(cloud, login.endpoint, Some(login.authorization))?;
    cloud.note_actions(&ACTIONS);
    let id = format!("{uri}@{}", image.manifest.digest);
    if is_there(&registry, image, repository, tag).await? {
        return Ok(Ensured { effect: Effect::AlreadyThere, id: Some(id), task: None });
    }
    futures::future::try_join_all(image.blobs.iter().map(|blob| upload(&registry, repository, blob))).await?;
    let operation = "registry:PutManifest";
    let place = format!("/v2/{repository}/manifests/{tag}");
    let body = image.manifest.bytes.clone();
    let answer = registry.send(operation, Method::PUT, &place, &[("content-type", MANIFEST)], body).await?;
    if !answer.status().is_success() {
        return Err(unless_the_repository_comes(refusal(operation, &answer)));
    }
    let said = header(&answer, "docker-content-digest");
    if said.is_some_and(|said| said != image.manifest.digest) {
        return Err(refused(
            FaultClass::Transient,
            "DigestMismatch",
            format!("the registry stored {} instead of {}", said.unwrap_or_default(), image.manifest.digest),
            "try again; if it stays so, do not trust this registry",
        ));
    }
    Ok(Ensured { effect: Effect::Created, id: Some(id), task: None })
}

/// Whether the tag has this very manifest.
async fn is_there(registry: &Registry, image: &Image, repository: &str, tag: &str) -> Result<bool, Fault> {
    let operation = "registry:HeadManifest";
    let place = format!("/v2/{repository}/manifests/{tag}");
    let answer = registry.send(operation, Method::HEAD, &place, &[("accept", MANIFEST)], Bytes::new()).await?;
    match answer.status() {
        StatusCode::NOT_FOUND => Ok(false),
        status if status.is_success() => {
            Ok(header(&answer, "docker-content-digest") == Some(image.manifest.digest.as_str()))
        }
        _ => Err(refusal(operation, &answer)),
    }
}

/// A repository made a moment ago may not be known to the registry yet.
fn unless_the_repository_comes(fault: Fault) -> Fault {
    if fault.class == FaultClass::NotFound { Fault { class: FaultClass::Dependency, ..fault } } else { fault }
}

/// Whether the registry has the blob.
async fn has(registry: &Registry, repository: &str, blob: &Blob) -> Result<bool, Fault> {
    let place = format!("/v2/{repository}/blobs/{}", blob.digest);
    let answer = registry.send("registry:HeadBlob", Method::HEAD, &place, &[], Bytes::new()).await?;
    match answer.status() {
        StatusCode::NOT_FOUND => Ok(false),
        status if status.is_success() => Ok(true),
        _ => Err(refusal("registry:HeadBlob", &answer)),
    }
}

async fn upload(registry: &Registry, repository: &str, blob: &Blob) -> Result<(), Fault> {
    if has(registry, repository, blob).await? {
        return Ok(());
    }
    let operation = "registry:StartUpload";
    let place = format!("/v2/{repository}/blobs/uploads/");
    let answer = registry.send(operation, Method::POST, &place, &[OCTETS], Bytes::new()).await?;
    if !answer.status().is_success() {
        return Err(unless_the_repository_comes(refusal(operation, &answer)));
    }
    let place = location(&answer).ok_or_else(|| {
        refused(FaultClass::Transient, "UnusableAnswer", "the registry did not say where to upload to", "try again")
    })?;
    let separator = if place.contains('?') { '&' } else { '?' };
    let place = format!("{place}{separator}digest={}", blob.digest);
    let operation = "registry:Upload";
    let answer = registry.send(operation, Method::PUT, &place, &[OCTETS], blob.bytes.clone()).await?;
    if answer.status().is_success() {
        return Ok(());
    }
    let fault = refusal(operation, &answer);
    if fault.class != FaultClass::NotFound {
        return Err(fault);
    }
    // The upload is over: finished by a try whose answer was lost, or forgotten. Only a fresh look tells.
    if has(registry, repository, blob).await? {
        return Ok(());
    }
    Err(Fault { class: FaultClass::Transient, advice: None, ..fault })
}
