//! One story each: what a person may rely on of shared budgets.

use std::{collections::BTreeMap, time::Duration};

use labguard::{
    domain::{
        meter::{RateBook, least_cost},
        model::{Cause, Measure, Money, Period, Phase, Request, Scope, SessionId, Span},
        policy::{Policy, SharedBudget, Shares},
    },
    reconcile::{handle::Control, status::BudgetStatus},
    sandbox::latency::Latency,
};

use crate::{crash, lab::Lab, memory::House};

fn usd(text: &str) -> Money {
    format!("{text} USD").parse().unwrap()
}

/// Blocks at 90, stops at 95, tears down at 100 hundredths.
fn budget(name: &str, scope: Scope, period: Period, limit: Money) -> SharedBudget {
    let shares = Shares { notify: vec![50], block: Some(90), stop: Some(95), teardown: Some(100) };
    SharedBudget { name: name.to_owned(), scope, of: None, period, zone: "UTC".to_owned(), limit, shares }
}

/// A session of an owner that nothing but a shared budget ends for a day.
fn policy(house: &House, name: &str, owner: &str) -> Policy {
    let mut policy = house.policy();
    (policy.name, policy.owner) = (name.to_owned(), owner.to_owned());
    policy.limits.idle_timeout = None;
    policy.limits.min_lifetime = Span::from_mins(5);
    (policy.limits.lifetime, policy.limits.max_lifetime) = (Span::from_mins(48 * 60), Span::from_mins(48 * 60));
    (policy.limits.budget, policy.limits.max_budget) = (usd("9"), usd("9"));
    (policy.end.on_idle, policy.end.keep_stopped) = (policy.end.on_idle, Span::from_mins(48 * 60));
    policy.predict = None;
    policy.activity.metrics_path = None;
    policy.health.interval = Span::from_secs(30);
    policy
}

fn book(policies: &[Policy]) -> BTreeMap<String, Policy> {
    policies.iter().map(|policy| (policy.name.clone(), policy.clone())).collect()
}

async fn running(lab: &Lab, id: &SessionId) {
    let mut status = lab.engine.follow(id.as_str()).unwrap();
    status.wait_for(|status| status.phase == Phase::Running).await.unwrap();
}

async fn shown(lab: &Lab, name: &str, of: &str) -> BudgetStatus {
    lab.engine.budgets().await.into_iter().find(|budget| budget.name == name && budget.of == of).unwrap()
}

