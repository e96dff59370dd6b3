//! Files for what has to be written down on the way: unlinked from the start, so that nothing is left however it ends.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::{content::Slice, refused};
use crate::domain::model::{Fault, FaultClass};

/// An open file without a name in the workspace.
pub(super) fn create(workspace: &Path) -> io::Result<File> {
    std::fs::create_dir_all(workspace)?;
    tempfile::tempfile_in(workspace)
}

/// Why the workspace did not take it.
pub(super) fn unwritable(workspace: &Path, error: &io::Error) -> Fault {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space there, or give labguard another folder"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "let labguard write there",
        _ => "check the folder, and try again",
    };
    let message = format!("nothing can be spooled in {}: {error}", workspace.display());
    refused(FaultClass::Rejected, "Workspace", message, advice)
}

/// Counts and hashes what goes through to the writer behind it.
pub(super) struct Hashing<W> {
    inner: W,
    hash: Sha256,
    length: u64,
}

impl<W> Hashing<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), length: 0 }
    }

    /// The writer, `sha256:…` and the length of all that was written.
    pub(super) fn finish(self) -> (W, String, u64) {
        (self.inner, format!("sha256:{}", hex::encode(self.hash.finalize())), self.length)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A finished spool as readable content.
pub(super) fn slice(file: File, name: &str, length: u64) -> Slice {
    Slice::new(Arc::new(file), name.into(), 0, length)
}
