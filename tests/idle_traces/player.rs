//! Plays a trace: an application, its users and everybody else second by second, through the real sources' folds, the
//! real combination and the real decision.

use std::collections::BTreeMap;

use labguard::{
    activity::{
        exposition::{self, Sum, Wanted},
        fold::{Fold, Memory, Seen},
        insights::{self, Above, Told},
        lines::{Found, Lines},
        load_balancer,
        minutes::Minutes,
        requests::{self, ReadError},
        turnstile::{SentinelReading, Turnstile},
    },
    domain::{
        decide::{self, Rules},
        meter::RateBook,
        model::{
            Cause, Event, HealthReading, ImageSource, Money, Observation, Phase, RateCard, Record, Request,
            ResourceKey, Source, SourceReading, Span, TaskSize, Timestamp, Whose, range::first_address,
        },
        policy::{ActivityPolicy, Combine, Policy},
    },
};

use crate::{
    deployed::{deploy, opened},
    lab,
};

/// The idle time-out, in seconds.
pub const IDLE: u64 = 20 * 60;
/// The longest gap, in seconds.
pub const GAP: u64 = 30 * 60;
const PAGE_EVERY: u64 = 15;
const LOGS_EVERY: u64 = 60;
/// What the policy says of late lines, in seconds.
const LOGS_LATENCY: u64 = 90;
/// What is asked of CloudWatch, and how late it may be, in seconds.
const CLOUDWATCH_EVERY: u64 = 120;
const INSIGHTS_LATENCY: u64 = 300;
const BALANCER_LATENCY: u64 = 240;

/// Where users come from, and scanners that are known.
const USER: &str = "203.0.113.7";
const SCANNER: &str = "192.0.2.66";

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
    /// Work that shows in nothing but the processor.
    Computes(u64, u64),
    /// One request that moves a lot while it lasts.
    Streams(u64, u64),
    /// A source of CloudWatch's has no data of these minutes, ever.
    Hole(Source, u64, u64),
    /// What a source of CloudWatch's would have shown in this time shows at its end.
    Late(Source, u64, u64),
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
    /// Whether known scanners are left out by their address.
    pub by_address: bool,
}

impl Setup {
    /// How late an end may be: the news of the last use, then the news of there being none.
    pub fn tolerance(&self) -> u64 {
        let lag = |source: &Source| {
            let (latency, every, _) = pace(*source);
            // CloudWatch knows use by the end of its minute.
            latency + 2 * every + if every == CLOUDWATCH_EVERY { 60 } else { 0 }
        };
        self.sources.iter().map(lag).max().unwrap_or(0) + 3
    }
}

const fn pace(source: Source) -> (u64, u64, Memory) {
    match source {
        Source::Logs => (LOGS_LATENCY, LOGS_EVERY, Memory::Remembers),
        Source::Requests => (0, PAGE_EVERY, Memory::Remembers),
        Source::Insights => (INSIGHTS_LATENCY, CLOUDWATCH_EVERY, Memory::Remembers),
        Source::LoadBalancer => (BALANCER_LATENCY, CLOUDWATCH_EVERY, Memory::Remembers),
        _ => (0, PAGE_EVERY, Memory::Forgets),
    }
}

fn every(now: u64, from: u64, until: u64, step: u64) -> bool {
    (from..=until).contains(&now) && (now - from).is_multiple_of(step.max(1))
}

