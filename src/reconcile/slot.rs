//! One slot per session: its record, the policy it runs under, and what is known of it between turns.
//!
//! Guarantee: an event is journalled before it is taken into the record, and both happen under one lock,
//! so that replay and the live record never differ in order. When the journal cannot be written, what
//! takes things away goes on (its events wait in a backlog); what makes things is refused.

use std::sync::{
    Arc, Mutex as PlainMutex,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use super::{engine::Engine, status::SessionStatus, supply::Supply, watcher::Watcher};
use crate::{
    domain::{
        model::{Entry, Event, Fault, Record, SessionId, Span, Timestamp, Unread},
        policy::Policy,
    },
    journal::JournalError,
};

/// What is kept of a session between turns, beside its record.
#[derive(Debug, Default)]
pub struct Memory {
    /// When its tasks were last read from the cloud.
    pub tasks_seen_at: Option<Timestamp>,
    /// When they were last asked for, answered or not.
    pub tasks_asked_at: Option<Timestamp>,
    /// When they last were without an answer in good time.
    pub cut_off_at: Option<Timestamp>,
    /// When what refuses to be removed was last asked for.
    pub blockers_asked_at: Option<Timestamp>,
    /// Why they could not be, or not all that is to know of them, where the last try failed.
    pub unread: Option<Unread>,
    /// Whether that was told in the log.
    pub unread_told: bool,
    /// Why AWS could place no task of its service, and when it was last seen to say so.
    pub unplaced: Option<(Timestamp, Fault)>,
    /// When the group of its schedules was last looked at, answered or not.
    pub net_looked_at: Option<Timestamp>,
    /// Who watches its present task.
    pub watcher: Option<Watcher>,
    /// By what its sentinel knows us: the public half of its key.
    pub sentinel_key: Option<String>,
    /// Its image, while it is on its way.
    pub supply: Option<Supply>,
    /// When it was last looked at, by the clock and by a clock that nobody sets.
    pub looked_at: Option<(Timestamp, Instant)>,
    /// By how much the clock was set back since, until that is journalled.
    pub clock_set_back: Option<Span>,
    /// Whether it is counted among those on their way up or down.
    pub moving: bool,
    /// Whether it is closed and no longer counted among the live.
    pub retired: bool,
}

/// One session in the engine.
#[derive(Debug)]
pub struct Slot {
    /// Its id.
    pub id: SessionId,
    state: Mutex<State>,
    /// Counts applied events: a plan made for an older version is not carried out.
    version: AtomicU64,
    /// How many metrics its sources asked CloudWatch for since that was last journalled.
    pub metrics_read: Arc<AtomicU64>,
    /// What is kept between turns.
    pub memory: PlainMutex<Memory>,
    /// Its status as it changes.
    pub status: watch::Sender<Arc<SessionStatus>>,
}

#[derive(Debug)]
struct State {
    record: Arc<Record>,
    policy: Arc<Policy>,
    /// Applied, not yet durable.
    backlog: Vec<Event>,
    /// The record as the journal holds it, while anything waits.
    journalled: Option<Arc<Record>>,
    alarm: Option<String>,
}

/// A consistent look at a slot.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The record.
    pub record: Arc<Record>,
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its version.
    pub version: u64,
    /// What a person must know about the journal, if anything.
    pub alarm: Option<String>,
}

/// Whether events may be taken in when the journal cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// No: nothing is applied, the caller must not act.
    Required,
    /// Yes: they are applied now and journalled as soon as it can be written again.
    WhenPossible,
}

impl Slot {
    /// A slot for a record that was just opened or recovered.
    #[must_use]
    pub fn new(record: Record, policy: Policy, status: SessionStatus) -> Self {
        Self {
            id: record.id.clone(),
            state: Mutex::new(State {
                record: Arc::new(record),
                policy: Arc::new(policy),
                backlog: Vec::new(),
                journalled: None,
                alarm: None,
            }),
            version: AtomicU64::new(1),
            metrics_read: Arc::new(AtomicU64::new(0)),
            memory: PlainMutex::new(Memory::default()),
            status: watch::Sender::new(Arc::new(status)),
        }
    }

