//! The one door to the engine for the API, the CLI's demo and the scheduler.
//!
//! Commands are made durable first, then the session's slot is woken; none of them waits for the cloud.

mod sweep;

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;

pub use sweep::{
    NotSearched, Orphan, OrphanState, SweepFailure, SweepJob, SweepReport, SweepRequest, SweepStage, Swept, Verdict,
};

use super::status::{BudgetStatus, SessionStatus};
use crate::domain::model::{
    Charge, ChargeQuery, CostQuery, CostReport, Entry, Estimate, Receipt, Request, SessionId, Timestamp,
};

/// Why a command was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No policy of that name.
    #[error("no session named \"{name}\" in the daemon's configuration; it has: {known}")]
    UnknownPolicy {
        /// What was asked for.
        name: String,
        /// What there is, with the nearest first.
        known: String,
    },
    /// No session of that id or name.
    #[error("no session \"{0}\"; `labguard status` lists those that live, `labguard history` the others")]
    UnknownSession(String),
    /// A name that several live sessions bear.
    #[error("\"{name}\" is the name of {count} live sessions; give the id: {ids}")]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// How many.
        count: usize,
        /// Their ids.
        ids: String,
    },
    /// A live session has a resource of the same name.
    #[error(
        "session {session} is live and has the {what} {name}, which this one would use too; end it first \
         (`labguard down {session}`), or give this policy a name of its own (names.{what}; `{{session}}` in it is the session's id)"
    )]
    AlreadyLive {
        /// Which.
        session: SessionId,
        /// The kind of the first name that both have, as its key is called.
        what: &'static str,
        /// That name.
        name: String,
    },
    /// It makes no sense in its present phase.
    #[error("{0}")]
    Refused(String),
    /// The journal could not be written: nothing was done.
    #[error("the journal cannot be written, so nothing was done: {0}")]
    Journal(String),
    /// The cloud could not be asked (sweep).
    #[error("{0}")]
    Cloud(String),
}

/// What can be asked of the engine.
pub trait Control: Send + Sync {
    /// Opens a session of a policy. Durable when it returns.
    fn up(&self, policy: String) -> BoxFuture<'_, Result<SessionId, CommandError>>;
    /// Asks something of a live session, by id or (unambiguous) name. Durable when it returns.
    fn request(&self, session: String, request: Request) -> BoxFuture<'_, Result<SessionId, CommandError>>;
    /// Every live session, and those closed since the daemon started, oldest first.
    fn list(&self) -> Vec<Arc<SessionStatus>>;
    /// One session by id or (unambiguous) name.
    ///
    /// # Errors
    /// Unknown or ambiguous.
    fn get(&self, session: &str) -> Result<Arc<SessionStatus>, CommandError>;
    /// Its status as it changes.
    ///
    /// # Errors
    /// Unknown or ambiguous.
    fn follow(&self, session: &str) -> Result<watch::Receiver<Arc<SessionStatus>>, CommandError>;
    /// Receipts of closed sessions, newest first.
    fn history(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Receipt>, CommandError>>;
    /// The receipt of one closed session, by id or name (the newest of that name).
    fn receipt(&self, session: String) -> BoxFuture<'_, Result<Receipt, CommandError>>;
    /// The journal of one session.
    fn entries(&self, session: String) -> BoxFuture<'_, Result<Vec<Entry>, CommandError>>;
    /// What sessions cost, live and closed, each by its own prices.
    fn cost(&self, query: CostQuery) -> BoxFuture<'_, Result<CostReport, CommandError>>;
    /// Their lines of cost, cut at the end of each month; those of one session, or of all in the order they were opened.
    fn charges(&self, query: ChargeQuery) -> BoxFuture<'_, Result<Vec<Charge>, CommandError>>;
    /// Asks AWS itself what a closed session cost, and keeps the answer. AWS takes money for that: refused, with the price,
    /// unless it is `agreed` to.
    fn reconcile(&self, session: String, agreed: bool) -> BoxFuture<'_, Result<Receipt, CommandError>>;
    /// What a session of a policy would make and cost.
    ///
    /// # Errors
    /// Unknown policy.
    fn plan(&self, policy: &str) -> Result<Estimate, CommandError>;
    /// Every budget that sessions share, as it stands.
    fn budgets(&self) -> BoxFuture<'_, Vec<BudgetStatus>>;
    /// What bears labguard's tag and belongs to no live session here, of these sessions or of all; nothing is touched.
    fn orphans(&self, sessions: Vec<String>) -> BoxFuture<'_, Result<SweepReport, CommandError>>;
    /// Begins to remove it, or joins the removal that goes on. It goes on by itself.
    ///
    /// # Errors
    /// A named session is live here, or the daemon is shutting down.
    fn sweep(&self, sessions: Vec<String>) -> Result<SweepJob, CommandError>;
    /// The removal that goes on, or the last one of this daemon's run.
    fn sweeping(&self) -> Option<watch::Receiver<Arc<SweepReport>>>;
    /// "Look again" at every session; carries no data.
    fn wake_all(&self);
    /// Whether the loop went round lately: a door that answers does not prove it.
    fn lives(&self) -> bool;
    /// The time of day by the engine's clock.
    fn now(&self) -> Timestamp;
}

/// A shared door.
pub type Handle = Arc<dyn Control>;
