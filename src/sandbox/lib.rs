//! The room `sandbox` as a crate of its own. Inside it, as everywhere, the room is `crate::sandbox`.

#[path = "mod.rs"]
pub mod sandbox;

use labguard_boundary::{clock, transport};
use labguard_domain::domain;
use labguard_sentinel::sentinel;
