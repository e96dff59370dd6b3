//! From a source to an image that is ready to be pushed. Reads only; nothing is sent from here.

use std::{fs::File, path::Path};

use super::{
    Desk, Prepared,
    archive::{self, Archive},
    beside, build,
    choose::Shape,
    docker_save,
    document::{Document, no_image},
    engine,
    executable::{self, Recipe},
    layout,
    memory::Memory,
    resolve,
};
use crate::domain::model::{Fault, ImageSource, ImageSpec, SupplyStage};

/// An archive that is gzipped unzips to at most so many times the task's storage.
const UNZIPPED: u64 = 4;

/// Reads the source; see [`super::prepare`].
pub(super) async fn prepare(desk: &Desk<'_>, spec: &ImageSpec) -> Result<Prepared, Fault> {
    let shape = Shape::of(spec);
    tracing::debug!(source = spec.source.describe(), "reading the image");
    desk.report.stage(SupplyStage::Reading, spec.source.describe());
    match &spec.source {
        ImageSource::Executable { path, args, config } => {
            let (path, args, ports, config) = (path.clone(), args.clone(), spec.ports.clone(), config.clone());
            executable::build(Recipe { path, args, ports, config, shape }, &desk.workspace).await
        }
        ImageSource::Archive { path, reference } => read(desk, Path::new(path), reference.as_deref(), shape).await,
        ImageSource::Docker { reference } => engine::prepare(desk, reference, shape).await,
        ImageSource::Build(recipe) => build::prepare(desk, recipe, shape).await,
        ImageSource::Registry { uri, .. } => resolve::mirror(desk, uri, shape).await,
    }
}

/// Reads an archive.
pub(super) async fn read(
    desk: &Desk<'_>,
    path: &Path,
    reference: Option<&str>,
    shape: Shape,
) -> Result<Prepared, Fault> {
    let most = (u64::from(shape.room_gib) << 30).saturating_mul(UNZIPPED);
    read_within(desk, path, reference, shape, most).await
}

/// As [`read`]; a gzipped one unzips to at most `most` bytes.
pub(super) async fn read_within(
    desk: &Desk<'_>,
    path: &Path,
    reference: Option<&str>,
    shape: Shape,
    most: u64,
) -> Result<Prepared, Fault> {
    let (place, workspace) = (path.to_owned(), desk.workspace.clone());
    let archive = beside::begin(move || archive::open(&place, &workspace, most)).await?;
    image_of(desk, &archive, reference, shape).await
}

/// Reads an archive that is an open file; `name` is how people call it.
pub(super) async fn read_file(desk: &Desk<'_>, file: File, name: &str, shape: Shape) -> Result<Prepared, Fault> {
    let name = name.to_owned();
    let archive = beside::begin(move || archive::open_file_of(file, &name)).await?;
    image_of(desk, &archive, None, shape).await
}

async fn image_of(
    desk: &Desk<'_>,
    archive: &Archive,
    reference: Option<&str>,
    shape: Shape,
) -> Result<Prepared, Fault> {
    let memory = Memory::open(desk.memory.as_deref());
    if let Some(prepared) = layout::read(archive, reference, shape).await? {
        // Newer engines save an OCI layout beside the old files, with layers as they are on disk.
        if let Some(config) = uncompressed(&prepared)
            && let Some(packed) =
                docker_save::read(archive, None, Some(&config), shape, &desk.workspace, &memory).await?
        {
            return Ok(packed);
        }
        return Ok(prepared);
    }
    let saved = docker_save::read(archive, reference, None, shape, &desk.workspace, &memory).await?;
    saved.ok_or_else(|| no_image(&archive.name(), "it has neither index.json nor manifest.json"))
}

/// The configuration of a single image that has layers which are not compressed.
fn uncompressed(prepared: &Prepared) -> Option<String> {
    let [only] = prepared.manifests.as_slice() else { return None };
    let Document::Manifest(manifest) = &only.document else { return None };
    let plain = manifest.layers.iter().any(|layer| layer.media_type.ends_with(".tar"));
    plain.then(|| manifest.config.digest.clone())
}
