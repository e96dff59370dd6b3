//! One seeded world of owners, groups and the budgets that they share, and its verdict.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use labguard::{
    domain::{
        meter::{self, RateBook},
        model::{Cause, Money, Period, RateCard, Record, Request, Scope, SessionId, Span, Stage, Timestamp},
        policy::{Policy, SharedBudget, Shares},
    },
    journal::Which,
    reconcile::{handle::Control, status::BudgetStatus},
    sandbox::latency::Latency,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    crash::crash,
    fuse::Fuse,
    lab::{self, Lab, Parts},
    memory::{Blueprint, House},
};

/// What worlds came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub sessions: usize,
    pub refused: usize,
    pub ended_by_shared: usize,
    pub crashes: usize,
    pub reloads: usize,
    pub midnights: usize,
    pub passed: usize,
    pub simulated_minutes: u64,
    /// The largest share of a stated overshoot that was used, in hundredths.
    pub worst_percent: i64,
}

impl Outcome {
    pub fn add(&mut self, other: Outcome) {
        self.sessions += other.sessions;
        self.refused += other.refused;
        self.ended_by_shared += other.ended_by_shared;
        self.crashes += other.crashes;
        self.reloads += other.reloads;
        self.midnights += other.midnights;
        self.passed += other.passed;
        self.simulated_minutes += other.simulated_minutes;
        self.worst_percent = self.worst_percent.max(other.worst_percent);
    }
}

/// Runs one seed in a runtime of its own, always the same way.
pub fn run_seed(seed: u64, loud: bool) -> Result<Outcome, String> {
    labguard::image::beside::do_in_place();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _log = loud.then(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_test_writer().finish();
        tracing::subscriber::set_default(subscriber)
    });
    runtime.block_on(async { World::new(seed).await.play().await })
}

/// A budget of somebody, in one period, under one rule.
type Place = (String, String, Timestamp);

/// What must hold of it.
#[derive(Debug)]
struct Bound {
    rule: SharedBudget,
    /// Where it must have ended its sessions; what was spent before the rule came is forgiven.
    amount: Money,
    /// The largest overshoot that was stated.
    overshoot: Money,
}

struct World {
    rng: SmallRng,
    house: House,
    card: RateCard,
    book: BTreeMap<String, Policy>,
    rules: Vec<SharedBudget>,
    bounds: BTreeMap<Place, Bound>,
    /// Every rule that was ever in force, by name.
    ever: Vec<SharedBudget>,
    outcome: Outcome,
}

impl World {
    async fn new(seed: u64) -> World {
        let mut rng = SmallRng::seed_from_u64(seed);
        // Some worlds begin shortly before a midnight of the zone that their days are in.
        let midnight = "2026-11-25T00:00:00Z".parse::<Timestamp>().unwrap();
        let epoch = midnight - Span::from_mins(if rng.random_bool(0.5) { rng.random_range(2..15) } else { 900 });
        let latency = latency(&mut rng);
        let house = House::build(Blueprint { epoch, max_sessions: 100, ..Blueprint::new(seed, latency) }).await;
        // The name of its folder takes what it needs of chance: more where there is one of that name.
        fastrand::seed(seed);
        let source = house.program(&[]);
        let mut book = BTreeMap::new();
        for owner in ["ada", "bob", "eve"] {
            let mut policy = lab::policy(owner, source.clone());
            policy.owner = owner.to_owned();
            policy.group = ["", "ml", "ml", "db"][rng.random_range(0..4)].to_owned();
            policy.limits.idle_timeout = None;
            policy.limits.min_lifetime = Span::from_mins(rng.random_range(0..4));
            policy.limits.lifetime = Span::from_mins(rng.random_range(5..60));
            policy.limits.max_lifetime = policy.limits.lifetime;
            policy.end.keep_stopped = Span::from_mins(rng.random_range(2..20));
            policy.task.stop_timeout = Span::from_secs([2, 20][rng.random_range(0..2)]);
            // Where a stop takes longer than was set aside for it, the stated overshoot must hold.
            policy.end.stop_allowance = Span::from_secs([1, 1, 120][rng.random_range(0..3)]);
            policy.predict = None;
            policy.activity.metrics_path = None;
            policy.health.interval = Span::from_secs(60);
            // Large tasks spend much in little simulated time.
            policy.task.size.cpu = [4096, 2048][rng.random_range(0..2)];
            policy.task.size.memory = 8192;
            if rng.random_bool(0.2) {
                policy.task.environment = vec![("LABGUARD_SIM_IGNORE_TERM".to_owned(), "1".to_owned())];
            }
            book.insert(owner.to_owned(), policy);
        }
        let rules = rules(&mut rng);
        let card = RateBook::embedded().card("us-east-1");
        let (bounds, ever, outcome) = (BTreeMap::new(), rules.clone(), Outcome::default());
        World { rng, house, card, book, rules, bounds, ever, outcome }
    }

