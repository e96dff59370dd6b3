//! The image module's own tests, where they need more than one of its files: archives, checks, pushes, marks, mutations.

mod archives;
mod checks;
mod executables;
pub(super) mod fake;
mod marked;
mod mirrors;
mod mutations;
mod pushes;
pub(super) mod sample;
mod streams;
