//! From a root to what is pushed: the one manifest that the task needs, or the whole index with its attestations.
//!
//! Guarantees: every document has the digest and size it is pointed to with; depth and number are bounded; an image
//! without the task's platform is refused here, before a byte is sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::{
    content::Content,
    document::{Config, Descriptor, Document, Manifest, Platform, digest, no_image, parse},
    prepared::{Blob, Check, Prepared, Ready},
    refused,
};
use crate::domain::model::{Arch, Fault, FaultClass, ImageSpec, Platforms};

/// How deep an index may be within indexes.
const DEEPEST: u32 = 4;

/// Most manifests of one image, and most layers of one manifest.
const MOST: usize = 512;

/// What is wanted of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) arch: Arch,
    pub(super) platforms: Platforms,
    pub(super) room_gib: u32,
}

impl Shape {
    pub(super) fn of(spec: &ImageSpec) -> Self {
        Self { arch: spec.arch, platforms: spec.platforms, room_gib: spec.room_gib }
    }
}

/// Where manifests and blobs are found by digest.
pub(super) trait Shelf: Send + Sync {
    /// How people call it.
    fn name(&self) -> String;
    /// A manifest's bytes; none when it is not there. The caller checks digest and size.
    fn manifest<'a>(&'a self, it: &'a Descriptor) -> BoxFuture<'a, Result<Option<Bytes>, Fault>>;
    /// A blob; none when it is not there.
    fn blob(&self, it: &Descriptor) -> Result<Option<Content>, Fault>;
}

/// What is gathered so far.
struct Gathering<'a> {
    shelf: &'a dyn Shelf,
    manifests: Vec<Ready>,
    blobs: BTreeMap<String, Blob>,
    /// Digests in the order they were met.
    order: Vec<String>,
    read: usize,
}

/// A manifest as read.
struct Read {
    bytes: Bytes,
    document: Document,
}

/// Everything that is to be pushed of the image at `root`.
pub(super) async fn gather(shelf: &dyn Shelf, root: &Descriptor, shape: Shape) -> Result<Prepared, Fault> {
    let mut all = Gathering { shelf, manifests: Vec::new(), blobs: BTreeMap::new(), order: Vec::new(), read: 0 };
    let top = all.read(root).await?;
    let index = matches!(top.document, Document::Index(_));
    let (found, seen) = all.find(root, top, shape.arch).await?;
    let Some((chosen, read)) = found else { return Err(no_platform(&shelf.name(), shape.arch, &seen)) };
    if index && shape.platforms == Platforms::All {
        let top = all.read(root).await?;
        all.add_tree(root.clone(), top, 0).await?;
    } else {
        all.add(&chosen, read).await?;
    }
    let mut blobs = all.blobs;
    let blobs = all.order.iter().filter_map(|digest| blobs.remove(digest)).collect();
    Ok(Prepared { manifests: all.manifests, blobs, room_gib: shape.room_gib })
}

/// That the image at `root` has the machine's platform.
///
/// # Errors
/// `Rejected` with the platforms that it has.
pub(super) async fn has_platform(shelf: &dyn Shelf, root: &Descriptor, arch: Arch) -> Result<(), Fault> {
    let mut all = Gathering { shelf, manifests: Vec::new(), blobs: BTreeMap::new(), order: Vec::new(), read: 0 };
    let top = all.read(root).await?;
    let (found, seen) = all.find(root, top, arch).await?;
    found.map(drop).ok_or_else(|| no_platform(&shelf.name(), arch, &seen))
}

/// That the image is not for the task's machine, with the flag that mends it.
pub(super) fn no_platform(name: &str, arch: Arch, seen: &[String]) -> Fault {
    let wanted = format!("linux/{}", arch.oci_name());
    let seen = if seen.is_empty() { "nothing".to_owned() } else { seen.join(", ") };
    refused(
        FaultClass::Rejected,
        "ImageArchitecture",
        format!("the image {name} has no {wanted}; it has {seen}"),
        &format!("build it with docker build --platform={wanted} …, or change the policy's `arch`"),
    )
}

