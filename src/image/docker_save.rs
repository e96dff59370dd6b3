//! What `docker save` writes: `manifest.json`, configurations, and layers as they are on disk, uncompressed.
//!
//! Layers are compressed (see [`super::pack`]) and a manifest is made for them: the same archive gives the same digest.
//! The configuration stays byte for byte, so that the image's id stays what Docker shows.

use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use super::{
    archive::Archive,
    choose::{Shape, no_platform},
    content::{Content, Slice, unreadable},
    document::{Config, Document, OCI_CONFIG, OCI_GZIP_LAYER, OCI_MANIFEST, digest, no_image, parse},
    memory::Memory,
    names,
    pack::Unpacked,
    prepared::{Blob, Check, Prepared, Ready},
    zstd,
};
use crate::domain::model::Fault;

/// Layers compressed at once.
const AT_ONCE: usize = 2;

/// An image in `manifest.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Reads the image that is meant, or the one with that configuration; none when it is no such archive.
pub(super) async fn read(
    archive: &Archive,
    reference: Option<&str>,
    config: Option<&str>,
    shape: Shape,
    workspace: &Path,
    memory: &Memory,
) -> Result<Option<Prepared>, Fault> {
    let Some(list) = archive.get("manifest.json")? else { return Ok(None) };
    let name = format!("manifest.json in {}", archive.name());
    let list: Vec<Saved> = parse(&name, &list.document().await?)?;
    let mut images = Vec::new();
    for saved in &list {
        let bytes = find(archive, &saved.config)?.document().await?;
        images.push((digest(&bytes), bytes));
    }
    let place = match config {
        Some(config) => images.iter().position(|(digest, _)| digest == config),
        None => {
            let named = images.iter().zip(&list);
            let named: Vec<_> = named
                .map(|((digest, _), saved)| (digest.clone(), saved.repo_tags.clone().unwrap_or_default()))
                .collect();
            Some(names::choose(&archive.name(), reference, &named)?)
        }
    };
    let Some(place) = place else { return Ok(None) };
    let (saved, (id, bytes)) = (&list[place], images.swap_remove(place));
    let config: Config = parse(&format!("the configuration {id} in {}", archive.name()), &bytes)?;
    if !config.platform.fits(shape.arch) {
        return Err(no_platform(&archive.name(), shape.arch, &[config.platform.to_string()]));
    }
    let paths = saved.layers.clone().unwrap_or_default();
    let diff_ids = &config.rootfs.diff_ids;
    if paths.len() != diff_ids.len() {
        let (layers, ids) = (paths.len(), diff_ids.len());
        return Err(no_image(&archive.name(), &format!("it has {layers} layers, its configuration names {ids}")));
    }
    let reads: Vec<_> =
        paths.iter().zip(diff_ids).map(|(path, diff_id)| layer(archive, path, diff_id, workspace, memory)).collect();
    let layers: Vec<Blob> = stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
    Ok(Some(assemble(&layers, &id, bytes, config, shape)?))
}

fn find(archive: &Archive, path: &str) -> Result<Content, Fault> {
    let found = archive.get(path)?;
    found.ok_or_else(|| no_image(&archive.name(), &format!("it names {path:?}, which is not in it")))
}

/// One layer, as it is pushed.
async fn layer(archive: &Archive, path: &str, diff_id: &str, workspace: &Path, memory: &Memory) -> Result<Blob, Fault> {
    let slice = match archive.slice(path) {
        Some(slice) => slice,
        None => return Err(no_image(&archive.name(), &format!("it names the layer {path:?}, which is not in it"))),
    };
    let name = format!("{path} in {}", archive.name());
    let check = Check::Layer { diff_id: Some(diff_id.to_owned()), images: vec![0] };
    if is_packed(&slice).map_err(|error| unreadable(&name, &error))? {
        let (digest, size) = (hash(&slice, &name).await?, slice.length());
        return Ok(Blob { digest, size, content: Content::Slice(slice), check });
    }
    let layer = std::sync::Arc::new(Unpacked::new(slice, name, diff_id.to_owned(), workspace.into(), memory.clone()));
    let known = layer.known().await?;
    Ok(Blob { digest: known.digest, size: known.size, content: Content::Unpacked(layer), check })
}

fn is_packed(slice: &Slice) -> std::io::Result<bool> {
    let mut magic = [0; 4];
    let read = super::content::fill(&mut slice.reader(), &mut magic)?;
    Ok(magic[..read].starts_with(&[0x1F, 0x8B]) || zstd::begins(&magic[..read]))
}

/// The digest of a layer that is compressed already.
async fn hash(slice: &Slice, name: &str) -> Result<String, Fault> {
    let (slice, name) = (slice.clone(), name.to_owned());
    let work = move || {
        let mut to = super::spool::Hashing::new(std::io::sink());
        std::io::copy(&mut slice.reader(), &mut to).map_err(|error| unreadable(&name, &error))?;
        Ok(to.finish().1)
    };
    super::beside::begin(work).await
}

/// The manifest for layers and a configuration.
pub(super) fn assemble(
    layers: &[Blob],
    id: &str,
    config_bytes: bytes::Bytes,
    config: Config,
    shape: Shape,
) -> Result<Prepared, Fault> {
    let list: Vec<_> = layers
        .iter()
        .map(|layer| json!({"mediaType": OCI_GZIP_LAYER, "digest": layer.digest, "size": layer.size}))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": id, "size": config_bytes.len()},
        "layers": list,
    });
    let bytes = manifest.to_string().into_bytes();
    let document = Document::read("the manifest", &bytes)?;
    let mut blobs: Vec<Blob> = Vec::new();
    for layer in layers {
        if !blobs.iter().any(|blob| blob.digest == layer.digest) {
            blobs.push(layer.clone());
        }
    }
    let size = config_bytes.len() as u64;
    let content = Content::Memory(config_bytes);
    blobs.push(Blob { digest: id.to_owned(), size, content, check: Check::Nothing });
    let ready = Ready {
        digest: digest(&bytes),
        media_type: OCI_MANIFEST.to_owned(),
        bytes: bytes.into(),
        document,
        platform: Some(config.platform.clone()),
        config: Some(config),
    };
    Ok(Prepared { manifests: vec![ready], blobs, room_gib: shape.room_gib })
}
