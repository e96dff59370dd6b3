//! The image supply against a registry and a client that labguard did not write: every source, every interruption, every
//! refusal, and what is left of it.
//!
//! `./test` unpacks both from Debian's packages; where that cannot be, these tests say that they were skipped, and why.
//! `LABGUARD_LAYER_MIB=2048` makes the big layer of the memory test as big as that.

mod bad_input;
mod by_hand;
#[path = "../support/held_port.rs"]
mod held_port;
mod images;
mod interrupted;
mod refusals;
mod registry;
mod rough;
mod skopeo;
mod sources;
