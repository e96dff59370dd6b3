//! The closing account of a session, and what one would cost.

use serde::{Deserialize, Serialize};

use super::{
    id::{Identity, SessionId},
    money::Money,
    phase::Cause,
    resource::{ResourceKey, ResourceKind},
    time::{Span, Timestamp},
};

/// One resource, from birth to proven death.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptResource {
    /// Which.
    pub key: ResourceKey,
    /// Its name.
    pub name: String,
    /// ARN, id or pinned URI.
    pub id: Option<String>,
    /// Whether labguard made it. What it did not make, it leaves.
    pub ours: bool,
    /// When it was born; absent: it never came to be.
    pub born_at: Option<Timestamp>,
    /// When it was proven gone; absent: it stands (not ours), or it is left behind.
    pub gone_at: Option<Timestamp>,
}

/// One line of cost. The amounts of all lines add up to the total exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostLine {
    /// On which resource; absent for labguard's own calls.
    pub key: Option<ResourceKey>,
    /// What is paid for: `Fargate vCPU`, `public IPv4 address`, …
    pub item: String,
    /// How much of it, for people: `0.25 vCPU × 312 s`.
    pub quantity: String,
    /// Price of one unit.
    pub unit_price: Money,
    /// The unit: `vCPU-hour`, `GB-hour`, `address-hour`, `1000 requests`.
    pub unit: String,
    /// What it comes to.
    pub amount: Money,
}

/// The closing account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Which session.
    pub session: SessionId,
    /// Its policy's name.
    pub name: String,
    /// Who it belonged to.
    pub owner: String,
    /// Where it ran.
    pub identity: Option<Identity>,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// The figures behind the cause.
    pub cause_detail: String,
    /// When it was accepted.
    pub opened_at: Timestamp,
    /// When the second clean pass was.
    pub ended_at: Timestamp,
    /// Restarts of its task.
    pub restarts: u32,
    /// Every resource.
    pub resources: Vec<ReceiptResource>,
    /// Cost by line.
    pub lines: Vec<CostLine>,
    /// The sum of the lines.
    pub total: Money,
    /// The budget it ran under.
    pub budget: Money,
    /// The date of the rate card.
    pub rates_as_of: String,
    /// Fresh reads, twice, found nothing of ours.
    pub proven_clean: bool,
}

/// What a session would make and cost (`labguard plan`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// The policy's name.
    pub name: String,
    /// What would be made, in order, with its name.
    pub resources: Vec<(ResourceKind, String)>,
    /// Cost per hour by line.
    pub per_hour: Vec<CostLine>,
    /// Their sum.
    pub rate: Money,
    /// Until each limit: its name, how long it takes from the start, and what is spent by then.
    pub until: Vec<(String, Span, Money)>,
    /// If it were forgotten for a month (730 h).
    pub forgotten_month: Money,
    /// The stated worst-case overshoot over the budget.
    pub overshoot: Money,
    /// What a person should know before starting.
    pub warnings: Vec<String>,
}

impl Estimate {
    /// Stands in names for the six characters of a session's id, which are drawn when it opens.
    pub const UNKNOWN_ID: &'static str = "xxxxxx";
}
