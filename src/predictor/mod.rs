//! The reference prediction service: what a lab session runs when it runs nothing else.
//!
//! `GET /` a page with a form, `GET /ping`, `POST /predict` (JSON in, the chance of admission out), `GET /metrics`
//! (Prometheus text, with labguard's own probes counted apart so that they never look like use).
//!
//! Guarantees: the same answer for the same applicant; every bad field is named in one answer; requests are bounded in
//! size and time; a shutdown drains, within a bound. Never keeps or logs what an applicant sent. Imports nothing of
//! labguard's: it is the guest, not the guard.

mod applicant;
mod metrics;
pub mod model;
mod routes;
mod serve;

pub use applicant::{Applicant, FieldError};
pub use routes::router;
pub use serve::{PredictorError, run_from_env, serve};
