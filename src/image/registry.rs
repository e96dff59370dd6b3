//! The registry's own protocol (OCI distribution 1.1): requests that are logged in, retried by class, and never show a
//! login to another host. Layers stream; everything else is small and read whole.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, LOCATION},
};
use tokio::sync::mpsc;

use super::{
    content::Chunks,
    login::Login,
    retry::{Tries, asked_to_wait, may_pass},
    wire::{Incoming, Outgoing, PATIENCE, Wire},
};
use crate::{
    cloud::fault,
    domain::model::{Fault, FaultClass},
};

/// Redirects followed for one download.
const HOPS: u32 = 4;

/// One registry.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) wire: Wire,
    /// `https://HOST`, without a slash at the end.
    endpoint: String,
    login: Login,
}

/// A blob at a registry, to be copied from there.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub(super) registry: Arc<Registry>,
    pub(super) repository: String,
    pub(super) digest: String,
    pub(super) size: u64,
}

/// One try: what came of it, and which login was used.
pub(super) struct Tried<T> {
    pub(super) result: Result<Response<T>, String>,
    generation: u64,
}

pub(super) fn broken(operation: &str, code: &str, message: impl std::fmt::Display) -> Fault {
    fault::own(FaultClass::Transient, operation, code, message.to_string(), None)
}

/// Whether two URLs have the same scheme, host and port.
fn same_origin(one: &str, other: &str) -> bool {
    let origin = |text: &str| {
        let uri: Uri = text.parse().ok()?;
        Some((uri.scheme_str()?.to_owned(), uri.authority()?.as_str().to_ascii_lowercase()))
    };
    matches!((origin(one), origin(other)), (Some(one), Some(other)) if one == other)
}

impl Registry {
    pub(super) fn new(wire: Wire, endpoint: String, login: Login) -> Self {
        Self { wire, endpoint: endpoint.trim_end_matches('/').to_owned(), login }
    }

    /// The absolute URL of a path (or of a `Location`, which may be absolute already).
    pub(super) fn url(&self, place: &str) -> String {
        if place.starts_with("http://") || place.starts_with("https://") {
            place.to_owned()
        } else {
            format!("{}{place}", self.endpoint)
        }
    }

    /// One try; the answer's body is still to be read.
    pub(super) async fn attempt(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Outgoing,
    ) -> Result<Tried<Incoming>, Fault> {
        let (login, generation) = self.login.header().await?;
        let mut request = Request::builder().method(method.clone()).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // Never to another host: an upload's Location may be a store with its own signed URL.
        if let Some(login) = login.filter(|_| same_origin(url, &self.endpoint)) {
            request = request.header(AUTHORIZATION, login);
        }
        let request = request.body(body).map_err(|error| {
            fault::own(FaultClass::Rejected, "registry:Request", "Construction", error.to_string(), None)
        })?;
        Ok(Tried { result: self.wire.send(request).await, generation })
    }

