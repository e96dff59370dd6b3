//! ECR: which tags are on an image, and taking one tag off. What a push asks before it marks what is its own.
//!
//! Must never delete by digest: a tag taken off takes the image with it only when it was the last (aws-facts §3.1).

use aws_sdk_ecr::types::ImageIdentifier;

use super::{Cloud, absent_if_missing, fault::fault};
use crate::domain::model::{Effect, Fault};

const DELETE: &str = "ecr:BatchDeleteImage";

/// An image in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedImage {
    /// `sha256:…`.
    pub digest: String,
    /// All its tags; none for an index's child or an overwritten image.
    pub tags: Vec<String>,
}

impl Cloud {
    /// The image that a tag, or a `sha256:…` digest, names; none when it (or the repository) is not there.
    ///
    /// # Errors
    /// AWS's refusal of the read.
    pub async fn tagged_image(&self, repository: &str, reference: &str) -> Result<Option<TaggedImage>, Fault> {
        let id = ImageIdentifier::builder();
        let id = if reference.starts_with("sha256:") { id.image_digest(reference) } else { id.image_tag(reference) };
        let sent = self.inner.ecr.describe_images().repository_name(repository).image_ids(id.build()).send();
        let answer = absent_if_missing(self.call("ecr:DescribeImages", sent).await.map_err(Fault::from))?;
        let found = answer.and_then(|answer| answer.image_details).unwrap_or_default().into_iter().next();
        Ok(found.map(|image| TaggedImage {
            digest: image.image_digest.unwrap_or_default(),
            tags: image.image_tags.unwrap_or_default(),
        }))
    }

    /// Takes a tag off its image; the image goes with its last tag.
    ///
    /// # Errors
    /// AWS's refusal; `Dependency` where an index still needs the image.
    pub async fn untag_image(&self, repository: &str, tag: &str) -> Result<Effect, Fault> {
        let id = ImageIdentifier::builder().image_tag(tag).build();
        let sent = self.inner.ecr.batch_delete_image().repository_name(repository).image_ids(id).send();
        let Some(answer) = absent_if_missing(self.call(DELETE, sent).await.map_err(Fault::from))? else {
            return Ok(Effect::AlreadyGone);
        };
        let Some(failure) = answer.failures.unwrap_or_default().into_iter().next() else { return Ok(Effect::Removed) };
        match failure.failure_code().map_or("Failure", |code| code.as_str()) {
            "ImageNotFound" => Ok(Effect::AlreadyGone),
            code => Err(fault(DELETE, code, failure.failure_reason().unwrap_or(code), 400, None)),
        }
    }
}
