//! Plays a trace: an application, its users and everybody else second by second, through the real sources' folds, the
//! real combination and the real decision.

use std::collections::BTreeMap;

use labguard::{
    activity::{
        exposition::{self, Sum, Wanted},
        fold::{Fold, Memory, Seen},
        lines::Lines,
        requests::{self, ReadError},
        turnstile::{SentinelReading, Turnstile},
    },
    domain::{
        decide::{self, Rules},
        meter::RateBook,
        model::{
            Action, Cause, Effect, Event, HealthReading, Identity, ImageSource, Money, Network, Observation, Phase,
            RateCard, Record, Request, ResourceKey, ResourceKind, SessionId, Source, SourceReading, Span, Subnet,
            TaskFacts, TaskSize, TaskStatus, Timestamp,
        },
        policy::{ActivityPolicy, Combine, Policy},
    },
};

use crate::lab;

/// The idle time-out, in seconds.
pub const IDLE: u64 = 20 * 60;
/// The longest gap, in seconds.
pub const GAP: u64 = 30 * 60;
const PAGE_EVERY: u64 = 15;
const LOGS_EVERY: u64 = 60;
/// What the policy says of late lines, in seconds.
const LOGS_LATENCY: u64 = 90;

/// Something that happens, in seconds from the start.
#[derive(Clone, Copy, Debug)]
pub enum Doing {
    /// A user's requests, one every so many seconds; each is counted and logged at once.
    Uses(u64, u64, u64),
    /// One request (or websocket) under way; counted and logged when it is over.
    Long(u64, u64),
    /// Scanners that the application counts under another path.
    Scans(u64, u64, u64),
    /// Scanners that look like users to the application's labels.
    Drips(u64, u64, u64),
    /// labguard's own probes, one every so many seconds for ever.
    Probes(u64),
    /// Lines of work in the log, without any request.
    Lines(u64, u64, u64),
    /// A source gives no answer.
    Out(Source, u64, u64),
    /// No source gives an answer.
    AllOut(u64, u64),
    /// The application begins to count from zero.
    Restart(u64),
    /// The clock is set, by so many seconds.
    Step(u64, i64),
    /// labguard is away.
    Away(u64, u64),
    /// A heartbeat.
    Touch(u64),
    /// A lease, renewed until it is released.
    Lease(u64, u64),
    /// A lease whose holder is killed.
    Killed(u64, u64),
}

/// A trace with the right answer.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What it is about.
    pub name: &'static str,
    /// When the application first answers.
    pub ready: u64,
    /// What happens.
    pub doings: Vec<Doing>,
    /// When the session has been idle for its time, and by what it ends then.
    pub ends: (u64, Cause),
    /// `activity.min_requests`.
    pub least: u32,
    /// The lifetime, in seconds.
    pub lifetime: u64,
}

/// Which sources are asked, and how they are put together.
pub struct Setup {
    /// For people.
    pub name: &'static str,
    /// The sources.
    pub sources: &'static [Source],
    /// How.
    pub combine: Combine,
}

impl Setup {
    /// How late an end may be: the news of the last use, then the news of there being none.
    pub fn tolerance(&self) -> u64 {
        let lag = |source: &Source| {
            let (latency, every, _) = pace(*source);
            latency + 2 * every
        };
        self.sources.iter().map(lag).max().unwrap_or(0) + 3
    }
}

const fn pace(source: Source) -> (u64, u64, Memory) {
    match source {
        Source::Logs => (LOGS_LATENCY, LOGS_EVERY, Memory::Remembers),
        Source::Requests => (0, PAGE_EVERY, Memory::Remembers),
        _ => (0, PAGE_EVERY, Memory::Forgets),
    }
}

fn every(now: u64, from: u64, until: u64, step: u64) -> bool {
    (from..=until).contains(&now) && (now - from).is_multiple_of(step.max(1))
}

/// The application and its world.
#[derive(Default)]
struct Application {
    counts: BTreeMap<(&'static str, &'static str), u64>,
    connections: u64,
    open: u64,
    last_use: Option<u64>,
    lines: Vec<u64>,
}

