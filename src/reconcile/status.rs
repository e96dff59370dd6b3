//! What a person or program may know of a session. Read-only; made after every turn of the loop.

use serde::{Deserialize, Serialize};

use crate::domain::model::{
    Blocker, Cause, Forecast, Identity, ImageProgress, LastActivity, Life, Limit, Measure, Money, Net, Period, Phase,
    ResourceKey, Scope, SessionId, SourceReading, Span, Timestamp,
};

/// One resource of a session, for status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// Which.
    pub key: ResourceKey,
    /// Its name.
    pub name: String,
    /// ARN, id or URI.
    pub id: Option<String>,
    /// Where it is in its life.
    pub life: Life,
    /// Whether labguard made it.
    pub ours: bool,
    /// The last failure, if its present action failed.
    pub fault: Option<String>,
    /// What it waits for, while that is the usual course of things and no failure.
    #[serde(default)]
    pub waiting: Option<String>,
}

impl SessionStatus {
    /// Says how far the image has come, in `doing` too.
    pub fn show_image(&mut self, image: Option<ImageProgress>) {
        if let Some(before) = &self.image
            && let Some(doing) = self.doing.strip_suffix(&told(before))
        {
            self.doing.truncate(doing.len());
        }
        if let Some(now) = &image {
            self.doing.push_str(&told(now));
        }
        self.image = image;
    }

    /// How long it has been idle at `now`, where that is known: this status may be some seconds old.
    #[must_use]
    pub fn idle_at(&self, now: Timestamp) -> Option<Span> {
        self.idle.map(|idle| idle + now.since(self.at))
    }
}

fn told(image: &ImageProgress) -> String {
    format!(": {}", image.describe())
}

/// Health, for status.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthStatus {
    /// `None` before the first verdict.
    pub healthy: Option<bool>,
    /// What the last probe said.
    pub detail: String,
    /// When it was asked.
    pub at: Option<Timestamp>,
    /// How long it took, in microseconds.
    pub latency_us: u64,
}

/// Whether a net holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetWord {
    /// The policy does not want it.
    Off,
    /// It is being made.
    Pending,
    /// It would end the spend by itself.
    Holds,
    /// It cannot be had, or is torn.
    Fails,
}

impl NetWord {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NetWord::Off => "off",
            NetWord::Pending => "pending",
            NetWord::Holds => "holds",
            NetWord::Fails => "does not hold",
        }
    }
}

/// One net under a session, for status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetStatus {
    /// Which.
    pub net: Net,
    /// Whether it holds.
    pub state: NetWord,
    /// Whether the session is refused without it.
    pub required: bool,
    /// What it does, or why it does not hold.
    pub detail: String,
    /// When it acts, where it acts at a time that is set.
    pub acts_at: Option<Timestamp>,
}

/// An open lease, for status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// Its id.
    pub id: String,
    /// Who or what holds it.
    pub by: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it lapses unless it is renewed.
    pub expires_at: Timestamp,
}

/// A session as its users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its id.
    pub id: SessionId,
    /// Its policy's name.
    pub name: String,
    /// Who it belongs to.
    pub owner: String,
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub phase_since: Timestamp,
    /// Why, or what it is doing now.
    pub doing: String,
    /// Where it runs.
    pub identity: Option<Identity>,
    /// When it was accepted.
    pub opened_at: Timestamp,
    /// `http://IP:5000`, once announced.
    pub url: Option<String>,
    /// Health.
    pub health: HealthStatus,
    /// The last sign of use.
    pub last_activity: Option<LastActivity>,
    /// What each source of activity says now.
    #[serde(default)]
    pub sources: Vec<SourceReading>,
    /// Open leases.
    #[serde(default)]
    pub leases: Vec<LeaseStatus>,
    /// How long it has been idle, where that is known.
    pub idle: Option<Span>,
    /// Spend so far, gross.
    pub spend: Money,
    /// Spend per hour now.
    pub rate: Money,
    /// The budget with its extensions.
    pub budget: Money,
    /// What is left of it after what teardown will still cost.
    pub budget_left: Money,
    /// What ending it now will still cost.
    #[serde(default)]
    pub teardown_cost: Money,
    /// The stated worst-case overshoot.
    pub overshoot: Money,
    /// What will have been spent at the end of this hour and day, if nothing ends it before.
    #[serde(default)]
    pub forecast: Forecast,
    /// By when something in the cloud must have stopped its tasks for lifetime and budget to hold without labguard;
    /// absent once it is being torn down.
    #[serde(default)]
    pub deadline: Option<Timestamp>,
    /// What ends its spend without labguard: which nets hold, and which do not and why.
    #[serde(default)]
    pub nets: Vec<NetStatus>,
    /// Every limit that is set, soonest first: what ends it next, when, and what would move it.
    pub limits: Vec<Limit>,
    /// Why it ends, once it does, with the figures.
    pub ending: Option<(Cause, String)>,
    /// Restarts so far.
    pub restarts: u32,
    /// Every resource.
    pub resources: Vec<ResourceStatus>,
    /// How many things of ours may still exist.
    pub things_left: usize,
    /// How far its image has come, while that is being supplied.
    #[serde(default)]
    pub image: Option<ImageProgress>,
    /// What blocks the end.
    pub blockers: Vec<Blocker>,
    /// When the next look is due.
    pub next_look: Option<Timestamp>,
    /// When what could not be removed or stopped is tried again, the first of it.
    #[serde(default)]
    pub next_try: Option<Timestamp>,
    /// Something a person must know: a journal that cannot be written, credentials refused.
    pub alarm: Option<String>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// When this status was made.
    pub at: Timestamp,
}

/// One threshold of a shared budget, for status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdStatus {
    /// That many hundredths of the limit.
    pub percent: u8,
    /// What happens then.
    pub measure: Measure,
    /// The share in money.
    pub amount: Money,
    /// When it was reached in this period, if it was since the daemon started.
    pub reached_at: Option<Timestamp>,
    /// When it will be reached in this period, if nothing changes.
    pub due: Option<Timestamp>,
}

/// A budget that sessions share, as its users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// NAME of `[budgets.NAME]`.
    pub name: String,
    /// Whose sessions share it.
    pub scope: Scope,
    /// Which owner, group or account; empty for the daemon.
    pub of: String,
    /// How long it is for.
    pub period: Period,
    /// The time zone of its periods.
    pub zone: String,
    /// When the present period began; absent for life.
    pub from: Option<Timestamp>,
    /// When it begins anew; absent for life.
    pub until: Option<Timestamp>,
    /// The whole of it.
    pub limit: Money,
    /// Spent in this period.
    pub spent: Money,
    /// That in hundredths of the limit, rounded down.
    pub percent: u64,
    /// What an hour costs as things stand.
    pub rate: Money,
    /// What ending its sessions will still cost.
    pub teardown: Money,
    /// What sessions that have just begun still need for their least lifetimes.
    pub reserved: Money,
    /// By how much it can be passed at worst.
    pub overshoot: Money,
    /// What happens when, lowest first.
    pub thresholds: Vec<ThresholdStatus>,
    /// What happens next, for people.
    pub next: String,
    /// When, if nothing changes.
    pub next_at: Option<Timestamp>,
    /// Its live sessions.
    pub sessions: Vec<SessionId>,
    /// When this was summed.
    pub at: Timestamp,
}
