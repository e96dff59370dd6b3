//! A session in a model of the cloud, for tests: turns that decide and apply steps, with lost answers, refusals and
//! crashes. Each turn checks what must hold of every plan.

use std::collections::BTreeMap;

pub use super::model_cloud::App;
use super::{Rules, decide, invariants, is_refusing, model_cloud::ModelCloud, wants};
pub use crate::domain::policy::samples::policy;
use crate::domain::{
    meter::{RateBook, overshoot},
    model::{
        Action, Effect, Event, Fault, FaultClass, HealthReading, Identity, Life, Money, Network, Observation, Observed,
        Plan, RateCard, Record, ResourceKey, ResourceKind, ScanReading, ScanStatus, SessionId, Sign, Source,
        SourceReading, Span, Spec, Stage, Step, Subnet, Timestamp, Want, Watch,
    },
    policy::Policy,
};

pub fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + secs * 1000)
}

/// A session of that policy, just accepted.
pub fn opened(policy: &Policy) -> Record {
    let event = Event::Opened {
        name: policy.name.clone(),
        owner: policy.owner.clone(),
        policy: serde_json::to_value(policy).unwrap(),
        group: policy.group.clone(),
        overshoot: overshoot(policy, &RateBook::embedded().card("us-east-1")),
    };
    Record::open(SessionId::new(&policy.name, 7), at(0), &event).unwrap()
}

pub fn fault(class: FaultClass) -> Fault {
    Fault {
        class,
        operation: "svc:Call".into(),
        code: class.name().into(),
        message: "as the model says".into(),
        request_id: None,
        advice: None,
        own: false,
    }
}

/// SplitMix64: small, seeded, the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    pub fn percent(&mut self, chance: u64) -> bool {
        self.roll() % 100 < chance
    }
    pub fn below(&mut self, most: u64) -> u64 {
        self.roll() % most.max(1)
    }
}

pub struct World {
    pub now: Timestamp,
    pub policy: Policy,
    pub card: RateCard,
    pub record: Record,
    pub dice: Dice,
    pub app: App,
    /// Chance in percent of a failing call, of a lost answer, and of a crash, each.
    pub trouble: u64,
    /// Removals refused until then.
    pub denied_until: Option<Timestamp>,
    /// A kind that these credentials may neither make, read nor remove.
    pub refused: Option<ResourceKind>,
    /// A kind about which no call is ever answered.
    pub unanswered: Option<ResourceKind>,
    /// Whether such a call does not even get as far as a connection.
    pub unreached: bool,
    /// Whether schedules may be made, and not moved.
    pub unmovable: bool,
    pub used_until: Timestamp,
    pub cloud: ModelCloud,
    tasks_seen_at: Option<Timestamp>,
    tasks_asked_at: Option<Timestamp>,
    blockers_asked_at: Option<Timestamp>,
    /// Whether no read of a task is answered.
    pub unread: bool,
    /// Reads so far.
    pub looks: usize,
    net_looked_at: Option<Timestamp>,
    watch: Option<Watch>,
    pub events: Vec<Event>,
}

impl World {
    pub fn new(policy: Policy, seed: u64) -> Self {
        let record = opened(&policy);
        World {
            now: at(0),
            record,
            card: RateBook::embedded().card("us-east-1"),
            dice: Dice(seed),
            app: App::Fine,
            trouble: 0,
            denied_until: None,
            refused: None,
            unanswered: None,
            unreached: false,
            unmovable: false,
            used_until: at(0),
            cloud: ModelCloud::new(),
            tasks_seen_at: None,
            tasks_asked_at: None,
            blockers_asked_at: None,
            unread: false,
            looks: 0,
            net_looked_at: None,
            watch: None,
            events: Vec::new(),
            policy,
        }
    }

    /// Puts a thing there that belongs to somebody else.
    pub fn put_foreign(&mut self, kind: ResourceKind) {
        self.cloud.put_foreign(kind);
    }

    /// What is left in the cloud that is the session's.
    pub fn left(&self) -> Vec<String> {
        self.cloud.left()
    }

    pub fn foreign_left(&self) -> usize {
        self.cloud.foreign_left()
    }

