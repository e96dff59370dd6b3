//! Watches one session's present task: health probes, the functional probe, and signs of use.
//!
//! A watcher runs beside the loop and only writes down what it saw; when a verdict may change, it wakes
//! the slot. The loop reads the writing, never the wake-up. It ends with the task it watches. Until that runs, nothing but
//! its guard is talked to.

use std::sync::{Arc, Mutex, atomic::AtomicU64};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    engine::{Engine, lock},
    lanes::Watched,
    renewal::Renewals,
    slot::Slot,
};
use crate::{
    domain::{
        model::{HealthReading, Plan, RenewalReading, SentinelLease, SourceReading, Watch},
        policy::Policy,
    },
    probe::{
        http, predict,
        window::{Lane, Window},
    },
};

/// What a watcher has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Probes.
    pub health: HealthReading,
    /// What each source of activity says.
    pub activity: Vec<SourceReading>,
    /// How the renewals of its sentinel's lease go.
    pub renewals: Option<RenewalReading>,
}

/// A running watcher; dropping it ends it.
#[derive(Debug)]
pub struct Watcher {
    target: Watch,
    policy: Arc<Policy>,
    reading: Arc<Mutex<Reading>>,
    lease: Arc<Mutex<Option<SentinelLease>>>,
    runs: watch::Sender<bool>,
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
        (Some(target), Some(watcher)) if watcher.target.is_same(target) && watcher.policy == *policy => {
            watcher.runs.send_if_modified(|runs| target.runs && !std::mem::replace(runs, true));
        }
        (Some(target), _) => memory.watcher = Some(start(engine, slot, target.clone(), Arc::clone(policy))),
    }
    if let Some(watcher) = &memory.watcher {
        *lock(&watcher.lease) = plan.outlook.sentinel;
    }
}

fn start(engine: &Arc<Engine>, slot: &Slot, target: Watch, policy: Arc<Policy>) -> Watcher {
    let session = &slot.id;
    let health = HealthReading { task: Some(target.task), ..HealthReading::default() };
    let reading = Arc::new(Mutex::new(Reading { health, ..Reading::default() }));
    let lease = Arc::new(Mutex::new(None));
    let end = CancellationToken::new();
    let (runs, seen_running) = watch::channel(target.runs);
    let watched = Watched {
        transport: Arc::clone(&engine.transport),
        cloud: engine.cloud.clone(),
        clock: engine.clock.clone(),
        wake: engine.waker(),
        session: session.clone(),
        target: target.clone(),
        policy: Arc::clone(&policy),
        reading: Arc::clone(&reading),
        connections: Arc::new(AtomicU64::new(0)),
        runs: seen_running,
        metrics_read: Arc::clone(&slot.metrics_read),
        renewals: Renewals::of(engine, session, &policy, Arc::clone(&lease)).map(Arc::new),
    };
    let ended = end.clone();
    tokio::spawn(async move { ended.run_until_cancelled(Watching(watched).run()).await });
    Watcher { target, policy, reading, lease, runs, _end: end.drop_guard() }
}

/// Holds no engine: a watcher must not keep alive what keeps it alive.
struct Watching(Watched);

impl Watching {
    async fn run(self) {
        let application = async {
            self.0.until_it_runs().await;
            tokio::join!(self.health_loop(Instant::now()), self.0.lanes());
        };
        tokio::join!(self.0.guard(), application);
    }

    async fn health_loop(&self, start: Instant) {
        let policy = &self.0.policy.health;
        let question = http::Question {
            method: policy.method.clone(),
            path: policy.path.clone(),
            port: policy.port,
            expect_status: policy.expect_status.clone(),
            expect_body: policy.expect_body.clone(),
            timeout: policy.timeout,
        };
        let functional = self.functional();
        let mut window = Window::new(self.0.target.task, functional.is_some());
        let mut next = start;
        let mut next_functional = start;
        loop {
            self.0.connects();
            let answer = http::ask(&*self.0.transport, &self.0.target.ip, &question).await;
            window.take(Lane::Health, self.0.clock.now(), &answer);
            if answer.good
                && let Some((question, interval)) = &functional
                && Instant::now() >= next_functional
            {
                self.0.connects();
                let answer = predict::ask(&*self.0.transport, &self.0.target.ip, question).await;
                window.take(Lane::Function, self.0.clock.now(), &answer);
                // A functional answer that is wrong is asked for again with the next probe.
                if answer.good {
                    next_functional = Instant::now() + *interval;
                }
            }
            let health = window.reading();
            let verdict_may_change =
                health.good == policy.healthy_after.max(1) || health.bad == policy.unhealthy_after.max(1);
            lock(&self.0.reading).health = health;
            if verdict_may_change {
                self.0.wake();
            }
            next = (next + policy.interval.as_duration()).max(Instant::now());
            sleep_until(next).await;
        }
    }

    fn functional(&self) -> Option<(predict::Question, std::time::Duration)> {
        let policy = self.0.policy.predict.as_ref()?;
        let question = predict::Question {
            path: policy.path.clone(),
            port: self.0.policy.health.port,
            body: policy.body.clone(),
            answer_key: policy.answer_key.clone(),
            at_least: policy.at_least.as_ref().and_then(serde_json::Number::as_f64),
            at_most: policy.at_most.as_ref().and_then(serde_json::Number::as_f64),
            timeout: self.0.policy.health.timeout,
        };
        Some((question, policy.interval.as_duration()))
    }
}
