//! The engine's parts in one place: the boundaries it works through and the slots it works on.
//!
//! One turn of a slot is observe → decide → journal notes → execute → status. Turns of different sessions
//! run side by side; turns of one session never do.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures::future::BoxFuture;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use super::{
    budgets::Budgets,
    executor,
    identity::WhoAmI,
    observe,
    own_address::Own,
    pulse::Pulse,
    reaper::Sweeps,
    slot::{Durability, Slot, Snapshot},
    summary, supply, watcher,
};
use crate::{
    activity::sentinel::{Signer, SignerError},
    clock::Clock,
    cloud::Cloud,
    domain::{
        decide::{self, Rules},
        meter,
        model::{
            Entry, Event, Observation, OwnAddress, Phase, Plan, RateCard, Record, SessionId, Span, Step, Timestamp,
        },
        policy::{ActivityPolicy, HealthPolicy, Insights, Policy},
    },
    journal::{Journal, JournalError},
    probe::own_address::Mirror,
    telemetry::{prometheus::Metrics, redact::Secret},
    transport::Transport,
};

/// A named place where a test may stop the engine for ever, as a crash would.
pub type Checkpoint = Arc<dyn Fn(&'static str) -> BoxFuture<'static, ()> + Send + Sync>;

/// What the engine is built from.
#[derive(Clone)]
pub struct Boundaries {
    /// AWS, the sandbox, or an emulator.
    pub cloud: Cloud,
    /// Where events go.
    pub journal: Journal,
    /// The time of day.
    pub clock: Clock,
    /// The way to containers.
    pub transport: Arc<dyn Transport>,
    /// Prices.
    pub card: RateCard,
    /// Prometheus metrics.
    pub metrics: Arc<Metrics>,
    /// Where images are spooled and what was seen of them is remembered; made when needed.
    pub workspace: PathBuf,
    /// Seed of session ids.
    pub seed: u64,
    /// What the keys are made of by which sentinels know us.
    pub secret: Secret<[u8; 32]>,
    /// The sentinel's program on this machine, for policies that name none.
    pub sentinel_program: PathBuf,
    /// Who says which public address we call from.
    pub mirror: Arc<dyn Mirror>,
    /// Most live sessions at once.
    pub max_sessions: usize,
    /// Crash places for tests; none in production.
    pub checkpoint: Option<Checkpoint>,
}

/// The shared engine; see the module's docs.
pub struct Engine {
    pub(super) cloud: Cloud,
    pub(super) journal: Journal,
    pub(super) clock: Clock,
    pub(super) transport: Arc<dyn Transport>,
    card: RwLock<Arc<RateCard>>,
    /// The age of a price above which a plan warns of it.
    rates_max_age: RwLock<Option<Span>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) max_sessions: usize,
    pub(super) workspace: PathBuf,
    /// Whose image may be on its way.
    pub(super) supplies: Arc<Semaphore>,
    checkpoint: Option<Checkpoint>,
    ids: Mutex<SmallRng>,
    secret: Secret<[u8; 32]>,
    pub(super) sentinel_program: PathBuf,
    book: RwLock<BTreeMap<String, Arc<Policy>>>,
    slots: RwLock<BTreeMap<SessionId, Arc<Slot>>>,
    live: AtomicUsize,
    moving: AtomicUsize,
    /// Held by who opens a session: whether there is room, and whose names are taken, holds until it is admitted.
    pub(super) opening: tokio::sync::Mutex<()>,
    draining: AtomicBool,
    pub(super) budgets: Budgets,
    pub(super) sweeps: Sweeps,
    whoami: WhoAmI,
    pub(super) own: Own,
    pub(super) pulse: Pulse,
    wake: mpsc::UnboundedSender<SessionId>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("draining", &self.is_draining()).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine without slots, and the ear of its driver.
    #[must_use]
    pub fn new(
        boundaries: Boundaries,
        book: BTreeMap<String, Policy>,
    ) -> (Arc<Engine>, mpsc::UnboundedReceiver<SessionId>) {
        let (wake, ear) = mpsc::unbounded_channel();
        let engine = Engine {
            cloud: boundaries.cloud,
            journal: boundaries.journal,
            clock: boundaries.clock,
            transport: boundaries.transport,
            card: RwLock::new(Arc::new(boundaries.card)),
            rates_max_age: RwLock::new(None),
            metrics: boundaries.metrics,
            max_sessions: boundaries.max_sessions,
            workspace: boundaries.workspace,
            supplies: Arc::new(Semaphore::new(supply::AT_ONCE)),
            checkpoint: boundaries.checkpoint,
            ids: Mutex::new(SmallRng::seed_from_u64(boundaries.seed)),
            secret: boundaries.secret,
            sentinel_program: boundaries.sentinel_program,
            book: RwLock::new(book.into_iter().map(|(name, policy)| (name, Arc::new(policy))).collect()),
            slots: RwLock::new(BTreeMap::new()),
            live: AtomicUsize::new(0),
            moving: AtomicUsize::new(0),
            opening: tokio::sync::Mutex::new(()),
            draining: AtomicBool::new(false),
            budgets: Budgets::default(),
            sweeps: Sweeps::default(),
            whoami: WhoAmI::default(),
            own: Own::new(boundaries.mirror),
            pulse: Pulse::new(),
            wake,
        };
        (Arc::new(engine), ear)
    }

    /// Signs for a session's sentinel.
    ///
    /// # Errors
    /// Where the session's name cannot be signed.
    pub(super) fn signer(&self, session: &SessionId) -> Result<Signer, SignerError> {
        Signer::derive(self.secret.expose(), session.as_str())
    }

    /// "Look again" at one session. Carries no data.
    pub fn wake(&self, session: &SessionId) {
        // A closed ear means that the driver has stopped: nothing looks any more, which is what was asked.
        let _ = self.wake.send(session.clone());
    }

    /// For what wakes sessions without holding the engine.
    pub(super) fn waker(&self) -> mpsc::UnboundedSender<SessionId> {
        self.wake.clone()
    }

    /// The prices in force.
    #[must_use]
    pub fn card(&self) -> Arc<RateCard> {
        Arc::clone(&self.card.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on plans warn of prices that are older; at first of none.
    pub fn warn_of_age(&self, most: Option<Span>) {
        *self.rates_max_age.write().unwrap_or_else(PoisonError::into_inner) = most;
    }

    /// What a plan says of the age of the prices that its session needs.
    pub(super) fn age_warning(&self, policy: &Policy) -> Option<String> {
        let most = *self.rates_max_age.read().unwrap_or_else(PoisonError::into_inner);
        meter::age_warning(&self.card(), &meter::needs(policy), most, self.clock.now())
    }

    /// Takes new prices: from now on every session is billed by them. Whether they differ from those in force.
    pub fn replace_card(&self, card: RateCard) -> bool {
        let differs = *self.card() != card;
        if differs {
            *self.card.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(card);
            for slot in self.slots() {
                self.wake(&slot.id);
            }
        }
        differs
    }

    /// Whether the daemon is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// From now on no session is opened, and those that end on shutdown do.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
        for slot in self.slots() {
            self.wake(&slot.id);
        }
    }

    /// Ends what goes on beside the loop, once that has ended. The next start goes on with it.
    pub async fn rest(&self) {
        for slot in self.slots() {
            supply::end(&slot).await;
        }
        self.sweeps.end().await;
    }

    /// The policy of that name.
    #[must_use]
    pub fn policy(&self, name: &str) -> Option<Arc<Policy>> {
        self.book.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The names of all policies.
    #[must_use]
    pub fn policy_names(&self) -> Vec<String> {
        self.book.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Every slot, by id.
    #[must_use]
    pub fn slots(&self) -> Vec<Arc<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// One slot.
    #[must_use]
    pub fn slot(&self, id: &SessionId) -> Option<Arc<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// How many sessions are not yet closed.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// How many of them are on their way up or down.
    pub(super) fn moving(&self) -> usize {
        self.moving.load(Ordering::Relaxed)
    }

    /// Counts a session among those on their way up or down, or not any more.
    fn count_moving(&self, slot: &Slot, moving: bool) {
        match (std::mem::replace(&mut lock(&slot.memory).moving, moving), moving) {
            (false, true) => drop(self.moving.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.moving.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// Takes a session in and wakes it.
    pub fn admit(&self, record: Record, policy: Policy) -> Arc<Slot> {
        let now = self.clock.now();
        let plan = Plan::default();
        let status = summary::status(&record, &policy, &plan, &summary::Aside::default(), now);
        let slot = Arc::new(Slot::new(record, policy, status));
        self.slots.write().unwrap_or_else(PoisonError::into_inner).insert(slot.id.clone(), Arc::clone(&slot));
        self.live.fetch_add(1, Ordering::Relaxed);
        self.wake(&slot.id);
        slot
    }

    /// A fresh id for a session of that policy.
    #[must_use]
    pub fn new_id(&self, name: &str) -> SessionId {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let id = SessionId::new(name, ids.next_u64());
            if self.slot(&id).is_none() {
                return id;
            }
        }
    }

    /// Takes new policies: new sessions run under them, and live ones of the same name under their limits,
    /// endings, probes and metrics. What a live session is made of (names, image, task, network) stays.
    pub async fn replace_policies(&self, book: BTreeMap<String, Policy>) -> usize {
        let mut changed = 0;
        for slot in self.slots() {
            let seen = slot.snapshot().await;
            let Some(fresh) = book.get(&seen.record.name) else { continue };
            let next = Policy {
                // The port is one of those that its task and its group were made with.
                health: HealthPolicy { port: seen.policy.health.port, ..fresh.health.clone() },
                predict: fresh.predict.clone(),
                // Whether Container Insights is on is a matter of its cluster.
                activity: ActivityPolicy {
                    insights: Insights {
                        enabled: seen.policy.activity.insights.enabled,
                        ..fresh.activity.insights.clone()
                    },
                    ..fresh.activity.clone()
                },
                limits: fresh.limits.clone(),
                end: fresh.end.clone(),
                metrics: fresh.metrics.clone(),
                ..(*seen.policy).clone()
            };
            if seen.record.is_closed() || next == *seen.policy {
                continue;
            }
            let Ok(policy) = serde_json::to_value(&next) else { continue };
            let event = Event::PolicyChanged { policy };
            if let Err(error) = slot.write(self, vec![event], Durability::Required).await {
                tracing::error!(session.id = %slot.id, %error, "the changed policy could not be journalled; the old one stays");
                continue;
            }
            changed += 1;
            self.wake(&slot.id);
        }
        *self.book.write().unwrap_or_else(PoisonError::into_inner) =
            book.into_iter().map(|(name, policy)| (name, Arc::new(policy))).collect();
        changed
    }

    /// Appends to the journal, and counts it.
    pub(super) async fn append(&self, session: &SessionId, events: Vec<Event>) -> Result<Vec<Entry>, JournalError> {
        let began = Instant::now();
        let appended = self.journal.append(session, events).await;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.metrics.append(appended.is_ok(), micros);
        appended
    }

    pub(super) async fn checkpoint(&self, place: &'static str) {
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint(place).await;
        }
    }

    /// One turn; answers when the next is due.
    pub async fn turn(self: &Arc<Self>, slot: &Slot) -> Option<Timestamp> {
        /// More rounds than any session needs in a row; the rest waits for the next turn.
        const ROUNDS: usize = 12;
        self.metrics.turn();
        if let Err(error) = slot.flush(self).await {
            tracing::debug!(%error, "the backlog still cannot be journalled");
        }
        let mut observation = None;
        for _ in 0..ROUNDS {
            executor::take_in(self, slot).await;
            let seen = slot.snapshot().await;
            if seen.record.is_closed() {
                self.retire(slot, &seen.record, &seen.policy);
                return None;
            }
            if let Some(home) = &seen.record.identity
                && observation.is_none()
                && let Some(why) = self.whoami.stranger(&self.cloud, home).await
            {
                self.hold(slot, why).await;
                return Some(self.clock.now() + Span::from_secs(15));
            }
            observe::watch_clock(self, slot);
            let now = self.clock.now();
            let card = self.card();
            let rules = Rules { policy: &seen.policy, card: &card };
            let fresh = match observation.take() {
                // What it saw of the clock is in the record by now.
                Some(fresh) => Observation { clock_set_back: None, ..fresh },
                None => self.observe(slot, &seen.record, rules, now).await,
            };
            let now = self.clock.now();
            let mut plan = decide::decide(&seen.record, &fresh, rules, now);
            if !slot.is_at(seen.version) {
                // Somebody asked for something meanwhile: what was decided is about a session that is no more.
                continue;
            }
            let (notes, steps) = (std::mem::take(&mut plan.notes), std::mem::take(&mut plan.steps));
            let settled = notes.is_empty() && steps.is_empty();
            if !notes.is_empty() && !self.journal_notes(slot, &seen, notes).await {
                continue;
            }
            watcher::follow(self, slot, &plan, &seen.policy);
            supply::follow(slot, plan.supply).await;
            if settled {
                self.publish(slot, &plan, &fresh).await;
                return Some(plan.wake_at.unwrap_or(now + Span::from_secs(60)));
            }
            let carried = slot.snapshot().await.record;
            let stepped = !steps.is_empty();
            self.publish(slot, &plan, &fresh).await;
            if stepped {
                self.carry_out(slot, &carried, steps, now).await;
            } else {
                observation = Some(fresh);
            }
        }
        tracing::debug!("many rounds in one turn; the next turn goes on");
        Some(self.clock.now() + Span::from_millis(200))
    }

    /// Does what was decided. A limit never waits for the net outside, either: where many sessions move their schedules AWS's
    /// pace takes minutes, and a scheduler that cannot be reached takes its time-out. Whatever of it is not made by then is
    /// made or removed with what the limit brings.
    async fn carry_out(self: &Arc<Self>, slot: &Slot, carried: &Record, steps: Vec<Step>, now: Timestamp) {
        let (net, others): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(Step::makes_net);
        let net = async {
            let doing = executor::execute(self, slot, carried, net);
            match slot.next_limit(now) {
                Some(at) => drop(tokio::time::timeout(at.since(now).as_duration(), doing).await),
                None => drop(doing.await),
            }
        };
        tokio::join!(biased; executor::execute(self, slot, carried, others), net);
    }

    /// What a decision wants to know. A limit never waits for AWS: one that is reached needs no look, and a look that
    /// takes longer than until the next one ends there.
    async fn observe(&self, slot: &Slot, record: &Record, rules: Rules<'_>, now: Timestamp) -> Observation {
        self.sum_budgets().await;
        let known = observe::known(self, slot, record, rules.policy);
        let ends = |note: &Event| matches!(note, Event::Ending { .. });
        if decide::decide(record, &known, rules, now).notes.iter().any(ends) {
            return known;
        }
        let wants = decide::wants(record, rules.policy, &known, now);
        let looking = observe::observe(self, slot, record, rules.policy, &wants);
        match slot.next_limit(now) {
            Some(at) => {
                let looked = tokio::time::timeout(at.since(now).as_duration(), looking).await;
                looked.unwrap_or_else(|_| observe::known(self, slot, record, rules.policy))
            }
            None => looking.await,
        }
    }

    /// Journals what was decided of what was seen; says false where that is no longer the session, and nothing was written.
    async fn journal_notes(&self, slot: &Slot, seen: &Snapshot, notes: Vec<Event>) -> bool {
        // The closing account counts what the journal holds: what waits goes first, and the account is drawn up anew.
        if notes.iter().any(|note| matches!(note, Event::Closed { .. })) && slot.waits().await {
            if let Err(error) = slot.flush(self).await {
                tracing::error!(%error, "the journal cannot be written; free disk space, labguard tries again by itself");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            return true;
        }
        // The closing account must be durable before the session counts as closed.
        let closes = notes.iter().any(|note| matches!(note, Event::Closed { .. }));
        let durability = if closes { Durability::Required } else { Durability::WhenPossible };
        let set_back = notes.iter().any(|note| matches!(note, Event::ClockSetBack { .. }));
        self.checkpoint("before notes").await;
        let written = slot.write_at(self, seen.version, notes.clone(), durability).await;
        if matches!(written, Ok(false)) {
            return false;
        }
        for note in &notes {
            summary::tell(&seen.record, note, self.clock.now());
            if let Event::Closed { .. } = note
                && let Some(ending) = &seen.record.ending
            {
                self.metrics.teardown(self.clock.now().since(ending.at).as_duration().as_secs_f64());
            }
        }
        if let Err(error) = written {
            tracing::error!(%error, "the journal cannot be written; free disk space, labguard tries again by itself");
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        if set_back {
            lock(&slot.memory).clock_set_back = None;
        }
        self.checkpoint("after notes").await;
        true
    }

    async fn publish(&self, slot: &Slot, plan: &Plan, fresh: &Observation) {
        let seen = slot.snapshot().await;
        let image = lock(&slot.memory).supply.as_ref().and_then(supply::Supply::progress);
        let unknown_address = match &fresh.own_address {
            OwnAddress::Unknown(why) if seen.policy.asks_own_address() => Some(why.clone()),
            _ => None,
        };
        let aside = summary::Aside {
            health: fresh.health.clone(),
            sources: fresh.activity.clone(),
            alarm: seen.alarm,
            credentials: fresh.credentials.clone(),
            unread: fresh.unread.clone(),
            unplaced: fresh.unplaced.clone(),
            clock_ahead: fresh.clock_ahead,
            unknown_address,
            image,
        };
        let status = summary::status(&seen.record, &seen.policy, plan, &aside, self.clock.now());
        self.count_moving(slot, decide::is_moving(&seen.record, &seen.policy));
        self.metrics.session(&summary::gauges(&status));
        slot.status.send_replace(Arc::new(status));
    }

    /// Nothing can be known of the session in the cloud now, and nothing done: only its account goes on.
    async fn hold(&self, slot: &Slot, why: String) {
        if slot.status.borrow().alarm.as_ref() != Some(&why) {
            tracing::error!("{why}");
        }
        let seen = slot.snapshot().await;
        let card = self.card();
        let rules = Rules { policy: &seen.policy, card: &card };
        let now = self.clock.now();
        // Decided for its outlook; notes and steps are not carried out.
        let plan = decide::decide(&seen.record, &Observation::default(), rules, now);
        let aside = summary::Aside { alarm: Some(why), ..summary::Aside::default() };
        let status = summary::status(&seen.record, &seen.policy, &plan, &aside, now);
        self.metrics.session(&summary::gauges(&status));
        slot.status.send_replace(Arc::new(status));
    }

    fn retire(&self, slot: &Slot, record: &Record, policy: &Policy) {
        self.count_moving(slot, false);
        {
            let mut memory = lock(&slot.memory);
            memory.watcher = None;
            memory.supply = None;
            if !std::mem::replace(&mut memory.retired, true) {
                self.live.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let rules = Rules { policy, card: &self.card() };
        let plan = decide::decide(record, &Observation::default(), rules, self.clock.now());
        let status = summary::status(record, policy, &plan, &summary::Aside::default(), self.clock.now());
        debug_assert_eq!(status.phase, Phase::Ended);
        slot.status.send_replace(Arc::new(status));
        self.metrics.forget(&record.id);
        self.let_closed_go();
    }

    /// Lets the slots of sessions go that closed long ago: their receipts and entries are in the journal.
    fn let_closed_go(&self) {
        /// So many of them are shown by `status` yet.
        const KEPT: usize = 100;
        /// Nothing of a shared budget's sum is missed: it is drawn up at the turns of whatever lives.
        const AGE: Span = Span::from_mins(10);
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if slots.len() <= self.live() + KEPT {
            return;
        }
        let closed = |slot: &Arc<Slot>| Some((slot.status.borrow().closed_at?, slot.id.clone()));
        let mut closed: Vec<(Timestamp, SessionId)> = slots.values().filter_map(closed).collect();
        closed.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
        let old = self.clock.now() - AGE;
        for (_, id) in closed.into_iter().skip(KEPT).filter(|(at, _)| *at <= old) {
            slots.remove(&id);
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
