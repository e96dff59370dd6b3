//! Probes: one health question and its answer.
//!
//! [`http`] asks whether the container answers, [`predict`] whether it does its job; [`window`] folds answers
//! into a [`HealthReading`](crate::domain::model::HealthReading); [`tcp`] is the real way to a container.
//!
//! Guarantees: a question always comes to an answer, within its time-out; every answer says in a person's
//! words what was asked and what came. It must never: judge a session (thresholds are policy), retry, or
//! follow a redirect to somewhere else.

mod exchange;
pub mod http;
pub mod own_address;
pub mod predict;
pub mod tcp;
pub mod window;

pub use exchange::{Answer, USER_AGENT};
pub use window::Window;