    /// One try with a small body and a small answer, within a minute.
    async fn small(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Tried<Bytes>, Fault> {
        let tried = async {
            let tried = self.attempt(method, url, headers, Outgoing::Bytes(body)).await?;
            Ok::<_, Fault>(tried.whole().await)
        };
        let late = || Tried { result: Err("no answer within a minute".to_owned()), generation: u64::MAX };
        tokio::time::timeout(PATIENCE, tried).await.unwrap_or_else(|_| Ok(late()))
    }

    /// The answer, unless it is worth another try: then none, after the wait or the new login that it takes.
    ///
    /// # Errors
    /// The registry's refusal, when all tries are used up.
    pub(super) async fn settle(
        &self,
        operation: &str,
        tries: &mut Tries,
        tried: Tried<Bytes>,
    ) -> Result<Option<Response<Bytes>>, Fault> {
        let answer = match tried.result {
            Err(error) => {
                return self.wait(tries, None, || broken(operation, "Connection", error)).await;
            }
            Ok(answer) => answer,
        };
        if login_is_needed(&answer) {
            if tries.logged_in
                || !self.login.renew(&self.wire, &self.endpoint, operation, answer.headers(), tried.generation).await?
            {
                return Err(self.login.explain(self.refusal(operation, &answer)).await);
            }
            tries.logged_in = true;
            return Ok(None);
        }
        if may_pass(&answer) {
            return self.wait(tries, asked_to_wait(&answer), || self.refusal(operation, &answer)).await;
        }
        Ok(Some(answer))
    }

    /// What the registry's answer says that is no success, with its name.
    pub(super) fn refusal(&self, operation: &str, answer: &Response<Bytes>) -> Fault {
        let host = self.endpoint.split_once("://").map_or(self.endpoint.as_str(), |(_, host)| host);
        refusal(host, operation, answer)
    }

    /// Waits for the next try, or gives up with `last`, and says how often it was tried.
    pub(super) async fn wait<T>(
        &self,
        tries: &mut Tries,
        asked: Option<Duration>,
        last: impl FnOnce() -> Fault,
    ) -> Result<Option<T>, Fault> {
        match tries.again(asked) {
            Some(wait) => {
                tokio::time::sleep(wait).await;
                Ok(None)
            }
            None => {
                let last = last();
                let advice = last.advice.unwrap_or_else(|| {
                    format!("it was tried {} times; try again later: what has arrived is not sent again", tries.made())
                });
                Err(Fault { advice: Some(advice), ..last })
            }
        }
    }

    /// Sends a small request until it is answered for good.
    ///
    /// # Errors
    /// No answer, 5xx or 429 after all tries; 401 after a new login. Every other status is an answer.
    pub(super) async fn send(
        &self,
        operation: &str,
        method: Method,
        place: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Bytes>, Fault> {
        let url = self.url(place);
        let mut tries = Tries::default();
        loop {
            let tried = self.small(&method, &url, headers, body.clone()).await?;
            if let Some(answer) = self.settle(operation, &mut tries, tried).await? {
                return Ok(answer);
            }
        }
    }

    /// Drops an upload that will not be finished; whether the registry heard it does not matter.
    pub(super) async fn forget(&self, place: &str) {
        let asked = self.attempt(&Method::DELETE, place, &[], Outgoing::Bytes(Bytes::new()));
        drop(tokio::time::timeout(Duration::from_secs(5), asked).await);
    }

    /// Opens a download, over redirects.
    async fn get(&self, operation: &str, place: &str) -> Result<Incoming, Fault> {
        let mut url = self.url(place);
        let (mut tries, mut hops) = (Tries::default(), 0);
        loop {
            let asked = self.attempt(&Method::GET, &url, &[], Outgoing::Bytes(Bytes::new()));
            let tried = match tokio::time::timeout(PATIENCE, asked).await {
                Ok(tried) => tried?,
                Err(_) => Tried { result: Err("no answer within a minute".to_owned()), generation: u64::MAX },
            };
            match tried.result {
                Ok(answer) if answer.status() == StatusCode::OK => return Ok(answer.into_body()),
                Ok(answer) if answer.status().is_redirection() && hops < HOPS => {
                    hops += 1;
                    let next =
                        header(&answer, "location").ok_or_else(|| broken(operation, "Redirect", "it leads nowhere"))?;
                    url = self.url(next);
                }
                other => {
                    let tried = Tried { result: other, generation: tried.generation }.whole().await;
                    if let Some(answer) = self.settle(operation, &mut tries, tried).await? {
                        return Err(self.refusal(operation, &answer));
                    }
                    // A place that it was sent to may be no good any more.
                    (url, hops) = (self.url(place), 0);
                }
            }
        }
    }
}

impl Tried<Incoming> {
    /// With the answer's whole body.
    pub(super) async fn whole(self) -> Tried<Bytes> {
        let result = match self.result {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                body.whole().await.map(|body| Response::from_parts(parts, body))
            }
            Err(error) => Err(error),
        };
        Tried { result, generation: self.generation }
    }
}

impl Remote {
    /// How people call it.
    pub(super) fn name(&self) -> String {
        format!("{}/{}@{}", self.registry.endpoint, self.repository, self.digest)
    }

