//! What can be asked of the engine: [`Control`] for [`Engine`].
//!
//! A command is made durable as desired state, then the slot is woken: the loop reads state, never
//! messages. Whatever cannot be allowed is refused here, before it is journalled.

use std::{path::PathBuf, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::watch;

use super::{
    accounts, billed,
    engine::Engine,
    handle::{CommandError, Control, SweepJob, SweepReport},
    reaper,
    slot::{Durability, Slot},
    status::{BudgetStatus, SessionStatus},
};
use crate::{
    domain::{
        meter,
        model::{
            Arch, Charge, ChargeQuery, CostQuery, CostReport, Entry, Estimate, Event, Extension, ImageSource, Money,
            Phase, RateCard, Receipt, Record, Request, SessionId, Span, Stage, Timestamp,
        },
        policy::{Policy, Sentinel},
    },
    image,
    journal::Which,
};

impl Engine {
    async fn open(&self, name: String) -> Result<SessionId, CommandError> {
        let policy = self.policy(&name).ok_or_else(|| self.unknown_policy(&name))?;
        if self.is_draining() {
            return Err(CommandError::Refused("the daemon is shutting down and opens no session".to_owned()));
        }
        self.startable(&policy).await?;
        let opening = self.opening.lock().await;
        let mut live = 0;
        for slot in self.slots() {
            let seen = slot.snapshot().await;
            if seen.record.is_closed() {
                continue;
            }
            live += 1;
            if let Some((what, name)) = shared_name(&seen.policy, &seen.record.id, &policy) {
                return Err(CommandError::AlreadyLive { session: seen.record.id.clone(), what, name });
            }
        }
        if live >= self.max_sessions {
            return Err(CommandError::Refused(format!(
                "{live} sessions are live, which is the most this daemon allows (daemon.max_sessions); end one first"
            )));
        }
        let card = self.card();
        affordable(&policy, &card)?;
        let room = self.make_room(&policy, None).await?;
        let id = self.new_id(&name);
        let event = Event::Opened {
            name,
            owner: policy.owner.clone(),
            group: policy.group.clone(),
            policy: serde_json::to_value(&*policy).map_err(|error| CommandError::Refused(error.to_string()))?,
            overshoot: meter::overshoot(&policy, &card),
        };
        let entries = self.append(&id, vec![event]).await.map_err(|error| CommandError::Journal(error.to_string()))?;
        let record = entries.first().and_then(|entry| Record::open(id.clone(), entry.at, &entry.event));
        let record = record.ok_or_else(|| CommandError::Journal("the opening event was not kept".to_owned()))?;
        tracing::info!(session.id = %id, "session opened");
        self.admit(record, (*policy).clone());
        drop((room, opening));
        Ok(id)
    }

    /// Programs that become images of their own must start in them: on Fargate nothing else is there, no loader either.
    /// What cannot be read is refused where it is packed.
    async fn startable(&self, policy: &Policy) -> Result<(), CommandError> {
        if self.cloud.has_own_endpoint() {
            return Ok(());
        }
        let mut programs = Vec::new();
        if let ImageSource::Executable { path, .. } = &policy.image.source {
            let advice = "or put it into an image with its libraries (image.source = \"build\")";
            programs.push(("the executable", PathBuf::from(path), advice));
        }
        if policy.fuse.sentinel == Sentinel::Own {
            let given = policy.fuse.sentinel_executable.clone().map(PathBuf::from);
            let advice = "or take fuse.sentinel = \"shell\" where the application's image has one";
            programs.push(("the sentinel", given.unwrap_or_else(|| self.sentinel_program.clone()), advice));
        }
        for (what, path, advice) in programs {
            let read = path.clone();
            let loader = tokio::task::spawn_blocking(move || image::loader(&read)).await;
            if let Ok(Ok(Some(loader))) = loader {
                let target = match policy.task.size.arch {
                    Arch::X86_64 => "x86_64-unknown-linux-musl",
                    Arch::Arm64 => "aarch64-unknown-linux-musl",
                };
                return Err(CommandError::Refused(format!(
                    "{what} {} is linked dynamically: it needs {loader}, which an image of it alone has not, so that it \
                     cannot start on Fargate; nothing was made; build it statically (`rustup target add {target}`, then \
                     `cargo build --release --target {target}`), {advice}",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    fn unknown_policy(&self, name: &str) -> CommandError {
        let mut known = self.policy_names();
        known.sort_by_key(|candidate| strsim::damerau_levenshtein(candidate, name));
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        CommandError::UnknownPolicy { name: name.to_owned(), known }
    }

    /// By id, or by a name that one live session (else one at all) bears.
    pub(super) fn find(&self, wanted: &str) -> Result<Arc<Slot>, CommandError> {
        if let Ok(id) = wanted.parse::<SessionId>()
            && let Some(slot) = self.slot(&id)
        {
            return Ok(slot);
        }
        let named: Vec<Arc<Slot>> =
            self.slots().into_iter().filter(|slot| slot.status.borrow().name == wanted).collect();
        let live: Vec<Arc<Slot>> =
            named.iter().filter(|slot| slot.status.borrow().closed_at.is_none()).cloned().collect();
        match (live.as_slice(), named.as_slice()) {
            ([one], _) => Ok(Arc::clone(one)),
            ([], []) => Err(CommandError::UnknownSession(wanted.to_owned())),
            ([], closed) => {
                Ok(Arc::clone(closed.iter().max_by_key(|slot| slot.status.borrow().opened_at).unwrap_or(&closed[0])))
            }
            (several, _) => Err(CommandError::Ambiguous {
                name: wanted.to_owned(),
                count: several.len(),
                ids: several.iter().map(|slot| slot.id.to_string()).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    async fn ask(&self, session: &str, request: Request) -> Result<SessionId, CommandError> {
        let slot = self.find(session)?;
        let seen = slot.snapshot().await;
        allowed(&seen.record, &seen.policy, &request, self.clock.now())?;
        let resumes = matches!(request, Request::Resume);
        let _room = if resumes { Some(self.make_room(&seen.policy, Some(&seen.record)).await?) } else { None };
        // What takes things away is heeded though the disk is full (decision 0009); the status tells of the journal.
        let takes_away = matches!(request, Request::End { .. } | Request::Stop { .. });
        let durability = if takes_away { Durability::WhenPossible } else { Durability::Required };
        match slot.write(self, vec![Event::Requested { request }], durability).await {
            Err(error) if takes_away => tracing::warn!(session.id = %slot.id, "a request is not durable yet: {error}"),
            Err(error) => return Err(CommandError::Journal(error.to_string())),
            Ok(()) => {}
        }
        self.wake(&slot.id);
        Ok(slot.id.clone())
    }

    async fn closed_receipts(&self, limit: usize) -> Result<Vec<Receipt>, CommandError> {
        let records = self
            .journal
            .records(Which::Closed { limit })
            .await
            .map_err(|error| CommandError::Journal(error.to_string()))?;
        let mut receipts: Vec<Receipt> = records.into_iter().filter_map(closing).collect();
        receipts.sort_by_key(|receipt| std::cmp::Reverse(receipt.ended_at));
        Ok(receipts)
    }

    pub(super) async fn find_receipt(&self, session: String) -> Result<Receipt, CommandError> {
        if let Ok(id) = session.parse::<SessionId>()
            && let Ok(Some(record)) = self.journal.record(&id).await
        {
            let phase = record.phase;
            return match closing(record) {
                Some(receipt) => Ok(receipt),
                None => Err(no_receipt(&id, phase)),
            };
        }
        let receipts = self.closed_receipts(10_000).await?;
        if let Some(receipt) = receipts.into_iter().find(|receipt| receipt.name == session) {
            return Ok(receipt);
        }
        // A name that only live sessions bear: it is known, and its account is not closed.
        let slot = self.find(&session)?;
        let phase = slot.status.borrow().phase;
        Err(no_receipt(&slot.id, phase))
    }
}

/// The receipt, with what AWS said of it since.
fn closing(record: Record) -> Option<Receipt> {
    let receipt: Receipt = serde_json::from_value(record.receipt?).ok()?;
    Some(Receipt { billed: record.billed, ..receipt })
}

fn no_receipt(id: &SessionId, phase: Phase) -> CommandError {
    CommandError::Refused(format!(
        "session {id} is {phase} and has no receipt yet; `labguard status {id}` shows its cost so far"
    ))
}

/// Whether everything it can use has a price, and its own budget lasts for the least that it is started for.
fn affordable(policy: &Policy, card: &RateCard) -> Result<(), CommandError> {
    let needs = meter::needs(policy);
    let missing: Vec<String> = card.unpriced(&needs).map(|item| format!("{item} ({})", item.key())).collect();
    if !missing.is_empty() {
        return Err(CommandError::Refused(format!(
            "no price is known in {} for: {}; nothing was made, since its cost could not be counted; set it under \
             [rates.{}] or import AWS's price file (`labguard rates import`)",
            card.region,
            missing.join(", "),
            card.region
        )));
    }
    let least = meter::least_budget(policy, card);
    if least > policy.limits.budget {
        return Err(CommandError::Refused(format!(
            "its budget of {} does not last for its least lifetime of {}: that and the teardown cost {}; nothing was made; \
             raise limits.budget or lower limits.min_lifetime",
            policy.limits.budget.exact(),
            policy.limits.min_lifetime,
            least.exact()
        )));
    }
    Ok(())
}

/// The first resource name that two sessions in the same region would both use.
fn shared_name(live: &Policy, id: &SessionId, fresh: &Policy) -> Option<(&'static str, String)> {
    if live.region != fresh.region {
        return None;
    }
    let (theirs, ours) = (live.names.for_session(id.as_str()), &fresh.names);
    let pairs = [
        ("cluster", theirs.cluster, &ours.cluster),
        ("security_group", theirs.security_group, &ours.security_group),
        ("task_definition", theirs.task_definition, &ours.task_definition),
        ("repository", theirs.repository, &ours.repository),
        ("log_group", theirs.log_group, &ours.log_group),
        ("execution_role", theirs.execution_role, &ours.execution_role),
    ];
    pairs.into_iter().find(|(_, theirs, ours)| theirs == *ours).map(|(what, name, _)| (what, name))
}

/// The longest that one renewal of a lease is good for: a client that dies must not hold a session much longer.
const LONGEST_LEASE: Span = Span::from_mins(60);

/// The most leases of one session at once.
const MOST_LEASES: usize = 100;

fn leasable(record: &Record, lease: &str, by: &str, ttl: Span, now: Timestamp) -> Result<(), String> {
    let id = &record.id;
    if ttl < Span::from_secs(1) || ttl > LONGEST_LEASE {
        return Err(format!("a lease of {ttl} is not possible: 1s to {LONGEST_LEASE}, renewed as often as needed"));
    }
    if lease.is_empty() || lease.len() > 64 || by.len() > 256 {
        return Err("a lease has an id of 1 to 64 bytes, and its holder a name of at most 256".to_owned());
    }
    let open = record.leases.values().filter(|held| held.lapses(now) > now).count();
    if open >= MOST_LEASES && !record.leases.contains_key(lease) {
        return Err(format!("session {id} has {MOST_LEASES} leases already, which is the most; release one"));
    }
    Ok(())
}

fn allowed(record: &Record, policy: &Policy, request: &Request, now: Timestamp) -> Result<(), CommandError> {
    let refuse = |why: String| Err(CommandError::Refused(why));
    let (id, phase) = (&record.id, record.phase);
    if record.is_closed() {
        return refuse(format!("session {id} has ended; `labguard receipt {id}` shows its account"));
    }
    let tearing = record.ending.as_ref().is_some_and(|ending| ending.stage == Stage::Teardown);
    match request {
        // Asking for the end of what is ending already is no mistake.
        Request::End { .. } => Ok(()),
        _ if tearing => refuse(format!("session {id} is being torn down; that cannot be undone")),
        Request::Stop { .. } => Ok(()),
        // One that was asked for a moment ago and has not begun yet is taken back.
        Request::Resume if phase != Phase::Stopping && record.desired.stop.is_none() => {
            refuse(format!("session {id} is {phase}; only a stopped session can be resumed"))
        }
        Request::Resume => Ok(()),
        Request::Touch { .. } | Request::Release { .. } => Ok(()),
        Request::Lease { lease, by, ttl } => leasable(record, lease, by, *ttl, now).or_else(refuse),
        Request::Extend(Extension::Lifetime { by }) => {
            let limits = &policy.limits;
            let room = limits.max_lifetime.saturating_sub(limits.lifetime + record.extensions.lifetime);
            if room == Span::ZERO {
                return refuse(format!(
                    "session {id} already has its longest lifetime, {} (limits.max_lifetime)",
                    limits.max_lifetime
                ));
            }
            if *by > room {
                return refuse(format!(
                    "session {id} can be extended by at most {room} more: its longest lifetime is {} (limits.max_lifetime)",
                    limits.max_lifetime
                ));
            }
            Ok(())
        }
        Request::Extend(Extension::Budget { by }) => {
            let limits = &policy.limits;
            let room = limits.max_budget.less(limits.budget + record.extensions.budget);
            if room == Money::ZERO {
                return refuse(format!(
                    "session {id} already has its largest budget, {} (limits.max_budget)",
                    limits.max_budget.exact()
                ));
            }
            if *by > room {
                return refuse(format!(
                    "session {id} can be extended by at most {} more: its largest budget is {} (limits.max_budget)",
                    room.exact(),
                    limits.max_budget.exact()
                ));
            }
            Ok(())
        }
        Request::Extend(Extension::Idle { .. }) if policy.limits.idle_timeout.is_none() => {
            refuse(format!("session {id} has no idle timeout to extend"))
        }
        Request::Extend(Extension::Idle { .. }) => Ok(()),
    }
}

impl Control for Arc<Engine> {
    fn up(&self, policy: String) -> BoxFuture<'_, Result<SessionId, CommandError>> {
        self.open(policy).boxed()
    }

    fn request(&self, session: String, request: Request) -> BoxFuture<'_, Result<SessionId, CommandError>> {
        async move { self.ask(&session, request).await }.boxed()
    }

    fn list(&self) -> Vec<Arc<SessionStatus>> {
        let mut all: Vec<Arc<SessionStatus>> =
            self.slots().iter().map(|slot| Arc::clone(&slot.status.borrow())).collect();
        all.sort_by_key(|status| status.opened_at);
        all
    }

    fn get(&self, session: &str) -> Result<Arc<SessionStatus>, CommandError> {
        Ok(Arc::clone(&self.find(session)?.status.borrow()))
    }

    fn follow(&self, session: &str) -> Result<watch::Receiver<Arc<SessionStatus>>, CommandError> {
        Ok(self.find(session)?.status.subscribe())
    }

    fn history(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Receipt>, CommandError>> {
        self.closed_receipts(limit).boxed()
    }

    fn receipt(&self, session: String) -> BoxFuture<'_, Result<Receipt, CommandError>> {
        self.find_receipt(session).boxed()
    }

    fn entries(&self, session: String) -> BoxFuture<'_, Result<Vec<Entry>, CommandError>> {
        async move {
            let id = match self.find(&session) {
                Ok(slot) => slot.id.clone(),
                Err(_) => session.parse().map_err(|_| CommandError::UnknownSession(session.clone()))?,
            };
            let entries = self.journal.entries(&id).await.map_err(|error| CommandError::Journal(error.to_string()))?;
            if entries.is_empty() { Err(CommandError::UnknownSession(session)) } else { Ok(entries) }
        }
        .boxed()
    }

    fn cost(&self, query: CostQuery) -> BoxFuture<'_, Result<CostReport, CommandError>> {
        accounts::cost(self, query).boxed()
    }

    fn charges(&self, query: ChargeQuery) -> BoxFuture<'_, Result<Vec<Charge>, CommandError>> {
        accounts::charges(self, query).boxed()
    }

    fn reconcile(&self, session: String, agreed: bool) -> BoxFuture<'_, Result<Receipt, CommandError>> {
        billed::reconcile(self, session, agreed).boxed()
    }

    fn plan(&self, policy: &str) -> Result<Estimate, CommandError> {
        let policy = self.policy(policy).ok_or_else(|| self.unknown_policy(policy))?;
        let mut estimate = meter::estimate(&policy, &self.card());
        estimate.warnings.extend(self.budget_warnings(&policy, &estimate));
        estimate.warnings.extend(self.age_warning(&policy));
        Ok(estimate)
    }

    fn budgets(&self) -> BoxFuture<'_, Vec<BudgetStatus>> {
        self.budget_statuses().boxed()
    }

    fn orphans(&self, sessions: Vec<String>) -> BoxFuture<'_, Result<SweepReport, CommandError>> {
        reaper::list(self, sessions).boxed()
    }

    fn sweep(&self, sessions: Vec<String>) -> Result<SweepJob, CommandError> {
        reaper::begin(self, sessions)
    }

    fn sweeping(&self) -> Option<watch::Receiver<Arc<SweepReport>>> {
        self.sweeps.last()
    }

    fn wake_all(&self) {
        for slot in self.slots() {
            self.wake(&slot.id);
        }
    }

    fn lives(&self) -> bool {
        self.pulse.lives()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
