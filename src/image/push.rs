//! Pushes a prepared image: missing blobs side by side, then the manifests, children first (aws-facts §3.2).
//!
//! Guarantees: a layer is checked while it is sent and not stored unless it passes; nothing of others is touched (see
//! [`super::marks`]). A second push sends nothing.

use std::{
    cmp::Reverse,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{Method, StatusCode};

use super::{
    Desk, Prepared, Pushed, Target, beside,
    check::{self, Expected, Room},
    document,
    marks::Marks,
    memory::Memory,
    prepared::{Blob, Check},
    reach,
    reference::Reference,
    refused,
    registry::{Registry, header},
    upload::{Upload, Verdict, has, passed, put_manifest, verdict},
};
use crate::domain::model::{Effect, Fault, FaultClass, LayerState, SupplyStage};

/// Blobs on their way at once.
const AT_ONCE: usize = 4;

/// The rights that a push needs on AWS (aws-facts §3.2).
const ACTIONS: [&str; 6] = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
    "ecr:BatchGetImage",
];

/// Pushes what is missing; see [`super::push`].
pub(super) async fn push(desk: &Desk<'_>, to: &Target, prepared: &Prepared) -> Result<Pushed, Fault> {
    match to {
        Target::Account { repository, tag, mark } => {
            let cloud = desk.aws()?;
            let uri = cloud.repository_uri(repository).await?;
            let registry = reach::account(cloud).await?;
            cloud.note_actions(&ACTIONS);
            let place = Place { registry: &registry, repository, name: uri };
            match mark {
                None => place.push(desk, prepared, tag).await,
                Some(mark) => {
                    let marks = Marks::plan(cloud, repository, mark, prepared).await?;
                    place.push_marked(desk, prepared, marks).await
                }
            }
        }
        Target::Elsewhere { uri } => {
            let reference = Reference::parse(uri)?;
            if reference.digest().is_some_and(|digest| digest != prepared.digest()) {
                return Err(refused(
                    FaultClass::Rejected,
                    "ImageReference",
                    format!("the image is {}, it cannot be pushed as {uri}", prepared.digest()),
                    "push it under a tag",
                ));
            }
            let registry = reach::reference(desk.cloud, &reference).await?;
            let name = format!("{}/{}", reference.host, reference.repository);
            let place = Place { registry: &registry, repository: &reference.repository, name };
            place.push(desk, prepared, &reference.target).await
        }
    }
}

/// A repository at a registry.
pub(super) struct Place<'a> {
    pub(super) registry: &'a Registry,
    pub(super) repository: &'a str,
    /// `HOST/REPOSITORY`.
    pub(super) name: String,
}

