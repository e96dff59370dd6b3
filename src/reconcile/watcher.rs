//! Watches one session's present task: health probes, the functional probe, and signs of use.
//!
//! A watcher runs beside the loop and only writes down what it saw; when a verdict may change, it wakes
//! the slot. The loop reads the writing, never the wake-up. It ends with the task it watches.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    engine::{Engine, lock},
    lease::LeaseKeeper,
    slot::Slot,
};
use crate::{
    activity::requests,
    clock::Clock,
    domain::{
        model::{ActivityReading, HealthReading, Lease, Plan, SessionId, Watch},
        policy::{Policy, Sentinel},
    },
    probe::{
        http, predict,
        window::{Lane, Window},
    },
    transport::Transport,
};

/// What a watcher has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Probes.
    pub health: HealthReading,
    /// Signs of use.
    pub activity: ActivityReading,
}

/// A running watcher; dropping it ends it.
#[derive(Debug)]
pub struct Watcher {
    target: Watch,
    policy: Arc<Policy>,
    reading: Arc<Mutex<Reading>>,
    lease: Arc<Mutex<Option<Lease>>>,
    _end: DropGuard,
}

impl Watcher {
    /// What it has seen so far.
    #[must_use]
    pub fn reading(&self) -> Reading {
        lock(&self.reading).clone()
    }
}

/// Starts, keeps or ends the slot's watcher, as the plan wants.
pub fn follow(engine: &Arc<Engine>, slot: &Slot, plan: &Plan, policy: &Arc<Policy>) {
    let mut memory = lock(&slot.memory);
    match (&plan.watch, &memory.watcher) {
        (None, _) => memory.watcher = None,
        (Some(target), Some(watcher)) if watcher.target == *target && watcher.policy == *policy => {}
        (Some(target), _) => memory.watcher = Some(start(engine, &slot.id, target.clone(), Arc::clone(policy))),
    }
    if let Some(watcher) = &memory.watcher {
        *lock(&watcher.lease) = plan.outlook.lease;
    }
}

fn start(engine: &Arc<Engine>, session: &SessionId, target: Watch, policy: Arc<Policy>) -> Watcher {
    let health = HealthReading { task: Some(target.task), ..HealthReading::default() };
    let reading = Arc::new(Mutex::new(Reading { health, activity: ActivityReading::Unknown }));
    let lease = Arc::new(Mutex::new(None));
    let end = CancellationToken::new();
    let watching = Watching {
        transport: Arc::clone(&engine.transport),
        clock: engine.clock.clone(),
        wake: engine.waker(),
        session: session.clone(),
        target: target.clone(),
        policy: Arc::clone(&policy),
        reading: Arc::clone(&reading),
        connections: Arc::new(AtomicU64::new(0)),
    };
    let guard = keep_lease(engine, session, &watching, Arc::clone(&lease));
    let ended = end.clone();
    tokio::spawn(async move { ended.run_until_cancelled(watching.run(guard)).await });
    Watcher { target, policy, reading, lease, _end: end.drop_guard() }
}

/// Who renews the task's lease, where it has a sentinel that can be reached.
fn keep_lease(
    engine: &Engine,
    session: &SessionId,
    watching: &Watching,
    lease: Arc<Mutex<Option<Lease>>>,
) -> Option<LeaseKeeper> {
    let fuse = &watching.policy.fuse;
    if fuse.sentinel != Sentinel::Own || fuse.sources.is_empty() {
        return None;
    }
    match engine.signer(session) {
        Ok(signer) => Some(LeaseKeeper {
            transport: Arc::clone(&watching.transport),
            clock: watching.clock.clone(),
            ip: watching.target.ip.clone(),
            policy: Arc::clone(&watching.policy),
            signer,
            lease,
            connections: Arc::clone(&watching.connections),
        }),
        Err(error) => {
            tracing::error!(%error, "the task's lease cannot be renewed; it ends with it");
            None
        }
    }
}

