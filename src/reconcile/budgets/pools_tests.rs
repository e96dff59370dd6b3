//! Pools between sums: periods that end, sessions that close, promises, thresholds, and rules that change.

use super::pools::Pools;
use crate::{
    config,
    domain::{
        meter::{self, RateBook},
        model::{
            Event, Identity, Measure, Money, Period, RateCard, Record, ResourceKey, Scope, SessionId, Span, Stage,
            TaskFacts, TaskSize, TaskStatus, Timestamp,
        },
        policy::{Policy, SharedBudget, Shares},
    },
};

fn card() -> RateCard {
    RateBook::embedded().card("us-east-1")
}

fn usd(text: &str) -> Money {
    format!("{text} USD").parse().unwrap()
}

fn rule(name: &str, scope: Scope, period: Period, limit: &str) -> SharedBudget {
    let shares = Shares { notify: vec![50], block: Some(90), stop: Some(95), teardown: Some(100) };
    SharedBudget { name: name.into(), scope, of: None, period, zone: "UTC".into(), limit: usd(limit), shares }
}

fn pools(rules: Vec<SharedBudget>) -> Pools {
    let mut pools = Pools::default();
    pools.replace(rules);
    pools
}

/// The defaults, of somebody's.
fn policy() -> Policy {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    std::fs::write(&file, "[sessions.lab]\nowner = \"someone\"\nimage.uri = \"registry.example.org/app:1\"\n").unwrap();
    let request = config::Request { files: vec![file], ..config::Request::default() };
    config::load(&request).unwrap().sessions.remove("lab").unwrap()
}

/// A session of `policy()`'s owner that runs, and since when.
fn running() -> (Record, Timestamp) {
    let began: Timestamp = "2026-09-21T14:14:00Z".parse().unwrap();
    let policy = policy();
    let opened = Event::Opened {
        name: policy.name.clone(),
        owner: policy.owner.clone(),
        group: policy.group.clone(),
        policy: serde_json::to_value(&policy).unwrap(),
        overshoot: Money::ZERO,
    };
    let mut record = Record::open(SessionId::new(&policy.name, 7), began, &opened).unwrap();
    let identity = Identity {
        account: "000000000000".into(),
        arn: "arn:aws:iam::000000000000:root".into(),
        region: "us-east-1".into(),
    };
    record.apply(began, &Event::Identified { identity });
    let mut facts = TaskFacts::new("arn:aws:ecs:us-east-1:000000000000:task/lab/1".to_owned());
    (facts.status, facts.pull_started_at) = (TaskStatus::Running, Some(began));
    record.apply(began, &Event::TaskSeen { key: ResourceKey::task(1), facts, size: TaskSize::SMALLEST });
    (record, began)
}

fn closed(record: &Record, at: Timestamp) -> Record {
    let mut closed = record.clone();
    for (key, _) in record.ours_left() {
        closed.apply(at, &Event::Vanished { key });
    }
    closed.apply(at, &Event::Closed { receipt: serde_json::Value::Null });
    closed
}

fn sum(pools: &mut Pools, now: Timestamp, live: &[&Record], ended: &[&Record], whole: bool) {
    let mut sum = pools.begin_sum(now);
    live.iter().for_each(|record| sum.live(record, &policy(), &card()));
    ended.iter().for_each(|record| sum.closed(record, &card()));
    pools.take(sum, whole);
}

fn spent(pools: &Pools, place: usize, of: &str, now: Timestamp) -> Option<Money> {
    Some(pools.reading(&(place, of.to_owned()), now)?.pool.spent)
}

#[test]
fn a_session_counts_once_while_it_lives_when_it_closes_and_after() {
    let (record, began) = running();
    let mut pools =
        pools(vec![rule("all", Scope::Daemon, Period::Life, "9"), rule("own", Scope::Owner, Period::Life, "9")]);
    let (now, later) = (began + Span::from_mins(10), began + Span::from_mins(20));
    sum(&mut pools, now, &[&record], &[], false);
    let lives = meter::spend(&record, &card(), now).0;
    assert_eq!([spent(&pools, 0, "", now), spent(&pools, 1, "someone", now)], [Some(lives); 2]);
    let ended = closed(&record, now);
    sum(&mut pools, later, &[], &[&ended], false);
    sum(&mut pools, later + Span::from_secs(1), &[], &[], false);
    let all = meter::spend(&ended, &card(), later).0;
    assert_eq!([spent(&pools, 0, "", later), spent(&pools, 1, "someone", later)], [Some(all); 2]);
    sum(&mut pools, later + Span::from_secs(2), &[], &[&ended], true);
    assert_eq!(spent(&pools, 0, "", later), Some(all), "summed anew from the journal it is the same");
}

