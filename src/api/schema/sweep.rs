//! What a sweep answers with.

use utoipa::ToSchema;

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
    /// The same, for programs: `cloud` (it could not be asked), `journal` (it could not be read), `daemon_ended` or `bug`.
    pub failure_kind: Option<String>,
}
