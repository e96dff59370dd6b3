//! The pure heart: what a session is, what is allowed, what it costs, what to do next.
//!
//! Architecture invariant: no I/O, no async, no clock, no logging in here.

pub mod decide;
pub mod meter;
pub mod model;
pub mod policy;
