//! The room `cloud` as a crate of its own. Inside it, as everywhere, the room is `crate::cloud`.

#[path = "mod.rs"]
pub mod cloud;

use labguard_boundary::{clock, transport};
use labguard_domain::domain;
