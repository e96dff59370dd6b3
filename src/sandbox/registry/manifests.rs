//! Manifests and tags.
//!
//! Guarantees: a manifest comes back byte for byte with the media type it was put with, and `Docker-Content-Digest`.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};

use crate::sandbox::{ecr::Refusal, state::World};

use super::{Answer, plain, query, refuse};

/// GET, HEAD and PUT of `reference`, a tag or a digest.
pub(super) fn manifest(world: &mut World, name: &str, reference: &str, request: &Request<Bytes>) -> Answer {
    let now = world.now;
    let account = world.account.clone();
    let Some(repository) = world.ecr.repository_mut(name) else {
        return refuse(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            "repository name not known to registry",
            json!({ "name": name }),
        );
    };
    match *request.method() {
        Method::GET | Method::HEAD => {
            let Some(image) = repository.image(reference) else {
                return refuse(
                    StatusCode::NOT_FOUND,
                    "MANIFEST_UNKNOWN",
                    "Requested image not found",
                    json!({ "reference": reference }),
                );
            };
            let length = image.body.len().to_string();
            let mut headers =
                vec![("docker-content-digest", image.digest.as_str()), ("content-type", image.media_type.as_str())];
            if *request.method() == Method::HEAD {
                headers.push(("content-length", length.as_str()));
                return plain(StatusCode::OK, &headers, Bytes::new());
            }
            plain(StatusCode::OK, &headers, image.body.clone())
        }
        Method::PUT => {
            let is_digest = reference.starts_with("sha256:");
            let (tag, digest) = if is_digest { (None, Some(reference)) } else { (Some(reference), None) };
            if tag.is_some_and(|tag| !legal_tag(tag)) {
                return refuse(
                    StatusCode::BAD_REQUEST,
                    "TAG_INVALID",
                    "manifest tag did not match URI",
                    json!({ "tag": reference }),
                );
            }
            let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            match repository.put_manifest(now, request.body(), kind, tag, digest) {
                Ok(digest) => created(name, &digest),
                Err(Refusal::AlreadyThere) => created(name, &crate::sandbox::ecr::digest_of(request.body())),
                Err(refusal) => refused(refusal, name, &account),
            }
        }
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "The operation is unsupported.", Value::Null),
    }
}

fn created(name: &str, digest: &str) -> Answer {
    let location = format!("/v2/{name}/manifests/{digest}");
    let headers = [("location", location.as_str()), ("docker-content-digest", digest), ("content-length", "0")];
    plain(StatusCode::CREATED, &headers, Bytes::new())
}

fn refused(refusal: Refusal, name: &str, account: &str) -> Answer {
    let place = format!("in the repository with name '{name}' in registry with id '{account}'");
    let (code, message) = match refusal {
        Refusal::Unreadable(why) => ("MANIFEST_INVALID", format!("manifest invalid: {why}")),
        Refusal::MissingLayer(digest) => (
            "MANIFEST_BLOB_UNKNOWN",
            format!("Layers with digests '[{digest}]' required for pushed image do not exist {place}"),
        ),
        Refusal::MissingManifest(digest) => (
            "MANIFEST_BLOB_UNKNOWN",
            format!("Images with digests '[{digest}]' required for pushing image do not exist {place}"),
        ),
        Refusal::TagTaken(tag) => (
            "TAG_INVALID",
            format!(
                "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag is immutable."
            ),
        ),
        Refusal::AlreadyThere => ("TAG_INVALID", "the image is there already".to_owned()),
        Refusal::WrongDigest(found) => {
            ("DIGEST_INVALID", format!("provided digest did not match uploaded content: it is {found}"))
        }
    };
    refuse(StatusCode::BAD_REQUEST, code, message, Value::Null)
}

fn legal_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        && !tag.starts_with(['.', '-'])
}

/// `/tags/list`, paged by `n` and `last`.
pub(super) fn tags(world: &mut World, name: &str, uri: &http::Uri) -> Answer {
    let after = query(uri, "last").unwrap_or_default();
    let size = query(uri, "n").and_then(|size| size.parse::<usize>().ok()).unwrap_or(1000);
    let all: Vec<String> = world
        .ecr
        .repository_mut(name)
        .map(|repository| repository.image_tags.keys().cloned().collect())
        .unwrap_or_default();
    let mut tags: Vec<String> = all.into_iter().filter(|tag| after.is_empty() || *tag > after).collect();
    let more = tags.len() > size;
    tags.truncate(size);
    let link = format!("</v2/{name}/tags/list?n={size}&last={}>; rel=\"next\"", tags.last().map_or("", String::as_str));
    let mut headers = vec![("content-type", "application/json")];
    if more && !tags.is_empty() {
        headers.push(("link", link.as_str()));
    }
    plain(StatusCode::OK, &headers, Bytes::from(json!({ "name": name, "tags": tags }).to_string()))
}
