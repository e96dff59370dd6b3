//! labguard dies at a random instant of a session and never comes back: compute stops by the deadline, what a schedule
//! can remove is gone, and the spend stays within budget and stated overshoot.
//!
//! `LABGUARD_DIES_SEEDS=N` runs N seeds (100 by default); `LABGUARD_DIES_SEED=S` replays one. A task's own schedule can
//! only be set once RunTask has told its ARN: a death in between leaves a task that nothing outside can stop. That is
//! counted, and is what the guard inside the task is for: with one ([`Dying::guarded`]) no task outlives its lease.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use labguard::{
    domain::{
        model::{ImageSource, Money, Record, SessionId, Span},
        policy::{FusePolicy, RunMode, Sentinel},
    },
    reconcile::handle::Control,
    sandbox::latency::Latency,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{crash::crash, fuse::Fuse, lab::Lab, memory::House, seeds::Seeds};

static SEEDS: Seeds = Seeds {
    count_knob: "LABGUARD_DIES_SEEDS",
    replay_knob: "LABGUARD_DIES_SEED",
    default: 100,
    test: "fuse_scheduler dies",
};

/// What a death came to.
#[derive(Debug, Default)]
struct Death {
    /// The session was over before.
    too_late: bool,
    /// A task ran whose schedule had not been set yet.
    in_the_gap: bool,
    /// Things that schedules could remove and that were not scheduled yet: no compute.
    unscheduled: usize,
    /// Compute ran when labguard died.
    running: bool,
    /// For how long compute ran on.
    after: Span,
    /// Whether its tasks have a guard: those of a service have none.
    single: bool,
    /// Spend beyond the budget, and what had been stated.
    over: Money,
    stated: Money,
    calls: usize,
}

/// One dying house.
struct Dying {
    seed: u64,
    fuse: FusePolicy,
}

impl Dying {
    fn guarded(&self) -> bool {
        self.fuse.sentinel != Sentinel::Off
    }

    async fn play(&self) -> Result<Death, String> {
        let mut rng = SmallRng::seed_from_u64(self.seed);
        let latency = if rng.random_bool(0.5) { Latency::fast() } else { Latency::aws_like() };
        let house = House::new(latency).await;
        let mut policy = house.policy();
        policy.fuse = self.fuse.clone();
        if let ImageSource::Executable { path, .. } = &policy.image.source {
            policy.fuse.sentinel_executable = Some(path.clone());
        }
        // In use all the time: only budget and lifetime end it.
        policy.limits.idle_timeout = None;
        policy.limits.budget = Money::from_nanos(rng.random_range(8_000_000..40_000_000));
        if rng.random_bool(0.35) {
            policy.task.run = RunMode::Service { desired: rng.random_range(1..3) };
        }
        let (budget, single) = (policy.limits.budget, policy.task.run == RunMode::Task);
        // Half the deaths come on the way up, half at any time.
        let nth = if rng.random_bool(0.5) { rng.random_range(1..140) } else { rng.random_range(100..500) };
        let burning = Fuse::new();
        burning.arm(nth);
        let book = BTreeMap::from([("lab".to_owned(), policy)]);
        let lab = Lab::start(&house.parts, book, Some(burning.checkpoint())).await;
        let id = lab.engine.up("lab".to_owned()).await.map_err(|error| error.to_string())?;
        let mut status = lab.engine.follow(id.as_str()).map_err(|error| error.to_string())?;
        tokio::select! {
            biased;
            () = burning.blown() => {}
            _ = status.wait_for(|status| status.closed_at.is_some()) => {
                lab.stop().await;
                return Ok(Death { too_late: true, ..Death::default() });
            }
        }
        crash(lab).await;
        let record = house.parts.journal.record(&id).await.map_err(|error| error.to_string())?;
        let record = record.ok_or("the journal has lost the session")?;
        let death = self.verdict(&house, &id, &record, budget).await?;
        if single && self.guarded() && death.after > self.fuse.lease + STOPPING {
            return Err(format!("its task ran on for {}, the lease is {}", death.after, self.fuse.lease));
        }
        Ok(Death { single, ..death })
    }

