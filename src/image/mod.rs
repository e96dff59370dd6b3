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
mod resolve;

use crate::{
    cloud::{Cloud, Ensured, Owner},
    domain::model::{Effect, Fault, FaultClass, ImageSource, Observed, Removal, ResourceKind, Sighting, Spec},
};

/// A fault that the image module itself finds.
fn refused(class: FaultClass, code: &str, message: impl Into<String>, advice: &str) -> Fault {
    crate::cloud::fault::own(class, "image:Ensure", code, message, Some(advice))
}

/// Makes the image, or finds it; its id is `HOST/REPOSITORY@sha256:…`.
///
/// # Errors
/// `Rejected` when the source is unreadable, no executable of the architecture, or has no such platform;
/// `NotFound` when the registry has no such image; else the registry's or AWS's refusal.
pub async fn ensure(cloud: &Cloud, spec: &Spec, owner: Owner<'_>) -> Result<Ensured, Fault> {
    let Spec::Image { repository, tag, source, arch, ports } = spec else {
        return Err(refused(FaultClass::Rejected, "WrongDoor", "this is no image", "ask the cloud adapter for it"));
    };
    match (source, repository) {
        (ImageSource::Registry { uri }, _) => {
            let id = resolve::pin(cloud, uri, *arch).await?;
            Ok(Ensured { effect: Effect::Adopted, id: Some(id), task: None })
        }
        (ImageSource::Executable { path, args }, Some(repository)) => {
            tracing::debug!(session = %owner.session, path, "assembling the image");
            let image = assemble::from_executable(path, args, *arch, ports).await?;
            push::push(cloud, &image, repository, tag).await
        }
        (ImageSource::Executable { .. }, None) => Err(refused(
            FaultClass::Rejected,
            "NoRepository",
            "an image made from an executable needs a repository to be pushed into",
            "name one in the policy",
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
