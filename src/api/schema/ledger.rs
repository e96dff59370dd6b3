//! What a session left behind: receipt, journal, things; and the estimate of one that is not yet.

use utoipa::ToSchema;

use super::Identity;

/// The closing account of a session.
#[derive(ToSchema)]
pub struct Receipt {
    /// Which session.
    pub session: String,
    /// Its policy's name.
    pub name: String,
    /// Who it belonged to.
    pub owner: String,
    /// Its group; empty: none.
    pub group: String,
    /// Where it ran.
    pub identity: Option<Identity>,
    /// Why it ended.
    pub cause: Option<String>,
    /// The figures behind the cause.
    pub cause_detail: String,
    /// When it was accepted.
    pub opened_at: String,
    /// When the second clean pass was.
    pub ended_at: String,
    /// Restarts of its task.
    pub restarts: u32,
    /// Every resource.
    pub resources: Vec<ReceiptResource>,
    /// Cost by line.
    pub lines: Vec<CostLine>,
    /// The exact sum of the lines.
    pub total: String,
    /// The budget it ran under.
    pub budget: String,
    /// The date of the rate card.
    pub rates_as_of: String,
    /// Fresh reads, twice, found nothing of ours, and there was nothing that could not be read.
    pub proven_clean: bool,
    /// What AWS says it cost, where it was asked after the end.
    pub billed: Option<Billed>,
}

/// What AWS says a session cost. For comparison only.
#[derive(ToSchema)]
pub struct Billed {
    /// When it was asked.
    pub asked_at: String,
    /// The first day of the account (UTC).
    pub from: String,
    /// The day after the last (UTC).
    pub until: String,
    /// Pairs of AWS's usage type and amount.
    pub lines: Vec<Vec<String>>,
    /// Their sum.
    pub total: String,
    /// Whether AWS still calls it an estimate.
    pub estimated: bool,
}

/// One resource, from birth to proven death.
#[derive(ToSchema)]
pub struct ReceiptResource {
    /// Which.
    pub key: String,
    /// Its name.
    pub name: String,
    /// ARN, id or pinned URI.
    pub id: Option<String>,
    /// Whether labguard made it.
    pub ours: bool,
    /// When it was born.
    pub born_at: Option<String>,
    /// When it was proven gone.
    pub gone_at: Option<String>,
    /// What may be left of it, where nobody answered whether it came to be.
    pub remark: Option<String>,
}

/// One line of cost.
#[derive(ToSchema)]
pub struct CostLine {
    /// On which resource.
    pub key: Option<String>,
    /// What is paid for, with a remark where the price is not AWS's own.
    pub item: String,
    /// The item's key, as `[rates]` writes it; absent for credits.
    pub billed_as: Option<String>,
    /// How much of it, for people.
    pub quantity: String,
    /// How much of it, exactly.
    pub units: Units,
    /// From when on.
    pub from: Option<String>,
    /// Until when.
    pub until: Option<String>,
    /// Price of one unit.
    pub unit_price: String,
    /// The unit.
    pub unit: String,
    /// `published`, `imported`, `given`, `estimated` or `unpriced`.
    pub basis: String,
    /// What it comes to.
    pub amount: String,
}

/// How many units of a price: `of ÷ per`.
#[derive(ToSchema)]
pub struct Units {
    /// What was counted.
    pub of: u64,
    /// How many of those make one unit of the price.
    pub per: u64,
}

/// What a session of a policy would make and cost.
#[derive(ToSchema)]
pub struct Estimate {
    /// The policy's name.
    pub name: String,
    /// Pairs of kind and name, in order of making.
    pub resources: Vec<Vec<String>>,
    /// Pairs of a net that ends its spend without labguard, and what it does.
    pub nets: Vec<Vec<String>>,
    /// Cost per hour by line.
    pub per_hour: Vec<CostLine>,
    /// Their sum.
    pub rate: String,
    /// Triples: limit, how long it takes from the start, what is spent by then.
    pub until: Vec<Vec<String>>,
    /// If it were forgotten for a month (730 h).
    pub forgotten_month: String,
    /// What it costs at least: its least lifetime, and its end.
    pub least: String,
    /// What its end costs, as long as that may take.
    pub teardown: String,
    /// The stated worst-case overshoot over the budget.
    pub overshoot: String,
    /// What a person should know before starting.
    pub warnings: Vec<String>,
}

/// One journal entry. `event` and its members depend on the kind of event.
#[derive(ToSchema)]
pub struct Entry {
    /// Place in the whole journal, from 1.
    pub seq: u64,
    /// When.
    pub at: String,
    /// Which session.
    pub session: String,
    /// What.
    pub event: serde_json::Value,
}