/// Ends the checks when the push ends.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Place<'_> {
    fn pushed(&self, prepared: &Prepared, effect: Effect, sent: u64, tags: Vec<String>) -> Pushed {
        Pushed { uri: format!("{}@{}", self.name, prepared.digest()), effect, sent, tags }
    }

    /// Into a repository of our own, or by hand: `tag` goes on the root.
    pub(super) async fn push(&self, desk: &Desk<'_>, prepared: &Prepared, tag: &str) -> Result<Pushed, Fault> {
        let tags: Vec<String> =
            Some(tag).filter(|tag| !tag.starts_with("sha256:")).map(ToOwned::to_owned).into_iter().collect();
        if self.is_there(prepared.digest(), tag).await? {
            return Ok(self.pushed(prepared, Effect::AlreadyThere, 0, tags));
        }
        let sent = self.blobs(desk, prepared).await?;
        for manifest in &prepared.manifests {
            let root = manifest.digest == prepared.digest();
            let reference = if root { tag } else { &manifest.digest };
            put_manifest(self.registry, self.repository, reference, &manifest.media_type, &manifest.bytes).await?;
        }
        Ok(self.pushed(prepared, Effect::Created, sent, tags))
    }

    /// Into a repository that was there before.
    async fn push_marked(&self, desk: &Desk<'_>, prepared: &Prepared, marks: Marks<'_>) -> Result<Pushed, Fault> {
        if marks.nothing_to_do() {
            return Ok(self.pushed(prepared, marks.effect(), 0, marks.tags()));
        }
        // First: with an image that goes, its blobs may go, those of ours among them.
        marks.clear_the_way().await?;
        let sent = self.blobs(desk, prepared).await?;
        for (manifest, references) in prepared.manifests.iter().zip(marks.references()) {
            for reference in references {
                put_manifest(self.registry, self.repository, reference, &manifest.media_type, &manifest.bytes).await?;
            }
        }
        Ok(self.pushed(prepared, marks.effect(), sent, marks.tags()))
    }

    /// Whether the tag has this very manifest.
    async fn is_there(&self, digest: &str, tag: &str) -> Result<bool, Fault> {
        let operation = "registry:HeadManifest";
        let place = format!("/v2/{}/manifests/{tag}", self.repository);
        let accepted = document::accepted();
        let headers = [("accept", accepted.as_str())];
        let answer = self.registry.send(operation, Method::HEAD, &place, &headers, Bytes::new()).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(header(&answer, "docker-content-digest") == Some(digest)),
            _ => Err(self.registry.refusal(operation, &answer)),
        }
    }

    /// Sends the blobs that the registry has not got; how many bytes.
    async fn blobs(&self, desk: &Desk<'_>, prepared: &Prepared) -> Result<u64, Fault> {
        desk.report.stage(SupplyStage::Pushing, format!("to {}", self.name));
        desk.report.layers(prepared.blobs.iter().map(|blob| (blob.digest.clone(), blob.size)));
        let stop = Stop(Arc::default());
        let checks = Checks {
            stop: stop.0.clone(),
            rooms: prepared.manifests.iter().map(|_| Room::of_gib(prepared.room_gib)).collect(),
            memory: Memory::open(desk.memory.as_deref()),
        };
        let sent = AtomicU64::new(0);
        let mut blobs: Vec<&Blob> = prepared.blobs.iter().collect();
        blobs.sort_by_key(|blob| Reverse(blob.size));
        let at_once = if self.registry.wire.is_memory() { 1 } else { AT_ONCE };
        let sends: Vec<_> = blobs.into_iter().map(|blob| self.blob(desk, blob, &checks, &sent)).collect();
        stream::iter(sends).buffer_unordered(at_once).try_collect::<()>().await?;
        Ok(sent.into_inner())
    }

    async fn blob(&self, desk: &Desk<'_>, blob: &Blob, checks: &Checks, sent: &AtomicU64) -> Result<(), Fault> {
        let report = |state, sent| desk.report.layer(&blob.digest, state, sent);
        if has(self.registry, self.repository, &blob.digest).await? {
            checks.of(blob, true).await?.await?;
            report(LayerState::AlreadyThere, 0);
            return Ok(());
        }
        report(LayerState::Sending, 0);
        let tell = |sent: u64| report(LayerState::Sending, sent);
        let upload = Upload {
            registry: self.registry,
            repository: self.repository,
            digest: &blob.digest,
            size: blob.size,
            content: &blob.content,
            verdict: checks.of(blob, false).await?,
            sent: &tell,
        };
        if upload.run().await? {
            sent.fetch_add(blob.size, Ordering::Relaxed);
        }
        report(LayerState::Sent, blob.size);
        Ok(())
    }
}

/// What the checks of one push share.
struct Checks {
    stop: Arc<AtomicBool>,
    /// One for each manifest.
    rooms: Vec<Arc<Room>>,
    memory: Memory,
}

impl Checks {
    /// Begins the check of a blob. Of one that the registry has, what passed before is not read again.
    async fn of(&self, blob: &Blob, is_there: bool) -> Result<Verdict, Fault> {
        let (diff_id, rooms) = match &blob.check {
            Check::Nothing => return Ok(passed()),
            // The registry has it under its digest.
            Check::Digest if is_there => return Ok(passed()),
            Check::Digest => (None, None),
            Check::Layer { diff_id, images } => {
                let rooms: Vec<Arc<Room>> = images.iter().filter_map(|place| self.rooms.get(*place)).cloned().collect();
                (diff_id.clone(), Some(rooms))
            }
        };
        let tar = rooms.is_some();
        let expected = Expected { digest: blob.digest.clone(), diff_id, tar, rooms: rooms.unwrap_or_default() };
        if is_there && let Some(unpacked) = self.memory.passed(&blob.digest, expected.diff_id.as_deref()) {
            return if expected.take(unpacked) { Ok(passed()) } else { Err(check::too_large(&expected, "")) };
        }
        let content = blob.content.readable().await?;
        let (stop, memory) = (self.stop.clone(), self.memory.clone());
        let (digest, diff_id) = (blob.digest.clone(), expected.diff_id.clone());
        // Begins at once, not when the first one asks for the verdict.
        let checking = beside::begin(move || check::layer(&content, &expected, &stop));
        Ok(verdict(async move {
            let unpacked = checking.await?;
            if tar {
                memory.remember_passed(&digest, diff_id.as_deref(), unpacked);
            }
            Ok(())
        }))
    }
}
