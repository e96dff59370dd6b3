//! Budgets that sessions share.

use utoipa::ToSchema;

/// A budget that sessions share.
#[derive(ToSchema)]
pub struct BudgetStatus {
    /// NAME of `[budgets.NAME]`.
    pub name: String,
    /// `daemon`, `account`, `owner` or `group`.
    #[schema(example = "group")]
    pub scope: String,
    /// Which owner, group or account; empty for the daemon.
    pub of: String,
    /// `day`, `week`, `month` or `life`.
    #[schema(example = "day")]
    pub period: String,
    /// The time zone of its periods.
    pub zone: String,
    /// When the present period began; absent for life.
    pub from: Option<String>,
    /// When it begins anew; absent for life.
    pub until: Option<String>,
    /// The whole of it.
    pub limit: String,
    /// Spent in this period, exact.
    pub spent: String,
    /// That in hundredths of the limit, rounded down.
    pub percent: u64,
    /// What an hour costs as things stand.
    pub rate: String,
    /// What ending its sessions will still cost.
    pub teardown: String,
    /// What sessions that have just begun still need for their least lifetimes.
    pub reserved: String,
    /// By how much it can be passed at worst.
    pub overshoot: String,
    /// What happens when, lowest first.
    pub thresholds: Vec<ThresholdStatus>,
    /// What happens next.
    pub next: String,
    /// When, if nothing changes.
    pub next_at: Option<String>,
    /// The ids of its live sessions.
    pub sessions: Vec<String>,
    /// When this was summed.
    pub at: String,
}

/// One threshold of a shared budget.
#[derive(ToSchema)]
pub struct ThresholdStatus {
    /// That many hundredths of the limit.
    pub percent: u8,
    /// `notify`, `block`, `stop` or `teardown`.
    #[schema(example = "block")]
    pub measure: String,
    /// The share in money.
    pub amount: String,
    /// When it was reached in this period, if it was since the daemon started.
    pub reached_at: Option<String>,
    /// When it will be reached in this period, if nothing changes.
    pub due: Option<String>,
}
