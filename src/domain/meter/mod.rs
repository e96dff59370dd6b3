//! Time × size × price = money.
//!
//! Spend is priced locally from a dated rate card, gross (credits ignored), in integer nano-dollars.
//! Guarantees: a receipt's lines add up to its total exactly; for one record, spend never falls as time
//! passes; what may exist is counted as if it did. Never: floating point, a clock, a call to AWS.

mod accrual;
mod estimate;
mod rate_card;
mod receipt;

pub use accrual::{Ledger, hourly_rate, ledger, spend, teardown_cost};
pub use estimate::{TURN_ALLOWANCE, estimate, overshoot, worst_rate};
pub use rate_card::{ComputeRate, RateCard};
pub use receipt::receipt;
