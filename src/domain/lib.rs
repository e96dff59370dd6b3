//! The room `domain` as a crate of its own. Inside it, as everywhere, the room is `crate::domain`.

#[path = "mod.rs"]
pub mod domain;
