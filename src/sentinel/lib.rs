//! The room `sentinel` as a crate of its own. Inside it, as everywhere, the room is `crate::sentinel`.
//!
//! The program `labguard-sentinel` does not use this: it takes the same files in by path (docs/sentinel.md).

#[path = "mod.rs"]
pub mod sentinel;

use labguard_domain::domain;