    /// Streams it. A break in the middle is a `Transient` fault: begin anew.
    pub(super) async fn open(&self) -> Result<Chunks, Fault> {
        let operation = "registry:GetBlob";
        let place = format!("/v2/{}/blobs/{}", self.repository, self.digest);
        let mut body = self.registry.get(operation, &place).await?;
        let (tx, rx) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let next = match body.next().await {
                    Ok(None) => return,
                    Ok(Some(chunk)) => Ok(chunk),
                    Err(error) => Err(broken(operation, "Connection", error)),
                };
                let last = next.is_err();
                if tx.send(next).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(Chunks::new(rx))
    }
}

/// A 401; or ECR's 403 for a token that has run out.
fn login_is_needed(answer: &Response<Bytes>) -> bool {
    let expired = || String::from_utf8_lossy(answer.body()).contains("authorization token has expired");
    answer.status() == StatusCode::UNAUTHORIZED || (answer.status() == StatusCode::FORBIDDEN && expired())
}

/// A refusal by `host` in its own words: `{"errors":[{"code":…,"message":…}]}` (OCI distribution 1.1, "Error Codes").
pub(super) fn refusal(host: &str, operation: &str, answer: &Response<Bytes>) -> Fault {
    let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let error = &body["errors"][0];
    let status = answer.status();
    let unnamed = match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED".to_owned(),
        StatusCode::FORBIDDEN => "DENIED".to_owned(),
        _ => format!("HTTP {}", status.as_u16()),
    };
    let code = error["code"].as_str().unwrap_or(&unnamed);
    let message = match error["message"].as_str() {
        Some(words) => format!("{host}: {words}"),
        None => format!("{host} gives no reason but {}", status.canonical_reason().unwrap_or("that number")),
    };
    let mut fault = fault::fault(operation, code, &message, status.as_u16(), None);
    if status == StatusCode::NOT_FOUND {
        fault.class = FaultClass::NotFound;
    }
    if matches!(fault.class, FaultClass::NotFound | FaultClass::Denied) {
        let advice = if operation.starts_with("registry:Get") {
            "the image cannot be pulled: check its name and tag, and that these credentials may read it"
        } else {
            "check the repository's name, and that these credentials may push to it"
        };
        fault.advice = Some(advice.to_owned());
    }
    fault
}

/// Where an upload goes on, as the registry said.
pub(super) fn location(answer: &Response<Bytes>) -> Option<&str> {
    answer.headers().get(LOCATION)?.to_str().ok()
}

/// A header as text.
pub(super) fn header<'a, T>(answer: &'a Response<T>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_the_registrys_code_and_words() {
        let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository not known"}]}"#;
        let answer = Response::builder().status(404).body(Bytes::from(body)).unwrap();
        let fault = refusal("registry.example", "registry:GetManifest", &answer);
        assert_eq!((fault.class, fault.code.as_str()), (FaultClass::NotFound, "NAME_UNKNOWN"));
        assert_eq!(fault.message, "registry.example: repository not known");
        assert!(fault.advice.is_some());
    }

    #[test]
    fn a_refusal_without_words_names_the_registry_and_the_status() {
        let answer = Response::builder().status(502).body(Bytes::from_static(b"<html>")).unwrap();
        let fault = refusal("registry.example", "registry:Upload", &answer);
        assert_eq!(fault.class, FaultClass::Transient);
        let said = "registry:Upload answered HTTP 502: registry.example gives no reason but Bad Gateway";
        assert_eq!(fault.to_string(), said);
    }

    #[test]
    fn another_port_or_scheme_is_another_host() {
        assert!(same_origin("http://h.example:50/v2/x?a=b", "http://H.example:50"));
        assert!(!same_origin("http://h.example:5000/v2/", "http://h.example:50"));
        assert!(!same_origin("https://h.example/", "http://h.example/"));
        assert!(!same_origin("http://h.example.evil/", "http://h.example"));
    }
}
