//! One process per journal: an exclusive lock on `<journal>.lock`, held until the journal is closed.
//!
//! The lock is the operating system's and ends with its process, however that dies. The file is never
//! deleted (that would let two processes hold "the" lock); its text, the holder's pid, is only for messages.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use super::error::JournalError;

/// A held lock. Dropping it releases.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the journal at `journal`.
    pub(super) fn take(journal: &Path) -> Result<Lock, JournalError> {
        let path = path_of(journal);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(|error| JournalError::io(&path, "lock", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(JournalError::Locked { path: journal.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(JournalError::io(&path, "lock", error)),
        }
        // Only for the other's message: a full disk must not keep us from tearing sessions down.
        let note = file
            .rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
        if let Err(error) = note {
            tracing::debug!(%error, path = %path.display(), "the lock file does not name us");
        }
        Ok(Lock { _file: file })
    }
}

/// `<journal>.lock`.
pub(super) fn path_of(journal: &Path) -> PathBuf {
    with_suffix(journal, ".lock")
}

/// The path with something added to its last part.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_again_once_its_holder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal.db");
        let held = Lock::take(&journal).unwrap();
        let refused = Lock::take(&journal).unwrap_err();
        assert!(
            matches!(refused, JournalError::Locked { pid: Some(pid), .. } if pid == std::process::id()),
            "{refused}"
        );
        drop(held);
        Lock::take(&journal).unwrap();
    }
}
