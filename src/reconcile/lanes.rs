//! Asks every source of activity that the policy names, each at its own pace, beside the loop.
//!
//! Each source has a lane: it takes in what a look brought, writes the source's reading down, and wakes the slot when
//! there is news. A new source needs a loop here and its entry in `ActivityPolicy::sources`. Guarantee: a source that
//! hangs or fails holds up no other.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use futures::future::join_all;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    engine::lock,
    renewal::{Course, Renewals},
    watcher::Reading,
};
use crate::{
    activity::{
        check::{self, Subject},
        exposition::Wanted,
        fold::{Fold, Memory, Seen},
        lines::{Found, Lines},
        requests::{self, Page, ReadError},
        sentinel::Use,
        turnstile::{SentinelReading, Turnstile},
    },
    clock::Clock,
    cloud::{Cloud, NewestLines},
    domain::{
        model::{SessionId, Sign, Source, SourceReading, Span, Timestamp, Watch, range::first_address},
        policy::Policy,
    },
    transport::Transport,
};

/// What the lanes need of the watcher that they belong to.
#[derive(Clone)]
pub struct Watched {
    /// The way to the container.
    pub transport: Arc<dyn Transport>,
    /// AWS, for logs and metrics.
    pub cloud: Cloud,
    /// The time of day.
    pub clock: Clock,
    /// Wakes the slot.
    pub wake: mpsc::UnboundedSender<SessionId>,
    /// Whose.
    pub session: SessionId,
    /// What is watched.
    pub target: Watch,
    /// What the policy says.
    pub policy: Arc<Policy>,
    /// Where readings are written down.
    pub reading: Arc<Mutex<Reading>>,
    /// How many connections to the container were begun here: the sentinel leaves them out.
    pub connections: Arc<AtomicU64>,
    /// Whether the task runs.
    pub runs: watch::Receiver<bool>,
    /// How many metrics were asked for and not yet journalled: each is paid for.
    pub metrics_read: Arc<AtomicU64>,
    /// Who renews the lease of its sentinel, where there is one that can be reached.
    pub renewals: Option<Arc<Renewals>>,
}

impl Watched {
    /// "Look again" at the session.
    pub fn wake(&self) {
        // A closed ear means that the driver has stopped; so will this watcher.
        let _ = self.wake.send(self.session.clone());
    }