    pub fn journal(&mut self, event: Event) {
        self.record.apply(self.now, &event);
        self.events.push(event);
    }

    /// Turns until closed, or until that many have been made.
    pub fn run(&mut self, turns: usize) {
        for _ in 0..turns {
            if self.record.is_closed() {
                return;
            }
            self.turn();
        }
    }

    pub fn run_until(&mut self, turns: usize, done: impl Fn(&Record) -> bool) {
        for _ in 0..turns {
            if done(&self.record) || self.record.is_closed() {
                return;
            }
            self.turn();
        }
    }

    pub fn turn(&mut self) {
        self.cloud.advance(self.now, self.app, self.policy.task.run);
        let observation = self.observe();
        let rules = Rules { policy: &self.policy, card: &self.card };
        let plan = decide(&self.record, &observation, rules, self.now);
        self.check(&plan);
        for note in plan.notes.clone() {
            self.journal(note);
        }
        let again = decide(&self.record, &observation, rules_of(&self.policy, &self.card), self.now);
        assert_eq!(again.notes, Vec::new(), "a second look at the same must note nothing new");
        let findings = invariants::lint(&self.record, &self.policy, self.now);
        assert!(findings.is_empty(), "{findings:?}\n{:#?}", self.events);
        self.watch.clone_from(&plan.watch);
        let idle = plan.steps.is_empty() && plan.notes.is_empty();
        for step in plan.steps {
            if self.dice.percent(self.trouble) {
                // A crash before the intent: nothing of the other steps happens either.
                break;
            }
            self.perform(step);
        }
        if idle {
            let probe = self.watch.as_ref().map(|_| self.now + Span::from_secs(5));
            let next = plan.wake_at.into_iter().chain(probe).min().unwrap_or(self.now + Span::from_secs(60));
            self.now = next.max(self.now + Span::from_millis(50));
        } else {
            self.now = self.now + Span::from_millis(20 + self.dice.below(300));
        }
    }

    fn check(&self, plan: &Plan) {
        let mut after = self.record.clone();
        plan.notes.iter().for_each(|note| after.apply(self.now, note));
        for step in &plan.steps {
            match step {
                Step::Ensure { .. } | Step::Admit { .. } => {
                    assert!(after.ending.is_none(), "made something while ending: {step:?}");
                }
                Step::Remove { key, .. } | Step::StopTask { key, .. } => {
                    assert!(after.resources[key].ours, "removes what is not ours: {step:?}");
                    let tasks = after.tasks().any(|(_, task)| task.life.may_exist());
                    assert!(
                        key.kind != ResourceKind::Cluster || !tasks,
                        "removes the cluster before its tasks are gone"
                    );
                }
                Step::Arm { arming, .. } => {
                    assert!(
                        after.ending.as_ref().is_none_or(|ending| ending.stage == Stage::Stop),
                        "armed while ending"
                    );
                    assert!(arming.schedules.iter().all(|it| it.at > self.now), "scheduled in the past: {step:?}");
                }
                Step::Identify | Step::Survey { .. } => {}
            }
        }
        if let (Some(before), Some(after)) = (&self.record.ending, &after.ending) {
            assert!(after.cause >= before.cause && after.stage >= before.stage, "a milder cause replaced a worse one");
        }
        assert!(plan.wake_at.is_some() || after.is_closed(), "nothing would ever wake it");
    }

