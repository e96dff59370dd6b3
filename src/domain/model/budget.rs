//! Shared budgets as a decision and a status see them: whose, over which period, and how far they are spent.
//!
//! Values only. A reading is of one budget of one owner, group, account or daemon in its present period, summed over
//! all its sessions at an instant; between sums it is extrapolated by its rate, never guessed otherwise.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{money::Money, phase::Stage, time::Timestamp};

/// Whose sessions share a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All sessions of this daemon.
    Daemon,
    /// Those in one AWS account.
    Account,
    /// Those of one owner.
    Owner,
    /// Those of one group.
    Group,
}

impl Scope {
    /// Every scope, as the configuration lists them.
    pub const ALL: [Scope; 4] = [Scope::Daemon, Scope::Account, Scope::Owner, Scope::Group];

    /// As the configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Daemon => "daemon",
            Scope::Account => "account",
            Scope::Owner => "owner",
            Scope::Group => "group",
        }
    }
}

/// How long a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// A month of the calendar.
    Month,
    /// All time.
    Life,
}

impl Period {
    /// Every period, as the configuration lists them.
    pub const ALL: [Period; 4] = [Period::Day, Period::Week, Period::Month, Period::Life];

    /// As the configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
            Period::Life => "life",
        }
    }
}

/// What happens at a threshold, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// It is told.
    Notify,
    /// No further session is opened or resumed.
    Block,
    /// Its sessions' tasks are stopped, the rest is kept.
    Stop,
    /// Its sessions are torn down.
    Teardown,
}

impl Measure {
    /// For people and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Measure::Notify => "notify",
            Measure::Block => "block",
            Measure::Stop => "stop",
            Measure::Teardown => "teardown",
        }
    }

    /// For people: completes "at 90 % it …".
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Measure::Notify => "is told",
            Measure::Block => "takes no further session",
            Measure::Stop => "stops its sessions",
            Measure::Teardown => "tears its sessions down",
        }
    }

    /// How far it ends sessions, if it does.
    #[must_use]
    pub const fn stage(self) -> Option<Stage> {
        match self {
            Measure::Notify | Measure::Block => None,
            Measure::Stop => Some(Stage::Stop),
            Measure::Teardown => Some(Stage::Teardown),
        }
    }
}

/// A share of a budget at which something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Threshold {
    /// That many hundredths of the limit.
    pub percent: u8,
    /// What happens.
    pub measure: Measure,
    /// The share in money.
    pub amount: Money,
}

/// What the sessions of a budget come to, at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pool {
    /// When it was summed.
    pub at: Timestamp,
    /// Spent in the period by then, closed sessions included.
    pub spent: Money,
    /// What an hour costs as things stand.
    pub rate: Money,
    /// What ending every session of it would still cost.
    pub teardown: Money,
    /// What sessions that have just begun still need for their least lifetimes.
    pub reserved: Money,
    /// By how much it can be passed at worst: the live sessions' own stated overshoots, and a second of unseen change.
    pub overshoot: Money,
    /// Live sessions.
    pub sessions: u32,
}

impl Pool {
    /// Spent by `at`, if what costs now goes on costing.
    #[must_use]
    pub fn spent_by(&self, at: Timestamp) -> Money {
        self.spent + self.rate.per_hour_over(at.since(self.at))
    }
}

impl std::ops::AddAssign for Pool {
    fn add_assign(&mut self, other: Pool) {
        self.at = self.at.max(other.at);
        self.spent += other.spent;
        self.rate += other.rate;
        self.teardown += other.teardown;
        self.reserved += other.reserved;
        self.overshoot += other.overshoot;
        self.sessions = self.sessions.saturating_add(other.sessions);
    }
}

/// One budget of one owner, group, account or daemon, in one period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetReading {
    /// NAME of `[budgets.NAME]`.
    pub name: String,
    /// Whose sessions share it.
    pub scope: Scope,
    /// Which owner, group or account; empty for the daemon.
    pub of: String,
    /// How long it is for.
    pub period: Period,
    /// When the present period began.
    pub from: Timestamp,
    /// When the present period ends; absent for life.
    pub until: Option<Timestamp>,
    /// The whole of it.
    pub limit: Money,
    /// What happens when, lowest first.
    pub thresholds: Vec<Threshold>,
    /// What its sessions come to.
    pub pool: Pool,
    /// The furthest that it has ended sessions in this period and under these rules: that stands until the period's end.
    pub reached: Option<Stage>,
}

impl BudgetReading {
    /// For people: `budget "class" of owner ada`.
    #[must_use]
    pub fn whose(&self) -> String {
        match self.scope {
            Scope::Daemon => format!("the daemon's budget \"{}\"", self.name),
            scope => format!("the budget \"{}\" of {} {}", self.name, scope.name(), self.of),
        }
    }

    /// For people: `this day, until 2026-11-25T00:00:00Z`.
    #[must_use]
    pub fn when(&self) -> String {
        match self.until {
            Some(until) => format!("this {}, until {until}", self.period.name()),
            None => "for life".to_owned(),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} %)", self.amount, self.percent)
    }
}
