//! The closing account of a session, and what one would cost.

use serde::{Deserialize, Serialize};

use super::{
    event::Billed,
    id::{Identity, SessionId},
    money::Money,
    phase::Cause,
    price::{Basis, Item},
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
    /// What may be left of it, what that costs and what removes it, where nobody answered whether it came to be.
    #[serde(default)]
    pub remark: Option<String>,
}

/// How many units of a price: `of ÷ per`, exactly. Their amount is that many times the unit price, rounded up to the
/// nano-dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Units {
    /// What was counted: vCPU units times seconds, say.
    pub of: u64,
    /// How many of those make one unit of the price.
    pub per: u64,
}

/// One line of cost. The amounts of all lines add up to the total exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostLine {
    /// On which resource; absent for labguard's own calls.
    pub key: Option<ResourceKey>,
    /// What is paid for: `Fargate vCPU`, `public IPv4 address`, … with a remark where the price is not AWS's own.
    pub item: String,
    /// The same for programs; absent where it is no use of an item (credits).
    #[serde(default)]
    pub billed_as: Option<Item>,
    /// How much of it, for people: `0.25 vCPU × 312 s`.
    pub quantity: String,
    /// How much of it, exactly.
    #[serde(default)]
    pub units: Units,
    /// From when on.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Until when.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// Price of one unit.
    pub unit_price: Money,
    /// The unit: `vCPU-hour`, `GB-hour`, `address-hour`, `1000 requests`.
    pub unit: String,
    /// How sure the price is.
    #[serde(default)]
    pub basis: Basis,
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
    /// Its group; empty: none.
    #[serde(default)]
    pub group: String,
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
    /// Fresh reads, twice, found nothing of ours, and there was nothing that could not be read.
    pub proven_clean: bool,
    /// What AWS says it cost, where it was asked days later. For comparison: no guard looks at it.
    #[serde(default)]
    pub billed: Option<Billed>,
}

/// What a session would make and cost (`labguard plan`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// The policy's name.
    pub name: String,
    /// What would be made, in order, with its name.
    pub resources: Vec<(ResourceKind, String)>,
    /// What would end its spend without labguard: each net, and what it does.
    #[serde(default)]
    pub nets: Vec<(String, String)>,
    /// Cost per hour by line.
    pub per_hour: Vec<CostLine>,
    /// Their sum.
    pub rate: Money,
    /// Until each limit: its name, how long it takes from the start, and what is spent by then.
    pub until: Vec<(String, Span, Money)>,
    /// If it were forgotten for a month (730 h).
    pub forgotten_month: Money,
    /// What it costs at least: its least lifetime, and its end.
    #[serde(default)]
    pub least: Money,
    /// What its end costs, as long as that may take.
    #[serde(default)]
    pub teardown: Money,
    /// The stated worst-case overshoot over the budget.
    pub overshoot: Money,
    /// What a person should know before starting.
    pub warnings: Vec<String>,
}

impl Estimate {
    /// Stands in names for the six characters of a session's id, which are drawn when it opens.
    pub const UNKNOWN_ID: &'static str = "xxxxxx";
}