/// Holds no engine: a watcher must not keep alive what keeps it alive.
struct Watching {
    transport: Arc<dyn Transport>,
    clock: Clock,
    wake: mpsc::UnboundedSender<SessionId>,
    session: SessionId,
    target: Watch,
    policy: Arc<Policy>,
    reading: Arc<Mutex<Reading>>,
    /// How many connections to the container were begun here: the sentinel leaves them out.
    connections: Arc<AtomicU64>,
}

impl Watching {
    async fn run(self, keeper: Option<LeaseKeeper>) {
        let start = Instant::now();
        let activity = async {
            if let Some(question) = self.counter() {
                self.activity_loop(start, question).await;
            }
        };
        let lease = async {
            if let Some(keeper) = keeper {
                keeper.keep().await;
            }
        };
        tokio::join!(self.health_loop(start), activity, lease);
    }

    /// One more connection to the container; told before it is made.
    fn connects(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    async fn health_loop(&self, start: Instant) {
        let policy = &self.policy.health;
        let question = http::Question {
            method: policy.method.clone(),
            path: policy.path.clone(),
            port: policy.port,
            expect_status: policy.expect_status.clone(),
            expect_body: policy.expect_body.clone(),
            timeout: policy.timeout,
        };
        let functional = self.functional();
        let mut window = Window::new(self.target.task, functional.is_some());
        let mut next = start;
        let mut next_functional = start;
        loop {
            self.connects();
            let answer = http::ask(&*self.transport, &self.target.ip, &question).await;
            window.take(Lane::Health, self.clock.now(), &answer);
            if answer.good
                && let Some((question, interval)) = &functional
                && Instant::now() >= next_functional
            {
                self.connects();
                let answer = predict::ask(&*self.transport, &self.target.ip, question).await;
                window.take(Lane::Function, self.clock.now(), &answer);
                // A functional answer that is wrong is asked for again with the next probe.
                if answer.good {
                    next_functional = Instant::now() + *interval;
                }
            }
            let health = window.reading();
            let verdict_may_change =
                health.good == policy.healthy_after.max(1) || health.bad == policy.unhealthy_after.max(1);
            lock(&self.reading).health = health;
            if verdict_may_change {
                self.wake();
            }
            next = (next + policy.interval.as_duration()).max(Instant::now());
            sleep_until(next).await;
        }
    }

    fn wake(&self) {
        // A closed ear means that the driver has stopped; so will this watcher.
        let _ = self.wake.send(self.session.clone());
    }

    fn functional(&self) -> Option<(predict::Question, std::time::Duration)> {
        let policy = self.policy.predict.as_ref()?;
        let question = predict::Question {
            path: policy.path.clone(),
            port: self.policy.health.port,
            body: policy.body.clone(),
            answer_key: policy.answer_key.clone(),
            at_least: policy.at_least.as_ref().and_then(serde_json::Number::as_f64),
            at_most: policy.at_most.as_ref().and_then(serde_json::Number::as_f64),
            timeout: self.policy.health.timeout,
        };
        Some((question, policy.interval.as_duration()))
    }

    fn counter(&self) -> Option<requests::Question> {
        let policy = &self.policy.activity;
        Some(requests::Question {
            metrics_path: policy.metrics_path.clone()?,
            port: self.policy.health.port,
            counter: policy.counter.clone(),
            labels: policy.labels.clone(),
            timeout: self.policy.health.timeout,
        })
    }

    async fn activity_loop(&self, start: Instant, question: requests::Question) {
        let interval = self.policy.activity.interval.as_duration();
        let mut counter = requests::Counter::new();
        let mut told = false;
        let mut next = start;
        loop {
            self.connects();
            let read = requests::read(&*self.transport, &self.target.ip, &question).await;
            if let Err(error) = &read
                && !std::mem::replace(&mut told, true)
            {
                tracing::debug!(session.id = %self.session, %error, "activity is not known for now");
            }
            told &= read.is_err();
            let activity = counter.take(self.clock.now(), &read);
            let news = matches!(activity, ActivityReading::Active { .. });
            lock(&self.reading).activity = activity;
            if news {
                self.wake();
            }
            next = (next + interval).max(Instant::now());
            sleep_until(next).await;
        }
    }
}
