//! The room `predictor` as a crate of its own. Inside it, as everywhere, the room is `crate::predictor`.

#[path = "mod.rs"]
pub mod predictor;
