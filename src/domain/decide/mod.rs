//! What to do next: `decide(record, observation, rules, now) -> Plan`, pure.
//!
//! Level-triggered and total: it looks at what is, never at what happened, and never fails or panics.
//! Guarantees: the same inputs give the same plan; once a plan's notes are applied, the same observation
//! at the same instant yields no further notes; nothing is made once a session is ending; nothing is ever
//! removed that the record does not call ours. Never: I/O, a clock, logging.
//!
//! The caller applies the notes, journals an intent before each step, and does not repeat a step for a
//! resource while an earlier one for it is still under way.

mod admission;
pub mod budgets;
pub mod combine;
mod deploy_order;
mod fuse;
mod health;
mod idleness;
pub mod invariants;
mod lifecycle;
mod limits;
mod outlook;
mod pricing;
mod renewals;
mod scan_gate;
mod sentinel;
mod stuck;
mod taking_in;
mod teardown_order;
mod turn;
mod verify;
mod wants;
mod warnings;

#[cfg(test)]
mod budgets_tests;
#[cfg(test)]
mod model_cloud;
#[cfg(test)]
mod net_stories;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod sentinel_tests;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod trouble_stories;
#[cfg(test)]
pub(crate) mod world;

pub use health::READ_BOUND;
pub use wants::{is_moving, is_refusing, wants};

use super::policy::Policy;
use crate::domain::model::{Observation, Plan, RateCard, Record, Timestamp};

/// What a decision is made by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The session's policy.
    pub policy: &'a Policy,
    /// The prices of its region.
    pub card: &'a RateCard,
}

/// What to do next with one session.
#[must_use]
pub fn decide(record: &Record, observation: &Observation, rules: Rules<'_>, now: Timestamp) -> Plan {
    let mut turn = turn::Turn::new(record, observation, rules, now);
    if !record.is_closed() {
        lifecycle::run(&mut turn);
    }
    outlook::finish(turn)
}
