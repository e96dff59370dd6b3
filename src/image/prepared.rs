//! An image ready to be pushed: exact manifests, and blobs that can be read again and again.

use super::summary::ImageSummary;

/// An image ready to be pushed. Spool files live as long as it does.
#[derive(Debug)]
pub struct Prepared {
    summary: ImageSummary,
}

impl Prepared {
    /// What it is.
    #[must_use]
    pub fn summary(&self) -> ImageSummary {
        self.summary.clone()
    }

    /// `sha256:…` of the root.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.summary.digest
    }
}
