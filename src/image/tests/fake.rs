//! A registry in memory for tests, which misbehaves by rule: it refuses, cuts, loses answers and lies on purpose.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response};

use crate::image::{
    document::digest,
    login::{Keys, Login},
    registry::Registry,
    wire::Wire,
};
use crate::{
    domain::model::Fault,
    transport::{Transport, TransportError},
};

/// What happens to a request instead of its answer.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Nothing arrives.
    Cut,
    /// It is done, and the answer is lost.
    Lost,
    /// An answer with this status, headers and body, and no effect.
    Say(u16, Vec<(&'static str, String)>, &'static str),
    /// It is done, and the answer names another digest.
    Lie,
    /// The bytes are damaged on the way.
    Damage,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) blobs: BTreeMap<String, Bytes>,
    /// By digest.
    pub(super) manifests: BTreeMap<String, (String, Bytes)>,
    /// Tag → digest.
    pub(super) tags: BTreeMap<String, String>,
    uploads: BTreeSet<u64>,
    /// `PUT /v2/…`, in order.
    pub(super) log: Vec<String>,
    /// By the request's number, from 0.
    pub(super) acts: BTreeMap<usize, Act>,
    /// The header it wants, where it wants one.
    pub(super) wants: Option<String>,
    /// Headers that came, in order.
    pub(super) logins: Vec<String>,
}

/// The registry.
#[derive(Clone, Debug, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

impl Fake {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A client of it that asks `next` for logins.
    pub(super) fn client_with(&self, next: impl Fn() -> String + Send + Sync + 'static) -> Registry {
        let next = Arc::new(next);
        let keys = Keys::Asked(Arc::new(move || {
            let header = next();
            async move { Ok::<_, Fault>(header) }.boxed()
        }));
        Registry::new(Wire::Memory(Arc::new(self.clone())), "http://registry.invalid".into(), Login::new(keys))
    }

    pub(super) fn client(&self) -> Registry {
        self.client_with(|| "Basic fine".to_owned())
    }

    /// How many requests of a kind there were.
    pub(super) fn count(&self, part: &str) -> usize {
        self.state().log.iter().filter(|line| line.contains(part)).count()
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(body.into()).unwrap()
}

fn error(status: u16, code: &str) -> Response<Bytes> {
    answer(status, &[], format!(r#"{{"errors":[{{"code":"{code}","message":"it says {code}"}}]}}"#))
}

impl State {
    fn serve(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let (_, rest) = path.strip_prefix("/v2/").unwrap().split_once("/web/").unwrap();
        match (request.method().clone(), rest.split('/').collect::<Vec<_>>().as_slice()) {
            (Method::HEAD | Method::GET, ["blobs", wanted]) => match self.blobs.get(*wanted) {
                Some(bytes) => answer(200, &[], bytes.clone()),
                None => error(404, "BLOB_UNKNOWN"),
            },
            (Method::POST, ["blobs", "uploads", ""]) => {
                let id = self.log.len() as u64;
                self.uploads.insert(id);
                answer(202, &[("location", &format!("/v2/lab/web/blobs/uploads/{id}?state=x"))], "")
            }
            (Method::DELETE, ["blobs", "uploads", id]) => {
                self.uploads.remove(&id.parse().unwrap());
                answer(204, &[], "")
            }
            (Method::PUT, ["blobs", "uploads", id]) => {
                if !self.uploads.remove(&id.parse().unwrap()) {
                    return error(404, "BLOB_UPLOAD_UNKNOWN");
                }
                let wanted = query.split('&').find_map(|pair| pair.strip_prefix("digest=")).unwrap();
                if digest(request.body()) != wanted {
                    return error(400, "DIGEST_INVALID");
                }
                self.blobs.insert(wanted.to_owned(), request.body().clone());
                answer(201, &[("docker-content-digest", wanted)], "")
            }
            (Method::HEAD | Method::GET, ["manifests", target]) => {
                let target = self.tags.get(*target).map_or(*target, String::as_str);
                match self.manifests.get(target) {
                    Some((kind, bytes)) => {
                        answer(200, &[("docker-content-digest", target), ("content-type", kind)], bytes.clone())
                    }
                    None => error(404, "MANIFEST_UNKNOWN"),
                }
            }
            (Method::PUT, ["manifests", target]) => {
                let found = digest(request.body());
                let kind = request.headers()["content-type"].to_str().unwrap().to_owned();
                self.manifests.insert(found.clone(), (kind, request.body().clone()));
                if !target.starts_with("sha256:") {
                    self.tags.insert((*target).to_owned(), found.clone());
                }
                answer(201, &[("docker-content-digest", &found)], "")
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

impl Transport for Fake {
    fn send(&self, mut request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let mut state = self.state();
        let number = state.log.len();
        let line = format!("{} {}", request.method(), request.uri().path());
        state.log.push(line);
        let login = request.headers().get("authorization").map(|it| it.to_str().unwrap().to_owned());
        state.logins.extend(login.clone());
        let cut = |text: &str| Err(TransportError::Connection(text.to_owned()));
        let act = state.acts.get(&number).cloned();
        let result = match act {
            Some(Act::Cut) => cut("cut"),
            Some(Act::Say(status, headers, body)) => {
                let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                Ok(answer(status, &headers, body))
            }
            _ if state.wants.is_some() && state.wants != login => Ok(error(401, "UNAUTHORIZED")),
            Some(Act::Lost) => {
                state.serve(&request);
                cut("lost")
            }
            Some(Act::Lie) => {
                let mut answer = state.serve(&request);
                let other = digest(b"something else").parse().unwrap();
                answer.headers_mut().insert("docker-content-digest", other);
                Ok(answer)
            }
            Some(Act::Damage) => {
                let mut bytes = request.body().to_vec();
                bytes[0] ^= 1;
                *request.body_mut() = bytes.into();
                Ok(state.serve(&request))
            }
            None => Ok(state.serve(&request)),
        };
        Box::pin(async move { result })
    }
}
