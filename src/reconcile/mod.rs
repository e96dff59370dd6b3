//! The engine: observe → decide → plan → execute → status, one slot per session.
//!
//! Level-triggered: a wake-up only says "look again". Everything a session needs to go on is in its
//! journal; a restart at any instant goes on where it was. Invariants:
//! - no effect on the cloud without a journalled intent before it;
//! - turns of one session never overlap;
//! - unknown is not absent: a failed read proves nothing.

mod accounts;
mod billed;
pub mod budgets;
pub mod control;
pub mod driver;
pub mod engine;
pub mod executor;
pub mod handle;
pub mod identity;
mod lanes;
pub mod observe;
pub mod own_address;
mod paid_lanes;
pub mod publish;
mod pulse;
pub mod reaper;
pub mod recovery;
mod renewal;
pub mod slot;
pub mod status;
pub mod summary;
mod supply;
pub mod watcher;

pub use engine::{Boundaries, Checkpoint, Engine};
