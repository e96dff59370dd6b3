//! What can be wrong with a journal, told apart, with what a person can do about it.
//!
//! Never names SQLite's own text in `Display`: that is the error's source.

use std::{error::Error, io, path::Path, path::PathBuf};

use rusqlite::ErrorCode;

use crate::domain::model::SessionId;

/// A cause of any kind.
type Source = Box<dyn Error + Send + Sync>;

/// Why the journal could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system took no more. Nothing of the append was written; it may be tried again.
    #[error("the journal {} cannot be written: the disk is full or failing; free some space there", path.display())]
    Full {
        /// The journal.
        path: PathBuf,
        /// What SQLite or the operating system said.
        source: Source,
    },
    /// Another process has it.
    #[error(
        "another labguard (pid {}) uses the journal {}; stop it or give another state_dir",
        pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()), path.display()
    )]
    Locked {
        /// The journal.
        path: PathBuf,
        /// Who, where the lock file says it.
        pid: Option<u32>,
    },
    /// The file is something else. It was not touched.
    #[error(
        "{} is not a labguard journal: {what}; it was not touched: move it away or give another state_dir",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// The file was a journal and is broken. It was not repaired.
    #[error(
        "the journal {} is damaged: {what}; it was not repaired: put a copy back or move it (with its -wal file) away, \
         then `labguard sweep` lists what its sessions left in the cloud",
        path.display()
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A later labguard made it.
    #[error(
        "the journal {} has format {found}, and this labguard knows formats up to {known}; run the newer labguard that wrote it",
        path.display()
    )]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A later labguard wrote events into it that this one cannot read.
    #[error(
        "the journal {} holds an event this labguard does not know (\"{kind}\", number {seq}); run the newer labguard that wrote it",
        path.display()
    )]
    UnknownEvent {
        /// The journal.
        path: PathBuf,
        /// The event's kind.
        kind: String,
        /// Its sequence number.
        seq: u64,
    },
    /// The caller's own mistake; nothing was written.
    #[error("nothing was journalled for {session}: {what}")]
    Refused {
        /// For which session.
        session: SessionId,
        /// What was wrong.
        what: String,
    },
    /// The journal has been closed.
    #[error("the journal is closed")]
    Closed,
    /// Any other failure of the file system or of SQLite.
    #[error("failed to {doing} the journal {}; check the path and its rights", path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// What was tried: `open`, `read`, `write`, …
        doing: &'static str,
        /// What the operating system or SQLite said.
        source: Source,
    },
}

impl JournalError {
    /// Classifies what SQLite said.
    pub(super) fn sqlite(path: &Path, doing: &'static str, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path, source: error.into() },
            // A failing write is as good as a full disk: nothing may be made; a failing read is not.
            Some(ErrorCode::SystemIoFailure) if doing == WRITE => Self::Full { path, source: error.into() },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, what: error.to_string() }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path, pid: None },
            _ => Self::Io { path, doing, source: error.into() },
        }
    }

    /// Classifies what the operating system said.
    pub(super) fn io(path: &Path, doing: &'static str, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source: error.into() },
            _ => Self::Io { path, doing, source: error.into() },
        }
    }

    /// Whether it is the disk, so that the same append may succeed later.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

/// The word for writes in [`JournalError::Io`], by which failing writes are told from failing reads.
pub(super) const WRITE: &str = "write";