    /// A consistent look.
    pub async fn snapshot(&self) -> Snapshot {
        let state = self.state.lock().await;
        Snapshot {
            record: Arc::clone(&state.record),
            policy: Arc::clone(&state.policy),
            version: self.version.load(Ordering::Acquire),
            alarm: state.alarm.clone(),
        }
    }

    /// Whether nothing was applied since `version`.
    #[must_use]
    pub fn is_at(&self, version: u64) -> bool {
        self.version.load(Ordering::Acquire) == version
    }

    /// Journals events and takes them into the record, as one.
    ///
    /// # Errors
    /// [`JournalError`] when they are not durable. With [`Durability::WhenPossible`] they are applied all
    /// the same and wait in the backlog.
    pub async fn write(&self, engine: &Engine, events: Vec<Event>, durability: Durability) -> Result<(), JournalError> {
        let mut state = self.state.lock().await;
        self.journal(&mut state, engine, events, durability).await
    }

    /// When the next of its limits is reached that lies ahead, as was last told.
    pub(super) fn next_limit(&self, now: Timestamp) -> Option<Timestamp> {
        self.status.borrow().limits.iter().map(|limit| limit.at).filter(|at| *at > now).min()
    }

    /// The same as [`Slot::write`] for what was decided at `version`; where anything was applied since, nothing is written, and it says false.
    /// Judged under the lock: a request may be on its way to the disk when the decision is made.
    ///
    /// # Errors
    /// See [`Slot::write`].
    pub async fn write_at(
        &self,
        engine: &Engine,
        version: u64,
        events: Vec<Event>,
        durability: Durability,
    ) -> Result<bool, JournalError> {
        let mut state = self.state.lock().await;
        if !self.is_at(version) {
            return Ok(false);
        }
        self.journal(&mut state, engine, events, durability).await.map(|()| true)
    }

    async fn journal(
        &self,
        state: &mut State,
        engine: &Engine,
        events: Vec<Event>,
        durability: Durability,
    ) -> Result<(), JournalError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut all = state.backlog.clone();
        all.extend(events.iter().cloned());
        match engine.append(&self.id, all).await {
            Ok(entries) => {
                self.settle(state, &entries);
                Ok(())
            }
            Err(error) => {
                state.alarm = Some(format!("the journal cannot be written: {error}"));
                if durability == Durability::WhenPossible {
                    let now = engine.clock.now();
                    state.journalled = state.journalled.take().or_else(|| Some(Arc::clone(&state.record)));
                    for event in &events {
                        self.take(state, now, event);
                    }
                    state.backlog.extend(events);
                }
                Err(error)
            }
        }
    }

    /// Whether anything is applied and not yet durable.
    pub async fn waits(&self) -> bool {
        !self.state.lock().await.backlog.is_empty()
    }

    /// Tries again to journal what waits.
    ///
    /// # Errors
    /// [`JournalError`] when it still cannot be written.
    pub async fn flush(&self, engine: &Engine) -> Result<(), JournalError> {
        let mut state = self.state.lock().await;
        if state.backlog.is_empty() {
            return Ok(());
        }
        let entries = engine.append(&self.id, state.backlog.clone()).await?;
        self.settle(&mut state, &entries);
        Ok(())
    }

    /// Takes in what is durable now. What had waited bears the time at which it was journalled, here as in a replay:
    /// what a session is billed by is the same for who has seen it live and for who reads it later.
    fn settle(&self, state: &mut State, entries: &[Entry]) {
        state.backlog.clear();
        state.alarm = None;
        if let Some(journalled) = state.journalled.take() {
            state.record = journalled;
        }
        for entry in entries {
            self.take(state, entry.at, &entry.event);
        }
    }

    fn take(&self, state: &mut State, at: Timestamp, event: &Event) {
        Arc::make_mut(&mut state.record).apply(at, event);
        if let Event::PolicyChanged { policy } = event
            && let Ok(policy) = serde_json::from_value::<Policy>(policy.clone())
        {
            state.policy = Arc::new(policy);
        }
        self.version.fetch_add(1, Ordering::AcqRel);
    }
}
