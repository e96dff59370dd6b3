//! OCI image layouts: `index.json`, and blobs under their digests.

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};

use super::{
    archive::Archive,
    choose::{self, Shape, Shelf},
    content::Content,
    document::{Descriptor, Document, Index, digest, is_digest, parse},
    names,
    prepared::Prepared,
};
use crate::domain::model::Fault;

/// Annotations that name an image in `index.json`.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// A layout being read.
pub(super) struct Layout<'a> {
    archive: &'a Archive,
    /// `index.json` itself, where its entries are one image's platforms.
    top: Option<(String, Bytes)>,
}

/// Reads the image that is meant; none when it is no layout.
pub(super) async fn read(archive: &Archive, reference: Option<&str>, shape: Shape) -> Result<Option<Prepared>, Fault> {
    let Some(content) = archive.get("index.json")? else { return Ok(None) };
    let bytes = content.document().await?;
    let name = format!("index.json in {}", archive.name());
    let index: Index = parse(&name, &bytes)?;
    // The same checks as for any other index.
    Document::read(&name, &bytes)?;
    let mut layout = Layout { archive, top: None };
    let nameless = index.manifests.iter().all(|entry| names_of(entry).is_empty() && entry.platform.is_some());
    let root = if reference.is_none() && index.manifests.len() > 1 && nameless {
        let digest = digest(&bytes);
        let size = bytes.len() as u64;
        layout.top = Some((digest.clone(), bytes));
        Descriptor { media_type: String::new(), digest, size, platform: None, annotations: Default::default() }
    } else {
        let images: Vec<_> = index.manifests.iter().map(|entry| (entry.digest.clone(), names_of(entry))).collect();
        let mut root = index.manifests[names::choose(&archive.name(), reference, &images)?].clone();
        // What an index says of a platform is checked by the configuration, where it is the only image.
        root.platform = None;
        root
    };
    choose::gather(&layout, &root, shape).await.map(Some)
}

fn names_of(entry: &Descriptor) -> Vec<String> {
    NAMES.iter().filter_map(|name| entry.annotations.get(*name)).cloned().collect()
}

impl Layout<'_> {
    fn find(&self, it: &str) -> Result<Option<Content>, Fault> {
        match it.strip_prefix("sha256:") {
            Some(hex) if is_digest(it) => self.archive.get(&format!("blobs/sha256/{hex}")),
            _ => Ok(None),
        }
    }
}

impl Shelf for Layout<'_> {
    fn name(&self) -> String {
        self.archive.name()
    }

    fn manifest<'b>(&'b self, it: &'b Descriptor) -> BoxFuture<'b, Result<Option<Bytes>, Fault>> {
        async move {
            if let Some((digest, bytes)) = &self.top
                && *digest == it.digest
            {
                return Ok(Some(bytes.clone()));
            }
            match self.find(&it.digest)? {
                Some(content) => content.document().await.map(Some),
                None => Ok(None),
            }
        }
        .boxed()
    }

    fn blob(&self, it: &Descriptor) -> Result<Option<Content>, Fault> {
        self.find(&it.digest)
    }
}