fn missing(shelf: &dyn Shelf, what: &str, digest: &str) -> Fault {
    refused(
        FaultClass::Rejected,
        "ImageIncomplete",
        format!("{} has not the {what} {digest} that its image needs", shelf.name()),
        "make the archive again, whole (for one platform only: leave `platforms` at \"task\")",
    )
}

impl Gathering<'_> {
    async fn read(&mut self, it: &Descriptor) -> Result<Read, Fault> {
        let read = self.read_if_there(it).await?;
        read.ok_or_else(|| missing(self.shelf, "manifest", &it.digest))
    }

    async fn read_if_there(&mut self, it: &Descriptor) -> Result<Option<Read>, Fault> {
        self.read += 1;
        if self.read > MOST {
            return Err(no_image(&self.shelf.name(), &format!("it has more than {MOST} manifests")));
        }
        let Some(bytes) = self.shelf.manifest(it).await? else { return Ok(None) };
        let name = format!("{} in {}", it.digest, self.shelf.name());
        same_bytes(&name, it, &bytes)?;
        let document = Document::read(&name, &bytes)?;
        Ok(Some(Read { bytes, document }))
    }

    /// The first manifest for the machine, in the order of the index; else the platforms that are there.
    async fn find(
        &mut self,
        root: &Descriptor,
        top: Read,
        arch: Arch,
    ) -> Result<(Option<(Descriptor, Read)>, Vec<String>), Fault> {
        let mut seen = Vec::new();
        // What is still to be looked at, the next one last.
        let mut open = vec![(root.clone(), Some(top), 0)];
        while let Some((it, read, depth)) = open.pop() {
            if let Some(platform) = &it.platform
                && !platform.fits(arch)
                && !it.is_index()
            {
                if !platform.is_unknown() {
                    seen.push(platform.to_string());
                }
                continue;
            }
            let read = match read {
                Some(read) => read,
                None => match self.read_if_there(&it).await? {
                    Some(read) => read,
                    None if it.platform.is_some() && !it.is_index() => {
                        return Err(missing(self.shelf, "manifest", &it.digest));
                    }
                    None => continue,
                },
            };
            match &read.document {
                Document::Index(_) if depth >= DEEPEST => {
                    return Err(no_image(&self.shelf.name(), &format!("it is an index {DEEPEST} levels deep")));
                }
                Document::Index(index) => {
                    open.extend(index.manifests.iter().rev().map(|entry| (entry.clone(), None, depth + 1)));
                }
                Document::Manifest(manifest) => {
                    let said = self.config(manifest).await?.map(|(_, config)| config.platform);
                    match said {
                        Some(platform) if platform.fits(arch) => return Ok((Some((it, read)), seen)),
                        Some(platform) if platform.is_unknown() => {}
                        Some(platform) => seen.push(platform.to_string()),
                        None => seen.push("an artefact that is no image".to_owned()),
                    }
                }
            }
        }
        Ok((None, seen))
    }

    /// The configuration of an image; none for an artefact.
    async fn config(&self, manifest: &Manifest) -> Result<Option<(Bytes, Config)>, Fault> {
        let it = &manifest.config;
        if !it.is_image_config() {
            return Ok(None);
        }
        let content = self.shelf.blob(it)?.ok_or_else(|| missing(self.shelf, "configuration", &it.digest))?;
        let bytes = content.document().await?;
        let name = format!("the configuration {} in {}", it.digest, self.shelf.name());
        same_bytes(&name, it, &bytes)?;
        Ok(Some((bytes.clone(), parse(&name, &bytes)?)))
    }

    /// An index and all below it, children first.
    fn add_tree<'b>(&'b mut self, it: Descriptor, read: Read, depth: u32) -> BoxFuture<'b, Result<(), Fault>> {
        Box::pin(async move {
            let Document::Index(index) = &read.document else { return self.add(&it, read).await };
            if depth >= DEEPEST {
                return Err(no_image(&self.shelf.name(), &format!("it is an index {DEEPEST} levels deep")));
            }
            for child in index.manifests.clone() {
                if self.manifests.iter().any(|ready| ready.digest == child.digest) {
                    continue;
                }
                let read = self.read(&child).await?;
                self.add_tree(child, read, depth + 1).await?;
            }
            let ready = Ready {
                digest: it.digest.clone(),
                media_type: read.document.media_type(&read.bytes, &it.media_type),
                platform: None,
                config: None,
                bytes: read.bytes,
                document: read.document,
            };
            self.manifests.push(ready);
            Ok(())
        })
    }

    /// One image: its manifest, configuration and layers.
    async fn add(&mut self, it: &Descriptor, read: Read) -> Result<(), Fault> {
        let Document::Manifest(manifest) = &read.document else { return Ok(()) };
        let name = format!("{} in {}", it.digest, self.shelf.name());
        if manifest.layers.len() > MOST {
            return Err(no_image(&name, &format!("it has more than {MOST} layers")));
        }
        let (place, config) = (self.manifests.len(), self.config(manifest).await?);
        let filesystem = manifest.layers.iter().any(Descriptor::is_tar);
        let mut diff_ids = Vec::new();
        if let Some((_, config)) = &config
            && filesystem
        {
            diff_ids = config.rootfs.diff_ids.clone();
            if diff_ids.len() != manifest.layers.len() {
                let (layers, ids) = (manifest.layers.len(), diff_ids.len());
                return Err(no_image(&name, &format!("it has {layers} layers, its configuration names {ids}")));
            }
        }
        for (number, layer) in manifest.layers.iter().enumerate() {
            let content = self.shelf.blob(layer)?.ok_or_else(|| missing(self.shelf, "layer", &layer.digest))?;
            let check = if matches!(content, Content::Remote(_)) {
                Check::Nothing
            } else if layer.is_tar() {
                Check::Layer { diff_id: diff_ids.get(number).cloned(), images: vec![place] }
            } else {
                Check::Digest
            };
            self.blob(layer, content, check)?;
        }
        match &config {
            Some((bytes, _)) => self.blob(&manifest.config, Content::Memory(bytes.clone()), Check::Nothing)?,
            None => {
                let it = &manifest.config;
                let content = self.shelf.blob(it)?.ok_or_else(|| missing(self.shelf, "configuration", &it.digest))?;
                self.blob(it, content, Check::Digest)?;
            }
        }
        let config = config.map(|(_, config)| config);
        let platform: Option<Platform> = it.platform.clone().or_else(|| config.as_ref().map(|it| it.platform.clone()));
        self.manifests.push(Ready {
            digest: it.digest.clone(),
            media_type: read.document.media_type(&read.bytes, &it.media_type),
            platform,
            config,
            bytes: read.bytes,
            document: read.document,
        });
        Ok(())
    }

    fn blob(&mut self, it: &Descriptor, content: Content, check: Check) -> Result<(), Fault> {
        if let Some(length) = content.length().filter(|length| *length != it.size) {
            return Err(refused(
                FaultClass::Rejected,
                "LayerSize",
                format!("{} has {length} bytes, its manifest says {} ({})", it.digest, it.size, self.shelf.name()),
                "make the archive again: it is cut, or its manifest lies",
            ));
        }
        if let Some(known) = self.blobs.get_mut(&it.digest) {
            // The same layer in another image: it takes room there too.
            if let (Check::Layer { images, .. }, Check::Layer { images: more, .. }) = (&mut known.check, check) {
                images.extend(more);
            }
            return Ok(());
        }
        self.order.push(it.digest.clone());
        self.blobs.insert(it.digest.clone(), Blob { digest: it.digest.clone(), size: it.size, content, check });
        Ok(())
    }
}

/// A document must be what it is pointed to as.
fn same_bytes(name: &str, it: &Descriptor, bytes: &Bytes) -> Result<(), Fault> {
    let found = digest(bytes);
    if found != it.digest {
        return Err(refused(
            FaultClass::Rejected,
            "ImageDigest",
            format!("{name} has the digest {found}"),
            "make or fetch the image again: it is damaged",
        ));
    }
    if bytes.len() as u64 != it.size {
        return Err(no_image(name, &format!("it has {} bytes, what points to it says {}", bytes.len(), it.size)));
    }
    Ok(())
}
