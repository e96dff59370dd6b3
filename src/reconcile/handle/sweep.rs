//! The words of a sweep: what is asked, what was found, who may be guarding it, and what became of each thing.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use std::sync::Arc;

use crate::domain::model::{SessionId, Timestamp};

/// What is asked of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRequest {
    /// Remove what is found; else it is only listed.
    pub remove: bool,
    /// Only these sessions, whoever may guard them; none: every one, of which those that somebody may guard are kept.
    pub sessions: Vec<String>,
}

impl SweepRequest {
    /// The command that looks for these sessions, or removes what is left of them: never more than was named.
    #[must_use]
    pub fn command(sessions: &[String], remove: bool) -> String {
        let words = ["labguard", "sweep"].into_iter().chain(sessions.iter().map(String::as_str));
        words.chain(remove.then_some("--yes")).collect::<Vec<_>>().join(" ")
    }
}

/// What made a sweep break off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepFailure {
    /// The cloud could not be asked.
    Cloud,
    /// The journal could not be read.
    Journal,
    /// Its daemon ended.
    DaemonEnded,
    /// A bug: the work ended by itself.
    Bug,
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

impl Swept {
    /// Whether its things are removed when it is named: labguard made them, and this daemon's journal has it not as live.
    #[must_use]
    pub fn yields_when_named(&self) -> bool {
        self.verdict == Verdict::Orphan || (self.is_a_session() && !self.known)
    }

    /// Whether the tag's value is a session's: labguard gives no other.
    #[must_use]
    pub fn is_a_session(&self) -> bool {
        self.session.parse::<SessionId>().is_ok()
    }
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
    /// The same, for programs.
    #[serde(default)]
    pub failure_kind: Option<SweepFailure>,
}

impl SweepReport {
    /// Whether nothing more will come of it.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, SweepStage::Done | SweepStage::Failed)
    }

    /// It broke off.
    pub fn break_off(&mut self, kind: SweepFailure, why: impl Into<String>) {
        self.stage = SweepStage::Failed;
        self.failure = Some(why.into());
        self.failure_kind = Some(kind);
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
