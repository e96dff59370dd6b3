//! A model of the cloud for tests: a state machine that applies steps, with lost answers, refusals and crashes.

use std::collections::BTreeMap;

use super::{Rules, decide, invariants, wants};
use crate::domain::{
    meter::{RateBook, overshoot},
    model::{
        Accounting, Action, Effect, Event, Fault, FaultClass, HealthReading, Identity, ImageConfig, ImageSource,
        Ingress, Life, Money, Network, Observation, Observed, Plan, RateCard, Record, Removal, ResourceKey,
        ResourceKind, ScanReading, ScanStatus, SessionId, Sighting, Sign, Source, SourceReading, Span, Spec, Stage,
        Step, Subnet, TaskFacts, TaskSize, TaskStatus, Timestamp, Want, Watch,
    },
    policy::{
        ActivityPolicy, EndPolicy, FusePolicy, HealthPolicy, ImagePolicy, Limits, MetricsPolicy, Names, NetworkPolicy,
        Policy, RepositoryPolicy, RunMode, ShutdownPolicy, TaskPolicy,
    },
};

pub fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + secs * 1000)
}

/// The exercise's policy with short limits.
pub fn policy() -> Policy {
    let name = |what: &str| format!("{{session}}-{what}");
    Policy {
        name: "lab".into(),
        owner: "someone".into(),
        group: String::new(),
        region: "us-east-1".into(),
        names: Names {
            repository: name("repo"),
            cluster: name("cluster"),
            task_definition: name("task"),
            container: "app".into(),
            service: name("service"),
            security_group: name("group"),
            log_group: name("logs"),
            execution_role: name("role"),
        },
        adopt: Vec::new(),
        image: ImagePolicy::plain(
            ImageSource::Executable { path: "/bin/app".into(), args: Vec::new(), config: ImageConfig::default() },
            "v1",
        ),
        repository: RepositoryPolicy::default(),
        fuse: FusePolicy::default(),
        task: TaskPolicy {
            run: RunMode::Task,
            size: TaskSize::SMALLEST,
            environment: Vec::new(),
            command: Vec::new(),
            stop_timeout: Span::from_secs(30),
            execution_role: None,
            task_role: None,
            max_restarts: 3,
            restart_backoff: Span::from_secs(2),
            log_retention_days: 1,
        },
        network: NetworkPolicy {
            vpc: None,
            subnets: Vec::new(),
            ingress: vec![Ingress { port: 5000, sources: vec!["0.0.0.0/0".into()] }],
            public_ip: true,
        },
        health: HealthPolicy {
            port: 5000,
            method: "GET".into(),
            path: "/ping".into(),
            expect_status: vec![200],
            expect_body: None,
            interval: Span::from_secs(5),
            timeout: Span::from_secs(2),
            start_grace: Span::from_secs(60),
            healthy_after: 2,
            unhealthy_after: 3,
        },
        predict: None,
        activity: ActivityPolicy::counting("/metrics", "requests", Span::from_secs(10)),
        limits: Limits {
            idle_timeout: Some(Span::from_mins(10)),
            budget: "1.00 USD".parse().unwrap(),
            max_budget: "2.00 USD".parse().unwrap(),
            min_lifetime: Span::ZERO,
            lifetime: Span::from_mins(60),
            max_lifetime: Span::from_mins(120),
            ends_at: None,
            hours: None,
            warn_before: vec![Span::from_mins(5), Span::from_mins(1)],
        },
        accounting: Accounting::default(),
        end: EndPolicy {
            on_idle: Stage::Teardown,
            on_hours: Stage::Teardown,
            keep_stopped: Span::from_mins(30),
            on_shutdown: ShutdownPolicy::Keep,
            credentials_margin: Span::from_mins(5),
            credentials_expire_at: None,
            stop_allowance: Span::from_mins(2),
        },
        metrics: MetricsPolicy { cloudwatch: Vec::new(), namespace: "Labguard".into(), interval: Span::from_secs(60) },
    }
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

/// How the application behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    Fine,
    NeverAnswers,
    StopsAnswering,
    Exits,
    CannotBePulled,
}

