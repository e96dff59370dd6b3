//! One seeded world and its verdict.

use std::{collections::BTreeMap, time::Duration};

use labguard::{
    cloud::Owner,
    domain::{
        decide::invariants,
        meter::RateBook,
        model::{
            Entry, ImageSpec, Ingress, Money, Phase, RateCard, Receipt, ResourceKey, ResourceKind, SessionId, Span,
            Spec, Timestamp,
        },
        policy::Policy,
    },
    image::Desk,
    journal::Which,
    reconcile::handle::{CommandError, Control},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::time::Instant;

#[path = "../support/crash.rs"]
mod crash;
#[path = "draws.rs"]
mod draws;
#[path = "../support/fuse.rs"]
mod fuse;
#[path = "../support/lab.rs"]
mod lab;
#[path = "../support/memory.rs"]
#[expect(dead_code, reason = "other suites ask for more")]
mod memory;
#[path = "users.rs"]
mod users;
use crash::crash;
use draws::{behaviour, faults, latency, vary};
use fuse::Fuse;
use lab::Lab;
use memory::{Blueprint, House};
use users::Users;

/// Longest simulated time that any session may take to close.
const PATIENCE: Span = Span::from_mins(60 * 24);

/// What a seed came to.
#[derive(Debug)]
pub struct Outcome {
    pub crashes: usize,
    pub cause: String,
    /// By how much the receipt passed the budget.
    pub over_budget: Money,
    /// By how much it was stated that it may.
    pub stated: Money,
    pub spend: Money,
    pub simulated: Span,
    pub calls: u64,
    /// The session's journal.
    pub journal: Vec<Entry>,
}

/// Runs one seed in a runtime of its own, always the same way.
pub fn run_seed(seed: u64, loud: bool) -> Result<Outcome, String> {
    labguard::image::beside::do_in_place();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _log = loud.then(|| {
        // The SDK numbers its calls by chance while somebody listens to it, and shifts the jitter of its retries with
        // that: a replay that is to be the same listens to labguard alone.
        let subscriber = tracing_subscriber::fmt().with_env_filter("off,labguard=debug").with_test_writer().finish();
        tracing::subscriber::set_default(subscriber)
    });
    runtime.block_on(async {
        let world = World::new(seed, loud).await;
        world.play().await
    })
}

struct World {
    rng: SmallRng,
    house: House,
    policy: Policy,
    small_disk: bool,
    disk_full_until: Option<Timestamp>,
    /// Whether somebody sets our clock now and then.
    clock_is_set: bool,
    /// Whether prices change now and then.
    prices_move: bool,
    card: RateCard,
    loud: bool,
}

impl World {
    async fn new(seed: u64, loud: bool) -> World {
        let mut rng = SmallRng::seed_from_u64(seed);
        let epoch = Timestamp::from_millis(1_795_000_000_000 + rng.random_range(0..86_400_000));
        // AWS's clock need not agree with ours.
        let apart = if rng.random_bool(0.1) { rng.random_range(-600_000..600_000) } else { 0 };
        let latency = latency(&mut rng);
        let blueprint = Blueprint { epoch, apart, max_sessions: 100, ..Blueprint::new(seed, latency) };
        let house = House::build(blueprint).await;
        // The name of its folder takes what it needs of chance: more where there is one of that name.
        fastrand::seed(seed);
        let source = house.program(&["predictor", "serve"]);
        let mut policy = vary(lab::policy("lab", source), &mut rng, epoch);
        policy.task.environment = behaviour(&mut rng);
        // On as by default, but for a quarter; by the seed itself, so that nothing else of the world hangs on it.
        policy.fuse.scheduler = !seed.is_multiple_of(4);
        policy.activity.insights.enabled = seed % 5 == 2;
        // The simulated container's counter counts users only.
        policy.activity.labels.clear();
        let small_disk = rng.random_bool(0.15);
        let clock_is_set = rng.random_bool(0.15);
        let prices_move = rng.random_bool(0.2);
        World {
            rng,
            house,
            policy,
            small_disk,
            disk_full_until: None,
            clock_is_set,
            prices_move,
            card: RateBook::embedded().card("us-east-1"),
            loud,
        }
    }

    /// What belongs to somebody else and must still be there afterwards.
    async fn plant_foreign(&self) -> Result<Vec<String>, String> {
        let stranger = SessionId::new("somebody-else", 7);
        let owner = Owner { session: &stranger, owner: "stranger" };
        let cloud = &self.house.parts.cloud;
        let network = cloud.survey(None, &[]).await.map_err(|fault| fault.to_string())?;
        let specs = [
            (ResourceKind::Repository, Spec::repository("theirs/app".to_owned())),
            (ResourceKind::LogGroup, Spec::LogGroup { name: "/theirs".to_owned(), retention_days: 1 }),
            (ResourceKind::Cluster, Spec::Cluster { name: "their-cluster".to_owned(), spot: false, insights: false }),
            (
                ResourceKind::SecurityGroup,
                Spec::SecurityGroup {
                    name: "their-sg".to_owned(),
                    vpc: network.vpc,
                    ingress: vec![Ingress { port: 22, sources: vec!["10.0.0.0/8".to_owned()] }],
                },
            ),
            (ResourceKind::ExecutionRole, Spec::ExecutionRole { name: "their-role".to_owned() }),
        ];
        for (kind, spec) in specs {
            cloud
                .ensure(owner, ResourceKey::only(kind), &spec, false)
                .await
                .map_err(|fault| format!("planting {kind}: {fault}"))?;
        }
        let image = ImageSpec::plain("theirs/app", "v1", self.policy.image.source.clone());
        let desk = Desk::silent(cloud, owner);
        labguard::image::ensure(&desk, &image).await.map_err(|fault| format!("planting an image: {fault}"))?;
        Ok(self.house.left())
    }

    async fn play(mut self) -> Result<Outcome, String> {
        let foreign = self.plant_foreign().await?;
        for rule in faults(&mut self.rng) {
            self.house.sandbox.add_fault(rule);
        }
        let began = Instant::now();
        let crashes_planned = [0, 0, 1, 1, 2, 4][self.rng.random_range(0..6)];
        let mut crashes = 0;
        let book = BTreeMap::from([(self.policy.name.clone(), self.policy.clone())]);
        let fuse = Fuse::new();
        let mut lab = Lab::start(&self.house.parts, book.clone(), Some(fuse.checkpoint())).await;
        if crashes_planned > 0 {
            fuse.arm(self.rng.random_range(1..160));
        }
        let id = match lab.engine.up("lab".to_owned()).await {
            Ok(id) => id,
            Err(CommandError::Refused(why)) if why.contains("does not last for its least lifetime") => {
                lab.stop().await;
                return self.refused(&foreign).await;
            }
            Err(error) => return Err(format!("up was refused: {error}")),
        };
        let mut users = Users::new(&mut self.rng, &self.policy);
        loop {
            let step = Duration::from_millis(self.rng.random_range(50..4_000));
            tokio::select! {
                biased;
                () = fuse.blown() => {
                    crashes += 1;
                    self.say(&format!("crash {crashes}"));
                    crash(lab).await;
                    self.check_record(&id).await?;
                    tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..5_000))).await;
                    fuse.disarm();
                    lab = Lab::start(&self.house.parts, book.clone(), Some(fuse.checkpoint())).await;
                    lab.engine.replace_card(self.card.clone());
                    if crashes < crashes_planned {
                        fuse.arm(self.rng.random_range(1..160));
                    }
                }
                () = tokio::time::sleep(step) => {
                    // A session that closed before a crash has no slot in the engine after it.
                    let Ok(status) = lab.engine.get(id.as_str()) else { break };
                    if status.closed_at.is_some() {
                        break;
                    }
                    self.fill_or_free_the_disk();
                    self.set_the_clock();
                    self.move_the_prices(&lab);
                    if self.rng.random_bool(0.02) {
                        self.check_record(&id).await?;
                    }
                    users.act(&mut self.rng, &lab, &id, &self.house.containers, self.house.parts.clock.now()).await;
                    if began.elapsed() > PATIENCE.as_duration() {
                        return Err(format!("not closed after {PATIENCE}: {status:#?}"));
                    }
                }
            }
        }
        lab.stop().await;
        self.verdict(&id, &foreign, began, crashes).await
    }

    /// Some worlds have a disk that is full for a while now and then.
    fn fill_or_free_the_disk(&mut self) {
        let now = self.house.parts.clock.now();
        match self.disk_full_until {
            Some(until) if now >= until => {
                self.house.parts.journal.refuse_writes(false);
                self.disk_full_until = None;
                self.say("the disk has room again");
            }
            None if self.small_disk && self.rng.random_bool(0.02) => {
                self.house.parts.journal.refuse_writes(true);
                self.disk_full_until = Some(now + Span::from_secs(self.rng.random_range(1..90)));
                self.say("the disk is full");
            }
            _ => {}
        }
    }

    fn set_the_clock(&mut self) {
        if self.clock_is_set && self.rng.random_bool(0.01) {
            let by = self.rng.random_range(-600_000..300_000);
            self.house.parts.clock.set(by);
            self.say(&format!("the clock is set by {by} ms"));
        }
    }

    fn move_the_prices(&mut self, lab: &Lab) {
        if self.prices_move && self.rng.random_bool(0.01) {
            let percent = self.rng.random_range(50..300);
            let mut card = RateBook::embedded().card("us-east-1");
            for price in card.prices.values_mut() {
                price.amount = price.amount.fraction_ceil(percent, 100);
            }
            self.card = card;
            lab.engine.replace_card(self.card.clone());
            self.say(&format!("prices are {percent}% of the usual"));
        }
    }

    /// A session that its budget could not keep alive was refused: nothing of it is anywhere.
    async fn refused(self, foreign: &[String]) -> Result<Outcome, String> {
        let left = self.house.left();
        let known = self.house.parts.journal.records(Which::Open).await.map_err(|error| error.to_string())?;
        if left != foreign || !known.is_empty() {
            return Err(format!("a refused session left {left:#?} and {} records", known.len()));
        }
        Ok(Outcome {
            crashes: 0,
            cause: "refused".to_owned(),
            over_budget: Money::ZERO,
            stated: Money::ZERO,
            spend: Money::ZERO,
            simulated: Span::ZERO,
            calls: self.house.sandbox.calls().values().sum(),
            journal: Vec::new(),
        })
    }

    fn say(&self, text: &str) {
        if self.loud {
            println!("--- {text} at {}", self.house.parts.clock.now());
        }
    }

    /// The linter is silent on what the journal holds, at any instant.
    async fn check_record(&self, id: &SessionId) -> Result<(), String> {
        let record = self.house.parts.journal.record(id).await.map_err(|error| error.to_string())?;
        let Some(record) = record else { return Ok(()) };
        let mut findings = invariants::lint(&record, &self.policy, self.house.parts.clock.now());
        if self.clock_is_set && !record.is_closed() {
            // A clock that leapt ahead over-counts until AWS's own timestamps settle the account: the receipt is held to it.
            findings.retain(|finding| !finding.text.starts_with("spent "));
        }
        if findings.is_empty() { Ok(()) } else { Err(format!("the linter found {findings:?} in {record:#?}")) }
    }

    async fn verdict(
        self,
        id: &SessionId,
        foreign: &[String],
        began: Instant,
        crashes: usize,
    ) -> Result<Outcome, String> {
        self.check_record(id).await?;
        let left = self.house.left();
        if left != foreign {
            return Err(format!("foreign before: {foreign:#?}\nthere now: {left:#?}"));
        }
        let record =
            self.house.parts.journal.record(id).await.map_err(|error| error.to_string())?.ok_or("no record")?;
        if record.phase != Phase::Ended {
            return Err(format!("closed in phase {}", record.phase));
        }
        let open = self.house.parts.journal.records(Which::Open).await.map_err(|error| error.to_string())?;
        if !open.is_empty() {
            return Err("the journal still holds an open session".to_owned());
        }
        let receipt: Receipt = record
            .receipt
            .and_then(|receipt| serde_json::from_value(receipt).ok())
            .ok_or("the closed session has no readable receipt")?;
        let sum: Money = receipt.lines.iter().map(|line| line.amount).sum();
        if sum != receipt.total {
            return Err(format!(
                "the receipt's lines add up to {}, its total says {}",
                sum.exact(),
                receipt.total.exact()
            ));
        }
        if !receipt.proven_clean {
            return Err("the receipt does not say that nothing is left".to_owned());
        }
        for resource in &receipt.resources {
            if resource.ours && resource.born_at.is_some() && resource.gone_at.is_none() {
                return Err(format!("{} has no proven death in the receipt", resource.key));
            }
        }
        let allowed = receipt.budget + record.overshoot;
        if receipt.total > allowed {
            return Err(format!(
                "spent {} of a budget of {} with a stated overshoot of {}",
                receipt.total.exact(),
                receipt.budget.exact(),
                record.overshoot.exact()
            ));
        }
        let journal = self.house.parts.journal.entries(id).await.map_err(|error| error.to_string())?;
        Ok(Outcome {
            journal,
            crashes,
            cause: receipt.cause.map_or_else(|| "none".to_owned(), |cause| cause.to_string()),
            over_budget: receipt.total.less(receipt.budget),
            stated: record.overshoot,
            spend: receipt.total,
            simulated: Span::from(began.elapsed()),
            calls: self.house.sandbox.calls().values().sum(),
        })
    }
}
