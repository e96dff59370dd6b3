//! One blob to the registry: a look, a POST, one PUT of all its bytes (aws-facts §3.2: ECR's chunked upload is off the
//! specification).
//!
//! Guarantees: the last bytes are held back until the check has passed, so that a blob that must not be stored is not;
//! after a break the registry is looked at again, and the upload begun anew. Never goes on with a half-sent upload.

use std::{io, time::Duration};

use bytes::Bytes;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use http::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{
    content::Content,
    document::digest,
    refused,
    registry::{Registry, broken, header, location},
    retry::Tries,
    wire::{Incoming, Outgoing, PATIENCE},
};
use crate::domain::model::{Fault, FaultClass};

const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

/// How long a registry may think about a blob that it has all of.
const THINKING: Duration = Duration::from_secs(300);

/// What the check of a blob says, now or later.
pub(super) type Verdict = Shared<BoxFuture<'static, Result<(), Fault>>>;

/// A verdict that is known.
pub(super) fn passed() -> Verdict {
    futures::future::ready(Ok(())).boxed().shared()
}

/// One blob on its way.
pub(super) struct Upload<'a> {
    pub(super) registry: &'a Registry,
    pub(super) repository: &'a str,
    pub(super) digest: &'a str,
    pub(super) size: u64,
    pub(super) content: &'a Content,
    pub(super) verdict: Verdict,
    /// Told the bytes sent in the present try.
    pub(super) sent: &'a (dyn Fn(u64) + Send + Sync),
}

/// How a try to send the bytes ended without an answer.
enum Ended {
    /// Another try may go better.
    Broken(Fault),
    /// No other try will.
    Refused(Fault),
}

/// A repository made a moment ago may not be known to the registry yet.
pub(super) fn unless_the_repository_comes(fault: Fault) -> Fault {
    if fault.class == FaultClass::NotFound { Fault { class: FaultClass::Dependency, ..fault } } else { fault }
}

/// Whether the registry has a blob.
pub(super) async fn has(registry: &Registry, repository: &str, digest: &str) -> Result<bool, Fault> {
    let place = format!("/v2/{repository}/blobs/{digest}");
    let answer = registry.send("registry:HeadBlob", Method::HEAD, &place, &[], Bytes::new()).await?;
    match answer.status() {
        StatusCode::NOT_FOUND => Ok(false),
        status if status.is_success() => Ok(true),
        // Stores that the registry sends readers to: it has it.
        status if status.is_redirection() => Ok(true),
        _ => Err(registry.refusal("registry:HeadBlob", &answer)),
    }
}

