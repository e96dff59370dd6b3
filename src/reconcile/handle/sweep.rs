//! The words of a sweep: what is asked, what was found, who may be guarding it, and what became of each thing.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use std::sync::Arc;

use crate::domain::model::Timestamp;

/// What is asked of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRequest {
    /// Remove what is found; else it is only listed.
    pub remove: bool,
    /// Only these sessions, whoever may guard them; none: every one, of which those that somebody may guard are kept.
    pub sessions: Vec<String>,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepStage {
    /// It looks at the account.
    Looking,
    /// It removes.
    Removing,
    /// It is over; every thing has its outcome.
    Done,
    /// It broke off; `failure` says why.
    Failed,
}

/// Whose a session's things are, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nobody guards them.
    Orphan,
    /// Another labguard may: they are removed only when the session is named.
    MaybeGuarded,
}

/// What became of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanState {
    /// It is there; nobody has touched it.
    Found,
    /// It is there and is not to be removed: see its session's verdict.
    Kept,
    /// Its removal goes on.
    Removing,
    /// A fresh read proves that it is gone.
    Gone,
    /// It could not be removed; the detail says why.
    StillThere,
}

impl OrphanState {
    /// In words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            OrphanState::Found => "found",
            OrphanState::Kept => "kept",
            OrphanState::Removing => "being removed",
            OrphanState::Gone => "gone",
            OrphanState::StillThere => "still there",
        }
    }
}

/// Something in the account that bears labguard's tag and belongs to no live session of this journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// For people: `cluster`, `security group`, …
    pub kind: String,
    /// ARN or id.
    pub id: String,
    /// When it was made, where AWS says so.
    pub made_at: Option<Timestamp>,
    /// What became of it.
    pub state: OrphanState,
    /// More of it: what was done, what it waits for, why it is still there.
    pub detail: Option<String>,
}

/// The things of one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// The session in their tag.
    pub session: String,
    /// The owner in their tag.
    pub owner: Option<String>,
    /// Whether this daemon's journal knows the session.
    pub known: bool,
    /// Whether somebody may guard them.
    pub verdict: Verdict,
    /// Why that is the verdict.
    pub why: String,
    /// What runs: tasks that are not stopped, services.
    pub running: Vec<String>,
    /// When the newest of them was made, where AWS says so.
    pub newest_at: Option<Timestamp>,
    /// Each thing, in the order of removal.
    pub things: Vec<Orphan>,
}

/// A part of the account of which nothing is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A sweep as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReport {
    /// What was asked.
    pub asked: SweepRequest,
    /// How far it is.
    pub stage: SweepStage,
    /// The one region that was searched.
    pub region: String,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// What was found, by session.
    pub sessions: Vec<Swept>,
    /// What could not be searched.
    pub not_searched: Vec<NotSearched>,
    /// Sessions that were named and of which nothing was found.
    pub unknown: Vec<String>,
    /// Why it broke off.
    pub failure: Option<String>,
}

impl SweepReport {
    /// Whether nothing more will come of it.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, SweepStage::Done | SweepStage::Failed)
    }

    /// Every thing with its session.
    pub fn things(&self) -> impl Iterator<Item = (&Swept, &Orphan)> {
        self.sessions.iter().flat_map(|session| session.things.iter().map(move |thing| (session, thing)))
    }
}

/// A removal that goes on in the daemon, whoever watches it.
#[derive(Clone, Debug)]
pub struct SweepJob {
    /// Whether it went on already when it was asked for.
    pub joined: bool,
    /// The report as it changes.
    pub report: watch::Receiver<Arc<SweepReport>>,
}