impl Application {
    fn second(&mut self, now: u64, doings: &[Doing]) {
        let mut count = |client, path, many: bool| *self.counts.entry((client, path)).or_default() += u64::from(many);
        self.open = 0;
        for doing in doings {
            match *doing {
                Doing::Uses(from, until, step) if every(now, from, until, step) => {
                    count("user", "/predict", true);
                    self.connections += 1;
                    (self.last_use, _) = (Some(now), self.lines.push(now));
                }
                Doing::Long(from, until) if (from..until).contains(&now) => {
                    self.connections += u64::from(now == from);
                    self.open += 1;
                    self.last_use = Some(now);
                }
                Doing::Long(_, until) if now == until => {
                    count("user", "/predict", true);
                    (self.last_use, _) = (Some(now), self.lines.push(now));
                }
                Doing::Scans(from, until, step) if every(now, from, until, step) => {
                    count("user", "other", true);
                    (self.connections, self.last_use) = (self.connections + 1, Some(now));
                }
                Doing::Drips(from, until, step) if every(now, from, until, step) => {
                    count("user", "/", true);
                    (self.connections, self.last_use) = (self.connections + 1, Some(now));
                }
                Doing::Probes(step) => count("labguard-probe", "/", now.is_multiple_of(step)),
                Doing::Lines(from, until, step) if every(now, from, until, step) => self.lines.push(now),
                Doing::Restart(at) if at == now => {
                    self.counts.clear();
                    (self.connections, self.last_use) = (0, None);
                    return;
                }
                _ => {}
            }
        }
    }

    /// Its metrics page.
    fn page(&self) -> String {
        let mut page = "# TYPE c counter\n# TYPE g gauge\n".to_owned();
        for ((client, path), count) in &self.counts {
            page += &format!("c{{client=\"{client}\",path=\"{path}\"}} {count}\n");
        }
        page + &format!("g{{client=\"user\"}} {}\ng{{client=\"labguard-probe\"}} 1\n", self.open)
    }
}

/// One source under way.
struct Lane {
    source: Source,
    fold: Fold,
    counter: requests::Counter,
    lines: Lines,
    turnstile: Turnstile,
}

/// The whole of it.
struct Player<'a> {
    trace: &'a Trace,
    policy: Policy,
    card: RateCard,
    record: Record,
    app: Application,
    lanes: Vec<Lane>,
    readings: Vec<SourceReading>,
    wanted: Wanted,
}

/// Plays a trace; answers when it ended, in seconds that really went by, and by what. `None`: not by `until`.
pub fn play(trace: &Trace, setup: &Setup, until: u64) -> Option<(u64, Cause)> {
    let mut policy = lab::policy("trace", ImageSource::Registry { uri: "r/app@sha256:0".to_owned(), mirror: false });
    policy.limits.idle_timeout = Some(Span::from_secs(IDLE));
    (policy.limits.lifetime, policy.limits.max_lifetime) =
        (Span::from_secs(trace.lifetime), Span::from_secs(trace.lifetime));
    policy.limits.budget = Money::from_nanos(1_000_000_000_000);
    policy.limits.max_budget = policy.limits.budget;
    policy.health.start_grace = Span::from_mins(600);
    let page = setup.sources.iter().any(|source| !matches!(source, Source::Logs));
    let interval = Span::from_secs(PAGE_EVERY);
    policy.activity = ActivityPolicy {
        metrics_path: page.then(|| "/metrics".to_owned()),
        combine: setup.combine,
        max_gap: Span::from_secs(GAP),
        min_requests: trace.least,
        ..ActivityPolicy::counting("/metrics", "c", interval)
    };
    let wanted = Wanted {
        with: vec![("client".to_owned(), "user".to_owned())],
        without: vec![("path".to_owned(), "other|/metrics".to_owned())],
    };
    let record = starting(&policy);
    let card = RateBook::embedded().card("us-east-1");
    let (app, lanes, readings) = (Application::default(), Vec::new(), Vec::new());
    let mut player = Player { trace, policy, card, record, app, lanes, readings, wanted };
    player.run(setup, until)
}

