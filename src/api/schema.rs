//! The shapes of answers, for the OpenAPI document only: nothing is ever sent or read through these.
//!
//! The values on the wire are the model's own ([`crate::domain::model`], [`crate::reconcile::status`]). These
//! mirrors describe them; a test keeps their members in step with what is really sent.

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
    /// `idle`, `budget`, `lifetime`, `end_time`, `hours`, `start_grace`, `credentials`, `keep` or `shared_budget`.
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
    /// What it costs per hour while it stays.
    pub cost_per_hour: String,
}

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
    /// Fresh reads, twice, found nothing of ours.
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

/// Something that bears labguard's tag and belongs to no live session of this daemon.
#[derive(ToSchema)]
pub struct Orphan {
    /// `cluster`, `security group`, …
    pub kind: String,
    /// ARN or id.
    pub id: String,
    /// When it was made, where AWS says so.
    pub made_at: Option<String>,
    /// `found`, `kept` (see the session's verdict), `removing`, `gone` (proven by a fresh read) or `still_there`.
    pub state: String,
    /// What was done, what it waits for, or why it is still there.
    pub detail: Option<String>,
}

/// The things of one session.
#[derive(ToSchema)]
pub struct Swept {
    /// The session in their tag.
    pub session: String,
    /// The owner in their tag.
    pub owner: Option<String>,
    /// Whether this daemon's journal knows the session.
    pub known: bool,
    /// `orphan`, or `maybe_guarded`: by another labguard; removed only when the session is named.
    pub verdict: String,
    /// Why that is the verdict.
    pub why: String,
    /// What runs: tasks that are not stopped, services.
    pub running: Vec<String>,
    /// When the newest of them was made, where AWS says so.
    pub newest_at: Option<String>,
    /// Each thing, in the order of removal.
    pub things: Vec<Orphan>,
}

/// A part of the account that could not be searched: nothing is known of it.
#[derive(ToSchema)]
pub struct NotSearched {
    /// What: `IAM roles`.
    pub what: String,
    /// Why not, in AWS's words.
    pub why: String,
    /// What to do: which action to allow.
    pub next: String,
    /// False where the endpoint has no such service, so that there is nothing to find.
    pub matters: bool,
}

/// What was asked of a sweep.
#[derive(ToSchema)]
pub struct SweepAsked {
    /// Whether what is found is removed.
    pub remove: bool,
    /// The sessions that were named.
    pub sessions: Vec<String>,
}

/// A sweep as it stands.
#[derive(ToSchema)]
pub struct SweepReport {
    /// What was asked.
    pub asked: SweepAsked,
    /// `looking`, `removing`, `done` or `failed`.
    pub stage: String,
    /// The one region that was searched.
    pub region: String,
    /// When it began.
    pub began_at: String,
    /// When it was over.
    pub ended_at: Option<String>,
    /// What was found, by session.
    pub sessions: Vec<Swept>,
    /// What could not be searched.
    pub not_searched: Vec<NotSearched>,
    /// Named sessions of which nothing was found.
    pub unknown: Vec<String>,
    /// Why it broke off.
    pub failure: Option<String>,
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
