//! Compresses a layer that `docker save` wrote uncompressed: the same bytes every time, and only when they are needed.
//!
//! A layer compressed before is known by its `diff_id` (see [`super::memory`]); its bytes are then made only if the
//! registry has not got them. Must never give bytes that are not what was promised.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use super::{
    beside,
    content::{CHUNK, Slice, fill, unreadable},
    memory::{Known, Memory},
    refused, spool,
};
use crate::domain::model::{Fault, FaultClass};

/// The level, part of what makes the bytes the same every time: fast, and within a few percent of the usual 6.
const LEVEL: u32 = 4;

/// A gzip stream without a name and a time.
pub(super) fn gzip<W: Write>(to: W, level: u32) -> GzEncoder<W> {
    GzBuilder::new().mtime(0).operating_system(255).write(to, Compression::new(level))
}

/// A layer that is not compressed yet.
#[derive(Debug)]
pub(super) struct Unpacked {
    layer: Slice,
    name: String,
    diff_id: String,
    promised: Option<Known>,
    workspace: PathBuf,
    memory: Memory,
    done: OnceCell<(Slice, Known)>,
}

impl Unpacked {
    pub(super) fn new(layer: Slice, name: String, diff_id: String, workspace: PathBuf, memory: Memory) -> Self {
        let promised = memory.packed(&diff_id);
        Self { layer, name, diff_id, promised, workspace, memory, done: OnceCell::new() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it was compressed.
    #[cfg(test)]
    pub(super) fn is_made(&self) -> bool {
        self.done.initialized()
    }

    /// Digest and size of the compressed form: remembered, or by making it.
    pub(super) async fn known(&self) -> Result<Known, Fault> {
        match &self.promised {
            Some(known) => Ok(known.clone()),
            None => Ok(self.done().await?.1.clone()),
        }
    }

    /// The compressed form.
    pub(super) async fn packed(&self) -> Result<Slice, Fault> {
        let (slice, known) = self.done().await?;
        if self.promised.as_ref().is_some_and(|promised| promised != known) {
            self.memory.forget_packed(&self.diff_id);
            return Err(refused(
                FaultClass::Transient,
                "LayerRemembered",
                format!("{} compresses to {} now, and to something else before", self.name, known.digest),
                "try again: what was remembered is forgotten",
            ));
        }
        Ok(slice.clone())
    }

    async fn done(&self) -> Result<&(Slice, Known), Fault> {
        self.done
            .get_or_try_init(|| async {
                let (layer, name, diff_id) = (self.layer.clone(), self.name.clone(), self.diff_id.clone());
                let workspace = self.workspace.clone();
                let work = move || compress(&layer, &name, &diff_id, &workspace);
                let made = beside::begin(work).await?;
                self.memory.remember_packed(&self.diff_id, &made.1);
                Ok(made)
            })
            .await
    }
}

fn compress(layer: &Slice, name: &str, diff_id: &str, workspace: &std::path::Path) -> Result<(Slice, Known), Fault> {
    let failed = |error: &io::Error| spool::unwritable(workspace, error);
    let file = spool::create(workspace).map_err(|error| failed(&error))?;
    let mut to = gzip(spool::Hashing::new(BufWriter::with_capacity(CHUNK, file)), LEVEL);
    let (mut from, mut hash, mut buffer) = (layer.reader(), Sha256::new(), vec![0; CHUNK]);
    loop {
        let read = fill(&mut from, &mut buffer).map_err(|error| unreadable(name, &error))?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read]).map_err(|error| failed(&error))?;
    }
    let found = format!("sha256:{}", hex::encode(hash.finalize()));
    if found != diff_id {
        return Err(refused(
            FaultClass::Rejected,
            "LayerDigest",
            format!("the layer {name} is {found}, its image's configuration says {diff_id}"),
            "save the image again: the archive is damaged",
        ));
    }
    let (writer, digest, size) = to.finish().map_err(|error| failed(&error))?.finish();
    let file = writer.into_inner().map_err(|error| failed(error.error()))?;
    Ok((spool::slice(file, name, size), Known { digest, size }))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn digest(bytes: &[u8]) -> String {
        format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
    }

    #[tokio::test]
    async fn compressing_gives_the_same_bytes_again_and_a_lying_memory_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::open(Some(&folder.path().join("layers.json")));
        let layer = vec![3; 700_000];
        let make = || {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&layer).unwrap();
            let slice = spool::slice(file, "layer", layer.len() as u64);
            Unpacked::new(slice, "layer".into(), digest(&layer), folder.path().into(), memory.clone())
        };
        let known = make().known().await.unwrap();
        let again = make();
        assert_eq!(again.known().await.unwrap(), known);
        assert!(!again.is_made(), "remembered, not compressed");
        let mut packed = Vec::new();
        again.packed().await.unwrap().reader().read_to_end(&mut packed).unwrap();
        assert_eq!((digest(&packed), packed.len() as u64), (known.digest.clone(), known.size));

        memory.remember_packed(&digest(&layer), &Known { digest: digest(b"other"), size: 5 });
        assert_eq!(make().packed().await.unwrap_err().class, FaultClass::Transient);
        assert_eq!(make().known().await.unwrap(), known, "and the next try is right");
    }

    #[tokio::test]
    async fn a_layer_that_is_not_what_its_configuration_says_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let slice = spool::slice(tempfile::tempfile().unwrap(), "layer", 0);
        let layer = Unpacked::new(slice, "layer".into(), digest(b"x"), folder.path().into(), Memory::open(None));
        assert_eq!(layer.known().await.unwrap_err().code, "LayerDigest");
    }
}
