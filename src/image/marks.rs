//! Whose push an image is, in a repository that was there before: told by tags of ours, so that its end removes what we
//! brought and nothing else.
//!
//! An image (by digest) that was there before without a tag is left unmarked: it is not ours, and marking it would let
//! our end delete it. Everything else of ours bears `MARK` (the root) or `MARK.N` (children, counted among those that
//! are marked). No other tag is put there: whose a tag like `latest` is could not be told from it afterwards, and the
//! task is pinned by digest anyway.

use super::Prepared;
use crate::{
    cloud::{Cloud, TaggedImage},
    domain::model::{Effect, Fault, child_mark},
};

/// What is to be put where, one entry for each manifest.
#[derive(Debug)]
pub(super) struct Marks<'a> {
    cloud: &'a Cloud,
    repository: &'a str,
    /// Under which tags each manifest is put.
    references: Vec<Vec<String>>,
    /// Marks of ours that are on another image now: an earlier push of this session.
    stale: Vec<String>,
    /// Tags on the root in the end.
    tags: Vec<String>,
    /// Whether the root was there and is not ours.
    foreign: bool,
}

impl<'a> Marks<'a> {
    /// Looks at what is there.
    ///
    /// # Errors
    /// AWS's refusal of a read.
    pub(super) async fn plan(
        cloud: &'a Cloud,
        repository: &'a str,
        mark: &str,
        prepared: &Prepared,
    ) -> Result<Self, Fault> {
        let mut marks =
            Self { cloud, repository, references: Vec::new(), stale: Vec::new(), tags: Vec::new(), foreign: false };
        let Some((root, children)) = prepared.manifests.split_last() else { return Ok(marks) };
        let mut place = 0;
        for child in children {
            let there = cloud.tagged_image(repository, &child.digest).await?;
            if is_foreign(there.as_ref()) {
                marks.references.push(Vec::new());
                continue;
            }
            let own = child_mark(mark, place);
            place += 1;
            let missing = marks.mark(there.as_ref(), own, &child.digest).await?;
            marks.references.push(missing);
        }
        let there = cloud.tagged_image(repository, &root.digest).await?;
        marks.foreign = is_foreign(there.as_ref());
        if marks.foreign {
            marks.references.push(Vec::new());
            return Ok(marks);
        }
        let missing = marks.mark(there.as_ref(), mark.to_owned(), &root.digest).await?;
        // The index goes before its children.
        if marks.stale.last().is_some_and(|last| last == mark) {
            marks.stale.rotate_right(1);
        }
        marks.tags.push(mark.to_owned());
        marks.references.push(missing);
        // An earlier push of ours may have had more children.
        loop {
            let further = child_mark(mark, place);
            if cloud.tagged_image(repository, &further).await?.is_none() {
                break;
            }
            marks.stale.push(further);
            place += 1;
        }
        Ok(marks)
    }

    /// Under which of our marks it has still to be put.
    async fn mark(&mut self, there: Option<&TaggedImage>, mark: String, digest: &str) -> Result<Vec<String>, Fault> {
        if there.is_some_and(|image| image.tags.contains(&mark)) {
            return Ok(Vec::new());
        }
        let elsewhere = self.cloud.tagged_image(self.repository, &mark).await?;
        if elsewhere.is_some_and(|image| image.digest != digest) {
            self.stale.push(mark.clone());
        }
        Ok(vec![mark])
    }

    /// Takes marks of ours off images that they shall not be on any more, the index's first.
    ///
    /// # Errors
    /// AWS's refusal.
    pub(super) async fn clear_the_way(&self) -> Result<(), Fault> {
        for mark in &self.stale {
            match self.cloud.untag_image(self.repository, mark).await {
                // Somebody else's index needs the image: it is theirs as well, and a tag can be moved from it.
                Err(fault) if fault.code == "ImageReferencedByManifestList" => {}
                done => drop(done?),
            }
        }
        Ok(())
    }

    /// Whether everything is there as it shall be.
    pub(super) fn nothing_to_do(&self) -> bool {
        self.stale.is_empty() && self.references.iter().all(Vec::is_empty)
    }

    /// Under which references each manifest is put.
    pub(super) fn references(&self) -> &[Vec<String>] {
        &self.references
    }

    /// What the push does to the root.
    pub(super) fn effect(&self) -> Effect {
        if self.foreign {
            Effect::Adopted
        } else if self.nothing_to_do() {
            Effect::AlreadyThere
        } else {
            Effect::Created
        }
    }

    /// The tags on the root in the end.
    pub(super) fn tags(&self) -> Vec<String> {
        self.tags.clone()
    }
}

/// There before, without a tag: an index's child, or overwritten. Not ours: we push nothing without a tag.
fn is_foreign(there: Option<&TaggedImage>) -> bool {
    there.is_some_and(|image| image.tags.is_empty())
}