impl Player<'_> {
    fn run(&mut self, setup: &Setup, until: u64) -> Option<(u64, Cause)> {
        let away = |now: u64| {
            self.trace.doings.iter().any(|doing| match *doing {
                Doing::Away(from, until) => (from..until).contains(&now),
                _ => false,
            })
        };
        let gone: Vec<bool> = (0..=until).map(away).collect();
        let mut wake = None;
        for now in 0..=until {
            self.app.second(now, &self.trace.doings);
            if gone[usize::try_from(now).unwrap()] {
                (self.lanes, self.readings) = (Vec::new(), Vec::new());
                continue;
            }
            if self.lanes.is_empty() {
                self.lanes = setup.sources.iter().map(|source| self.begin(*source, now)).collect();
            }
            let asked = self.requests(now);
            let read = self.look(now);
            if asked || read || wake.is_none_or(|wake| wake <= self.clock(now)) {
                wake = self.decide(now);
            }
            if let Some(ending) = &self.record.ending {
                return Some((now, ending.cause));
            }
        }
        None
    }

    /// What the clock shows.
    fn clock(&self, now: u64) -> Timestamp {
        let step = |doing: &Doing| match *doing {
            Doing::Step(at, by) if at <= now => by,
            _ => 0,
        };
        let steps: i64 = self.trace.doings.iter().map(step).sum();
        Timestamp::from_millis(begin().as_millis() + (i64::try_from(now).unwrap() + steps) * 1000)
    }

    fn begin(&self, source: Source, now: u64) -> Lane {
        let (_, _, memory) = pace(source);
        let at = self.clock(now);
        Lane {
            source,
            fold: Fold::new(memory, Span::from_secs(GAP), at, Span::from_secs(now)),
            counter: requests::Counter::new(self.trace.least),
            lines: Lines::since(at),
            turnstile: Turnstile::default(),
        }
    }

    /// What is asked of labguard in this second.
    fn requests(&mut self, now: u64) -> bool {
        let ttl = Span::from_secs(300);
        let mut asked = Vec::new();
        let lease = || Request::Lease { lease: "l".to_owned(), by: "train.py".to_owned(), ttl };
        for doing in &self.trace.doings {
            match *doing {
                Doing::Touch(at) if at == now => asked.push(Request::Touch { by: "somebody".to_owned() }),
                Doing::Lease(_, until) if until == now => asked.push(Request::Release { lease: "l".to_owned() }),
                Doing::Lease(from, until) | Doing::Killed(from, until) if every(now, from, until, 100) => {
                    asked.push(lease());
                }
                _ => {}
            }
        }
        let at = self.clock(now);
        let any = !asked.is_empty();
        asked.into_iter().for_each(|request| self.record.apply(at, &Event::Requested { request }));
        any
    }

    /// Reads every source whose time has come.
    fn look(&mut self, now: u64) -> bool {
        let at = self.clock(now);
        let mut read = false;
        for mut lane in std::mem::take(&mut self.lanes) {
            let (latency, interval, _) = pace(lane.source);
            if now.is_multiple_of(interval) || !self.readings.iter().any(|known| known.source == lane.source) {
                read = true;
                let seen = self.seen(&mut lane, now, at);
                let sign = lane.fold.take(at, Span::from_secs(now), seen);
                let (latency, interval) = (Span::from_secs(latency), Span::from_secs(interval));
                self.readings.retain(|known| known.source != lane.source);
                self.readings.push(SourceReading { source: lane.source, sign, read_at: at, latency, interval });
            }
            self.lanes.push(lane);
        }
        read
    }

    fn seen(&self, lane: &mut Lane, now: u64, at: Timestamp) -> Seen {
        let out = |doing: &Doing| match *doing {
            Doing::Out(source, from, until) => source == lane.source && (from..until).contains(&now),
            Doing::AllOut(from, until) => (from..until).contains(&now),
            _ => false,
        };
        let out = now < self.trace.ready || self.trace.doings.iter().any(out);
        let page = self.app.page();
        let sum = |metric: &str| match exposition::sum(&page, metric, &self.wanted) {
            _ if out => Err(ReadError::Status(503)),
            Ok(Sum::Total { total, .. }) => Ok(total),
            other => panic!("{other:?}"),
        };
        match lane.source {
            Source::Requests => lane.counter.take(at, &sum("c")),
            Source::InFlight => requests::in_flight(at, &sum("g"), 0),
            Source::Logs if out => lane.lines.take(Err("503".to_owned())),
            Source::Logs => {
                // A line is there to be read after a minute, now and then after the whole latency.
                let shown =
                    |line: &&u64| **line + if (**line / 60).is_multiple_of(3) { LOGS_LATENCY } else { 60 } <= now;
                let newest = self.app.lines.iter().filter(shown).max().map(|line| (self.clock(*line), 1));
                lane.lines.take(Ok(newest))
            }
            Source::Sentinel if out => lane.turnstile.take(at, Err("503".to_owned())),
            Source::Sentinel => {
                let (connections, in_flight) = (self.app.connections, self.app.open);
                let last_use = self.app.last_use.map(|at| self.clock(at));
                lane.turnstile.take(at, Ok(SentinelReading { connections, in_flight, last_use }))
            }
            Source::Command | Source::Url => panic!("no trace has an operator"),
        }
    }

    fn decide(&mut self, now: u64) -> Option<Timestamp> {
        let at = self.clock(now);
        let good = if now >= self.trace.ready { 5 } else { 0 };
        let health = HealthReading { task: Some(ResourceKey::task(1)), good, ..HealthReading::default() };
        let activity = self.readings.clone();
        let set_back = self.trace.doings.iter().find_map(|doing| match *doing {
            Doing::Step(then, by) if then == now && by < 0 => Some(Span::from_secs(by.unsigned_abs())),
            _ => None,
        });
        let seen = Observation {
            health,
            activity,
            tasks_seen_at: Some(at),
            clock_set_back: set_back,
            ..Observation::default()
        };
        let plan = decide::decide(&self.record, &seen, Rules { policy: &self.policy, card: &self.card }, at);
        plan.notes.iter().for_each(|note| self.record.apply(at, note));
        plan.wake_at
    }
}