#[test]
fn a_new_day_begins_with_nothing_and_what_was_reached_is_forgotten() {
    let (record, began) = running();
    let mut pools = pools(vec![rule("day", Scope::Owner, Period::Day, "0.0003")]);
    sum(&mut pools, began + Span::from_mins(30), &[&record], &[], false);
    let today = began + Span::from_mins(30);
    let reading = pools.reading(&(0, "someone".into()), today).unwrap();
    assert_eq!((reading.reached, pools.untold().len()), (Some(Stage::Teardown), 4), "each threshold is told once");
    sum(&mut pools, today + Span::from_secs(1), &[&record], &[], false);
    assert!(pools.untold().is_empty());
    let midnight = reading.until.unwrap();
    assert!(pools.is_fresh(today + Span::from_secs(1)) && !pools.is_fresh(midnight));
    assert_eq!(pools.reading(&(0, "someone".into()), midnight), None, "of yesterday nothing is said today");
    let ended = closed(&record, midnight - Span::from_secs(1));
    sum(&mut pools, midnight, &[], &[&ended], false);
    assert_eq!(spent(&pools, 0, "someone", midnight), Some(Money::ZERO));
    assert_eq!(pools.reading(&(0, "someone".into()), midnight).unwrap().reached, None);
    assert!(!pools.went_back(midnight + Span::from_secs(1)) && !pools.went_back(midnight));
    assert!(pools.went_back(today), "yesterday's sums are gone: they must come from the journal");
    assert!(!pools.entries.contains_key(&(0, "someone".into())), "nobody's budget is kept for nobody");
}

#[test]
fn a_promise_counts_until_a_sum_that_began_after_it_was_settled() {
    let (record, began) = running();
    let mut pools = pools(vec![rule("all", Scope::Daemon, Period::Life, "9")]);
    sum(&mut pools, began, &[], &[], false);
    let keys = pools.keys("someone", "", None);
    let number = pools.promise(keys, usd("0.01"));
    let reserved = |pools: &Pools| pools.reading(&(0, String::new()), began).unwrap().pool.reserved;
    assert_eq!(reserved(&pools), usd("0.01"));
    // A sum that is under way when it is settled has not seen the session.
    let under_way = pools.begin_sum(began);
    pools.settle(number);
    pools.take(under_way, false);
    assert_eq!(reserved(&pools), usd("0.01"));
    sum(&mut pools, began + Span::from_mins(60), &[&record], &[], false);
    assert_eq!(reserved(&pools), Money::ZERO);
}

#[test]
fn other_rules_keep_what_stayed_the_same_and_forget_the_rest() {
    let (record, began) = running();
    let (same, changed) =
        (rule("same", Scope::Owner, Period::Life, "0.0003"), rule("a", Scope::Daemon, Period::Life, "0.0003"));
    let mut pools = pools(vec![changed.clone(), same.clone()]);
    let now = began + Span::from_mins(30);
    sum(&mut pools, now, &[&record], &[], false);
    assert_eq!(pools.untold().len(), 8);
    assert_eq!(pools.ending(now).len(), 2, "the session is in both");
    pools.replace(vec![same, SharedBudget { limit: usd("9"), ..changed }]);
    assert!(!pools.is_fresh(now));
    sum(&mut pools, now, &[&record], &[], true);
    assert!(pools.untold().is_empty(), "what stayed the same is not told again");
    let reached = |place, of: &str| pools.reading(&(place, of.to_owned()), now).unwrap().reached;
    assert_eq!((reached(0, "someone"), reached(1, "")), (Some(Stage::Teardown), None));
}

#[test]
fn a_session_whose_account_is_not_known_yet_counts_in_the_one_that_others_run_in() {
    let (record, began) = running();
    let mut fresh = record.clone();
    fresh.identity = None;
    let mut pools = pools(vec![rule("account", Scope::Account, Period::Life, "9")]);
    sum(&mut pools, began, &[&fresh], &[], false);
    assert!(pools.entries.is_empty(), "nobody knows it yet");
    sum(&mut pools, began, &[&record, &fresh], &[], false);
    assert_eq!(pools.entries.values().map(|entry| entry.members.len()).collect::<Vec<_>>(), [2]);
    let account = record.identity.unwrap().account;
    assert_eq!(pools.keys("anybody", "", None), [(0, account)]);
}

#[test]
fn thresholds_that_only_tell_are_reached_by_spend_alone() {
    let (record, began) = running();
    let now = began + Span::from_mins(30);
    let spend = meter::spend(&record, &card(), now).0;
    let mut exact = rule("all", Scope::Daemon, Period::Life, "9");
    exact.limit = Money::from_nanos(spend.nanos() * 100 / 92);
    let mut pools = pools(vec![exact]);
    sum(&mut pools, now, &[&record], &[], false);
    let told: Vec<Measure> = pools.untold().iter().map(|crossing| crossing.threshold.measure).collect();
    assert_eq!(told, [Measure::Notify, Measure::Block, Measure::Stop], "a stop counts what ending will cost");
}
