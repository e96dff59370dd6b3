//! Activity: signs of use by a person or program other than labguard itself.
//!
//! [`requests`] reads the container's own request counter; [`sentinel`] asks the guard inside the task, and renews
//! its lease; [`combine()`] makes one reading of several sources. Heartbeats (`labguard touch`) are journalled and
//! come through the record, not through here.
//!
//! Guarantees: what is not known is said to be [`Unknown`](crate::domain::model::ActivityReading::Unknown),
//! never guessed; `Quiet` is only said of a time that was really watched. It must never decide that a
//! session is idle: that is policy.

mod combine;
pub mod exposition;
pub mod requests;
pub mod sentinel;

pub use combine::combine;
