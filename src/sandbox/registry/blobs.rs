//! Blobs: look, read (also ranges), and upload in one PUT, in chunks, or in one POST.
//!
//! Guarantees: `DIGEST_INVALID` for bytes that do not have the digest given. A mount answers 202 as ECR does by default:
//! the client uploads. A chunk is answered with 201 as ECR does (aws-facts §3.2), with a `Range` that advances.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};

use crate::sandbox::{
    ecr::{Upload, digest_of},
    state::World,
};

use super::{Answer, plain, query, refuse};

fn unsupported() -> Answer {
    refuse(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "The operation is unsupported.", Value::Null)
}

/// HEAD and GET of one blob.
pub(super) fn blob(world: &mut World, name: &str, digest: &str, request: &Request<Bytes>) -> Answer {
    let Some(blob) = world.ecr.repository_mut(name).and_then(|repository| repository.blobs.get(digest).cloned()) else {
        return refuse(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry", json!({ "digest": digest }));
    };
    let (length, kind) = (blob.len().to_string(), ("content-type", "application/octet-stream"));
    let common = [("docker-content-digest", digest), kind, ("accept-ranges", "bytes")];
    match *request.method() {
        Method::HEAD => {
            let mut headers = common.to_vec();
            headers.push(("content-length", length.as_str()));
            plain(StatusCode::OK, &headers, Bytes::new())
        }
        Method::GET => match request
            .headers()
            .get(header::RANGE)
            .map(|range| range_of(range.to_str().unwrap_or_default(), blob.len()))
        {
            None | Some(None) => plain(StatusCode::OK, &common, blob.as_ref().clone()),
            Some(Some(Err(()))) => {
                let range = format!("bytes */{length}");
                plain(StatusCode::RANGE_NOT_SATISFIABLE, &[("content-range", range.as_str())], Bytes::new())
            }
            Some(Some(Ok((first, last)))) => {
                let range = format!("bytes {first}-{last}/{length}");
                let mut headers = common.to_vec();
                headers.push(("content-range", range.as_str()));
                plain(StatusCode::PARTIAL_CONTENT, &headers, blob.slice(first..=last))
            }
        },
        _ => unsupported(),
    }
}

/// `bytes=A-B`, `bytes=A-`, `bytes=-N` over `length` bytes; `None` for anything else, which HTTP ignores.
fn range_of(text: &str, length: usize) -> Option<Result<(usize, usize), ()>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let count: usize = last.parse().ok()?;
        return Some(if count == 0 || length == 0 { Err(()) } else { Ok((length.saturating_sub(count), length - 1)) });
    }
    let first: usize = first.parse().ok()?;
    let last: usize = if last.is_empty() { usize::MAX } else { last.parse().ok()? };
    if last < first {
        return None;
    }
    Some(if first >= length { Err(()) } else { Ok((first, last.min(length - 1))) })
}

/// Starting, feeding, finishing, asking about and dropping an upload.
pub(super) fn uploads(world: &mut World, name: &str, id: &str, request: &Request<Bytes>) -> Answer {
    let digest = query(request.uri(), "digest");
    if id.is_empty() {
        if *request.method() != Method::POST {
            return unsupported();
        }
        let id = world.rng.uuid();
        world.ecr.uploads.insert(id.clone(), Upload { repository: name.to_owned(), data: Vec::new() });
        return match digest {
            Some(digest) => finish(world, name, &id, &digest, request.body()),
            None => standing(name, &id, 0, StatusCode::ACCEPTED),
        };
    }
    let Some(upload) = world.ecr.uploads.get_mut(id).filter(|upload| upload.repository == name) else {
        return refuse(
            StatusCode::NOT_FOUND,
            "BLOB_UPLOAD_UNKNOWN",
            "blob upload unknown to registry",
            json!({ "id": id }),
        );
    };
    match *request.method() {
        Method::GET => standing(name, id, upload.data.len(), StatusCode::NO_CONTENT),
        Method::PATCH => {
            let begins = request.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
            let begins =
                begins.and_then(|range| range.trim_start_matches("bytes ").split('-').next()?.parse::<usize>().ok());
            if begins.is_some_and(|first| first != upload.data.len()) {
                return standing(name, id, upload.data.len(), StatusCode::RANGE_NOT_SATISFIABLE);
            }
            upload.data.extend_from_slice(request.body());
            standing(name, id, upload.data.len(), StatusCode::CREATED)
        }
        Method::PUT => match digest {
            Some(digest) => finish(world, name, id, &digest, request.body()),
            None => {
                refuse(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "the query parameter digest is missing", Value::Null)
            }
        },
        Method::DELETE => {
            world.ecr.uploads.remove(id);
            plain(StatusCode::NO_CONTENT, &[], Bytes::new())
        }
        _ => unsupported(),
    }
}

/// Where an upload stands. The location has a query string, as ECR's has.
fn standing(name: &str, id: &str, length: usize, status: StatusCode) -> Answer {
    let location = format!("/v2/{name}/blobs/uploads/{id}?state={length}");
    let range = format!("0-{}", length.saturating_sub(1));
    let headers = [
        ("location", location.as_str()),
        ("docker-upload-uuid", id),
        ("range", range.as_str()),
        ("content-length", "0"),
    ];
    plain(status, if status == StatusCode::NO_CONTENT { &headers[..3] } else { &headers }, Bytes::new())
}

fn finish(world: &mut World, name: &str, id: &str, digest: &str, last: &Bytes) -> Answer {
    let Some(mut upload) = world.ecr.uploads.remove(id) else { return unsupported() };
    let data = if upload.data.is_empty() {
        last.clone()
    } else {
        upload.data.extend_from_slice(last);
        Bytes::from(upload.data)
    };
    let found = digest_of(&data);
    if found != digest {
        let detail = json!({ "expected": digest, "found": found });
        return refuse(
            StatusCode::BAD_REQUEST,
            "DIGEST_INVALID",
            "provided digest did not match uploaded content",
            detail,
        );
    }
    if let Some(repository) = world.ecr.repository_mut(name) {
        repository.blobs.insert(found.clone(), Arc::new(data));
    }
    let location = format!("/v2/{name}/blobs/{found}");
    let headers = [("location", location.as_str()), ("docker-content-digest", found.as_str()), ("content-length", "0")];
    plain(StatusCode::CREATED, &headers, Bytes::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_the_end_and_refused_beyond_it() {
        assert_eq!(range_of("bytes=0-3", 10), Some(Ok((0, 3))));
        assert_eq!(range_of("bytes=8-", 10), Some(Ok((8, 9))));
        assert_eq!(range_of("bytes=-4", 10), Some(Ok((6, 9))));
        assert_eq!(range_of("bytes=10-", 10), Some(Err(())));
        assert_eq!(range_of("items=1-2", 10), None);
    }
}
