//! Where a session's image comes from, always pinned by digest in the end.
//!
//! Either it is in a registry already (its tag is resolved, its platform checked), or it is assembled from
//! a local executable and pushed. Assembling twice gives the same bytes, so a second run pushes nothing.
//! Must never run the executable, and never keep or show a registry's password.

mod assemble;
mod elf;
mod push;
mod reference;
mod registry;
mod report;
mod resolve;

pub use report::Report;

use crate::{
    cloud::{Cloud, Ensured, Owner},
    domain::model::{Effect, Fault, FaultClass, ImageSource, ImageSpec, Observed, Removal, ResourceKind, Sighting},
};

/// A fault that the image module itself finds.
fn refused(class: FaultClass, code: &str, message: impl Into<String>, advice: &str) -> Fault {
    crate::cloud::fault::own(class, "image:Ensure", code, message, Some(advice))
}

/// What supplying an image works with.
#[derive(Debug)]
pub struct Desk<'a> {
    /// AWS, the sandbox, or an emulator.
    pub cloud: &'a Cloud,
    /// Whose image it is.
    pub owner: Owner<'a>,
    /// Where files may be spooled; emptied by whoever gave it.
    pub workspace: std::path::PathBuf,
    /// Told how far it has come.
    pub report: Report,
}

impl<'a> Desk<'a> {
    /// A desk that tells nobody, with the system's folder for temporary files.
    #[must_use]
    pub fn silent(cloud: &'a Cloud, owner: Owner<'a>) -> Self {
        Self { cloud, owner, workspace: std::env::temp_dir(), report: Report::default() }
    }
}

/// Makes the image, or finds it; its id is `HOST/REPOSITORY@sha256:…`.
///
/// # Errors
/// `Rejected` when the source is unreadable, no executable of the architecture, or has no such platform;
/// `NotFound` when the registry has no such image; else the registry's or AWS's refusal.
pub async fn ensure(desk: &Desk<'_>, spec: &ImageSpec) -> Result<Ensured, Fault> {
    let (cloud, owner) = (desk.cloud, desk.owner);
    let ImageSpec { repository, tag, source, arch, ports, .. } = spec;
    match (source, repository) {
        (ImageSource::Registry { uri, mirror: false }, _) => {
            let id = resolve::pin(cloud, uri, *arch).await?;
            Ok(Ensured { effect: Effect::Adopted, id: Some(id), task: None })
        }
        (ImageSource::Executable { path, args, .. }, Some(repository)) => {
            tracing::debug!(session = %owner.session, path, "assembling the image");
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
