//! Metering ten thousand sessions in one tick: what a pass over all shared budgets costs.
//!
//! `cargo bench --bench meter` prints, for `LABGUARD_BENCH_SESSIONS` sessions (10,000 by default) of a hundred owners in
//! ten groups under five nested budgets: the time of one pass in the engine and its share per session, and the time of
//! the parts that are pure: what one session has spent, and what it commits.

use std::{collections::BTreeMap, hint::black_box, sync::Arc, time::Instant};

use labguard::{
    domain::{
        meter::{self, RateBook},
        model::{
            Action, Effect, Event, ImageConfig, ImageSource, Money, Period, Record, ResourceKey, Scope, SessionId,
            Span, TaskFacts, TaskSize, TaskStatus, Timestamp,
        },
        policy::{Policy, SharedBudget, Shares},
    },
    reconcile::handle::Control,
    sandbox::latency::Latency,
};

#[path = "../tests/support/lab.rs"]
mod lab;
#[path = "../tests/support/memory.rs"]
#[expect(dead_code, reason = "tests ask for more")]
mod memory;
use lab::Lab;
use memory::{Blueprint, House};

fn main() {
    // `cargo test --benches` only asks whether it runs.
    let asked = std::env::var("LABGUARD_BENCH_SESSIONS").ok().and_then(|text| text.parse().ok());
    let sessions = if std::env::args().any(|argument| argument == "--bench") { asked.unwrap_or(10_000) } else { 20 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(pass(sessions));
}

#[expect(clippy::disallowed_methods, reason = "what is measured is this machine's own time")]
fn stopwatch() -> Instant {
    Instant::now()
}

/// A session that has run for a while: priced, with an image, one task that is gone and one that runs.
fn record(number: usize, policy: &Policy, opened: Timestamp) -> Record {
    let card = RateBook::embedded().card("us-east-1");
    let event = Event::Opened {
        name: policy.name.clone(),
        owner: policy.owner.clone(),
        group: policy.group.clone(),
        policy: serde_json::to_value(policy).unwrap(),
        overshoot: meter::overshoot(policy, &card),
    };
    let mut record = Record::open(SessionId::new("lab", number as u64), opened, &event).unwrap();
    record.apply(opened, &Event::Priced { card: Arc::new(card.only(&meter::needs(policy))), overshoot: Money::ZERO });
    for (task, began) in [(1, 10), (2, 200)] {
        let key = ResourceKey::task(task);
        let began = opened + Span::from_secs(began);
        let intended =
            Event::Intended { key, action: Action::Create, name: format!("t{task}"), size: Some(TaskSize::SMALLEST) };
        record.apply(began, &intended);
        let (action, effect) = (Action::Create, Effect::Created);
        record.apply(began, &Event::Done { key, action, effect, id: Some(format!("arn:{task}")) });
        let mut facts = TaskFacts::new(format!("arn:{task}"));
        (facts.created_at, facts.pull_started_at, facts.started_at) = (Some(began), Some(began), Some(began));
        facts.status = TaskStatus::Running;
        if task == 1 {
            facts.status = TaskStatus::Stopped;
            facts.stopped_at = Some(began + Span::from_secs(100));
        }
        record.apply(began, &Event::TaskSeen { key, facts, size: TaskSize::SMALLEST });
    }
    record
}

fn budget(name: &str, scope: Scope, period: Period) -> SharedBudget {
    let shares = Shares { notify: vec![50, 80], block: Some(90), stop: Some(95), teardown: Some(100) };
    let limit = Money::from_nanos(9_000_000_000_000_000);
    SharedBudget { name: name.into(), scope, of: None, period, zone: "Europe/Berlin".into(), limit, shares }
}

async fn pass(sessions: usize) {
    let opened = Timestamp::from_millis(1_795_000_000_000);
    let epoch = opened + Span::from_mins(20 * 60);
    let house = House::build(Blueprint { epoch, max_sessions: sessions, ..Blueprint::new(1, Latency::zero()) }).await;
    let source = ImageSource::Executable { path: "/x".into(), args: Vec::new(), config: ImageConfig::default() };
    let rules = [
        budget("all", Scope::Daemon, Period::Month),
        budget("day", Scope::Daemon, Period::Day),
        budget("group", Scope::Group, Period::Week),
        budget("owner", Scope::Owner, Period::Life),
        budget("owner-day", Scope::Owner, Period::Day),
    ];
    let lab = Lab::start_with(&house.parts, BTreeMap::new(), rules.to_vec(), None).await;
    // Nobody looks at these sessions: only the passes are measured.
    lab.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let mut records = Vec::with_capacity(sessions);
    for number in 0..sessions {
        let mut policy = lab::policy("lab", source.clone());
        (policy.owner, policy.group) = (format!("owner-{}", number % 100), format!("group-{}", number % 10));
        let record = record(number, &policy, opened);
        records.push((record.clone(), policy.clone()));
        lab.engine.admit(record, policy);
    }

    let passes = 10;
    let mut took = Vec::with_capacity(passes);
    for _ in 0..passes {
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        let began = stopwatch();
        let shown = lab.engine.budgets().await;
        took.push(began.elapsed());
        assert_eq!(shown.iter().map(|budget| budget.sessions.len()).max(), Some(sessions));
    }
    took.sort();
    let median = took[passes / 2];
    println!("sessions                     {sessions}, under {} budgets", rules.len());
    println!("one pass                     {median:?} (fastest {:?}, slowest {:?})", took[0], took[passes - 1]);
    println!("  per session                {:?}", median / u32::try_from(sessions).unwrap());

    let (card, now) = (RateBook::embedded().card("us-east-1"), house.parts.clock.now());
    let midnight = rules[1].stretch(now).0;
    let each = |what: &str, work: &dyn Fn(&Record, &Policy)| {
        let began = stopwatch();
        records.iter().for_each(|(record, policy)| work(record, policy));
        println!("{what:28} {:?} per session", began.elapsed() / u32::try_from(sessions).unwrap());
    };
    each("spent in all", &|record, _| {
        black_box(meter::spent_since(record, &card, opened, now));
    });
    each("spent since midnight", &|record, _| {
        black_box(meter::spent_since(record, &card, midnight, now));
    });
    each("committed", &|record, policy| {
        black_box(meter::commitment(record, policy, &card, now));
    });
}