    async fn verdict(&self, house: &House, id: &SessionId, record: &Record, budget: Money) -> Result<Death, String> {
        let set: BTreeSet<String> = house
            .sandbox
            .scheduled()
            .into_iter()
            .filter_map(|(name, _)| Some(name.split('/').nth(1)?.into()))
            .collect();
        let has = |name: &str| set.contains(name);
        let running = house.left().iter().filter(|it| it.starts_with("ecs task ")).count();
        let stops = set.iter().filter(|name| name.starts_with("task-") && name.ends_with("-stop")).count();
        let mut death = Death { running: running > 0, stated: record.overshoot, calls: set.len(), ..Death::default() };
        death.in_the_gap = running > stops && !has("service-delete");
        let died = house.parts.clock.now();
        // Compute ends at some time, and then nothing more of it comes.
        while house.left().iter().any(|it| it.starts_with("ecs task ")) && death.after < Span::from_mins(1440) {
            tokio::time::sleep(Duration::from_secs(10)).await;
            death.after = house.parts.clock.now().since(died);
        }
        // Long enough for every schedule, and for the account that comes a day late.
        tokio::time::sleep(Duration::from_secs(2 * 86_400)).await;
        let left = house.left();
        let still = |what: &str| left.iter().any(|it| it.starts_with(what));
        let refused: Vec<_> = house.sandbox.fired().into_iter().filter(|fired| fired.refused.is_some()).collect();
        if death.in_the_gap && !self.guarded() {
            return Ok(death);
        }
        if still("ecs task ") || still("ecs service ") {
            return Err(format!("compute ran on: {left:?}, refused were {refused:?}"));
        }
        for (name, what) in [
            ("cluster-delete", "ecs cluster "),
            ("repository-delete", "ecr repository "),
            ("security-group-delete", "ec2 security-group "),
            ("log-group-delete", "logs log-group "),
        ] {
            if has(name) && still(what) {
                return Err(format!("{what}is left though {name} was set: {left:?}, refused were {refused:?}"));
            }
            death.unscheduled += usize::from(!has(name) && still(what));
        }
        // Things are scheduled as soon as they are known: nothing of the running session was forgotten.
        if record.first_healthy_at.is_some() && record.ending.is_none() && death.unscheduled > 0 {
            return Err(format!("not all of a running session was scheduled: {set:?}, left {left:?}"));
        }
        let account =
            house.parts.cloud.account_of(id, "2026-11-18", "2026-11-23").await.map_err(|it| it.to_string())?;
        let spend: Money = account.lines.iter().map(|(_, amount)| *amount).sum();
        death.over = spend.less(budget);
        if spend > budget + record.overshoot {
            return Err(format!("spent {spend} of {budget}, stated over it {}", record.overshoot));
        }
        if death.running && spend == Money::ZERO {
            return Err(format!("the account knows of no spend: {account:?}"));
        }
        Ok(death)
    }
}

/// What ECS may take from the end of a container to that of its task, image pull and launch of one that was on its way
/// included.
const STOPPING: Span = Span::from_mins(5);

fn run(seed: u64, fuse: &FusePolicy) -> Result<Death, String> {
    labguard::image::beside::do_in_place();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(Dying { seed, fuse: fuse.clone() }.play())
}

#[test]
fn labguard_dies_for_ever_and_the_cloud_ends_the_session_within_its_budget() {
    die_often(&FusePolicy { scheduler: true, ..FusePolicy::default() });
}

#[test]
fn with_a_guard_inside_too_no_task_outlives_its_lease_whenever_labguard_dies() {
    let sources = vec!["127.0.0.1/32".to_owned()];
    die_often(&FusePolicy { scheduler: true, sentinel: Sentinel::Own, sources, ..FusePolicy::default() });
}

fn die_often(fuse: &FusePolicy) {
    let Some(played) = SEEDS.run(|seed, _| run(seed, fuse), Vec::push) else { return };
    let died: Vec<&Death> = played.total.iter().filter(|death| !death.too_late).collect();
    let count = |wanted: &dyn Fn(&Death) -> bool| died.iter().filter(|death| wanted(death)).count();
    let (running, gap) = (count(&|it| it.running), count(&|it| it.in_the_gap));
    println!(
        "{} seeds: {} died in time, {running} while something ran, {gap} of these before its stop could be set; {} left \
         something unscheduled that costs no compute; single tasks ran on for {} at most; {} over the budget by at most {}, stated at most {}; {} schedules at most",
        played.seeds,
        died.len(),
        count(&|it| it.unscheduled > 0),
        died.iter().filter(|it| it.single).map(|it| it.after).max().unwrap_or_default(),
        count(&|it| it.over > Money::ZERO),
        died.iter().map(|it| it.over).max().unwrap_or_default().exact(),
        died.iter().map(|it| it.stated).max().unwrap_or_default().exact(),
        died.iter().map(|it| it.calls).max().unwrap_or_default(),
    );
    played.none_failed();
    assert!(running * 4 > died.len(), "too few deaths met a running task to prove anything");
    assert!(gap * 5 <= running, "the net comes too late too often: {gap} of {running}");
}

#[tokio::test(start_paused = true)]
async fn what_the_net_cannot_remove_a_later_sweep_finds_by_its_tag() {
    let house = House::new(Latency::fast()).await;
    let mut policy = super::netted(&house);
    policy.limits.idle_timeout = None;
    policy.limits.budget = Money::from_nanos(20_000_000);
    let session = house.open(policy).await;
    session.until_live().await;
    session.until("scheduled", |status| status.nets.iter().any(|net| net.acts_at.is_some())).await;
    crash(session.lab).await;
    tokio::time::sleep(Duration::from_secs(6 * 3600)).await;
    let left = house.left();
    let free = ["iam role", "scheduler schedule-group", "ecs task-definition"];
    assert!(left.iter().all(|it| free.iter().any(|kind| it.starts_with(kind))), "{left:?}");
    assert_eq!(left.len(), 4, "two roles, a group, a definition: {left:?}");
    let mut parts = house.parts.clone();
    parts.journal = labguard::journal::Journal::in_memory(parts.clock.clone());
    let lab = Lab::start(&parts, BTreeMap::new(), None).await;
    let mut job = lab.engine.sweep(Vec::new()).unwrap();
    job.report.wait_for(|report| report.is_over()).await.unwrap();
    lab.stop().await;
    assert_eq!(house.left(), super::NOTHING);
    assert!(house.parts.clock.now().since(house.sandbox.fired()[0].at) > Span::ZERO);
}
