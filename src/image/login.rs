//! Logging in to a registry, again when a login has run out: ECR's tokens, stored logins, bearer tokens.
//!
//! Must never show a password or token, and never send one to another host than the registry or the token service it
//! names (over TLS, unless the registry itself is local).

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use futures::{FutureExt, future::BoxFuture};
use http::{
    HeaderMap, Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{
    registry::{broken, refusal},
    wire::{Outgoing, PATIENCE, Wire},
};
use crate::{cloud::Cloud, domain::model::Fault};

/// Gives an `Authorization` header whenever it is asked.
pub(super) type Provider = Arc<dyn Fn() -> BoxFuture<'static, Result<String, Fault>> + Send + Sync>;

/// What a login can be had from.
pub(super) enum Keys {
    /// Somebody who can be asked again.
    Asked(Provider),
    /// Docker's stored logins, by the server's name there; where there is none: nobody in particular.
    Stored(String),
}

impl Keys {
    /// The account's own registry.
    pub(super) fn ecr(cloud: &Cloud) -> Self {
        let cloud = cloud.clone();
        Keys::Asked(Arc::new(move || {
            let cloud = cloud.clone();
            async move { Ok(cloud.registry_login().await?.authorization) }.boxed()
        }))
    }

    /// Docker's stored login for a host.
    pub(super) fn stored(host: &str) -> Self {
        let hub = ["docker.io", "registry-1.docker.io", "index.docker.io"].contains(&host);
        Keys::Stored(if hub { "https://index.docker.io/v1/".to_owned() } else { host.to_owned() })
    }
}

#[derive(Default)]
struct Current {
    header: Option<String>,
    /// Counts renewals.
    generation: u64,
}

/// A login, and how to renew it.
pub(super) struct Login {
    keys: Keys,
    current: Mutex<Current>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// A bearer challenge.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

impl Login {
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, current: Mutex::default() }
    }

    /// With a header that is known already.
    pub(super) fn with(keys: Keys, header: String) -> Self {
        Self { keys, current: Mutex::new(Current { header: Some(header), generation: 0 }) }
    }

    /// The header to send, if any, and which renewal it is of.
    pub(super) async fn header(&self) -> Result<(Option<String>, u64), Fault> {
        let mut current = self.current.lock().await;
        if current.header.is_none()
            && let Keys::Asked(provider) = &self.keys
        {
            current.header = Some(provider().await?);
        }
        Ok((current.header.clone(), current.generation))
    }

    /// A refusal for want of a good login, with what to do about that.
    pub(super) async fn explain(&self, refused: Fault) -> Fault {
        let Keys::Stored(server) = &self.keys else { return refused };
        let advice = match self.current.lock().await.header {
            None => format!("no login for it is stored: run `docker login {server}`"),
            Some(_) => {
                format!("it does not take the stored login: run `docker login {server}` again, or check its rights")
            }
        };
        Fault { advice: Some(advice), ..refused }
    }

    /// After a 401: gets another login, unless somebody did since `used`. False when there is none to be had.
    pub(super) async fn renew(
        &self,
        wire: &Wire,
        endpoint: &str,
        operation: &str,
        headers: &HeaderMap,
        used: u64,
    ) -> Result<bool, Fault> {
        let mut current = self.current.lock().await;
        if current.generation != used {
            return Ok(true);
        }
        let header = match &self.keys {
            Keys::Asked(provider) => Some(provider().await?),
            Keys::Stored(server) => {
                let stored = stored(server).await;
                match (challenge(headers), stored) {
                    (Some(challenge), stored) => {
                        Some(bearer(wire, endpoint, operation, &challenge, stored.as_ref()).await?)
                    }
                    (None, Some(DockerCredential::UsernamePassword(user, password))) => Some(basic(&user, &password)),
                    (None, _) => None,
                }
            }
        };
        let Some(header) = header else { return Ok(false) };
        *current = Current { header: Some(header), generation: used + 1 };
        Ok(true)
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Docker's stored login; asking may run a helper program, so it is done off the async threads.
async fn stored(server: &str) -> Option<DockerCredential> {
    let name = server.to_owned();
    let found = tokio::task::spawn_blocking(move || docker_credential::get_credential(&name)).await.ok()?;
    match found {
        Ok(login) => Some(login),
        Err(CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound) => None,
        // Its own text may hold what a helper printed.
        Err(_) => {
            tracing::warn!(server, "the stored login cannot be read; going on without one");
            None
        }
    }
}

/// The bearer challenge among the answer's headers.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).find_map(|text| {
        let (scheme, parts) = text.split_once(' ')?;
        let member = |name: &str| member(parts, name).map(ToOwned::to_owned);
        let bearer = scheme.eq_ignore_ascii_case("bearer");
        bearer
            .then(|| Some(Challenge { realm: member("realm")?, service: member("service"), scope: member("scope") }))?
    })
}

