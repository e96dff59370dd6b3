//! What sessions cost together: the report, and its lines for other tools.

use utoipa::ToSchema;

use super::CostLine;

/// What sessions cost.
#[derive(ToSchema)]
pub struct CostReport {
    /// From when on.
    pub since: String,
    /// Until when.
    pub until: String,
    /// `session`, `owner`, `group` or `item`.
    pub by: String,
    /// `hour`, `day` or `month`.
    pub bucket: String,
    /// Whose midnight counts.
    #[schema(example = "UTC")]
    pub zone: String,
    /// The parts, dearest first. They add up to the total.
    pub shares: Vec<Share>,
    /// The stretches, in order, without holes. They add up to the total.
    pub slices: Vec<Slice>,
    /// Sessions that spent something.
    pub sessions: u64,
    /// Those of them that live.
    pub live: u64,
    /// How sure the least sure price is: `published`, `imported`, `given`, `estimated` or `unpriced`.
    pub basis: String,
    /// All of it.
    pub total: String,
}

/// One part of a report.
#[derive(ToSchema)]
pub struct Share {
    /// Session, owner, group (empty: none) or item.
    pub name: String,
    /// What it comes to.
    pub amount: String,
    /// Of how many sessions.
    pub sessions: u64,
    /// How sure its least sure price is.
    pub basis: String,
}

/// One stretch of time of a report.
#[derive(ToSchema)]
pub struct Slice {
    /// From when on.
    pub from: String,
    /// Until when, that instant not included.
    pub until: String,
    /// What was spent in it.
    pub amount: String,
    /// Pairs of part and amount.
    pub shares: Vec<Vec<String>>,
}

/// One line of cost within one month.
#[derive(ToSchema)]
pub struct Charge {
    /// Which session.
    pub session: String,
    /// Its policy's name.
    pub name: String,
    /// Who it belongs to.
    pub owner: String,
    /// Its group; empty: none.
    pub group: String,
    /// The account it ran in.
    pub account: Option<String>,
    /// The region whose prices it is billed by.
    pub region: String,
    /// The month (UTC): its first instant, and that of the next.
    pub month: Vec<String>,
    /// From when on it is for.
    pub from: String,
    /// Until when it is for.
    pub until: String,
    /// The resource's ARN or id.
    pub resource_id: Option<String>,
    /// The resource's name.
    pub resource_name: Option<String>,
    /// What is paid for.
    pub line: CostLine,
}