/// The application and its world.
#[derive(Default)]
struct Application {
    counts: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    connections: u64,
    open: u64,
    last_use: Option<u64>,
    /// When, and whose.
    lines: Vec<(u64, &'static str)>,
    /// By the minute of the clock that AWS goes by.
    minutes: BTreeMap<u64, Minute>,
}

/// What AWS measures in a minute.
#[derive(Clone, Copy, Default)]
struct Minute {
    bytes: u64,
    cpu_ms: u64,
    /// That a load balancer passed on.
    requests: u64,
}

/// The minute in which a second lies, by AWS's clock.
fn minute_of(now: u64) -> u64 {
    (u64::try_from(begin().as_secs()).unwrap() + now) / 60
}

/// The second at which a minute begins; negative before the start.
fn second_of(minute: u64) -> i64 {
    i64::try_from(minute * 60).unwrap() - begin().as_secs()
}

impl Application {
    fn second(&mut self, now: u64, doings: &[Doing]) {
        let mut count =
            |client, path, ip, many: bool| *self.counts.entry((client, path, ip)).or_default() += u64::from(many);
        let minute = self.minutes.entry(minute_of(now)).or_default();
        // A plain request and its answer, with what they cost.
        let exchanged = |minute: &mut Minute, requests: u64| {
            (minute.bytes, minute.cpu_ms) = (minute.bytes + 650, minute.cpu_ms + 1);
            minute.requests += requests;
        };
        self.open = 0;
        for doing in doings {
            match *doing {
                Doing::Uses(from, until, step) if every(now, from, until, step) => {
                    count("user", "/predict", USER, true);
                    exchanged(minute, 1);
                    self.connections += 1;
                    (self.last_use, _) = (Some(now), self.lines.push((now, USER)));
                }
                Doing::Long(from, until) | Doing::Streams(from, until) if (from..until).contains(&now) => {
                    self.connections += u64::from(now == from);
                    self.open += 1;
                    self.last_use = Some(now);
                    // A load balancer counts a request as it chooses a target for it.
                    minute.requests += u64::from(now == from);
                    minute.bytes += if matches!(doing, Doing::Streams(..)) { 100_000 } else { 20 };
                }
                Doing::Long(_, until) | Doing::Streams(_, until) if now == until => {
                    count("user", "/predict", USER, true);
                    (self.last_use, _) = (Some(now), self.lines.push((now, USER)));
                }
                Doing::Computes(from, until) if (from..until).contains(&now) => minute.cpu_ms += 200,
                Doing::Scans(from, until, step) if every(now, from, until, step) => {
                    count("user", "other", SCANNER, true);
                    exchanged(minute, 1);
                    (self.connections, self.last_use) = (self.connections + 1, Some(now));
                }
                Doing::Drips(from, until, step) if every(now, from, until, step) => {
                    count("user", "/", SCANNER, true);
                    exchanged(minute, 1);
                    self.lines.push((now, SCANNER));
                    (self.connections, self.last_use) = (self.connections + 1, Some(now));
                }
                Doing::Probes(step) => {
                    count("labguard-probe", "/", "198.51.100.1", now.is_multiple_of(step));
                    if now.is_multiple_of(step) {
                        exchanged(minute, 0);
                    }
                }
                Doing::Lines(from, until, step) if every(now, from, until, step) => self.lines.push((now, "-")),
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
        for ((client, path, ip), count) in &self.counts {
            page += &format!("c{{client=\"{client}\",path=\"{path}\",ip=\"{ip}\"}} {count}\n");
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
    minutes: Minutes,
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
    whose: Whose,
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
    let page = |source: &Source| !matches!(source, Source::Logs | Source::Insights | Source::LoadBalancer);
    let page = setup.sources.iter().any(page);
    let interval = Span::from_secs(PAGE_EVERY);
    policy.activity = ActivityPolicy {
        combine: setup.combine,
        max_gap: Span::from_secs(GAP),
        min_requests: trace.least,
        ..ActivityPolicy::counting("/metrics", "c", interval)
    };
    policy.activity.metrics_path = page.then(|| "/metrics".to_owned());
    policy.activity.insights.enabled = setup.sources.contains(&Source::Insights);
    let whose = Whose { ignored: vec!["192.0.2.0/24".parse().unwrap()], ..Whose::default() };
    let whose = if setup.by_address { whose } else { Whose::default() };
    let wanted = Wanted {
        with: vec![("client".to_owned(), "user".to_owned())],
        without: vec![("path".to_owned(), "other|/metrics".to_owned())],
        by_address: Some(("ip".to_owned(), whose.clone())),
    };
    let record = starting(&policy);
    let card = RateBook::embedded().card("us-east-1");
    let (app, lanes, readings) = (Application::default(), Vec::new(), Vec::new());
    let mut player = Player { trace, policy, card, record, app, lanes, readings, wanted, whose };
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
            lines: Lines::since(at, Span::from_secs(LOGS_LATENCY)),
            turnstile: Turnstile::default(),
            minutes: Minutes::since(at, Span::from_secs(pace(source).0)),
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
            Source::Logs if out => lane.lines.take(at, Err("503".to_owned())),
            Source::Logs => {
                // A line is there to be read after a minute, now and then after the whole latency.
                let shown = |(line, _): &&(u64, &str)| {
                    *line + if (line / 60).is_multiple_of(3) { LOGS_LATENCY } else { 60 } <= now
                };
                let of_one = |line: &str| first_address(line).is_none_or(|ip| self.whose.counts(ip));
                let shown: Vec<&(u64, &str)> = self.app.lines.iter().filter(shown).collect();
                let counted = shown.iter().filter(|(_, ip)| of_one(&format!("{ip} - \"POST /predict\" 200")));
                let counted = counted.map(|(line, _)| *line).max().map(|line| (self.clock(line), 1));
                lane.lines.take(at, Ok(Found { counted, whole: true }))
            }
            Source::Sentinel if out => lane.turnstile.take(at, Err("503".to_owned())),
            Source::Sentinel => {
                let (connections, in_flight) = (self.app.connections, self.app.open);
                let last_use = self.app.last_use.map(|at| self.clock(at));
                lane.turnstile.take(at, Ok(SentinelReading { connections, in_flight, last_use }))
            }
            Source::Insights | Source::LoadBalancer => {
                let (source, what) = (lane.source, "w");
                if out {
                    return lane.minutes.take(at, Err("503".to_owned()), what);
                }
                let (from, until) = lane.minutes.window(at);
                let minutes: BTreeMap<u64, Minute> = self
                    .app
                    .minutes
                    .iter()
                    .filter(|(minute, _)| self.shows(source, **minute, now))
                    .map(|(m, it)| (*m, *it))
                    .collect();
                let at_of = |minute: &u64| Timestamp::from_millis(i64::try_from(minute * 60_000).unwrap());
                let series = |value: &dyn Fn(&Minute) -> f64| -> BTreeMap<Timestamp, f64> {
                    minutes.iter().map(|(minute, it)| (at_of(minute), value(it))).collect()
                };
                let read = if source == Source::Insights {
                    let policy = &self.policy.activity.insights;
                    let (network, cpu) = (policy.network_above.unwrap(), policy.cpu_above.unwrap());
                    let bytes = series(&|it| it.bytes as f64 / 60.0);
                    let zero = series(&|_| 0.0);
                    let units = series(&|it| it.cpu_ms as f64 / 60_000.0 * 1024.0);
                    let told = Told { network: Some((bytes, zero)), cpu: Some(units) };
                    insights::minutes(&told, Above { network, cpu, of: TaskSize::SMALLEST.cpu })
                } else {
                    // No requests, no value.
                    let mut requests = series(&|it| it.requests as f64);
                    requests.retain(|_, many| *many > 0.0);
                    load_balancer::minutes(&requests, &series(&|_| 0.01), self.trace.least)
                };
                let read = read.range(from..until).map(|(at, used)| (*at, used.clone())).collect();
                lane.minutes.take(at, Ok(read), what)
            }
            Source::Command | Source::Url => panic!("no trace has an operator"),
        }
    }

    /// Whether CloudWatch shows a minute of a source now: some are as late as they may be, most are not.
    fn shows(&self, source: Source, minute: u64, now: u64) -> bool {
        let (latency, ..) = pace(source);
        let lateness = if minute.is_multiple_of(3) { latency - 60 } else { latency - 150 };
        let (begins, now) = (second_of(minute), i64::try_from(now).unwrap());
        let due = begins + 60 + i64::try_from(lateness).unwrap();
        let within = |from: u64, until: u64, second: i64| (from..until).contains(&u64::try_from(second).unwrap_or(0));
        self.trace.doings.iter().all(|doing| match *doing {
            Doing::Hole(of, from, until) if of == source => !within(from, until, begins),
            Doing::Late(of, from, until) if of == source && within(from, until, due) => {
                now >= i64::try_from(until).unwrap()
            }
            _ => true,
        }) && due <= now
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
    let mut record = opened(policy, at);
    deploy(&mut record, at, at);
    record.apply(at, &Event::Entered { phase: Phase::Starting, because: "its task is asked for".to_owned() });
    record
}
