//! The shapes of answers, for the OpenAPI document only: nothing is ever sent or read through these.
//!
//! The values on the wire are the model's own ([`crate::domain::model`], [`crate::reconcile::status`]). These
//! mirrors describe them; a test keeps their members in step with what is really sent. They are parted as the routes are
//! that answer with them.

mod budgets;
mod costs;
mod ledger;
mod sessions;
mod sweep;

pub use budgets::{BudgetStatus, ThresholdStatus};
pub use costs::{Charge, CostReport, Share, Slice};
pub use ledger::{Billed, CostLine, Entry, Estimate, Receipt, ReceiptResource, Units};
pub use sessions::{
    Blocker, Extension, Forecast, HealthStatus, Identity, ImageProgress, LastActivity, LayerProgress, LeaseStatus,
    Limit, Net, ResourceStatus, SessionStatus, SourceReading,
};
pub use sweep::{NotSearched, Orphan, SweepAsked, SweepReport, Swept};
