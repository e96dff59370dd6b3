//! Tables of shared budgets: which one ends a session, when, and what lets a session in.

use super::{
    Rules,
    budgets::{ends_early, refusal},
    decide,
    world::{World, at, policy},
};
use crate::domain::{
    meter::RateBook,
    model::{
        BudgetReading, Cause, Event, Limit, LimitKind, Measure, Money, Observation, Period, Phase, Plan, Pool, Record,
        Scope, Span, Stage, Threshold, Timestamp,
    },
    policy::Policy,
};

fn usd(text: &str) -> Money {
    format!("{text} USD").parse().unwrap()
}

/// A budget of one dollar that blocks at 80, stops at 90 and tears down at 100 cents.
fn reading(name: &str, spent: &str, now: Timestamp, until: Option<Timestamp>) -> BudgetReading {
    let threshold = |percent: u8, measure| Threshold {
        percent,
        measure,
        amount: Money::from_nanos(i64::from(percent) * 10_000_000),
    };
    BudgetReading {
        name: name.into(),
        scope: Scope::Owner,
        of: "ada".into(),
        period: Period::Day,
        from: now - Span::from_mins(60),
        until,
        limit: usd("1.00"),
        thresholds: vec![
            threshold(80, Measure::Block),
            threshold(90, Measure::Stop),
            threshold(100, Measure::Teardown),
        ],
        pool: Pool { at: now, spent: usd(spent), rate: usd("0.60"), sessions: 3, ..Pool::default() },
        reached: None,
    }
}

fn running(policy: &Policy) -> (Record, Timestamp) {
    let mut world = World::new(policy.clone(), 1);
    world.run_until(1000, |record| record.phase == Phase::Running);
    (world.record, world.now)
}

fn look(record: &Record, policy: &Policy, budgets: &[BudgetReading], now: Timestamp) -> Plan {
    let seen = Observation { budgets: budgets.to_vec(), ..Observation::default() };
    decide(record, &seen, Rules { policy, card: &RateBook::embedded().card("us-east-1") }, now)
}

fn ended(plan: &Plan) -> Option<(Cause, Stage, String)> {
    plan.notes.iter().find_map(|note| match note {
        Event::Ending { cause, stage, detail } => Some((*cause, *stage, detail.clone())),
        _ => None,
    })
}

fn shared(plan: &Plan) -> Option<Limit> {
    plan.outlook.limits.iter().find(|limit| limit.kind == LimitKind::SharedBudget).cloned()
}

#[test]
fn a_shared_budget_stops_a_session_at_the_instant_that_its_pool_reaches_the_threshold() {
    let policy = policy();
    let (record, now) = running(&policy);
    // 0.30 USD left at 0.60 USD an hour.
    let budget = reading("class", "0.60", now, None);
    let limit = shared(&look(&record, &policy, std::slice::from_ref(&budget), now)).unwrap();
    assert_eq!((limit.at, limit.cause), (now + Span::from_mins(30), Cause::Budget));
    assert!(limit.moved_by.contains("[budgets.class]"), "{}", limit.moved_by);
    let early = now + Span::from_mins(30) - Span::from_millis(1);
    assert_eq!(ended(&look(&record, &policy, std::slice::from_ref(&budget), early)), None);
    let (cause, stage, detail) = ended(&look(&record, &policy, std::slice::from_ref(&budget), limit.at)).unwrap();
    assert_eq!((cause, stage), (Cause::Budget, Stage::Stop));
    let told = "the budget \"class\" of owner ada for life: 0.9000 USD spent of 1.00 USD, and ending its 3 sessions will \
                cost 0.0000 USD; at 0.9000 USD (90 %) it stops its sessions";
    assert_eq!(detail, told);
}

#[test]
fn of_several_budgets_the_tightest_counts_and_of_several_that_have_come_the_furthest() {
    let policy = policy();
    let (record, now) = running(&policy);
    let budgets = [reading("year", "0.10", now, None), reading("day", "0.60", now, None)];
    let limit = shared(&look(&record, &policy, &budgets, now)).unwrap();
    assert!(limit.why.contains("\"day\""), "{}", limit.why);
    let budgets = [reading("day", "0.95", now, None), reading("year", "1.00", now, None)];
    let (_, stage, detail) = ended(&look(&record, &policy, &budgets, now)).unwrap();
    assert!(stage == Stage::Teardown && detail.contains("\"year\""), "{detail}");
}

#[test]
fn a_budget_that_its_period_ends_before_is_no_limit_in_it() {
    let policy = policy();
    let (record, now) = running(&policy);
    let ends = |minutes| Some(now + Span::from_mins(minutes));
    let look = |until, at| look(&record, &policy, &[reading("day", "0.60", now, until)], at);
    assert_eq!(shared(&look(ends(30), now)), None, "the next day begins at that very instant");
    assert!(shared(&look(ends(31), now)).is_some());
    assert_eq!(ended(&look(ends(31), now + Span::from_mins(31))), None, "a reading of yesterday says nothing of today");
    assert!(ended(&look(ends(31), now + Span::from_mins(30))).is_some());
}

