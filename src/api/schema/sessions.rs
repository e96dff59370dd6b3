//! A session's status, with all that is in it, and what extends it.

use utoipa::ToSchema;

/// A session as its users see it.
#[derive(ToSchema)]
pub struct SessionStatus {
    /// Its id.
    #[schema(example = "admission-7k2m9q")]
    pub id: String,
    /// Its policy's name.
    pub name: String,
    /// Who it belongs to.
    pub owner: String,
    /// `Pending`, `Provisioning`, `Starting`, `Running`, `Stopping`, `TearingDown`, `Ended` or `Stuck`.
    #[schema(example = "Running")]
    pub phase: String,
    /// Since when.
    pub phase_since: String,
    /// Why, or what it is doing now.
    pub doing: String,
    /// Where it runs.
    pub identity: Option<Identity>,
    /// When it was accepted.
    pub opened_at: String,
    /// `http://IP:5000`, once announced.
    pub url: Option<String>,
    /// Health.
    pub health: HealthStatus,
    /// The last sign of use.
    pub last_activity: Option<LastActivity>,
    /// What each source of activity says now.
    pub sources: Vec<SourceReading>,
    /// Open leases.
    pub leases: Vec<LeaseStatus>,
    /// How long it has been idle, where that is known: `12m 3s`.
    pub idle: Option<String>,
    /// Spend so far, gross, exact.
    #[schema(example = "0.012345678 USD")]
    pub spend: String,
    /// Spend per hour now.
    pub rate: String,
    /// The budget with its extensions.
    pub budget: String,
    /// What is left of it after what teardown will still cost.
    pub budget_left: String,
    /// What ending it now will still cost.
    pub teardown_cost: String,
    /// The stated worst-case overshoot.
    pub overshoot: String,
    /// What will have been spent by when, if nothing ends it before.
    pub forecast: Forecast,
    /// By when something in the cloud must have stopped its tasks for lifetime and budget to hold without labguard.
    pub deadline: Option<String>,
    /// What ends its spend without labguard: which nets hold, and which do not and why.
    pub nets: Vec<Net>,
    /// Every limit that is set, soonest first.
    pub limits: Vec<Limit>,
    /// Cause and figures, once it ends: two texts.
    pub ending: Option<Vec<String>>,
    /// Restarts so far.
    pub restarts: u32,
    /// Every resource.
    pub resources: Vec<ResourceStatus>,
    /// How many things of ours may still exist.
    pub things_left: u64,
    /// How far its image has come, while that is being supplied.
    pub image: Option<ImageProgress>,
    /// What blocks the end.
    pub blockers: Vec<Blocker>,
    /// When the next look is due.
    pub next_look: Option<String>,
    /// When what could not be removed or stopped is tried again, the first of it.
    pub next_try: Option<String>,
    /// Something a person must know.
    pub alarm: Option<String>,
    /// When it was closed.
    pub closed_at: Option<String>,
    /// When this status was made.
    pub at: String,
}

/// What will have been spent by when. Pairs of time and amount.
#[derive(ToSchema)]
pub struct Forecast {
    /// At the end of this hour (UTC).
    pub hour: Vec<String>,
    /// At the end of this day (UTC).
    pub day: Vec<String>,
}

/// Where a session runs.
#[derive(ToSchema)]
pub struct Identity {
    /// Twelve digits; `000000000000` is the sandbox.
    pub account: String,
    /// The caller's ARN.
    pub arn: String,
    /// Region.
    #[schema(example = "us-east-1")]
    pub region: String,
}

/// How far an image's supply has come.
#[derive(ToSchema)]
pub struct ImageProgress {
    /// `waiting`, `building`, `reading` or `pushing`.
    pub stage: String,
    /// What is read, or where it is pushed.
    pub detail: String,
    /// Layers and configurations, once known.
    pub layers: Vec<LayerProgress>,
    /// Since when the stage lasts.
    pub since: String,
}

/// How far one layer has come.
#[derive(ToSchema)]
pub struct LayerProgress {
    /// `sha256:…`.
    pub digest: String,
    /// Its size in bytes, as sent.
    pub size: u64,
    /// Bytes sent in the present try.
    pub sent: u64,
    /// `waiting`, `sending`, `sent` or `already_there`.
    pub state: String,
}