async fn until(lab: &Lab, id: &SessionId, what: &str, done: impl Fn(Phase) -> bool) {
    for _ in 0..72_000 {
        if done(lab.engine.get(id.as_str()).unwrap().phase) {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("{id} never {what}: {:?}", lab.engine.get(id.as_str()).unwrap());
}

#[tokio::test(start_paused = true)]
async fn of_many_that_ask_at_once_as_many_are_let_in_as_there_is_room_for() {
    let house = House::new(Latency::zero()).await;
    let ada = policy(&house, "ada", "ada");
    let least = least_cost(&ada, &RateBook::embedded().card("us-east-1"));
    // Room for three below the 90 hundredths at which it blocks, and not for four.
    let limit = Money::from_nanos(least.nanos() * 35 / 10 * 100 / 90);
    let shared = vec![budget("class", Scope::Owner, Period::Life, limit)];
    let lab = Lab::start_with(&house.parts, book(&[ada]), shared, None).await;
    let asked = futures::future::join_all((0..10).map(|_| lab.engine.up("ada".to_owned()))).await;
    let (let_in, refused): (Vec<_>, Vec<_>) = asked.into_iter().partition(Result::is_ok);
    assert_eq!((let_in.len(), refused.len()), (3, 7));
    let why = refused[0].as_ref().unwrap_err().to_string();
    for part in
        ["nothing was done", "\"class\" of owner ada", "for life", "reserved", "5m", &limit.exact(), "[budgets.class]"]
    {
        assert!(why.contains(part), "{part} is not in: {why}");
    }
    assert_eq!(lab.engine.list().len(), 3, "what was refused is nowhere");
    assert_eq!(house.parts.journal.records(labguard::journal::Which::All).await.unwrap().len(), 3);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(shown(&lab, "class", "ada").await.sessions.len(), 3);
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_the_day_stops_its_owners_sessions_and_nobody_elses_and_midnight_lets_them_go_on() {
    let house = House::new(Latency::fast()).await;
    let (ada, bob) = (policy(&house, "ada", "ada"), policy(&house, "bob", "bob"));
    // Two sessions cost some 0.035 USD an hour: reached within two hours.
    let shared = vec![budget("day", Scope::Owner, Period::Day, usd("0.06"))];
    let lab = Lab::start_with(&house.parts, book(&[ada, bob]), shared, None).await;
    let first = lab.engine.up("ada".to_owned()).await.unwrap();
    let second = lab.engine.up("ada".to_owned()).await.unwrap();
    let other = lab.engine.up("bob".to_owned()).await.unwrap();
    for id in [&first, &second, &other] {
        running(&lab, id).await;
    }
    // Fargate's least charge, a minute, is counted at once: the forecast is early by as much until that has gone by.
    tokio::time::sleep(Duration::from_secs(300)).await;
    let status = lab.engine.get(first.as_str()).unwrap();
    let limit = &status.limits[0];
    assert!(limit.why.contains("\"day\" of owner ada") && limit.moved_by.contains("[budgets.day]"), "{limit:?}");
    let said = limit.at;
    until(&lab, &first, "was stopped", |phase| phase == Phase::Stopping).await;
    let ended = lab.engine.get(first.as_str()).unwrap().phase_since;
    let late = ended.since(said).max(said.since(ended));
    assert!(late < Span::from_secs(3), "said {said}, came {ended}");
    until(&lab, &second, "was stopped", |phase| phase == Phase::Stopping).await;
    let (cause, detail) = lab.engine.get(second.as_str()).unwrap().ending.clone().unwrap();
    assert!(cause == Cause::Budget && detail.contains("stops its sessions") && detail.contains("this day"), "{detail}");
    assert_eq!(lab.engine.get(other.as_str()).unwrap().phase, Phase::Running, "it is not bob's budget");

    tokio::time::sleep(Duration::from_secs(300)).await;
    let day = shown(&lab, "day", "ada").await;
    assert!(day.spent <= usd("0.057") + day.overshoot, "{day:?}");
    assert!(
        day.thresholds.iter().filter(|it| it.measure != Measure::Teardown).all(|it| it.reached_at.is_some()),
        "{day:?}"
    );
    let refused = lab.engine.request(first.to_string(), Request::Resume).await.unwrap_err().to_string();
    assert!(refused.contains("is used up") && refused.contains(&day.until.unwrap().to_string()), "{refused}");
    let refused = lab.engine.up("ada".to_owned()).await.unwrap_err().to_string();
    assert!(refused.contains("\"day\" of owner ada"), "{refused}");
    assert!(lab.engine.plan("ada").unwrap().warnings.iter().any(|warning| warning.contains("it would be refused now")));

    let midnight = day.until.unwrap();
    tokio::time::sleep(midnight.since(house.parts.clock.now()).as_duration() + Duration::from_secs(1)).await;
    assert!(lab.engine.get(other.as_str()).unwrap().ending.is_some(), "bob alone reached his own by then");
    lab.engine.request(first.to_string(), Request::Resume).await.unwrap();
    running(&lab, &first).await;
    let day = shown(&lab, "day", "ada").await;
    assert!(day.from == Some(midnight) && day.spent < usd("0.01"), "a new day begins with nothing: {day:?}");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_holds_at_once_for_sessions_that_live() {
    let house = House::new(Latency::fast()).await;
    let ada = policy(&house, "ada", "ada");
    let of = |limit: &str| vec![budget("all", Scope::Daemon, Period::Month, usd(limit))];
    let lab = Lab::start_with(&house.parts, book(&[ada]), of("9"), None).await;
    let id = lab.engine.up("ada".to_owned()).await.unwrap();
    running(&lab, &id).await;
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert!(!lab.engine.replace_budgets(of("9")).await.unwrap(), "the same is no change");
    let asked = house.parts.clock.now();
    // 0.0086 USD are spent by now.
    assert!(lab.engine.replace_budgets(of("0.0095")).await.unwrap());
    until(&lab, &id, "was stopped", |phase| phase == Phase::Stopping).await;
    assert!(house.parts.clock.now().since(asked) < Span::from_secs(5));
    assert!(lab.engine.request(id.to_string(), Request::Resume).await.is_err());
    lab.engine.replace_budgets(of("1")).await.unwrap();
    lab.engine.request(id.to_string(), Request::Resume).await.unwrap();
    running(&lab, &id).await;
    lab.engine.replace_budgets(Vec::new()).await.unwrap();
    assert!(lab.engine.budgets().await.is_empty());
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(!lab.engine.get(id.as_str()).unwrap().limits.iter().any(|limit| limit.why.contains("\"all\"")));
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_closed_sessions_have_spent_of_a_life_counts_after_a_crash_too() {
    let house = House::new(Latency::fast()).await;
    let ada = policy(&house, "ada", "ada");
    let shared = || vec![budget("life", Scope::Group, Period::Life, usd("0.02"))];
    let mut grouped = ada.clone();
    (grouped.name, grouped.group) = ("ml".to_owned(), "ml".to_owned());
    let lab = Lab::start_with(&house.parts, book(&[ada.clone(), grouped.clone()]), shared(), None).await;
    let alone = lab.engine.up("ada".to_owned()).await.unwrap();
    let id = lab.engine.up("ml".to_owned()).await.unwrap();
    running(&lab, &id).await;
    tokio::time::sleep(Duration::from_secs(2400)).await;
    lab.engine.request(id.to_string(), Request::End { reason: "done".to_owned() }).await.unwrap();
    until(&lab, &id, "closed", |phase| phase == Phase::Ended).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = shown(&lab, "life", "ml").await;
    assert!(before.spent > usd("0.011") && before.sessions.is_empty(), "{before:?}");
    assert_eq!(lab.engine.budgets().await.len(), 1, "a session without a group is in no group's budget");
    crash::crash(lab).await;
    let lab = Lab::start_with(&house.parts, book(&[ada, grouped]), shared(), None).await;
    let after = shown(&lab, "life", "ml").await;
    assert_eq!((after.spent, after.percent), (before.spent, before.percent));
    // 0.0042 USD of it are gone for a least life of 5m with its end: there is room for one and not for two.
    let next = lab.engine.up("ml".to_owned()).await.unwrap();
    let refused = futures::future::join_all((0..3).map(|_| lab.engine.up("ml".to_owned()))).await;
    assert!(refused.iter().any(Result::is_err), "{refused:?}");
    assert!(lab.engine.get(alone.as_str()).is_ok() && lab.engine.get(next.as_str()).is_ok());
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_nested_budgets_the_tightest_ends_a_session_and_teardown_comes_after_stop() {
    let house = House::new(Latency::fast()).await;
    let mut ada = policy(&house, "ada", "ada");
    ada.group = "ml".to_owned();
    let shared = vec![
        budget("account", Scope::Account, Period::Life, usd("5")),
        budget("all", Scope::Daemon, Period::Month, usd("1")),
        SharedBudget {
            shares: Shares { teardown: Some(95), stop: None, block: Some(90), notify: Vec::new() },
            ..budget("ml", Scope::Group, Period::Life, usd("0.02"))
        },
    ];
    let lab = Lab::start_with(&house.parts, book(&[ada]), shared, None).await;
    let id = lab.engine.up("ada".to_owned()).await.unwrap();
    running(&lab, &id).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let budgets = lab.engine.budgets().await;
    let names: Vec<(&str, &str, usize)> =
        budgets.iter().map(|it| (it.name.as_str(), it.of.as_str(), it.sessions.len())).collect();
    assert_eq!(names, [("account", "000000000000", 1), ("all", "", 1), ("ml", "ml", 1)]);
    until(&lab, &id, "closed", |phase| phase == Phase::Ended).await;
    let receipt = lab.engine.receipt(id.to_string()).await.unwrap();
    assert!(receipt.cause == Some(Cause::Budget) && receipt.cause_detail.contains("\"ml\" of group ml"), "{receipt:?}");
    assert!(receipt.total <= usd("0.019") + usd("0.002") && receipt.total > usd("0.018"), "{}", receipt.total.exact());
    lab.stop().await;
}
