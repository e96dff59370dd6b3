//! The registry's own protocol (OCI distribution 1.1) over TCP or in memory, with its two ways to log in.
//!
//! Every answer is read whole; what is pulled is a manifest or a configuration, never a layer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE},
};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    cloud::{Cloud, fault},
    domain::model::{Fault, FaultClass},
    transport::Transport,
};

/// Longest time of one request, plus the time to send a body at 1 MiB/s.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tries of a request that got no answer or a 5xx.
const TRIES: u32 = 4;

/// How bytes get there.
#[derive(Clone, Debug)]
enum Wire {
    Memory(Arc<dyn Transport>),
    Tcp(reqwest::Client),
}

/// One registry.
#[derive(Debug)]
pub(super) struct Registry {
    wire: Wire,
    endpoint: String,
    /// The `Authorization` header, once known.
    authorization: Mutex<Option<String>>,
}

fn broken(operation: &str, code: &str, message: impl std::fmt::Display) -> Fault {
    fault::own(FaultClass::Transient, operation, code, message.to_string(), None)
}

impl Registry {
    /// `authorization` is the header to send from the start, if any.
    pub(super) fn new(cloud: &Cloud, endpoint: String, authorization: Option<String>) -> Result<Self, Fault> {
        let wire = match cloud.registry_transport() {
            Some(transport) => Wire::Memory(transport),
            None => {
                // reqwest is built without a provider of its own; a second installation is refused and fine.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).build();
                Wire::Tcp(client.map_err(|error| broken("registry:Connect", "Connection", error))?)
            }
        };
        Ok(Self { wire, endpoint, authorization: Mutex::new(authorization) })
    }

    /// The absolute URL of a path (or of a `Location`, which may be absolute already).
    fn url(&self, place: &str) -> String {
        if place.starts_with("http://") || place.starts_with("https://") {
            place.to_owned()
        } else {
            format!("{}{place}", self.endpoint)
        }
    }

    async fn once(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let patience = PATIENCE + Duration::from_millis(request.body().len() as u64 / 1024);
        let sent = async {
            match &self.wire {
                Wire::Memory(transport) => transport.send(request).await.map_err(|error| error.to_string()),
                Wire::Tcp(client) => {
                    let request = reqwest::Request::try_from(request).map_err(|error| error.to_string())?;
                    let answer = client.execute(request).await.map_err(|error| chain(&error))?;
                    let mut whole = Response::builder().status(answer.status());
                    if let Some(headers) = whole.headers_mut() {
                        headers.extend(answer.headers().clone());
                    }
                    let body = answer.bytes().await.map_err(|error| chain(&error))?;
                    whole.body(body).map_err(|error| error.to_string())
                }
            }
        };
        tokio::time::timeout(patience, sent).await.unwrap_or_else(|_| Err("no answer within the time-out".to_owned()))
    }

