//! Telemetry: what labguard says of itself to machines and people.
//!
//! [`catalogue`] names every metric once; [`prometheus`] serves them, [`cloudwatch`] makes data points of
//! them; [`log`] sets up the log, and [`redact`] keeps secrets out of it.
//!
//! Guarantees: no metric outside the catalogue; money leaves as floating-point dollars only in
//! [`gauges`], the edge to formats that know nothing else; every log line is scrubbed. It must never:
//! call AWS (publishing is the engine's work), or feed anything back into a decision.

pub mod catalogue;
pub mod cloudwatch;
pub mod gauges;
pub mod log;
pub mod prometheus;
pub mod redact;
mod shared;

pub use gauges::SessionGauges;
pub use prometheus::Metrics;
pub use redact::{Secret, scrub};
pub use shared::BudgetGauges;