#[test]
fn what_a_budget_has_reached_stands_though_the_teardown_turned_out_cheaper() {
    let policy = policy();
    let (record, now) = running(&policy);
    let mut budget = reading("class", "0.50", now, Some(now + Span::from_mins(5)));
    budget.reached = Some(Stage::Stop);
    let (_, stage, _) = ended(&look(&record, &policy, std::slice::from_ref(&budget), now)).unwrap();
    assert_eq!(stage, Stage::Stop);
    // A stopped session is torn down at the next threshold, and asked for nothing before.
    let mut stopped = record;
    stopped.apply(now, &Event::Ending { cause: Cause::Budget, detail: String::new(), stage: Stage::Stop });
    assert_eq!(ended(&look(&stopped, &policy, std::slice::from_ref(&budget), now)), None);
    budget.reached = Some(Stage::Teardown);
    assert!(ended(&look(&stopped, &policy, &[budget], now)).is_some());
}

#[test]
fn a_warning_goes_out_before_a_shared_budget_ends_a_session() {
    let mut policy = policy();
    policy.limits.warn_before = vec![Span::from_mins(10)];
    let (record, now) = running(&policy);
    let warned = |spent| {
        look(&record, &policy, &[reading("class", spent, now, None)], now)
            .notes
            .iter()
            .any(|note| matches!(note, Event::Warned { limit: LimitKind::SharedBudget, .. }))
    };
    assert!(!warned("0.60") && warned("0.85"));
}

#[test]
fn a_session_is_let_in_where_everything_spent_running_and_promised_leaves_room() {
    let policy = policy();
    let now = at(0);
    // spent, to end what runs, reserved, needed: at 0.80 USD it blocks
    let cases = [
        ("0.50", "0.10", "0.10", "0.10", true),
        ("0.50", "0.10", "0.10", "0.100000001", false),
        ("0.50", "0.10", "0.100000001", "0.10", false),
        ("0.50", "0.100000001", "0.10", "0.10", false),
        ("0.80", "0.00", "0.00", "0.00", false),
        ("0.70", "0.10", "0.00", "0.00", false),
        ("0.799999999", "0.00", "0.00", "0.00", true),
    ];
    for (spent, teardown, promised, needed, lets) in cases {
        let mut budget = reading("class", spent, now, Some(now + Span::from_mins(90)));
        (budget.pool.teardown, budget.pool.reserved) = (usd(teardown), usd(promised));
        let refused = refusal(&budget, &policy, usd(needed), now);
        assert_eq!(refused.is_none(), lets, "{spent} {teardown} {promised} {needed}: {refused:?}");
        assert_eq!(refusal(&budget, &policy, usd(needed), now + Span::from_mins(90)), None, "the next day is another");
    }
    // An hour at 0.60 USD later the same sum is another.
    let budget = reading("class", "0.30", now, None);
    assert_eq!(refusal(&budget, &policy, usd("0.10"), now), None);
    assert!(refusal(&budget, &policy, usd("0.10"), now + Span::from_mins(60)).is_some());
}

#[test]
fn a_refusal_shows_the_whole_sum_and_what_to_do() {
    let mut policy = policy();
    policy.limits.min_lifetime = Span::from_mins(5);
    let mut budget = reading("class", "0.50", at(0), Some(at(3600)));
    (budget.pool.teardown, budget.pool.reserved) = (usd("0.10"), usd("0.15"));
    let told = refusal(&budget, &policy, usd("0.06"), at(0)).unwrap();
    let until = at(3600);
    let expected = format!(
        "the budget \"class\" of owner ada this day, until {until} does not cover it: 0.50 USD spent, 0.10 USD to end what \
         runs, 0.15 USD reserved for what has just begun, and 0.06 USD needed for its least lifetime of 5m and its end \
         make 0.81 USD, more than the 0.80 USD (80 % of 1.00 USD) at which it takes no further session; \
         end a session of it, wait for {until}, or raise limit in [budgets.class]"
    );
    assert_eq!(told, expected);
    budget.reached = Some(Stage::Stop);
    let told = refusal(&budget, &policy, Money::ZERO, at(0)).unwrap();
    assert!(told.contains("is used up") && told.contains("were stopped"), "{told}");
}

#[test]
fn a_plan_is_told_when_a_shared_budget_would_end_it_early() {
    let budget = |until| reading("class", "0.60", at(0), until);
    let early =
        |until, lifetime| ends_early(&budget(until), usd("0.30"), usd("0.03"), Span::from_mins(lifetime), at(0));
    // 0.27 USD left at 0.90 USD an hour: 18 minutes.
    assert_eq!(early(None, 60), Some((Span::from_mins(18), Measure::Stop)));
    assert_eq!(early(None, 18), None);
    assert_eq!(early(Some(at(60 * 18)), 60), None, "the next day begins before");
}