fn begin() -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000)
}

/// A session whose task has just been started.
fn starting(policy: &Policy) -> Record {
    let at = begin();
    let event = Event::Opened {
        name: "trace".to_owned(),
        owner: "trace".to_owned(),
        group: String::new(),
        policy: serde_json::to_value(policy).unwrap(),
        overshoot: Money::ZERO,
    };
    let mut record = Record::open(SessionId::new("trace", 1), at, &event).unwrap();
    let identity =
        Identity { account: "000000000000".to_owned(), arn: "arn:x".to_owned(), region: "us-east-1".to_owned() };
    let subnets = vec![Subnet { id: "subnet-1".to_owned(), zone: "us-east-1a".to_owned() }];
    record.apply(at, &Event::Identified { identity });
    record.apply(at, &Event::Surveyed { network: Network { vpc: "vpc-1".to_owned(), subnets } });
    for kind in [
        ResourceKind::LogGroup,
        ResourceKind::ExecutionRole,
        ResourceKind::Cluster,
        ResourceKind::SecurityGroup,
        ResourceKind::TaskDefinition,
        ResourceKind::Task,
    ] {
        let key = if kind == ResourceKind::Task { ResourceKey::task(1) } else { ResourceKey::only(kind) };
        let size = (kind == ResourceKind::Task).then_some(TaskSize::SMALLEST);
        record.apply(at, &Event::Intended { key, action: Action::Create, name: kind.describe().to_owned(), size });
        let id = Some(format!("id-of-{kind}"));
        record.apply(at, &Event::Done { key, action: Action::Create, effect: Effect::Created, id });
    }
    let mut facts = TaskFacts::new("arn:aws:ecs:us-east-1:000000000000:task/c/1");
    facts.status = TaskStatus::Running;
    (facts.pull_started_at, facts.started_at) = (Some(at), Some(at));
    facts.public_ip = Some("127.64.0.1".to_owned());
    record.apply(at, &Event::TaskSeen { key: ResourceKey::task(1), facts, size: TaskSize::SMALLEST });
    record.apply(at, &Event::Entered { phase: Phase::Starting, because: "its task is asked for".to_owned() });
    record
}
