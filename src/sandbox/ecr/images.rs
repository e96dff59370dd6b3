//! Images: put, list, describe, get, delete, scan findings.
//!
//! Guarantees: a manifest is only accepted when everything it refers to is there; an image that an index refers to is
//! not deleted before the index.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    domain::model::Timestamp,
    sandbox::wire::{ApiError, required, strings},
};

use super::{Ecr, Image, Repository, digest_of, page, seconds, with_token};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Why a manifest is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Refusal {
    /// It is not a manifest.
    Unreadable(String),
    /// A layer or configuration is missing.
    MissingLayer(String),
    /// An index names a manifest that is missing.
    MissingManifest(String),
    /// The tag is taken and the repository immutable.
    TagTaken(String),
    /// The very same image with the same tag is there already.
    AlreadyThere,
    /// The digest asked for is not the manifest's.
    WrongDigest(String),
}

impl Image {
    fn parsed(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Digests of the manifests an index refers to.
    pub(super) fn children(&self) -> Vec<String> {
        references(&self.parsed()["manifests"])
    }

    /// Compressed size: configuration and layers.
    pub(super) fn size(&self) -> u64 {
        let manifest = self.parsed();
        let layers: u64 =
            manifest["layers"].as_array().into_iter().flatten().filter_map(|layer| layer["size"].as_u64()).sum();
        layers + manifest["config"]["size"].as_u64().unwrap_or(0)
    }
}

fn references(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|entry| entry["digest"].as_str().map(str::to_owned)).collect()
}

impl Repository {
    /// The image that `reference` (a tag or a digest) names.
    pub(in crate::sandbox) fn image(&self, reference: &str) -> Option<&Image> {
        let digest = self.image_tags.get(reference).map_or(reference, String::as_str);
        self.images.get(digest)
    }

    pub(super) fn tags_of(&self, digest: &str) -> Vec<String> {
        self.image_tags.iter().filter(|(_, target)| *target == digest).map(|(tag, _)| tag.clone()).collect()
    }

    /// Keeps a manifest, under a tag or only its digest; gives its digest.
    pub(in crate::sandbox) fn put_manifest(
        &mut self,
        now: Timestamp,
        body: &Bytes,
        media_type: Option<&str>,
        tag: Option<&str>,
        digest: Option<&str>,
    ) -> Result<String, Refusal> {
        let manifest: Value = serde_json::from_slice(body).map_err(|error| Refusal::Unreadable(error.to_string()))?;
        let is_index = manifest["manifests"].is_array();
        let is_image = manifest["config"].is_object() && manifest["layers"].is_array();
        if !is_index && !is_image {
            return Err(Refusal::Unreadable("expected \"config\" and \"layers\", or \"manifests\"".to_owned()));
        }
        let found = digest_of(body);
        if digest.is_some_and(|asked| asked != found) {
            return Err(Refusal::WrongDigest(found));
        }
        let mut blobs = references(&manifest["layers"]);
        blobs.extend(manifest["config"]["digest"].as_str().map(str::to_owned));
        if let Some(missing) = blobs.into_iter().find(|blob| !self.blobs.contains_key(blob)) {
            return Err(Refusal::MissingLayer(missing));
        }
        if let Some(missing) =
            references(&manifest["manifests"]).into_iter().find(|child| !self.images.contains_key(child))
        {
            return Err(Refusal::MissingManifest(missing));
        }
        if let Some(tag) = tag
            && let Some(current) = self.image_tags.get(tag)
        {
            if *current == found {
                return Err(Refusal::AlreadyThere);
            }
            if self.mutability.starts_with("IMMUTABLE") {
                return Err(Refusal::TagTaken(tag.to_owned()));
            }
        }
        let media_type = media_type
            .or_else(|| manifest["mediaType"].as_str())
            .unwrap_or(if is_index { "application/vnd.oci.image.index.v1+json" } else { OCI_MANIFEST })
            .to_owned();
        self.images.entry(found.clone()).or_insert_with(|| Image {
            digest: found.clone(),
            media_type,
            body: body.clone(),
            pushed: now,
        });
        if let Some(tag) = tag {
            self.image_tags.insert(tag.to_owned(), found.clone());
        }
        Ok(found)
    }