/// Health of the application.
#[derive(ToSchema)]
pub struct HealthStatus {
    /// Absent before the first verdict.
    pub healthy: Option<bool>,
    /// What the last probe said.
    pub detail: String,
    /// When it was asked.
    pub at: Option<String>,
    /// How long it took, in microseconds.
    pub latency_us: u64,
}

/// The last sign of use.
#[derive(ToSchema)]
pub struct LastActivity {
    /// When.
    pub at: String,
    /// From which source.
    pub source: String,
    /// What it was.
    pub what: String,
}

/// What one source of activity says.
#[derive(ToSchema)]
pub struct SourceReading {
    /// `requests`, `in_flight`, `sentinel`, `command`, `url` or `logs`.
    #[schema(example = "requests")]
    pub source: String,
    /// `active`, `quiet` or `unknown`.
    #[schema(example = "quiet")]
    pub sign: String,
    /// Since when; unknown: the last moment at which it was known.
    pub since: String,
    /// The latest use (active).
    pub last: Option<String>,
    /// What it was (active).
    pub what: Option<String>,
    /// Why it is not known (unknown).
    pub why: Option<String>,
    /// When it was read.
    pub read_at: String,
    /// How late its news may be.
    pub latency: String,
    /// Time between reads.
    pub interval: String,
}

/// An open lease.
#[derive(ToSchema)]
pub struct LeaseStatus {
    /// Its id.
    pub id: String,
    /// Who or what holds it.
    pub by: String,
    /// When it was opened.
    pub opened_at: String,
    /// When it lapses unless it is renewed.
    pub expires_at: String,
}

/// One limit, and when it will be reached if nothing changes.
#[derive(ToSchema)]
pub struct Limit {
    /// `idle`, `budget`, `lifetime`, `end_time`, `hours`, `start_grace`, `credentials`, `keep`, `shared_budget`,
    /// `sentinel_lease` or `net`.
    pub kind: String,
    /// The cause that will end the session then.
    pub cause: String,
    /// When.
    pub at: String,
    /// The rule and its figures.
    pub why: String,
    /// What would move it.
    pub moved_by: String,
    /// What will have been spent by then, if what costs now goes on costing.
    pub spend: String,
}

/// A net under a session: what ends its spend without labguard.
#[derive(ToSchema)]
pub struct Net {
    /// `sentinel` or `scheduler`.
    pub net: String,
    /// `off`, `pending`, `holds` or `fails`.
    pub state: String,
    /// Whether the session is refused without it.
    pub required: bool,
    /// What it does, or why it does not hold.
    pub detail: String,
    /// When it acts, where it acts at a time that is set.
    pub acts_at: Option<String>,
}

/// One resource of a session.
#[derive(ToSchema)]
pub struct ResourceStatus {
    /// `cluster/1`, `task/2`, …
    pub key: String,
    /// Its name.
    pub name: String,
    /// ARN, id or URI.
    pub id: Option<String>,
    /// `intended`, `live`, `leaving`, `gone` or `never`.
    pub life: String,
    /// Whether labguard made it.
    pub ours: bool,
    /// The last failure, if its present action failed.
    pub fault: Option<String>,
    /// What its removal waits for, while that is the usual course of things and no failure.
    pub waiting: Option<String>,
}

/// Something that stands in the way of an end.
#[derive(ToSchema)]
pub struct Blocker {
    /// Which resource.
    pub key: String,
    /// Its name.
    pub name: String,
    /// What keeps it.
    pub why: String,
    /// What holds it, where that is known: interfaces of a security group, tasks of a cluster.
    pub held_by: Vec<String>,
    /// What it costs per hour while it stays.
    pub cost_per_hour: String,
}

/// Which limit, and by how much more.
#[derive(ToSchema)]
pub struct Extension {
    /// `lifetime`, `budget` or `idle`.
    #[schema(example = "lifetime")]
    pub limit: String,
    /// A length of time (`30m`), or money for the budget (`0.50 USD`).
    #[schema(example = "30m")]
    pub by: String,
}