/// `name="value"` of a challenge.
fn member<'a>(parts: &'a str, name: &str) -> Option<&'a str> {
    let start = parts.find(&format!("{name}=\""))? + name.len() + 2;
    parts[start..].split('"').next()
}

async fn bearer(
    wire: &Wire,
    endpoint: &str,
    operation: &str,
    challenge: &Challenge,
    stored: Option<&DockerCredential>,
) -> Result<String, Fault> {
    #[derive(Deserialize)]
    struct Token {
        token: Option<String>,
        // Some services send the one, some the other, some both.
        access_token: Option<String>,
    }
    if endpoint.starts_with("https://") && !challenge.realm.starts_with("https://") {
        return Err(broken(operation, "Login", "the registry sends us to a token service without TLS"));
    }
    let service = challenge.service.as_deref().map(|service| ("service", service));
    let scope = challenge.scope.as_deref().map(|scope| ("scope", scope));
    let mut fields: Vec<(&str, &str)> = service.into_iter().chain(scope).collect();
    let unusable = |error: &dyn std::fmt::Display| broken(operation, "Login", error);
    let request = if let Some(DockerCredential::IdentityToken(token)) = stored {
        fields.extend([("grant_type", "refresh_token"), ("refresh_token", token.as_str()), ("client_id", "labguard")]);
        let body = serde_urlencoded::to_string(fields).map_err(|error| unusable(&error))?;
        Request::builder()
            .method(Method::POST)
            .uri(&challenge.realm)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Outgoing::Bytes(body.into()))
    } else {
        let query = serde_urlencoded::to_string(fields).map_err(|error| unusable(&error))?;
        let separator = if challenge.realm.contains('?') { '&' } else { '?' };
        let mut request = Request::get(format!("{}{separator}{query}", challenge.realm));
        if let Some(DockerCredential::UsernamePassword(user, password)) = stored {
            request = request.header(AUTHORIZATION, basic(user, password));
        }
        request.body(Outgoing::Bytes(Bytes::new()))
    };
    let request = request.map_err(|error| unusable(&error))?;
    let asked = async {
        let (parts, body) = wire.send(request).await?.into_parts();
        Ok::<_, String>(http::Response::from_parts(parts, body.whole().await?))
    };
    let answer =
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err("no answer in a minute".to_owned()));
    let answer = answer.map_err(|error| broken(operation, "Connection", error))?;
    if !answer.status().is_success() {
        return Err(refusal(&challenge.realm, operation, &answer));
    }
    let token: Token = serde_json::from_slice(answer.body()).map_err(|error| unusable(&error))?;
    let token = token.token.or(token.access_token).ok_or_else(|| unusable(&"no token in the answer"))?;
    Ok(format!("Bearer {token}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_taken_apart() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=\"x\"".parse().unwrap());
        assert_eq!(challenge(&headers), None);
        let text =
            r#"bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#;
        headers.append(WWW_AUTHENTICATE, text.parse().unwrap());
        let found = challenge(&headers).unwrap();
        assert_eq!(found.realm, "https://auth.example/token");
        assert_eq!(found.scope.as_deref(), Some("repository:a/b:pull,push"));
    }

    #[test]
    fn the_hub_has_an_old_name_among_stored_logins() {
        let Keys::Stored(server) = Keys::stored("docker.io") else { panic!("stored") };
        assert_eq!(server, "https://index.docker.io/v1/");
    }
}
