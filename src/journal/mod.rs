//! The journal: what we did or meant to do; append-only, durable, the only truth we own.
//!
//! One small interface, [`Journal`], over one SQLite file (write-ahead log, `synchronous = FULL`).
//!
//! Guarantees:
//! - what [`Journal::append`] has returned survives `kill -9` and a power cut;
//! - replay runs the code of live writes ([`advance`], [`Record::open`], [`Record::apply`]), and live writes
//!   take their events as the file holds them, so that both always come to the same record;
//! - one process per journal; a file that is foreign, damaged or newer is refused and left as it is;
//! - a full disk is told apart ([`JournalError::Full`]), and appending works again once there is room.
//!
//! It must never: rewrite or delete an event, decide anything, or read the time of day by itself.
//!
//! [`Record::open`]: crate::domain::model::Record::open
//! [`Record::apply`]: crate::domain::model::Record::apply

mod error;
mod file;
mod handle;
mod kind;
mod lock;
mod replay;
mod store;
mod writer;

#[cfg(test)]
mod sample;

pub use error::JournalError;
pub use handle::{Journal, Which};
pub use replay::advance;
pub use store::Check;
