//! What many sessions cost: a question, a report with its cuts, and charges one by one.
//!
//! Guarantee: whatever way a report is cut, its parts add up to its total to the nano-dollar.

use serde::{Deserialize, Serialize};

use super::{
    calendar::{Bucket, TimeZone},
    id::SessionId,
    money::Money,
    price::Basis,
    receipt::CostLine,
    time::Timestamp,
};

/// By what a report is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// By session.
    #[default]
    Session,
    /// By whom sessions belong to.
    Owner,
    /// By group; those without one are together.
    Group,
    /// By what is paid for.
    Item,
}

impl Cut {
    /// As queries write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Cut::Session => "session",
            Cut::Owner => "owner",
            Cut::Group => "group",
            Cut::Item => "item",
        }
    }
}

/// Which spend, and how it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CostQuery {
    /// From when on; absent: from the first session.
    pub since: Option<Timestamp>,
    /// Until when, that instant not included; absent or later than now: until now.
    pub until: Option<Timestamp>,
    /// By what.
    pub by: Cut,
    /// How long the stretches over time are.
    pub bucket: Bucket,
    /// Whose midnight counts.
    pub zone: TimeZone,
}

/// Which charges.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChargeQuery {
    /// Of one session only, by id or name.
    pub session: Option<String>,
    /// From when on; absent: from the first session.
    pub since: Option<Timestamp>,
    /// Until when, that instant not included; absent or later than now: until now.
    pub until: Option<Timestamp>,
}

/// One part of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Session, owner, group (empty: none) or item.
    pub name: String,
    /// What it comes to.
    pub amount: Money,
    /// Of how many sessions.
    pub sessions: usize,
    /// How sure its least sure price is.
    pub basis: Basis,
}

/// One stretch of time of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// From when on.
    pub from: Timestamp,
    /// Until when, that instant not included.
    pub until: Timestamp,
    /// What was spent in it.
    pub amount: Money,
    /// By part, where it spent anything: name and amount.
    pub shares: Vec<(String, Money)>,
}

/// What sessions cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostReport {
    /// From when on.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// By what it is cut.
    pub by: Cut,
    /// How long its stretches are.
    pub bucket: Bucket,
    /// Whose midnight counts.
    pub zone: TimeZone,
    /// The parts, dearest first. They add up to the total.
    pub shares: Vec<Share>,
    /// The stretches, in order, without holes. They add up to the total.
    pub slices: Vec<Slice>,
    /// Sessions that spent something.
    pub sessions: usize,
    /// Those of them that live: their spend goes on.
    pub live: usize,
    /// How sure the least sure price is.
    pub basis: Basis,
    /// All of it.
    pub total: Money,
}

/// One line of cost within one month, with what a bill says besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// Which session.
    pub session: SessionId,
    /// Its policy's name.
    pub name: String,
    /// Who it belongs to.
    pub owner: String,
    /// Its group; empty: none.
    pub group: String,
    /// The account it ran in, where that is known.
    pub account: Option<String>,
    /// The region whose prices it is billed by.
    pub region: String,
    /// The month (UTC): its first instant, and that of the next.
    pub month: (Timestamp, Timestamp),
    /// From when on it is for.
    pub from: Timestamp,
    /// Until when it is for.
    pub until: Timestamp,
    /// The resource's ARN or id, where there is one.
    pub resource_id: Option<String>,
    /// The resource's name, where there is one.
    pub resource_name: Option<String>,
    /// What is paid for.
    pub line: CostLine,
}