    fn remove_one(&mut self, id: &Value) -> Result<Vec<Value>, (&'static str, String)> {
        let (tag, digest) = (id["imageTag"].as_str(), id["imageDigest"].as_str());
        let target = match (tag, digest) {
            (None, None) => {
                return Err((
                    "MissingDigestAndTag",
                    "Invalid request parameters: both tag and digest cannot be null".to_owned(),
                ));
            }
            (Some(tag), _) => self.image_tags.get(tag).cloned(),
            (None, Some(digest)) if !digest.starts_with("sha256:") || digest.len() != 71 => {
                return Err((
                    "InvalidImageDigest",
                    "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
                        .to_owned(),
                ));
            }
            (None, Some(digest)) => Some(digest.to_owned()).filter(|digest| self.images.contains_key(digest)),
        };
        let Some(target) = target else { return Err(("ImageNotFound", "Requested image not found".to_owned())) };
        if tag.is_some() && digest.is_some_and(|digest| digest != target) {
            return Err(("ImageTagDoesNotMatchDigest", "Tag does not match digest".to_owned()));
        }
        let tags = self.tags_of(&target);
        let goes = tag.is_none() || tags.len() <= 1;
        let parents: Vec<&str> = self
            .images
            .values()
            .filter(|image| image.children().contains(&target))
            .map(|image| image.digest.as_str())
            .collect();
        if goes && !parents.is_empty() {
            return Err((
                "ImageReferencedByManifestList",
                format!("Requested image referenced by manifest list: [{}]", parents.join(", ")),
            ));
        }
        if let (Some(tag), false) = (tag, goes) {
            self.image_tags.remove(tag);
            return Ok(vec![json!({ "imageDigest": target, "imageTag": tag })]);
        }
        self.images.remove(&target);
        self.image_tags.retain(|_, digest| *digest != target);
        let used: std::collections::BTreeSet<String> = self
            .images
            .values()
            .flat_map(|image| {
                let manifest = image.parsed();
                let mut blobs = references(&manifest["layers"]);
                blobs.extend(manifest["config"]["digest"].as_str().map(str::to_owned));
                blobs
            })
            .collect();
        self.blobs.retain(|digest, _| used.contains(digest));
        Ok(if tags.is_empty() {
            vec![json!({ "imageDigest": target })]
        } else {
            tags.into_iter().map(|tag| json!({ "imageDigest": target, "imageTag": tag })).collect()
        })
    }
}

fn limited(ids: &Value) -> Result<Vec<Value>, ApiError> {
    let ids = ids.as_array().cloned().unwrap_or_default();
    if ids.is_empty() || ids.len() > 100 {
        return Err(ApiError::invalid(
            "Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have length between 1 and 100'",
        ));
    }
    Ok(ids)
}

impl Ecr {
    pub(super) fn no_image(&self, repository: &str, id: &Value) -> ApiError {
        ApiError::bad(
            "ImageNotFoundException",
            format!(
                "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the repository with name '{repository}' in the registry with id '{}'",
                id["imageDigest"].as_str().unwrap_or("null"),
                id["imageTag"].as_str().unwrap_or("null"),
                self.account
            ),
        )
    }

    pub(super) fn list_images(&self, input: &Value) -> Result<Value, ApiError> {
        let repository = self.find(input)?;
        let wanted = input["filter"]["tagStatus"].as_str().unwrap_or("ANY");
        let mut ids = Vec::new();
        for image in repository.images.values() {
            let tags = repository.tags_of(&image.digest);
            if tags.is_empty() && wanted != "TAGGED" {
                ids.push(json!({ "imageDigest": image.digest }));
            }
            if wanted != "UNTAGGED" {
                ids.extend(tags.into_iter().map(|tag| json!({ "imageDigest": image.digest, "imageTag": tag })));
            }
        }
        let (ids, next) = page(input, ids, 100, 1000)?;
        Ok(with_token(json!({ "imageIds": ids }), next))
    }

    pub(super) fn describe_images(&self, input: &Value) -> Result<Value, ApiError> {
        let repository = self.find(input)?;
        let mut found: Vec<&Image> = Vec::new();
        let by_ids = input["imageIds"].as_array().is_some_and(|ids| !ids.is_empty());
        if by_ids {
            for id in limited(&input["imageIds"])? {
                let reference = id["imageTag"].as_str().or_else(|| id["imageDigest"].as_str()).unwrap_or_default();
                let image = repository.image(reference).ok_or_else(|| self.no_image(&repository.name, &id))?;
                found.push(image);
            }
        } else {
            let wanted = input["filter"]["tagStatus"].as_str().unwrap_or("ANY");
            found.extend(repository.images.values().filter(|image| {
                let untagged = repository.tags_of(&image.digest).is_empty();
                wanted == "ANY" || (wanted == "UNTAGGED") == untagged
            }));
        }
        let (found, next) = page(input, found, 100, 1000)?;
        let details: Vec<Value> = found
            .into_iter()
            .map(|image| {
                let manifest = image.parsed();
                let mut detail = json!({
                    "registryId": self.account, "repositoryName": repository.name, "imageDigest": image.digest,
                    "imagePushedAt": seconds(image.pushed), "imageManifestMediaType": image.media_type,
                });
                if let Some(kind) = manifest["config"]["mediaType"].as_str() {
                    detail["artifactMediaType"] = json!(kind);
                    detail["imageSizeInBytes"] = json!(image.size());
                }
                let tags = repository.tags_of(&image.digest);
                if !tags.is_empty() {
                    detail["imageTags"] = json!(tags);
                }
                detail
            })
            .collect();
        Ok(with_token(json!({ "imageDetails": details }), next))
    }

