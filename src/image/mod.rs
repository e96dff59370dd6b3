//! Where a session's image comes from, always pinned by digest in the end.
//!
//! Either it is in a registry already (its tag is resolved, its platform checked), or it is assembled from
//! a local executable and pushed. Assembling twice gives the same bytes, so a second run pushes nothing.
//! Must never run the executable, and never keep or show a registry's password.

mod assemble;
mod desk;
mod elf;
mod prepared;
mod push;
mod reference;
mod registry;
mod report;
mod resolve;
mod summary;

pub use desk::{Desk, Target};
pub use prepared::Prepared;
pub use report::Report;
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
pub async fn prepare(_: &Desk<'_>, spec: &ImageSpec) -> Result<Prepared, Fault> {
    Err(refused(
        FaultClass::Rejected,
        "ImageSource",
        format!("{} cannot be supplied yet", spec.source.describe()),
        "use another source",
    ))
}

/// Pushes what is missing.
///
/// # Errors
/// The registry's refusal; `Rejected` when a layer is not what it must be (nothing of it is stored then).
pub async fn push(_: &Desk<'_>, _: &Target, prepared: &Prepared) -> Result<Pushed, Fault> {
    let message = format!("{} cannot be pushed yet", prepared.digest());
    Err(refused(FaultClass::Rejected, "ImageSource", message, "use another source"))
}

/// Makes the image, or finds it; its id is `HOST/REPOSITORY@sha256:…`.
///
/// # Errors
/// `Rejected` when the source is unreadable, no executable of the architecture, or has no such platform;
/// `NotFound` when the registry has no such image; else the registry's or AWS's refusal.
pub async fn ensure(desk: &Desk<'_>, spec: &ImageSpec) -> Result<Ensured, Fault> {
    let cloud = desk.aws()?;
    let ImageSpec { repository, tag, source, arch, ports, .. } = spec;
    match (source, repository) {
        (ImageSource::Registry { uri, mirror: false }, _) => {
            let id = resolve::pin(cloud, uri, *arch).await?;
            Ok(Ensured { effect: Effect::Adopted, id: Some(id), task: None })
        }
        (ImageSource::Executable { path, args, .. }, Some(repository)) => {
            tracing::debug!(path, "assembling the image");
            let image = assemble::from_executable(path, args, *arch, ports).await?;
            push::push(cloud, &image, repository, tag).await
        }
        (source, None) => Err(refused(
            FaultClass::Rejected,
            "NoRepository",
            format!("{} needs a repository to be pushed into", source.describe()),
            "name one in the policy",
        )),
        (source, Some(_)) => Err(refused(
            FaultClass::Rejected,
            "ImageSource",
            format!("{} cannot be supplied yet", source.describe()),
            "use another source",
        )),
    }
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