    /// One more connection to the container; told before it is made.
    pub fn connects(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns once the task runs.
    pub async fn until_it_runs(&self) {
        // Who would say so lives as long as this watcher.
        let _ = self.runs.clone().wait_for(|runs| *runs).await;
    }

    /// Talks to the task's guard, where it has one, whether the task runs yet or not.
    pub async fn guard(&self) {
        let Some(renewals) = &self.renewals else { return };
        let mut sources = self.policy.activity.sources().into_iter();
        self.sentinel_loop(renewals, sources.find(|(source, ..)| *source == Source::Sentinel)).await;
    }

    /// Asks all other sources until the watcher ends.
    pub async fn lanes(&self) {
        let start = Instant::now();
        let mut lanes: Vec<Lane> = Vec::new();
        for (source, latency, interval) in self.policy.activity.sources() {
            if source == Source::Sentinel && self.renewals.is_some() {
                continue;
            }
            lanes.push(Lane::begin(self, source, latency, interval, start));
        }
        let mut take = |source: Source| {
            let place = lanes.iter().position(|lane| lane.source == source)?;
            Some(lanes.swap_remove(place))
        };
        let mut loops: Vec<futures::future::BoxFuture<'_, ()>> = Vec::new();
        if let Some(requests) = take(Source::Requests) {
            loops.push(Box::pin(self.page_loop(start, requests, take(Source::InFlight))));
        }
        if let Some(lane) = take(Source::Logs) {
            loops.push(Box::pin(self.logs_loop(start, lane)));
        }
        if let Some(lane) = take(Source::Insights) {
            loops.push(Box::pin(self.insights_loop(start, lane)));
        }
        if let Some(lane) = take(Source::LoadBalancer) {
            loops.push(Box::pin(self.load_balancer_loop(start, lane)));
        }
        for lane in [take(Source::Command), take(Source::Url)].into_iter().flatten() {
            loops.push(Box::pin(self.check_loop(start, lane)));
        }
        join_all(loops).await;
    }

    async fn page_loop(&self, start: Instant, mut requests: Lane, mut in_flight: Option<Lane>) {
        let policy = &self.policy.activity;
        let question = requests::Question {
            metrics_path: policy.metrics_path.clone().unwrap_or_default(),
            port: self.policy.health.port,
            counter: policy.counter.clone(),
            in_flight: policy.in_flight.clone(),
            wanted: Wanted {
                with: policy.labels.clone(),
                without: policy.exclude_labels.clone(),
                by_address: policy.address_label.clone().map(|label| (label, policy.whose())),
            },
            timeout: self.policy.health.timeout,
        };
        let mut counter = requests::Counter::new(policy.min_requests);
        let mut next = start;
        loop {
            self.connects();
            let read = requests::read(&*self.transport, &self.target.ip, &question).await;
            let at = self.clock.now();
            let Page { requests: count, in_flight: gauge } = read
                .unwrap_or_else(|error: ReadError| Page { requests: Err(error.clone()), in_flight: Some(Err(error)) });
            requests.take(self, at, counter.take(at, &count));
            if let (Some(lane), Some(gauge)) = (&mut in_flight, gauge) {
                lane.take(self, at, requests::in_flight(at, &gauge, policy.in_flight_above));
            }
            next = (next + policy.interval.as_duration()).max(Instant::now());
            sleep_until(next).await;
        }
    }
}

impl Watched {
    async fn logs_loop(&self, start: Instant, mut lane: Lane) {
        let names = self.policy.names.for_session(self.session.as_str());
        let policy = &self.policy.activity.logs;
        let pattern = policy.pattern.clone().unwrap_or_default();
        // The streams of the session's own container, as its task definition names them (aws-facts §7).
        let prefix = format!("lab/{}/", names.container);
        let whose = self.policy.activity.whose();
        // What bears no address may be anybody's.
        let counts = |line: &str| whose.is_everybody() || first_address(line).is_none_or(|ip| whose.counts(ip));
        let mut lines = Lines::since(self.clock.now(), policy.latency);
        let (mut next, mut more) = (start, None);
        loop {
            let asked = self.clock.now();
            let from = lines.ask_from();
            let read = self.cloud.newest_line(&names.log_group, &prefix, &pattern, from, more.take(), counts).await;
            let read = read.map(|found| {
                let NewestLines { counted, whole, more: on } = found;
                more = on;
                Found { counted, whole }
            });
            let seen = lines.take(asked, read.map_err(|fault| fault.to_string()));
            lane.take(self, self.clock.now(), seen);
            next = (next + policy.interval.as_duration()).max(Instant::now());
            sleep_until(next).await;
        }
    }

    /// Renews the lease; each renewal tells what the sentinel has counted.
    async fn sentinel_loop(&self, renewals: &Renewals, source: Option<(Source, Span, Span)>) {
        let mut course = Course::default();
        let mut turnstile = Turnstile::default();
        let begin = |(source, latency, interval)| Lane::begin(self, source, latency, interval, Instant::now());
        let mut lane = None;
        let mut next = Instant::now();
        loop {
            if lane.is_none() && *self.runs.borrow() {
                lane = source.map(begin);
            }
            let mut told = renewals.renew(self, &mut course).await;
            if course.is_early(self) {
                // Nobody knows whether it runs yet.
                told = told.filter(Result::is_ok);
            }
            if let Some(told) = &told {
                renewals.write_down(self, &mut course, told);
                lane = lane.or_else(|| source.map(begin));
            }
            // One that failed is tried again soon: the lease runs.
            let every = renewals.every(source.map(|(.., interval)| interval), &course);
            let wait = if matches!(told, Some(Ok(_))) { every } else { every.min(Span::from_secs(5)) };
            if let (Some(lane), Some(told)) = (&mut lane, told) {
                let at = self.clock.now();
                lane.take(self, at, turnstile.take(at, told.and_then(|told| counted(at, &told))));
            }
            next = (next + wait.as_duration()).max(Instant::now());
            if course.is_early(self) {
                // It certainly runs once the task does.
                let _ = timeout_at(next, self.until_it_runs()).await;
            } else {
                sleep_until(next).await;
            }
        }
    }