    pub(super) fn batch_get_image(&self, input: &Value) -> Result<Value, ApiError> {
        let repository = self.find(input)?;
        let accepted = strings(&input["acceptedMediaTypes"]);
        let (mut images, mut failures) = (Vec::new(), Vec::new());
        for id in limited(&input["imageIds"])? {
            let reference = id["imageTag"].as_str().or_else(|| id["imageDigest"].as_str()).unwrap_or_default();
            match repository
                .image(reference)
                .filter(|image| accepted.is_empty() || accepted.contains(&image.media_type))
            {
                Some(image) => {
                    let mut image_id = json!({ "imageDigest": image.digest });
                    if let Some(tag) = id["imageTag"].as_str() {
                        image_id["imageTag"] = json!(tag);
                    }
                    images.push(json!({
                        "registryId": self.account, "repositoryName": repository.name, "imageId": image_id,
                        "imageManifest": String::from_utf8_lossy(&image.body), "imageManifestMediaType": image.media_type,
                    }));
                }
                None => failures.push(json!({
                    "imageId": id, "failureCode": "ImageNotFound", "failureReason": "Requested image not found",
                })),
            }
        }
        Ok(json!({ "images": images, "failures": failures }))
    }

    pub(super) fn batch_delete_image(&mut self, input: &Value) -> Result<Value, ApiError> {
        let ids = limited(&input["imageIds"])?;
        let repository = self.find_mut(input)?;
        let (mut deleted, mut failures) = (Vec::new(), Vec::new());
        for id in ids {
            match repository.remove_one(&id) {
                Ok(gone) => deleted.extend(gone),
                Err((code, reason)) => {
                    failures.push(json!({ "imageId": id, "failureCode": code, "failureReason": reason }));
                }
            }
        }
        Ok(json!({ "imageIds": deleted, "failures": failures }))
    }

    pub(super) fn put_image(&mut self, input: &Value, now: Timestamp) -> Result<Value, ApiError> {
        let body = Bytes::from(required(input, "imageManifest")?.to_owned());
        let (tag, kind) = (input["imageTag"].as_str(), input["imageManifestMediaType"].as_str());
        let account = self.account.clone();
        let repository = self.find_mut(input)?;
        let name = repository.name.clone();
        let place = format!("in the repository with name '{name}' in registry with id '{account}'");
        let digest = repository.put_manifest(now, &body, kind, tag, input["imageDigest"].as_str()).map_err(|refusal| {
            let (code, message) = match refusal {
                Refusal::Unreadable(why) => {
                    return ApiError::invalid(format!("Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax: {why}'"));
                }
                Refusal::MissingLayer(digest) => ("LayersNotFoundException", format!("Layers '[{digest}]' not found {place}")),
                Refusal::MissingManifest(digest) => ("ReferencedImagesNotFoundException", format!("Images '[{digest}]' not found {place}")),
                Refusal::TagTaken(tag) => (
                    "ImageTagAlreadyExistsException",
                    format!("The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag is immutable."),
                ),
                Refusal::AlreadyThere => ("ImageAlreadyExistsException", format!("Image with that digest and tag already exists {place}")),
                Refusal::WrongDigest(digest) => ("ImageDigestDoesNotMatchException", format!("The manifest's digest is {digest}")),
            };
            ApiError::bad(code, message)
        })?;
        let mut image_id = json!({ "imageDigest": digest });
        if let Some(tag) = tag {
            image_id["imageTag"] = json!(tag);
        }
        Ok(json!({ "image": {
            "registryId": account, "repositoryName": name, "imageId": image_id,
            "imageManifest": String::from_utf8_lossy(&body), "imageManifestMediaType": kind.unwrap_or(OCI_MANIFEST),
        }}))
    }
}
