//! The registry: the OCI distribution protocol under `/v2/`, as ECR speaks it.
//!
//! Guarantees: nothing without a token from GetAuthorizationToken; a blob or manifest is kept only under its true digest;
//! errors are in the protocol's own shape. Never creates a repository on push, as ECR does not.

mod blobs;
mod manifests;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};

use super::state::World;

/// An answer of the registry.
pub(super) type Answer = Response<Bytes>;

/// An answer without a body. Header values that HTTP cannot carry are left out.
fn plain(status: StatusCode, headers: &[(&str, &str)], body: Bytes) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let map: &mut HeaderMap = response.headers_mut();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(*name), header::HeaderValue::from_str(value)) {
            map.insert(name, value);
        }
    }
    map.insert("docker-distribution-api-version", header::HeaderValue::from_static("registry/2.0"));
    response
}

/// An error in the protocol's shape.
fn refuse(status: StatusCode, code: &str, message: impl Into<String>, detail: Value) -> Answer {
    let body = json!({ "errors": [{ "code": code, "message": message.into(), "detail": detail }] });
    plain(status, &[("content-type", "application/json; charset=utf-8")], Bytes::from(body.to_string()))
}

/// The value of `name` in a query string.
fn query(uri: &http::Uri, name: &str) -> Option<String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap_or_default();
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn authorised(world: &World, headers: &HeaderMap) -> bool {
    let Some(given) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else { return false };
    let Some((scheme, token)) = given.split_once(' ') else { return false };
    let Ok(plain) = STANDARD.decode(token.trim()) else { return false };
    let plain = String::from_utf8_lossy(&plain).into_owned();
    scheme.eq_ignore_ascii_case("basic")
        && plain.strip_prefix("AWS:").is_some_and(|password| world.ecr.password_is_good(world.now, password))
}

/// One request to `/v2/…`.
pub fn handle(world: &mut World, request: Request<Bytes>) -> Answer {
    let path = request.uri().path().to_owned();
    if !authorised(world, request.headers()) {
        let realm = format!("Basic realm=\"http://{}/\",service=\"ecr.amazonaws.com\"", world.ecr.registry_host());
        let body = Bytes::from_static(b"Not Authorized\n");
        return plain(
            StatusCode::UNAUTHORIZED,
            &[("www-authenticate", realm.as_str()), ("content-type", "text/plain")],
            body,
        );
    }
    let Some(rest) = path.strip_prefix("/v2/") else {
        return plain(StatusCode::OK, &[("content-type", "application/json")], Bytes::from_static(b"{}"));
    };
    if rest.is_empty() {
        return plain(StatusCode::OK, &[("content-type", "application/json")], Bytes::from_static(b"{}"));
    }
    let Some((name, area, reference)) = split(rest) else {
        return refuse(StatusCode::NOT_FOUND, "UNSUPPORTED", "The operation is unsupported.", Value::Null);
    };
    if world.ecr.repository_mut(&name).is_none() {
        let message =
            format!("The repository with name '{name}' does not exist in the registry with id '{}'", world.account);
        return refuse(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message, json!({ "name": name }));
    }
    match area {
        Area::Uploads => blobs::uploads(world, &name, &reference, &request),
        Area::Blobs => blobs::blob(world, &name, &reference, &request),
        Area::Manifests => manifests::manifest(world, &name, &reference, &request),
        Area::Tags if request.method() == Method::GET => manifests::tags(world, &name, request.uri()),
        Area::Tags => {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "The operation is unsupported.", Value::Null)
        }
    }
}

/// What stands behind a repository's name in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Area {
    Uploads,
    Blobs,
    Manifests,
    Tags,
}

/// Repository, area and reference of the path behind `/v2/`. Names may contain slashes.
fn split(rest: &str) -> Option<(String, Area, String)> {
    let areas = [
        ("/blobs/uploads", Area::Uploads),
        ("/blobs/", Area::Blobs),
        ("/manifests/", Area::Manifests),
        ("/tags/list", Area::Tags),
    ];
    areas.into_iter().find_map(|(marker, area)| {
        let at = rest.rfind(marker)?;
        let reference = rest[at + marker.len()..].trim_start_matches('/');
        Some((rest[..at].to_owned(), area, reference.to_owned()))
    })
}