    async fn play(mut self) -> Result<Outcome, String> {
        let began = self.house.parts.clock.now();
        let length = Span::from_mins(self.rng.random_range(5..14));
        let fuse = Fuse::new();
        let mut lab = self.start(&fuse).await;
        self.arm(&fuse);
        loop {
            let step = Duration::from_millis(self.rng.random_range(500..12_000));
            tokio::select! {
                biased;
                () = fuse.blown() => {
                    self.outcome.crashes += 1;
                    crash(lab).await;
                    tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..5_000))).await;
                    fuse.disarm();
                    lab = self.start(&fuse).await;
                    self.arm(&fuse);
                }
                () = tokio::time::sleep(step) => {
                    if self.house.parts.clock.now().since(began) > length {
                        break;
                    }
                    if let Some(crashed) = tokio::select! {
                        biased;
                        acted = self.act(&lab) => Some(acted),
                        // Whatever waits for an engine that is dead goes with it.
                        () = fuse.blown() => None,
                    } {
                        crashed?;
                    } else {
                        fuse.told.notify_one();
                    }
                }
            }
        }
        fuse.disarm();
        let ended_at = self.house.parts.clock.now();
        self.end_all(&lab).await?;
        self.outcome.simulated_minutes = ended_at.since(began).as_secs() / 60;
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.sums_agree(&lab).await?;
        lab.stop().await;
        self.verdict().await
    }

    async fn start(&self, fuse: &Fuse) -> Lab {
        // Ids must not repeat across restarts.
        let seed = self.house.parts.seed.wrapping_add(1_000_003 * self.outcome.crashes as u64);
        let parts = Parts { seed, ..self.house.parts.clone() };
        Lab::start_with(&parts, self.book.clone(), self.rules.clone(), Some(fuse.checkpoint())).await
    }

    fn arm(&mut self, fuse: &Fuse) {
        if self.rng.random_bool(0.5) {
            fuse.arm(self.rng.random_range(1..600));
        }
    }

    /// People come and go; now and then the configuration changes.
    async fn act(&mut self, lab: &Lab) -> Result<(), String> {
        self.watch(lab).await?;
        match self.rng.random_range(0..100) {
            0..4 => self.up(lab).await?,
            4..12 => {
                let live = lab.engine.list();
                if !live.is_empty() {
                    let id = live[self.rng.random_range(0..live.len())].id.to_string();
                    let request = match self.rng.random_range(0..4) {
                        0 => Request::End { reason: "done".to_owned() },
                        1 => Request::Stop { reason: "lunch".to_owned() },
                        _ => Request::Resume,
                    };
                    // What makes no sense in the present phase is refused, which is right.
                    let _ = lab.engine.request(id, request).await;
                }
            }
            12 if self.rng.random_bool(0.4) => {
                let fresh = rules(&mut self.rng);
                lab.engine.replace_budgets(fresh.clone()).await.map_err(|error| error.to_string())?;
                self.outcome.reloads += 1;
                self.ever.extend(fresh.iter().cloned());
                self.rules = fresh;
                self.watch(lab).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Several at once, of one owner or of all.
    async fn up(&mut self, lab: &Lab) -> Result<(), String> {
        let before = self.records().await?.len();
        let names: Vec<String> = (0..self.rng.random_range(1..4))
            .map(|_| ["ada", "bob", "eve"][self.rng.random_range(0..3)].to_owned())
            .collect();
        let asked = futures::future::join_all(names.iter().map(|name| lab.engine.up(name.clone()))).await;
        let let_in: BTreeSet<SessionId> = asked.iter().filter_map(|asked| asked.as_ref().ok().cloned()).collect();
        for error in asked.iter().filter_map(|asked| asked.as_ref().err()) {
            self.outcome.refused += 1;
            if !error.to_string().contains("nothing was done: the ") {
                return Err(format!("refused for another reason than a shared budget: {error}"));
            }
        }
        let after = self.records().await?;
        if after.len() != before + let_in.len() {
            return Err(format!(
                "{} sessions were let in, and the journal has {} more",
                let_in.len(),
                after.len() - before
            ));
        }
        Ok(())
    }

    async fn records(&self) -> Result<Vec<Record>, String> {
        self.house.parts.journal.records(Which::All).await.map_err(|error| error.to_string())
    }

    /// Notes what every budget must hold, by what the engine says of it now.
    async fn watch(&mut self, lab: &Lab) -> Result<(), String> {
        for status in lab.engine.budgets().await {
            let rule =
                self.rules.iter().find(|rule| rule.name == status.name).ok_or("a budget that is no more")?.clone();
            let (from, _) = rule.stretch(status.at);
            let ends = rule.thresholds().into_iter().find(|threshold| threshold.measure.stage().is_some());
            let Some(ends) = ends else { continue };
            let place = (rule.name.clone(), status.of.clone(), from);
            let known = self.bounds.get(&place).filter(|bound| bound.rule == rule);
            let spent_before = status.spent + status.teardown;
            let (amount, overshoot) = match known {
                Some(bound) => (bound.amount, bound.overshoot.max(status.overshoot)),
                None => (ends.amount.max(spent_before), status.overshoot),
            };
            if status.spent > amount + overshoot {
                return Err(format!("{status:#?}\nis over {} by more than {}", amount.exact(), overshoot.exact()));
            }
            self.bounds.insert(place, Bound { rule, amount, overshoot });
        }
        Ok(())
    }

    async fn end_all(&mut self, lab: &Lab) -> Result<(), String> {
        for _ in 0..3_000 {
            self.watch(lab).await?;
            let live: Vec<_> = lab.engine.list().into_iter().filter(|status| status.closed_at.is_none()).collect();
            if live.is_empty() {
                return Ok(());
            }
            for status in live.iter().filter(|status| status.ending.is_none() || !status.phase.is_dismantling()) {
                let _ = lab.engine.request(status.id.to_string(), Request::End { reason: "over".to_owned() }).await;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        Err("sessions did not close".to_owned())
    }

    fn spent(&self, records: &[Record], rule: &SharedBudget, of: &str, from: Timestamp, until: Timestamp) -> Money {
        let members = records.iter().filter(|record| rule.key_of(record, Some("000000000000")).as_deref() == Some(of));
        members.map(|record| meter::spent_between(record, &self.card, from, until)).sum()
    }

    /// The engine's sums are those of the journal.
    async fn sums_agree(&self, lab: &Lab) -> Result<(), String> {
        let records = self.records().await?;
        for BudgetStatus { name, of, spent, at, sessions, .. } in lab.engine.budgets().await {
            let rule = self.rules.iter().find(|rule| rule.name == name).ok_or("a budget that is no more")?;
            let exact = self.spent(&records, rule, &of, rule.stretch(at).0, at);
            if spent != exact || !sessions.is_empty() {
                return Err(format!(
                    "{name} of {of:?}: the engine says {}, the journal {}",
                    spent.exact(),
                    exact.exact()
                ));
            }
        }
        Ok(())
    }

    async fn verdict(mut self) -> Result<Outcome, String> {
        let records = self.records().await?;
        let left = self.house.left();
        if !left.is_empty() {
            return Err(format!("left behind: {left:?}"));
        }
        let mut days = BTreeSet::new();
        for ((name, of, from), bound) in &self.bounds {
            let until = bound.rule.stretch(*from).1.unwrap_or(Timestamp::MAX).min(self.house.parts.clock.now());
            days.extend((bound.rule.period == Period::Day).then_some(*from));
            // A rule that was replaced holds no longer: what came after it is another rule's.
            if !self.rules.contains(&bound.rule) {
                continue;
            }
            let spent = self.spent(&records, &bound.rule, of, *from, until);
            if spent > bound.amount {
                self.outcome.passed += 1;
                let over = spent.nanos() - bound.amount.nanos();
                self.outcome.worst_percent =
                    self.outcome.worst_percent.max(over * 100 / bound.overshoot.nanos().max(1));
            }
            if spent > bound.amount + bound.overshoot {
                return Err(format!(
                    "{name} of {of:?} from {from}: spent {} of {}, with a stated overshoot of {}",
                    spent.exact(),
                    bound.amount.exact(),
                    bound.overshoot.exact()
                ));
            }
        }
        self.outcome.midnights = days.len().saturating_sub(1);
        self.outcome.sessions = records.len();
        for record in &records {
            let Some(ending) = record.ending.as_ref().filter(|ending| ending.cause == Cause::Budget) else { continue };
            if ending.detail.starts_with("spent ") {
                continue;
            }
            self.outcome.ended_by_shared += 1;
            let named = ending.detail.split('"').nth(1).unwrap_or_default();
            let mut own = self.ever.iter().filter(|rule| rule.name == named);
            let whose = |rule: &SharedBudget| match (rule.scope, rule.key_of(record, None)) {
                (_, None) => false,
                (Scope::Daemon, _) => ending.detail.starts_with("the daemon's budget"),
                (scope, Some(key)) => ending.detail.contains(&format!("\" of {} {key} ", scope.name())),
            };
            if !own.any(whose) {
                return Err(format!(
                    "{} of {} was ended by a foreign budget: {}",
                    record.id, record.owner, ending.detail
                ));
            }
            if ending.stage == Stage::Teardown && record.closed_at.is_none() {
                return Err(format!("{} was not torn down", record.id));
            }
        }
        Ok(self.outcome)
    }
}

/// AWS without its slow corners, which cost processor time here; tasks may take long to stop.
fn latency(rng: &mut SmallRng) -> Latency {
    let mut latency = if rng.random_bool(0.6) { Latency::zero() } else { Latency::fast() };
    latency.throttled = false;
    if rng.random_bool(0.4) {
        latency.stopping = Span::from_secs(rng.random_range(1..30));
    }
    latency
}

/// Some budgets that three small sessions reach within an hour or two, and some that they do not.
fn rules(rng: &mut SmallRng) -> Vec<SharedBudget> {
    let mut rules = Vec::new();
    for (name, scope, of) in [
        ("all", Scope::Daemon, None),
        ("account", Scope::Account, None),
        ("each", Scope::Owner, None),
        ("ada", Scope::Owner, Some("ada")),
        ("ml", Scope::Group, Some("ml")),
    ] {
        if rng.random_bool(0.4) {
            continue;
        }
        let stop = rng.random_bool(0.4).then(|| rng.random_range(60..96));
        let teardown = if stop.is_some() && rng.random_bool(0.2) { None } else { Some(100) };
        let block = rng.random_bool(0.6).then(|| rng.random_range(50..61));
        let shares = Shares { notify: vec![50, 80], block, stop, teardown };
        rules.push(SharedBudget {
            name: name.to_owned(),
            scope,
            of: of.map(str::to_owned),
            period: Period::ALL[rng.random_range(0..4)],
            zone: ["UTC", "UTC", "Europe/Berlin"][rng.random_range(0..3)].to_owned(),
            limit: Money::from_nanos(rng.random_range(30_000_000..400_000_000)),
            shares,
        });
    }
    rules
}