    /// Sends it, logged in where asked for; tries again what may pass.
    pub(super) async fn send(
        &self,
        operation: &str,
        method: Method,
        place: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Bytes>, Fault> {
        let url = self.url(place);
        let mut tries = 0;
        let mut asked = false;
        loop {
            tries += 1;
            let mut request = Request::builder().method(method.clone()).uri(&url);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            // Never to another host: an upload's Location may be a store with its own signed URL.
            let own = url.starts_with(&self.endpoint);
            if let Some(authorization) = self.authorization.lock().await.as_ref().filter(|_| own) {
                request = request.header(AUTHORIZATION, authorization);
            }
            let request = request.body(body.clone()).map_err(|error| {
                fault::own(FaultClass::Rejected, operation, "Construction", error.to_string(), None)
            })?;
            match self.once(request).await {
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && !asked => {
                    asked = true;
                    let Some(bearer) = self.bearer(operation, answer.headers()).await? else {
                        return Err(refusal(operation, &answer));
                    };
                    *self.authorization.lock().await = Some(bearer);
                }
                Ok(answer) if answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS => {
                    if tries >= TRIES {
                        return Err(refusal(operation, &answer));
                    }
                    tokio::time::sleep(Duration::from_millis(250 << tries)).await;
                }
                Ok(answer) => return Ok(answer),
                Err(error) if tries >= TRIES => return Err(broken(operation, "Connection", error)),
                Err(_) => tokio::time::sleep(Duration::from_millis(250 << tries)).await,
            }
        }
    }

    /// Gets an anonymous token where the registry offers one (`WWW-Authenticate: Bearer realm=…`).
    async fn bearer(&self, operation: &str, headers: &HeaderMap) -> Result<Option<String>, Fault> {
        #[derive(Deserialize)]
        struct Token {
            #[serde(alias = "access_token")]
            token: String,
        }
        let challenge = headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(parts) = challenge.strip_prefix("Bearer ") else { return Ok(None) };
        let Some(realm) = member(parts, "realm") else { return Ok(None) };
        let query: Vec<(&str, &str)> =
            ["service", "scope"].into_iter().filter_map(|name| Some((name, member(parts, name)?))).collect();
        let query = serde_urlencoded::to_string(query).map_err(|error| broken(operation, "Login", error))?;
        let separator = if realm.contains('?') { '&' } else { '?' };
        let request = Request::get(format!("{realm}{separator}{query}")).body(Bytes::new());
        let request = request.map_err(|error| broken(operation, "Login", error))?;
        let answer = self.once(request).await.map_err(|error| broken(operation, "Connection", error))?;
        if !answer.status().is_success() {
            return Err(refusal(operation, &answer));
        }
        let token: Token = serde_json::from_slice(answer.body()).map_err(|error| broken(operation, "Login", error))?;
        Ok(Some(format!("Bearer {}", token.token)))
    }
}

/// An error with its causes: reqwest's own text leaves them out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// `name="value"` of a challenge.
fn member<'a>(parts: &'a str, name: &str) -> Option<&'a str> {
    let start = parts.find(&format!("{name}=\""))? + name.len() + 2;
    parts[start..].split('"').next()
}

/// A refusal in the registry's words: `{"errors":[{"code":…,"message":…}]}`.
pub(super) fn refusal(operation: &str, answer: &Response<Bytes>) -> Fault {
    let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let error = &body["errors"][0];
    let status = answer.status();
    let code = match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "DENIED",
        _ => "Registry",
    };
    let code = error["code"].as_str().unwrap_or(code);
    let message = error["message"].as_str().map_or_else(|| format!("HTTP status {status}"), ToOwned::to_owned);
    let mut fault = fault::fault(operation, code, &message, status.as_u16(), None);
    if status == StatusCode::NOT_FOUND {
        fault.class = FaultClass::NotFound;
    }
    if matches!(fault.class, FaultClass::NotFound | FaultClass::Denied) {
        let advice = "the image cannot be pulled: check its name and tag, and that these credentials may read it";
        fault.advice = Some(advice.to_owned());
    }
    fault
}

/// Where an upload goes on, as the registry said.
pub(super) fn location(answer: &Response<Bytes>) -> Option<&str> {
    answer.headers().get(LOCATION)?.to_str().ok()
}

/// A header as text.
pub(super) fn header<'a>(answer: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_taken_apart() {
        let parts = r#"realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull""#;
        assert_eq!(member(parts, "realm"), Some("https://auth.example/token"));
        assert_eq!(member(parts, "scope"), Some("repository:a/b:pull"));
        assert_eq!(member(parts, "nothing"), None);
    }

    #[test]
    fn a_refusal_keeps_the_registrys_code_and_words() {
        let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository not known"}]}"#;
        let answer = Response::builder().status(404).body(Bytes::from(body)).unwrap();
        let fault = refusal("registry:GetManifest", &answer);
        assert_eq!((fault.class, fault.code.as_str()), (FaultClass::NotFound, "NAME_UNKNOWN"));
        assert!(fault.advice.is_some());
    }
}