impl Upload<'_> {
    /// Sends it, unless the registry has it by now; whether it was sent.
    ///
    /// # Errors
    /// The check's, the registry's after all tries, or that one side has other bytes than the digest says.
    pub(super) async fn run(&self) -> Result<bool, Fault> {
        let operation = "registry:Upload";
        let mut tries = Tries::default();
        let mut first = true;
        loop {
            // After a break: it may have been finished by the try whose answer was lost.
            if !first && has(self.registry, self.repository, self.digest).await? {
                return Ok(true);
            }
            first = false;
            let place = self.begin().await?;
            (self.sent)(0);
            let tried = match self.put(&place).await {
                Err(Ended::Refused(fault)) => {
                    self.registry.forget(&place).await;
                    return Err(fault);
                }
                Err(Ended::Broken(fault)) => {
                    self.registry.wait::<()>(&mut tries, None, || fault).await?;
                    continue;
                }
                Ok(tried) => tried,
            };
            let Some(answer) = self.registry.settle(operation, &mut tries, tried.whole().await).await? else {
                continue;
            };
            if answer.status().is_success() {
                return self.stored(&answer).map(|()| true);
            }
            let fault = self.registry.refusal(operation, &answer);
            if fault.code == "DIGEST_INVALID" {
                return Err(self.whose_fault(fault).await);
            }
            let forgotten = answer.status() == StatusCode::NOT_FOUND
                || answer.status() == StatusCode::RANGE_NOT_SATISFIABLE
                || fault.code == "BLOB_UPLOAD_INVALID"
                || fault.code == "BLOB_UPLOAD_UNKNOWN";
            if !forgotten {
                return Err(fault);
            }
            let fault = Fault { class: FaultClass::Transient, advice: None, ..fault };
            self.registry.wait::<()>(&mut tries, None, || fault).await?;
        }
    }

    /// Begins an upload: where its bytes go.
    async fn begin(&self) -> Result<String, Fault> {
        let operation = "registry:StartUpload";
        let place = format!("/v2/{}/blobs/uploads/", self.repository);
        let answer = self.registry.send(operation, Method::POST, &place, &[OCTETS], Bytes::new()).await?;
        if !answer.status().is_success() {
            return Err(unless_the_repository_comes(self.registry.refusal(operation, &answer)));
        }
        let place = location(&answer);
        let place = place.ok_or_else(|| broken(operation, "UnusableAnswer", "it does not say where to upload to"))?;
        Ok(self.registry.url(place))
    }

    /// Sends all bytes once.
    async fn put(&self, place: &str) -> Result<super::registry::Tried<Incoming>, Ended> {
        let separator = if place.contains('?') { '&' } else { '?' };
        let url = format!("{place}{separator}digest={}", self.digest);
        let (tx, rx) = mpsc::channel(1);
        let body = Outgoing::Stream(self.size, rx);
        let headers = [OCTETS];
        let send = self.registry.attempt(&Method::PUT, &url, &headers, body);
        let pump = self.pump(tx);
        tokio::pin!(send, pump);
        let answered = |answer: Result<_, Fault>| answer.map_err(Ended::Refused);
        tokio::select! {
            biased;
            pumped = &mut pump => pumped?,
            // It answers before it has everything: a refusal.
            answer = &mut send => return answered(answer),
        }
        match tokio::time::timeout(THINKING, send).await {
            Ok(answer) => answered(answer),
            Err(_) => Err(Ended::Broken(broken("registry:Upload", "Timeout", "no answer to a whole layer"))),
        }
    }

    /// Feeds the bytes, the last of them only when the check has passed. Ends well also when nobody takes them any more.
    async fn pump(&self, to: mpsc::Sender<io::Result<Bytes>>) -> Result<(), Ended> {
        let remote = matches!(self.content, Content::Remote(_));
        let ended = |fault: Fault| {
            let passing = remote && matches!(fault.class, FaultClass::Transient | FaultClass::Throttled);
            if passing { Ended::Broken(fault) } else { Ended::Refused(fault) }
        };
        let mut chunks = self.content.open().await.map_err(ended)?;
        let (mut verdict, mut pending) = (self.verdict.clone(), true);
        let (mut held, mut read, mut sent) = (None::<Bytes>, 0_u64, 0_u64);
        let mut hash = remote.then(Sha256::new);
        loop {
            let chunk = tokio::select! {
                biased;
                passed = &mut verdict, if pending => {
                    passed.map_err(Ended::Refused)?;
                    pending = false;
                    continue;
                }
                chunk = chunks.next() => chunk,
            };
            let Some(chunk) = chunk else { break };
            let chunk = chunk.map_err(ended)?;
            read += chunk.len() as u64;
            if let Some(hash) = &mut hash {
                hash.update(&chunk);
            }
            if read > self.size {
                return Err(Ended::Refused(self.lies(read)));
            }
            if let Some(before) = held.replace(chunk) {
                let length = before.len() as u64;
                if !give(&to, before).await? {
                    return Ok(());
                }
                sent += length;
                (self.sent)(sent);
            }
        }
        if read != self.size {
            return Err(if remote { Ended::Broken(self.lies(read)) } else { Ended::Refused(self.lies(read)) });
        }
        if let Some(hash) = hash {
            let found = format!("sha256:{}", hex::encode(hash.finalize()));
            if found != self.digest {
                return Err(Ended::Refused(refused(
                    FaultClass::Transient,
                    "DigestMismatch",
                    format!("{} came as {found}: the registry it is copied from is wrong", self.content.name()),
                    "try again; if it stays so, do not trust that registry",
                )));
            }
        }
        if pending {
            verdict.await.map_err(Ended::Refused)?;
        }
        if let Some(last) = held
            && give(&to, last).await?
        {
            (self.sent)(self.size);
        }
        Ok(())
    }

    /// That the bytes are not as many as the manifest says.
    fn lies(&self, read: u64) -> Fault {
        refused(
            FaultClass::Rejected,
            "LayerSize",
            format!("{} has {read} bytes or more, its manifest says {}", self.content.name(), self.size),
            "make the image again: its manifest does not belong to its layers",
        )
    }

    /// The digest that the registry says it stored must be ours.
    fn stored(&self, answer: &Response<Bytes>) -> Result<(), Fault> {
        match header(answer, "docker-content-digest") {
            Some(said) if said != self.digest => Err(mismatch(self.digest, said)),
            _ => Ok(()),
        }
    }

    /// After DIGEST_INVALID: reads ours again to tell which side is wrong.
    async fn whose_fault(&self, theirs: Fault) -> Fault {
        let ours = async {
            let (mut chunks, mut hash) = (self.content.open().await?, Sha256::new());
            while let Some(chunk) = chunks.next().await {
                hash.update(chunk?);
            }
            Ok::<_, Fault>(format!("sha256:{}", hex::encode(hash.finalize())))
        };
        match ours.await {
            Ok(found) if found == self.digest => Fault {
                class: FaultClass::Transient,
                message: format!("{}: {} is right here, the registry got something else", theirs.message, self.digest),
                advice: Some("try again; if it stays so, something on the way or the registry damages data".to_owned()),
                ..theirs
            },
            Ok(found) => Fault {
                class: FaultClass::Rejected,
                message: format!("{}: {} is {found} now, not {}", theirs.message, self.content.name(), self.digest),
                advice: Some("see that nothing changes the image while it is pushed".to_owned()),
                ..theirs
            },
            Err(fault) => fault,
        }
    }
}

