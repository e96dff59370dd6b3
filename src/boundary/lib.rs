//! `clock` and `transport` as a crate of their own, for the rooms that are crates; their files stand in `src`.

#[path = "../clock.rs"]
pub mod clock;
#[path = "../transport.rs"]
pub mod transport;

use labguard_domain::domain;
