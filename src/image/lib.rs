//! The room `image` as a crate of its own. Inside it, as everywhere, the room is `crate::image`.

#[path = "mod.rs"]
pub mod image;

use labguard_boundary::{clock, transport};
use labguard_cloud::cloud;
use labguard_domain::domain;
#[cfg(test)]
use labguard_sandbox::sandbox;