    fn observe(&mut self) -> Observation {
        let mut seen =
            Observation { tasks_seen_at: self.tasks_seen_at, health: self.health(), ..Observation::default() };
        seen.net_looked_at = self.net_looked_at;
        (seen.tasks_asked_at, seen.blockers_asked_at) = (self.tasks_asked_at, self.blockers_asked_at);
        for want in wants(&self.record, &self.policy, &seen, self.now) {
            self.looks += 1;
            match want {
                Want::Tasks | Want::Resource(ResourceKey { kind: ResourceKind::Task, .. }) => {
                    self.tasks_asked_at = Some(self.now);
                }
                Want::Resource(key) => {
                    if key.kind == ResourceKind::ScheduleGroup {
                        self.net_looked_at = Some(self.now);
                    }
                    if self.record.resources.get(&key).is_some_and(is_refusing) {
                        self.blockers_asked_at = Some(self.now);
                    }
                }
                Want::Scan => {}
            }
            if self.dice.percent(self.trouble)
                || self.unread
                    && matches!(want, Want::Tasks | Want::Resource(ResourceKey { kind: ResourceKind::Task, .. }))
                || self.refused.or(self.unanswered).is_some_and(|kind| want == Want::Resource(ResourceKey::only(kind)))
            {
                continue;
            }
            match want {
                Want::Scan => {
                    let (counts, worst) = (BTreeMap::new(), Vec::new());
                    seen.scan = Observed::Present(ScanReading { status: ScanStatus::Complete, counts, worst });
                }
                Want::Tasks => {
                    self.tasks_seen_at = Some(self.now);
                    seen.tasks = if self.cloud.has(ResourceKind::Cluster) {
                        Observed::Present(self.cloud.tasks().cloned().collect())
                    } else {
                        Observed::Absent
                    };
                }
                Want::Resource(key) => {
                    let sighting = if key.kind == ResourceKind::Task {
                        self.tasks_seen_at = Some(self.now);
                        let arn = self.record.resources[&key].id.as_deref().unwrap();
                        self.cloud.task(arn)
                    } else {
                        self.cloud.thing(key)
                    };
                    seen.sightings.insert(key, sighting.map_or(Observed::Absent, Observed::Present));
                }
            }
        }
        (seen.tasks_seen_at, seen.net_looked_at) = (self.tasks_seen_at, self.net_looked_at);
        (seen.tasks_asked_at, seen.blockers_asked_at) = (self.tasks_asked_at, self.blockers_asked_at);
        seen.health = self.health();
        let sign = if self.used_until >= self.now {
            Sign::Active { since: at(0), last: self.now, what: "1 request".into() }
        } else {
            Sign::Quiet { since: self.used_until }
        };
        let (read_at, latency, interval) = (self.now, Span::ZERO, self.policy.activity.interval);
        seen.activity = vec![SourceReading { source: Source::Requests, sign, read_at, latency, interval }];
        seen
    }

    fn health(&self) -> HealthReading {
        let Some(watch) = &self.watch else { return HealthReading::default() };
        let started =
            self.cloud.tasks().find(|task| task.public_ip.as_ref() == Some(&watch.ip)).and_then(|task| task.started_at);
        let probes = started.map_or(0, |started| self.now.since(started).as_secs() / 5) as u32;
        let (good, bad) = match self.app {
            App::NeverAnswers => (0, probes),
            App::StopsAnswering if probes > 20 => (0, probes - 20),
            _ => (probes, 0),
        };
        let at = started.map(|started| started + Span::from_secs(5 * u64::from(probes)));
        HealthReading {
            task: Some(watch.task),
            good,
            bad,
            at,
            detail: "as the model says".into(),
            ..HealthReading::default()
        }
    }