/// That the registry stored something else.
pub(super) fn mismatch(ours: &str, theirs: &str) -> Fault {
    refused(
        FaultClass::Transient,
        "DigestMismatch",
        format!("the registry stored {theirs} instead of {ours}"),
        "try again; if it stays so, do not trust this registry",
    )
}

/// Hands a chunk over; false when nobody takes it any more.
async fn give(to: &mpsc::Sender<io::Result<Bytes>>, chunk: Bytes) -> Result<bool, Ended> {
    match tokio::time::timeout(PATIENCE, to.send(Ok(chunk))).await {
        Ok(taken) => Ok(taken.is_ok()),
        Err(_) => Err(Ended::Broken(broken("registry:Upload", "Timeout", "the registry took nothing for a minute"))),
    }
}

/// Puts a manifest under a tag or its digest; both sides must agree on the digest.
pub(super) async fn put_manifest(
    registry: &Registry,
    repository: &str,
    reference: &str,
    media_type: &str,
    bytes: &Bytes,
) -> Result<(), Fault> {
    let operation = "registry:PutManifest";
    let place = format!("/v2/{repository}/manifests/{reference}");
    let headers = [("content-type", media_type)];
    let answer = registry.send(operation, Method::PUT, &place, &headers, bytes.clone()).await?;
    if !answer.status().is_success() {
        return Err(unless_the_repository_comes(registry.refusal(operation, &answer)));
    }
    let ours = digest(bytes);
    match header(&answer, "docker-content-digest") {
        Some(said) if said != ours => Err(mismatch(&ours, said)),
        _ => Ok(()),
    }
}

/// A future as a verdict.
pub(super) fn verdict(of: impl Future<Output = Result<(), Fault>> + Send + 'static) -> Verdict {
    of.boxed().shared()
}
