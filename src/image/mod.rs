//! Where a session's image comes from, always pinned by digest in the end.
//!
//! ```text
//! executable ─► executable ─┐
//! build ─► context, ignore                           │
//!   └─► engine ─┐                                    │
//! archive ──────┴─► archive ─► layout, docker_save ──┼─► choose ─► Prepared ─► push ─► upload ─► registry ─► wire
//! another registry ─► resolve ───────────────────────┘                check ──┘  marks
//! ```
//!
//! Everything is streamed (memory is flat), checked before it is stored, retried by class, and told to the [`Report`].
//! The same input gives the same bytes, so a second run pushes nothing. Must never run what it pushes, never send a byte
//! of an image for another platform, and never keep or show a registry's password.

mod archive;
pub mod beside;
mod build;
mod check;
mod choose;
mod content;
mod context;
mod desk;
mod docker_save;
mod document;
mod elf;
mod engine;
mod entries;
mod executable;
mod ignore;
mod layout;
mod login;
mod marks;
mod memory;
mod names;
mod pack;
mod prepared;
mod push;
mod reach;
mod reference;
mod registry;
mod report;
mod resolve;
mod retry;
mod rough;
mod source;
mod spool;
mod summary;
#[cfg(test)]
mod tests;
mod upload;
mod wire;
mod zstd;

pub use desk::{Desk, Target};
pub use executable::loader;
pub use prepared::Prepared;
pub use report::Report;
pub use rough::read_bytes;
pub use summary::{ConfigSummary, ImageSummary, LayerSummary, ManifestSummary};

use crate::{
    cloud::{Cloud, Ensured, Owner},
    domain::model::{Effect, Fault, FaultClass, ImageSource, ImageSpec, Observed, Removal, ResourceKind, Sighting},
};

/// A fault that the image module itself finds.
fn refused(class: FaultClass, code: &str, message: impl Into<String>, advice: &str) -> Fault {
    crate::cloud::fault::own(class, "image:Ensure", code, message, Some(advice))
}

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// `HOST/REPOSITORY@sha256:…`.
    pub uri: String,
    /// `Created`; `AlreadyThere` when nothing had to be sent; `Adopted` when it was there before and is not ours.
    pub effect: Effect,
    /// Bytes of blobs that were sent.
    pub sent: u64,
    /// The tags that are on the root by this push (or were by an earlier one of ours).
    pub tags: Vec<String>,
}

/// Reads the source, and has it ready to be pushed: every source but an image that is used where it stands.
///
/// # Errors
/// `Rejected` when the source is unreadable or has not the task's platform; else the engine's or registry's refusal.
pub async fn prepare(desk: &Desk<'_>, spec: &ImageSpec) -> Result<Prepared, Fault> {
    source::prepare(desk, spec).await
}

/// Reads an archive: an OCI layout (folder, tar, gzipped tar) or what `docker save` wrote. `reference` says which image
/// of several; `spec` gives the platform and what its layers may unpack to.
///
/// # Errors
/// `Rejected` when it is unreadable, cut, no image, or has not the platform.
pub async fn read_archive(
    desk: &Desk<'_>,
    path: &std::path::Path,
    reference: Option<&str>,
    spec: &ImageSpec,
) -> Result<Prepared, Fault> {
    source::read(desk, path, reference, choose::Shape::of(spec)).await
}

/// Pushes what is missing. A layer is checked while it is sent; nothing of it is stored unless it passes.
///
/// # Errors
/// The registry's refusal; `Rejected` when a layer is not what it must be.
pub async fn push(desk: &Desk<'_>, to: &Target, prepared: &Prepared) -> Result<Pushed, Fault> {
    push::push(desk, to, prepared).await
}

/// Makes the image, or finds it; its id is `HOST/REPOSITORY@sha256:…`.
///
/// # Errors
/// `Rejected` when the source is unreadable, no executable of the architecture, or has no such platform;
/// `NotFound` when the registry has no such image; else the registry's or AWS's refusal.
pub async fn ensure(desk: &Desk<'_>, spec: &ImageSpec) -> Result<Ensured, Fault> {
    if let ImageSource::Registry { uri, mirror: false } = &spec.source {
        let id = resolve::pin(desk.aws()?, uri, spec.arch).await?;
        return Ok(Ensured::new(Effect::Adopted, id));
    }
    let to = Target::of(spec)?;
    let prepared = prepare(desk, spec).await?;
    let pushed = push(desk, &to, &prepared).await?;
    Ok(Ensured { bytes: Some(prepared.total_bytes()), ..Ensured::new(pushed.effect, pushed.uri) })
}

/// One fresh read of a pushed image.
///
/// # Errors
/// AWS's refusal of the read.
pub async fn look(cloud: &Cloud, owner: Owner<'_>, removal: &Removal) -> Result<Observed<Sighting>, Fault> {
    cloud.look(owner, ResourceKind::Image, removal).await
}

/// Takes one pushed image away; the repository's forced removal takes all of them.
///
/// # Errors
/// AWS's refusal.
pub async fn remove(cloud: &Cloud, owner: Owner<'_>, removal: &Removal) -> Result<Effect, Fault> {
    cloud.remove(owner, ResourceKind::Image, removal).await
}