    async fn check_loop(&self, start: Instant, mut lane: Lane) {
        let policy = &self.policy.activity.check;
        let ip = self.target.ip.clone();
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
        let url = format!("http://{host}:{}", self.policy.health.port);
        let subject = Subject { session: self.session.to_string(), ip, url };
        let now = || self.clock.now();
        let mut next = start;
        loop {
            let seen = match (lane.source, &policy.url) {
                (Source::Url, Some(url)) => check::ask_url(&*self.transport, url, &subject, policy.timeout, now).await,
                _ => check::ask_command(&policy.command, &subject, policy.timeout, now).await,
            };
            lane.take(self, self.clock.now(), seen);
            next = (next + policy.interval.as_duration()).max(Instant::now());
            sleep_until(next).await;
        }
    }
}

/// What the sentinel has counted, by labguard's clock.
fn counted(at: Timestamp, told: &Use) -> Result<SentinelReading, String> {
    if let Some(why) = &told.unknown {
        return Err(why.clone());
    }
    let last_use = told.last_use_ago_ms.map(|ago| at - Span::from_millis(ago));
    // One that is open is use once it has lasted: a probe of ours comes and goes.
    let open = told.in_flight.as_ref().filter(|open| open.oldest_ms.is_some_and(|age| age >= LASTING));
    Ok(SentinelReading { connections: told.used, in_flight: open.map_or(0, |open| open.count), last_use })
}

/// Milliseconds after which an open connection is no probe's any more.
const LASTING: u64 = 10_000;

/// One source on its way from looks to readings.
pub(super) struct Lane {
    source: Source,
    latency: Span,
    interval: Span,
    fold: Fold,
    start: Instant,
    told: bool,
}

impl Lane {
    fn begin(watched: &Watched, source: Source, latency: Span, interval: Span, start: Instant) -> Self {
        let memory = match source {
            Source::Requests | Source::Logs | Source::Insights | Source::LoadBalancer => Memory::Remembers,
            Source::Sentinel | Source::InFlight | Source::Command | Source::Url => Memory::Forgets,
        };
        let now = watched.clock.now();
        let fold = Fold::new(memory, watched.policy.activity.max_gap, now, Span::ZERO);
        let lane = Self { source, latency, interval, fold, start, told: false };
        lane.write(watched, now, Sign::Unknown { since: now, why: "it was not asked yet".to_owned() });
        lane
    }

    pub(super) fn take(&mut self, watched: &Watched, at: Timestamp, seen: Seen) {
        if let Seen::Unreadable(why) = &seen
            && !self.told
        {
            tracing::debug!(session.id = %watched.session, source = %self.source, %why, "activity is not known for now");
        }
        let unreadable = matches!(seen, Seen::Unreadable(_));
        // Once it answers again, an idle time that waited for it may be over.
        let news = std::mem::replace(&mut self.told, unreadable) != unreadable;
        let sign = self.fold.take(at, Span::from(self.start.elapsed()), seen);
        let news = news || matches!(sign, Sign::Active { .. });
        self.write(watched, at, sign);
        if news {
            watched.wake();
        }
    }

    fn write(&self, watched: &Watched, read_at: Timestamp, sign: Sign) {
        let (source, latency, interval) = (self.source, self.latency, self.interval);
        let fresh = SourceReading { source, sign, read_at, latency, interval };
        let mut reading = lock(&watched.reading);
        match reading.activity.iter_mut().find(|known| known.source == source) {
            Some(known) => *known = fresh,
            None => reading.activity.push(fresh),
        }
    }
}
