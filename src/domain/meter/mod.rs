//! Time × size × price = money.
//!
//! Spend is priced locally from dated rate cards, gross unless the policy says otherwise, in integer nano-dollars.
//! Guarantees: a receipt's lines add up to its total exactly; what was spent between instants adds up to what was spent
//! in all; for one record, spend never falls as time passes; what may exist is counted as if it did; what has no price
//! is named, never silently nothing. Never: floating point, a clock, a call to AWS.

mod accrual;
#[cfg(test)]
mod accrual_tests;
mod age;
mod charges;
#[cfg(test)]
mod charges_tests;
mod estimate;
mod forecast;
mod insights;
mod pool;
mod rate_book;
mod receipt;
mod report;
#[cfg(test)]
mod report_tests;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
mod table;
mod usage;

pub use accrual::{Ledger, ledger, lines_between, rate_of, spend, spent_between, teardown_cost};
pub use age::{Aged, age_warning, aged};
pub use charges::charges;
pub use estimate::{
    TURN_ALLOWANCE, estimate, least_budget, least_cost, overshoot, own_rate, price_warnings, worst_rate,
};
pub use forecast::{Deadline, closes, deadline, deadlines, forecast, time_to_spend};
pub use pool::{SUM_AGE, commitment, reaches, spent_since};
pub use rate_book::{Corrections, RateBook};
pub use receipt::receipt;
pub use report::{ReportError, report};
pub use usage::needs;
