//! ECR: repositories, images by digest and tag, and what a pull gets.
//!
//! Guarantees: blobs and manifests are kept under the SHA-256 they were checked against; an image keeps its tags in one
//! place. Never fetches anything from a real registry.

mod images;
mod layers;
mod pull;
mod repositories;
mod scan;
mod tags;

use std::{collections::BTreeMap, sync::Arc};

use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::domain::model::{Span, Timestamp};

pub(super) use images::Refusal;
pub use pull::PulledImage;

use super::{ids::Ids, state::World, wire::ApiError};

/// How long an authorization token is good for (aws-facts §3.1).
const TOKEN_LIFE: Span = Span::from_secs(12 * 3600);

/// The state of ECR in one account and region.
#[derive(Debug)]
pub struct Ecr {
    region: String,
    account: String,
    /// `host:port` in front of a repository's name.
    host: String,
    endpoint: String,
    repositories: BTreeMap<String, Repository>,
    passwords: BTreeMap<String, Timestamp>,
    pub(super) uploads: BTreeMap<String, Upload>,
}

/// A repository.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) name: String,
    created: Timestamp,
    mutability: String,
    scan_on_push: bool,
    encryption: Value,
    tags: BTreeMap<String, String>,
    lifecycle_policy: Option<(String, Timestamp)>,
    pub(super) images: BTreeMap<String, Image>,
    /// Tag → digest.
    pub(super) image_tags: BTreeMap<String, String>,
    pub(super) blobs: BTreeMap<String, Arc<Bytes>>,
}

/// A manifest or an index.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) digest: String,
    pub(super) media_type: String,
    pub(super) body: Bytes,
    pushed: Timestamp,
}

/// An upload under way: to which repository, and its bytes so far.
#[derive(Debug, Default)]
pub(super) struct Upload {
    pub(super) repository: String,
    pub(super) data: Vec<u8>,
}

/// `sha256:…` of `bytes`.
#[must_use]
pub(super) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Ecr {
    /// A fresh account; `endpoint` is where the registry answers (none in memory).
    #[must_use]
    pub fn new(region: &str, account: &str, endpoint: Option<&str>) -> Self {
        let in_memory = format!("{account}.dkr.ecr.{region}.labguard.invalid");
        let host = endpoint
            .map(|url| {
                url.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').to_owned()
            })
            .unwrap_or(in_memory);
        Self {
            region: region.to_owned(),
            account: account.to_owned(),
            endpoint: endpoint.map_or_else(|| format!("http://{host}"), |url| url.trim_end_matches('/').to_owned()),
            host,
            repositories: BTreeMap::new(),
            passwords: BTreeMap::new(),
            uploads: BTreeMap::new(),
        }
    }

    /// The host (and port) of repository URIs.
    #[must_use]
    pub fn registry_host(&self) -> &str {
        &self.host
    }

    /// Every repository, since a fresh account has none.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        self.repositories.keys().map(|name| format!("ecr repository {name}")).collect()
    }

    /// What bears tags, for the tagging API: ARN and tags.
    #[must_use]
    pub fn tagged(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let tagged = self.repositories.values().filter(|repository| !repository.tags.is_empty());
        tagged.map(|repository| (self.arn(&repository.name), repository.tags.clone())).collect()
    }

    /// Whether `password` was issued and is still good.
    #[must_use]
    pub(super) fn password_is_good(&self, now: Timestamp, password: &str) -> bool {
        self.passwords.get(password).is_some_and(|expires| now < *expires)
    }

    /// The repository called `name`, for the registry.
    pub(super) fn repository_mut(&mut self, name: &str) -> Option<&mut Repository> {
        self.repositories.get_mut(name)
    }

    fn arn(&self, name: &str) -> String {
        format!("arn:aws:ecr:{}:{}:repository/{name}", self.region, self.account)
    }

    fn missing(&self, name: &str) -> ApiError {
        ApiError::bad(
            "RepositoryNotFoundException",
            format!("The repository with name '{name}' does not exist in the registry with id '{}'", self.account),
        )
    }

    fn find(&self, input: &Value) -> Result<&Repository, ApiError> {
        let name = self.asked(input)?;
        self.repositories.get(name).ok_or_else(|| self.missing(name))
    }

    fn find_mut(&mut self, input: &Value) -> Result<&mut Repository, ApiError> {
        let name = self.asked(input)?.to_owned();
        let missing = self.missing(&name);
        self.repositories.get_mut(&name).ok_or(missing)
    }

    fn asked<'a>(&self, input: &'a Value) -> Result<&'a str, ApiError> {
        if let Some(registry) = input["registryId"].as_str().filter(|id| *id != self.account) {
            let message = format!("The registry with id '{registry}' is not yours: this is the labguard sandbox");
            return Err(ApiError::bad("RepositoryNotFoundException", message));
        }
        super::wire::required(input, "repositoryName")
    }

    fn token(&mut self, ids: &mut Ids, now: Timestamp) -> Value {
        self.passwords.retain(|_, expires| now < *expires);
        let password = ids.hex(64);
        let token = base64::engine::general_purpose::STANDARD.encode(format!("AWS:{password}"));
        let expires = now + TOKEN_LIFE;
        self.passwords.insert(password, expires);
        json!({ "authorizationData": [{
            "authorizationToken": token, "expiresAt": seconds(expires), "proxyEndpoint": self.endpoint,
        }]})
    }
}