    fn perform(&mut self, step: Step) {
        let Some(key) = step.key() else {
            self.question(&step);
            return;
        };
        let (action, name, size) = match &step {
            Step::Ensure { spec: Spec::Task(task), .. } => (Action::Create, task.token.clone(), Some(task.size)),
            Step::Ensure { spec, .. } => (Action::Create, format!("{key} of {}", spec_kind(spec)), None),
            Step::Arm { arming, .. } => (Action::Create, arming.group.clone(), None),
            Step::Admit { admission, .. } => (Action::Create, admission.group.clone(), None),
            Step::StopTask { removal, .. } => (Action::Stop, removal.name.clone(), None),
            Step::Remove { removal, .. } => (Action::Remove, removal.name.clone(), None),
            Step::Identify | Step::Survey { .. } => return,
        };
        self.journal(Event::Intended { key, action, name, size });
        if self.dice.percent(self.trouble) {
            return; // a crash after the intent
        }
        if self.unanswered == Some(key.kind) {
            let fault = Fault {
                operation: "scheduler:CreateScheduleGroup".into(),
                code: if self.unreached { Fault::UNREACHED.into() } else { "Connection".into() },
                own: true,
                ..fault(FaultClass::Transient)
            };
            self.journal(Event::Failed { key: Some(key), action, fault });
            return;
        }
        if self.refused == Some(key.kind) {
            let fault = Fault { operation: "iam:CreateRole".into(), ..fault(FaultClass::Denied) };
            self.journal(Event::Failed { key: Some(key), action, fault });
            return;
        }
        if self.dice.percent(self.trouble) {
            let class = if key.kind == ResourceKind::Task && action == Action::Create && self.dice.percent(50) {
                FaultClass::Capacity
            } else {
                FaultClass::Throttled
            };
            self.journal(Event::Failed { key: Some(key), action, fault: fault(class) });
            return;
        }
        let outcome = match &step {
            Step::Ensure { spec, adopt, .. } => self.cloud.ensure(self.now, key, spec, *adopt),
            Step::Arm { arming, .. } => {
                let made = arming.schedules.iter().filter(|it| !(self.unmovable && it.known));
                let schedules: Vec<_> = made.map(|it| (it.name.clone(), it.at)).collect();
                let all = schedules.len() == arming.schedules.len();
                self.journal(Event::Scheduled { schedules });
                if !all {
                    let fault = Fault { operation: "scheduler:UpdateSchedule".into(), ..fault(FaultClass::Denied) };
                    self.journal(Event::Failed { key: Some(key), action, fault });
                    return;
                }
                Ok((Effect::AlreadyThere, None))
            }
            Step::Admit { admission, .. } => {
                self.journal(Event::Admitted { ingress: admission.then.clone() });
                Ok((Effect::AlreadyThere, None))
            }
            Step::StopTask { removal, .. } => self.cloud.stop(self.now, removal),
            Step::Remove { .. } if self.denied_until.is_some_and(|until| self.now < until) => Err(FaultClass::Denied),
            Step::Remove { .. } => self.cloud.remove(self.now, key),
            Step::Identify | Step::Survey { .. } => return,
        };
        if self.dice.percent(self.trouble) {
            if self.dice.percent(50) {
                self.journal(Event::Failed { key: Some(key), action, fault: fault(FaultClass::Transient) });
            }
            return; // the answer was lost, or a crash after the call
        }
        match outcome {
            Ok((effect, id)) => self.journal(Event::Done { key, action, effect, id }),
            Err(class) => self.journal(Event::Failed { key: Some(key), action, fault: fault(class) }),
        }
    }

    fn question(&mut self, step: &Step) {
        if self.dice.percent(self.trouble) {
            self.journal(Event::Failed { key: None, action: Action::Create, fault: fault(FaultClass::Transient) });
            return;
        }
        let event = if *step == Step::Identify {
            let identity = Identity {
                account: "000000000000".into(),
                arn: "arn:aws:iam::0:root".into(),
                region: "us-east-1".into(),
            };
            Event::Identified { identity }
        } else {
            let subnet = |zone: &str| Subnet { id: format!("subnet-{zone}"), zone: zone.into() };
            Event::Surveyed { network: Network { vpc: "vpc-1".into(), subnets: vec![subnet("a"), subnet("b")] } }
        };
        self.journal(event);
    }

    pub fn kinds(&self) -> Vec<(ResourceKey, Life)> {
        self.record.resources.iter().map(|(key, it)| (*key, it.life)).collect()
    }

    pub fn spent_at_most(&self) -> Money {
        self.policy.limits.budget + self.record.overshoot
    }
}

fn rules_of<'a>(policy: &'a Policy, card: &'a RateCard) -> Rules<'a> {
    Rules { policy, card }
}

const fn spec_kind(spec: &Spec) -> &'static str {
    match spec {
        Spec::Repository { .. } => "repository",
        Spec::Image(_) => "image",
        Spec::LogGroup { .. } => "log group",
        Spec::ExecutionRole { .. } => "role",
        Spec::Cluster { .. } => "cluster",
        Spec::SecurityGroup { .. } => "group",
        Spec::TaskDefinition(_) => "definition",
        Spec::Task(_) => "task",
        Spec::Service { .. } => "service",
        Spec::SchedulerRole { .. } => "scheduler role",
        Spec::ScheduleGroup { .. } => "schedule group",
    }
}