struct FakeTask {
    token: String,
    facts: TaskFacts,
    stop_at: Option<Timestamp>,
    by_service: bool,
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
    pub used_until: Timestamp,
    things: BTreeMap<ResourceKey, bool>,
    tasks: Vec<FakeTask>,
    group_held_until: Timestamp,
    tasks_seen_at: Option<Timestamp>,
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
            used_until: at(0),
            things: BTreeMap::new(),
            tasks: Vec::new(),
            group_held_until: at(0),
            tasks_seen_at: None,
            watch: None,
            events: Vec::new(),
            policy,
        }
    }

    /// Puts a thing there that belongs to somebody else.
    pub fn put_foreign(&mut self, kind: ResourceKind) {
        self.things.insert(ResourceKey::only(kind), false);
    }

    /// What is left in the cloud that is the session's.
    pub fn left(&self) -> Vec<String> {
        let things = self.things.iter().filter(|(_, ours)| **ours).map(|(key, _)| key.to_string());
        things
            .chain(self.tasks.iter().filter(|task| !task.facts.is_stopped()).map(|task| task.facts.arn.clone()))
            .collect()
    }

    pub fn foreign_left(&self) -> usize {
        self.things.values().filter(|ours| !**ours).count()
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
        self.advance();
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

    fn advance(&mut self) {
        let (now, app) = (self.now, self.app);
        let mut released = None;
        let wanted = self.things.contains_key(&ResourceKey::only(ResourceKind::Service));
        for (number, task) in self.tasks.iter_mut().enumerate() {
            let created = task.facts.created_at.unwrap();
            if task.facts.is_stopped() {
                continue;
            }
            if task.by_service && !wanted {
                task.stop_at = task.stop_at.or(Some(now + Span::from_secs(10)));
                task.facts.wanted = false;
            }
            let age = now.since(created);
            if age >= Span::from_secs(5) && task.facts.pull_started_at.is_none() {
                task.facts.pull_started_at = Some(created + Span::from_secs(5));
                task.facts.status = TaskStatus::Activating;
                if app == App::CannotBePulled {
                    task.facts.stopped_reason = Some("CannotPullContainerError: no such image".into());
                    task.facts.stop_code = Some("TaskFailedToStart".into());
                    task.stop_at = Some(now);
                }
            }
            if age >= Span::from_secs(15) && task.facts.started_at.is_none() && app != App::CannotBePulled {
                task.facts.started_at = Some(created + Span::from_secs(15));
                task.facts.status = TaskStatus::Running;
                task.facts.eni = Some(format!("eni-{number}"));
                task.facts.public_ip = Some(format!("198.51.100.{}", number + 1));
                if app == App::Exits {
                    task.facts.stop_code = Some("EssentialContainerExited".into());
                    task.facts.stopped_reason = Some("Essential container in task exited".into());
                    task.facts.exit_code = Some(1);
                    task.stop_at = Some(created + Span::from_secs(40));
                }
            }
            if task.stop_at.is_some_and(|at| at <= now) {
                task.facts.status = TaskStatus::Stopped;
                task.facts.wanted = false;
                task.facts.stopped_at = Some(now);
                released = Some(now + Span::from_secs(20));
            } else if !task.facts.wanted {
                task.facts.status = TaskStatus::Stopping;
            }
        }
        self.group_held_until = self.group_held_until.max(released.unwrap_or_default());
        if let (true, RunMode::Service { desired }) = (wanted, self.policy.task.run) {
            let alive = self.tasks.iter().filter(|task| task.facts.wanted && !task.facts.is_stopped()).count();
            for _ in alive..desired as usize {
                self.start(String::new(), true);
            }
        }
    }

    fn start(&mut self, token: String, by_service: bool) -> String {
        let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/c/{}", self.tasks.len() + 1);
        let mut facts = TaskFacts::new(arn.clone());
        facts.created_at = Some(self.now);
        self.tasks.push(FakeTask { token, facts, stop_at: None, by_service });
        arn
    }

    fn observe(&mut self) -> Observation {
        let mut seen =
            Observation { tasks_seen_at: self.tasks_seen_at, health: self.health(), ..Observation::default() };
        for want in wants(&self.record, &self.policy, &seen, self.now) {
            if self.dice.percent(self.trouble)
                || self.refused.is_some_and(|kind| want == Want::Resource(ResourceKey::only(kind)))
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
                    seen.tasks = if self.things.contains_key(&ResourceKey::only(ResourceKind::Cluster)) {
                        Observed::Present(self.tasks.iter().map(|task| task.facts.clone()).collect())
                    } else {
                        Observed::Absent
                    };
                }
                Want::Resource(key) => {
                    let sighting = if key.kind == ResourceKind::Task {
                        self.tasks_seen_at = Some(self.now);
                        let arn = self.record.resources[&key].id.clone().unwrap();
                        let task = self.tasks.iter().find(|task| task.facts.arn == arn);
                        task.map(|task| Sighting {
                            id: arn,
                            ours: true,
                            held_by: vec![],
                            task: Some(task.facts.clone()),
                            made_at: None,
                        })
                    } else {
                        let thing = self.things.get(&key);
                        thing.map(|ours| Sighting {
                            id: key.to_string(),
                            ours: *ours,
                            held_by: vec![],
                            task: None,
                            made_at: None,
                        })
                    };
                    seen.sightings.insert(key, sighting.map_or(Observed::Absent, Observed::Present));
                }
            }
        }
        seen.tasks_seen_at = self.tasks_seen_at;
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
        let started = self
            .tasks
            .iter()
            .find(|task| task.facts.public_ip.as_ref() == Some(&watch.ip))
            .and_then(|task| task.facts.started_at);
        let probes = started.map_or(0, |started| self.now.since(started).as_secs() / 5) as u32;
        let (good, bad) = match self.app {
            App::NeverAnswers => (0, probes),
            App::StopsAnswering if probes > 20 => (0, probes - 20),
            _ => (probes, 0),
        };
        HealthReading {
            task: Some(watch.task),
            good,
            bad,
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
            Step::Ensure { spec, adopt, .. } => self.ensure(key, spec, *adopt),
            Step::Arm { arming, .. } => {
                let schedules = arming.schedules.iter().map(|it| (it.name.clone(), it.at)).collect();
                self.journal(Event::Scheduled { schedules });
                Ok((Effect::AlreadyThere, None))
            }
            Step::Admit { admission, .. } => {
                self.journal(Event::Admitted { ingress: admission.then.clone() });
                Ok((Effect::AlreadyThere, None))
            }
            Step::StopTask { removal, .. } => self.stop(removal),
            Step::Remove { .. } => self.remove(key),
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

    fn ensure(&mut self, key: ResourceKey, spec: &Spec, adopt: bool) -> Result<(Effect, Option<String>), FaultClass> {
        if let Spec::Task(task) = spec {
            assert!(self.things.contains_key(&ResourceKey::only(ResourceKind::Cluster)), "a task without its cluster");
            let known = self.tasks.iter().find(|known| known.token == task.token).map(|known| known.facts.arn.clone());
            return Ok(match known {
                Some(arn) => (Effect::AlreadyThere, Some(arn)),
                None => (Effect::Created, Some(self.start(task.token.clone(), false))),
            });
        }
        let digest = if key.kind == ResourceKind::Image { "@sha256:0" } else { "" };
        let id = Some(format!("{key}{digest}"));
        Ok(match self.things.get(&key) {
            Some(true) => (Effect::AlreadyThere, id),
            Some(false) if adopt => (Effect::Adopted, id),
            Some(false) => (Effect::NotOurs, None),
            None => {
                self.things.insert(key, true);
                (Effect::Created, id)
            }
        })
    }

    fn stop(&mut self, removal: &Removal) -> Result<(Effect, Option<String>), FaultClass> {
        let now = self.now;
        let Some(task) = self.tasks.iter_mut().find(|task| Some(&task.facts.arn) == removal.id.as_ref()) else {
            return Ok((Effect::AlreadyGone, None));
        };
        task.facts.wanted = false;
        task.facts.stop_code.get_or_insert("UserInitiated".into());
        task.stop_at = task.stop_at.or(Some(now + Span::from_secs(30)));
        Ok((Effect::StopRequested, None))
    }

    fn remove(&mut self, key: ResourceKey) -> Result<(Effect, Option<String>), FaultClass> {
        if self.denied_until.is_some_and(|until| self.now < until) {
            return Err(FaultClass::Denied);
        }
        let busy = self.tasks.iter().any(|task| !task.facts.is_stopped());
        match (key.kind, self.things.get(&key).copied()) {
            (_, None) => return Ok((Effect::AlreadyGone, None)),
            (_, Some(false)) => return Ok((Effect::NotOurs, None)),
            (ResourceKind::Cluster, _) if busy => return Err(FaultClass::Dependency),
            (ResourceKind::InsightsLog, _) => {
                let cluster = self.things.get(&ResourceKey::only(ResourceKind::Cluster));
                assert_ne!(cluster, Some(&true), "AWS would make it anew as long as there is the cluster");
            }
            (ResourceKind::SecurityGroup, _) if busy || self.now < self.group_held_until => {
                return Err(FaultClass::Dependency);
            }
            _ => {}
        }
        self.things.remove(&key);
        if key.kind == ResourceKind::Repository {
            self.things.remove(&ResourceKey::only(ResourceKind::Image));
        }
        Ok((Effect::Removed, None))
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