/// A timestamp as AWS's JSON writes it.
fn seconds(at: Timestamp) -> Value {
    json!(at.as_millis() as f64 / 1000.0)
}

/// One page of `all` by `maxResults` and `nextToken`.
///
/// # Errors
/// `InvalidParameterException` for a page size out of 1..=`most` or a token that is none.
pub(super) fn page<T>(
    input: &Value,
    all: Vec<T>,
    default: usize,
    most: usize,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let size = match &input["maxResults"] {
        Value::Null => default,
        given => given
            .as_u64()
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| (1..=most).contains(size))
            .ok_or_else(|| {
                ApiError::invalid(format!(
                    "Invalid parameter at 'maxResults' failed to satisfy constraint: must be between 1 and {most}"
                ))
            })?,
    };
    let start = match input["nextToken"].as_str() {
        None => 0,
        Some(token) => {
            token.strip_prefix("page-").and_then(|number| number.parse::<usize>().ok()).ok_or_else(|| {
                ApiError::invalid("Invalid parameter at 'nextToken' failed to satisfy constraint: 'unknown token'")
            })?
        }
    };
    let next = (all.len() > start + size).then(|| format!("page-{}", start + size));
    Ok((all.into_iter().skip(start).take(size).collect(), next))
}

/// Puts `nextToken` into an answer when there is one.
fn with_token(mut answer: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    answer
}

/// One call.
///
/// # Errors
/// ECR's own exceptions; `UnknownOperationException` for an operation the sandbox does not have.
pub fn call(world: &mut World, op: &str, input: Value) -> Result<Value, ApiError> {
    let scanning = world.latency.scanning;
    let (now, ids, ecr) = (world.now, &mut world.rng, &mut world.ecr);
    match op {
        "GetAuthorizationToken" => Ok(ecr.token(ids, now)),
        "DescribeRegistry" => Ok(json!({ "registryId": ecr.account, "replicationConfiguration": { "rules": [] } })),
        "CreateRepository" => ecr.create_repository(&input, now),
        "DescribeRepositories" => ecr.describe_repositories(&input),
        "DeleteRepository" => ecr.delete_repository(&input),
        "PutLifecyclePolicy" => ecr.put_lifecycle_policy(&input, now),
        "GetLifecyclePolicy" => ecr.get_lifecycle_policy(&input),
        "ListTagsForResource" => ecr.list_tags(&input),
        "TagResource" => ecr.tag(&input),
        "UntagResource" => ecr.untag(&input),
        "ListImages" => ecr.list_images(&input),
        "DescribeImages" => ecr.describe_images(&input),
        "BatchGetImage" => ecr.batch_get_image(&input),
        "BatchDeleteImage" => ecr.batch_delete_image(&input),
        "PutImage" => ecr.put_image(&input, now),
        "DescribeImageScanFindings" => ecr.scan_findings(&input, now, scanning),
        "BatchCheckLayerAvailability" => ecr.check_layers(&input),
        "GetDownloadUrlForLayer" => ecr.download_url(&input),
        "InitiateLayerUpload" => ecr.initiate_upload(ids, &input),
        "UploadLayerPart" => ecr.upload_part(&input),
        "CompleteLayerUpload" => ecr.complete_upload(&input),
        other => Err(ApiError::unknown_operation(other)),
    }
}

#[cfg(test)]
mod tests;
