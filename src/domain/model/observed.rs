//! What is known of a thing in the cloud: unknown is not absent.

use serde::{Deserialize, Serialize};

/// One fresh read's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed<T> {
    /// Not looked at, or the read failed, or an answer that proves nothing.
    #[default]
    Unknown,
    /// A fresh read said it is not there.
    Absent,
    /// A fresh read showed it.
    Present(T),
}

impl<T> Observed<T> {
    /// The thing, if seen.
    pub fn present(&self) -> Option<&T> {
        match self {
            Observed::Present(thing) => Some(thing),
            Observed::Unknown | Observed::Absent => None,
        }
    }

    /// Whether a fresh read proved that it is gone.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Observed::Absent)
    }
}
