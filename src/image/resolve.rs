//! Images that are at a registry already: from a tag to a digest, with a check of the platform; and what a copy needs.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Method, StatusCode};

use super::{
    Desk,
    choose::{self, Shape, Shelf},
    content::Content,
    document::{self, Descriptor, digest},
    prepared::Prepared,
    reach,
    reference::Reference,
    refused,
    registry::{Registry, Remote, header},
};
use crate::{
    cloud::Cloud,
    domain::model::{Arch, Fault, FaultClass},
};

const MANIFEST: &str = "registry:GetManifest";

/// A repository at a registry, to be read from.
struct Library {
    registry: Arc<Registry>,
    reference: Reference,
    uri: String,
    /// What the reference means.
    root: (Descriptor, Bytes),
}

/// `HOST/REPOSITORY@sha256:…` of an image that has `arch`.
pub(super) async fn pin(cloud: &Cloud, uri: &str, arch: Arch) -> Result<String, Fault> {
    let library = Library::open(Some(cloud), uri).await?;
    choose::has_platform(&library, &library.root.0, arch).await?;
    Ok(library.reference.pinned(&library.root.0.digest))
}

/// The image, ready to be copied: its blobs come from there when they are sent.
pub(super) async fn mirror(desk: &Desk<'_>, uri: &str, shape: Shape) -> Result<Prepared, Fault> {
    let library = Library::open(desk.cloud, uri).await?;
    choose::gather(&library, &library.root.0, shape).await
}

/// As [`mirror`], from a registry that is reached already.
#[cfg(test)]
pub(super) async fn from_registry(
    registry: Arc<Registry>,
    reference: Reference,
    shape: Shape,
) -> Result<Prepared, Fault> {
    let library = Library::at(registry, reference, "the origin").await?;
    choose::gather(&library, &library.root.0, shape).await
}

async fn get(registry: &Registry, repository: &str, target: &str) -> Result<Option<(Bytes, Descriptor)>, Fault> {
    let place = format!("/v2/{repository}/manifests/{target}");
    let accepted = document::accepted();
    let answer = registry.send(MANIFEST, Method::GET, &place, &[("accept", &accepted)], Bytes::new()).await?;
    if answer.status() == StatusCode::NOT_FOUND && target.starts_with("sha256:") {
        return Ok(None);
    }
    if !answer.status().is_success() {
        return Err(registry.refusal(MANIFEST, &answer));
    }
    let found = digest(answer.body());
    let said = Some(target).filter(|it| it.starts_with("sha256:")).or_else(|| header(&answer, "docker-content-digest"));
    if let Some(said) = said.filter(|said| *said != found) {
        return Err(refused(
            FaultClass::Transient,
            "DigestMismatch",
            format!("the registry's manifest of {repository}:{target} is {found}, not {said}"),
            "try again; if it stays so, do not trust this registry",
        ));
    }
    let kind = header(&answer, "content-type").unwrap_or_default();
    let media_type = kind.split(';').next().unwrap_or_default().trim().to_owned();
    let size = answer.body().len() as u64;
    let annotations = Default::default();
    Ok(Some((answer.into_body(), Descriptor { media_type, digest: found, size, platform: None, annotations })))
}

impl Library {
    async fn open(cloud: Option<&Cloud>, uri: &str) -> Result<Self, Fault> {
        let reference = Reference::parse(uri)?;
        Self::at(reach::reference(cloud, &reference).await?, reference, uri).await
    }

    async fn at(registry: Arc<Registry>, reference: Reference, uri: &str) -> Result<Self, Fault> {
        let root = get(&registry, &reference.repository, &reference.target).await?;
        let (bytes, root) = root.ok_or_else(|| {
            let advice = "the image cannot be pulled: check its name, and that it was not removed";
            refused(FaultClass::NotFound, "MANIFEST_UNKNOWN", format!("{uri} is not there"), advice)
        })?;
        Ok(Self { registry, reference, uri: uri.to_owned(), root: (root, bytes) })
    }
}

impl Shelf for Library {
    fn name(&self) -> String {
        self.uri.clone()
    }

    fn manifest<'a>(&'a self, it: &'a Descriptor) -> BoxFuture<'a, Result<Option<Bytes>, Fault>> {
        async move {
            if it.digest == self.root.0.digest {
                return Ok(Some(self.root.1.clone()));
            }
            let found = get(&self.registry, &self.reference.repository, &it.digest).await?;
            Ok(found.map(|(bytes, _)| bytes))
        }
        .boxed()
    }

    fn blob(&self, it: &Descriptor) -> Result<Option<Content>, Fault> {
        let repository = self.reference.repository.clone();
        let (registry, digest) = (self.registry.clone(), it.digest.clone());
        Ok(Some(Content::Remote(Remote { registry, repository, digest, size: it.size })))
    }
}
