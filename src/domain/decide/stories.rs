//! Whole sessions on the model world, from `up` to receipt.

use super::{
    Rules, decide,
    world::{App, World, at, fault, opened, policy},
};
use crate::domain::{
    meter::ledger,
    model::{
        Action, Cause, Effect, Event, Extension, Fault, FaultClass, Life, LimitKind, Money, Observation, Phase, Record,
        Request, ResourceKey, ResourceKind, Span, Stage,
    },
    policy::RunMode,
};

pub(super) const PLENTY: usize = 20_000;

pub(super) fn cause(world: &World) -> Cause {
    world.record.ending.as_ref().unwrap().cause
}

pub(super) fn finished(mut world: World) -> World {
    world.run(PLENTY);
    assert!(world.record.is_closed(), "not closed: {:?} {:?}", world.record.phase, world.kinds());
    assert_eq!(world.left(), Vec::<String>::new());
    let total = ledger(&world.record, &world.card, world.now).total;
    assert!(total <= world.spent_at_most(), "{total} of {}", world.spent_at_most());
    world
}

pub(super) fn running(record: &Record) -> bool {
    record.phase == Phase::Running
}

pub(super) fn ask(world: &mut World, request: Request) {
    world.journal(Event::Requested { request });
}

/// What lies ahead of it now.
pub(super) fn ahead(world: &World) -> crate::domain::model::Outlook {
    let rules = Rules { policy: &world.policy, card: &world.card };
    decide(&world.record, &Observation::default(), rules, world.now).outlook
}

#[test]
fn a_session_nobody_uses_goes_up_and_away_by_itself() {
    let world = finished(World::new(policy(), 1));
    assert_eq!(cause(&world), Cause::Idle);
    let phases: Vec<Phase> = world
        .events
        .iter()
        .filter_map(|event| if let Event::Entered { phase, .. } = event { Some(*phase) } else { None })
        .collect();
    assert_eq!(phases, [Phase::Provisioning, Phase::Starting, Phase::Running, Phase::TearingDown, Phase::Ended]);
    let warned = |kind: LimitKind| {
        world.events.iter().filter(|it| matches!(it, Event::Warned { limit, .. } if *limit == kind)).count()
    };
    assert_eq!(warned(LimitKind::Idle), 2, "five minutes and one minute before");
    assert!(world.now.since(at(0)) < Span::from_mins(13), "{}", world.now);
}

#[test]
fn use_holds_idleness_off_and_the_lifetime_ends_it() {
    let mut world = World::new(policy(), 2);
    world.used_until = at(100_000);
    assert_eq!(cause(&finished(world)), Cause::Lifetime);
}

#[test]
fn an_extension_moves_the_lifetime_and_not_beyond_the_hard_one() {
    let mut world = World::new(policy(), 3);
    world.used_until = at(1_000_000);
    ask(&mut world, Request::Extend(Extension::Lifetime { by: Span::from_mins(10_000) }));
    let world = finished(world);
    assert_eq!(cause(&world), Cause::Lifetime);
    let lived = world.record.ending.as_ref().unwrap().at.since(at(0));
    assert!(lived >= Span::from_mins(120) && lived < Span::from_mins(121), "{lived}");
}

#[test]
fn the_budget_ends_it_before_spend_passes_it() {
    for seed in 0..20 {
        let mut tight = policy();
        tight.limits.budget = Money::from_nanos(5_000_000 + seed as i64 * 100_000);
        tight.limits.max_budget = tight.limits.budget;
        let budget = tight.limits.budget;
        let mut world = World::new(tight, seed);
        world.used_until = at(100_000);
        let world = finished(world);
        assert_eq!(cause(&world), Cause::Budget);
        let total = ledger(&world.record, &world.card, world.now).total;
        assert!(total <= budget, "without trouble the drain is inside the budget: {total} of {budget}");
    }
}

#[test]
fn with_failing_calls_and_crashes_spend_stays_within_budget_and_stated_overshoot() {
    for seed in 0..100 {
        let mut tight = policy();
        tight.limits.budget = Money::from_nanos(3_000_000 + seed as i64 * 50_000);
        tight.limits.max_budget = tight.limits.budget;
        let mut world = World::new(tight, seed);
        world.trouble = seed % 12;
        world.app = if seed % 2 == 0 { App::Fine } else { App::Exits };
        world.used_until = at(100_000);
        finished(world);
    }
}

#[test]
fn what_was_refused_at_its_only_asking_is_neither_removed_nor_read() {
    let mut world = World::new(policy(), 10);
    world.refused = Some(ResourceKind::ExecutionRole);
    let world = finished(world);
    assert_eq!(cause(&world), Cause::DeployFailed);
    let role = world.record.only(ResourceKind::ExecutionRole).unwrap();
    assert_eq!((role.life, role.leaving_at), (Life::Never, None));
    assert!(world.record.ending.as_ref().unwrap().detail.contains("lack the right"));
}

#[test]
fn what_was_refused_each_time_needs_no_read_and_what_was_once_not_answered_does() {
    let group = ResourceKey::only(ResourceKind::ScheduleGroup);
    let (action, name) = (Action::Create, "g".to_owned());
    let ask = Event::Intended { key: group, action, name, size: None };
    let denied = |class| {
        let fault = Fault { operation: "scheduler:CreateScheduleGroup".into(), ..fault(class) };
        Event::Failed { key: Some(group), action, fault }
    };
    let played = |events: &[&Event]| {
        let mut record = opened(&policy());
        for (number, event) in events.iter().enumerate() {
            record.apply(at(number as i64), event);
        }
        record.resources[&group].was_refused()
    };
    let (no, lost) = (denied(FaultClass::Denied), denied(FaultClass::Transient));
    assert!(played(&[&ask, &no]) && played(&[&ask, &no, &ask, &no, &ask, &no]));
    assert!(!played(&[&ask]) && !played(&[&ask, &no, &ask]), "what is asked is open");
    assert!(!played(&[&ask, &lost, &ask, &no]), "something may have come of the first");
    assert!(!played(&[&ask, &ask, &no]), "the first was never answered");
}

#[test]
fn failing_applications_end_with_the_cause_that_fits() {
    let cases = [
        (App::NeverAnswers, Cause::NeverHealthy),
        (App::StopsAnswering, Cause::CrashLoop),
        (App::Exits, Cause::CrashLoop),
        (App::CannotBePulled, Cause::DeployFailed),
    ];
    for (app, expected) in cases {
        let mut world = World::new(policy(), 4);
        world.app = app;
        world.used_until = at(100_000);
        let world = finished(world);
        assert_eq!(cause(&world), expected, "{app:?}: {:?}", world.record.ending);
        let restarts = if expected == Cause::CrashLoop { 3 } else { 0 };
        assert_eq!(world.record.restarts, restarts, "{app:?}");
    }
}

#[test]
fn two_stages_stop_keep_resume_and_tear_down() {
    let mut staged = policy();
    staged.end.on_idle = Stage::Stop;
    let mut world = World::new(staged, 5);
    world.run_until(PLENTY, |record| record.phase == Phase::Stopping && record.current_task().is_none());
    assert!(world.record.only(ResourceKind::Cluster).unwrap().life.may_exist(), "the rest is kept");
    ask(&mut world, Request::Resume);
    world.run_until(PLENTY, running);
    assert!(running(&world.record));
    assert_eq!(world.record.tasks().count(), 2);
    let world = finished(world);
    assert_eq!(cause(&world), Cause::Idle, "kept long enough, then torn down for what stopped it");
}

#[test]
fn an_operator_ends_it_at_any_moment() {
    for turns in 0..60 {
        let mut world = World::new(policy(), 6);
        world.run(turns);
        ask(&mut world, Request::End { reason: "enough".into() });
        assert_eq!(cause(&finished(world)), Cause::Operator, "after {turns} turns");
    }
}

#[test]
fn what_belongs_to_somebody_else_is_refused_or_adopted_and_left_standing() {
    for kind in [ResourceKind::Cluster, ResourceKind::Repository, ResourceKind::SecurityGroup, ResourceKind::LogGroup] {
        let mut world = World::new(policy(), 7);
        world.put_foreign(kind);
        let world = finished(world);
        assert_eq!((cause(&world), world.foreign_left()), (Cause::DeployFailed, 1), "{kind}");

        let mut adopting = policy();
        adopting.adopt = vec![kind];
        let mut world = World::new(adopting, 7);
        world.put_foreign(kind);
        let world = finished(world);
        assert_eq!((cause(&world), world.foreign_left()), (Cause::Idle, 1), "{kind} adopted");
    }
}

#[test]
fn all_names_that_belong_to_somebody_else_are_told_at_once() {
    let mut world = World::new(policy(), 7);
    world.put_foreign(ResourceKind::Cluster);
    world.put_foreign(ResourceKind::LogGroup);
    let world = finished(world);
    let detail = &world.record.ending.as_ref().unwrap().detail;
    assert!(detail.contains("a cluster named") && detail.contains("a log group named"), "{detail}");
}

#[test]
fn a_refused_removal_is_stuck_by_name_and_goes_on_when_the_right_comes_back() {
    let mut world = World::new(policy(), 8);
    world.run_until(PLENTY, running);
    world.denied_until = Some(world.now + Span::from_mins(90));
    ask(&mut world, Request::End { reason: "enough".into() });
    world.run_until(PLENTY, |record| record.phase == Phase::Stuck);
    assert!(
        world.record.blockers.iter().any(|blocker| blocker.why.contains("lack the right")),
        "{:?}",
        world.record.blockers
    );
    let world = finished(world);
    assert!(world.record.blockers.is_empty());
}

/// Ten minutes of an end that waits, and how often it was looked at and turned over meanwhile.
fn ten_minutes(world: &mut World) -> (usize, usize) {
    let (until, looks, mut turns) = (world.now + Span::from_mins(10), world.looks, 0);
    while world.now < until && !world.record.is_closed() {
        world.turn();
        turns += 1;
    }
    (world.looks - looks, turns)
}

#[test]
fn an_end_that_waits_neither_turns_nor_reads_for_nothing() {
    let mut world = World::new(policy(), 8);
    world.run_until(PLENTY, running);
    world.denied_until = Some(world.now + Span::from_mins(90));
    ask(&mut world, Request::End { reason: "enough".into() });
    world.run_until(PLENTY, |record| record.phase == Phase::Stuck);
    let left = world.left().len();
    let (looks, turns) = ten_minutes(&mut world);
    assert!(left > 3 && looks <= 41 * left && turns <= 120, "{looks} reads of {left} things in {turns} turns");
    assert!(looks >= 10, "what holds them is read: {looks}");
}

#[test]
fn tasks_that_cannot_be_read_are_asked_for_at_their_pace() {
    let mut world = World::new(policy(), 8);
    world.used_until = at(1_000_000);
    world.run_until(PLENTY, running);
    world.unread = true;
    let (looks, turns) = ten_minutes(&mut world);
    assert!((20..=45).contains(&looks) && turns <= 200, "{looks} reads in {turns} turns");
}

#[test]
fn the_next_try_is_when_it_is_tried_and_not_when_it_is_looked_at() {
    let mut world = World::new(policy(), 8);
    world.run_until(PLENTY, running);
    world.denied_until = Some(world.now + Span::from_mins(90));
    ask(&mut world, Request::End { reason: "enough".into() });
    world.run_until(PLENTY, |record| record.phase == Phase::Stuck);
    let mut tries = 0;
    while tries < 20 {
        let (told, turned_at) = (ahead(&world).next_try.unwrap(), world.now);
        let failed = |world: &World| {
            let failures = world.record.resources.iter().map(|(key, it)| (*key, it.failures));
            failures.filter(|(_, failures)| *failures > 0).collect::<std::collections::BTreeMap<_, _>>()
        };
        let before = failed(&world);
        world.turn();
        let after = failed(&world);
        let again = before.iter().any(|(key, failures)| after.get(key).is_none_or(|now| now > failures));
        assert_eq!(told <= turned_at, again, "at {turned_at}, told for {told}");
        tries += u32::from(again);
    }
}

#[test]
fn what_its_hours_have_stopped_is_not_told_to_be_ended_by_them() {
    let mut rules = policy();
    rules.limits.idle_timeout = None;
    rules.end.on_hours = Stage::Stop;
    let close = (at(0) + Span::from_mins(30)).to_chrono().format("%M %H * * *").to_string();
    rules.limits.hours = Some(crate::domain::policy::Hours { end_cron: close, zone: "UTC".into() });
    let mut world = World::new(rules, 51);
    world.used_until = at(1_000_000);
    world.run_until(PLENTY, running);
    assert!(ahead(&world).limits.iter().any(|limit| limit.kind == LimitKind::Hours));
    world.run_until(PLENTY, |record| record.phase == Phase::Stopping && record.current_task().is_none());
    let limits = ahead(&world).limits;
    assert!(limits.iter().all(|limit| limit.kind != LimitKind::Hours && limit.at > world.now), "{limits:?}");
}

#[test]
fn a_service_is_followed_and_taken_away() {
    let mut service = policy();
    service.task.run = RunMode::Service { desired: 2 };
    let world = finished(World::new(service, 9));
    assert_eq!(cause(&world), Cause::Idle);
    assert!(world.record.tasks().count() >= 2);
}

#[test]
fn every_troubled_session_converges_to_its_end_with_nothing_left() {
    let seeds = std::env::var("LABGUARD_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(80_u64);
    for seed in 0..seeds {
        let mut rules = policy();
        rules.limits.lifetime = Span::from_mins(15 + seed % 20);
        if seed % 5 == 0 {
            rules.task.run = RunMode::Service { desired: 1 + (seed % 2) as u32 };
        }
        if seed % 3 == 0 {
            rules.end.on_idle = Stage::Stop;
        }
        rules.fuse.scheduler = seed % 4 != 2;
        rules.activity.insights.enabled = seed % 6 < 2;
        let mut world = World::new(rules, seed);
        world.trouble = seed % 25;
        world.app = [App::Fine, App::StopsAnswering, App::Exits, App::NeverAnswers][(seed / 7 % 4) as usize];
        world.used_until = at((seed % 1500) as i64);
        let end_after = world.dice.below(400) as usize;
        world.run(end_after);
        if seed % 4 == 1 {
            ask(&mut world, Request::End { reason: "enough".into() });
        }
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| finished(world)));
        assert!(caught.is_ok(), "seed {seed} fails; replay it alone");
    }
}

/// A policy with Container Insights.
fn watched() -> crate::domain::policy::Policy {
    let mut watched = policy();
    watched.activity.insights.enabled = true;
    watched
}

const INSIGHTS: ResourceKind = ResourceKind::InsightsLog;

#[test]
fn the_log_group_of_container_insights_is_made_before_aws_makes_it_and_goes_when_aws_writes_no_more() {
    for run in [RunMode::Task, RunMode::Service { desired: 2 }] {
        let mut policy = watched();
        policy.task.run = run;
        let world = finished(World::new(policy, 31));
        assert_eq!(cause(&world), Cause::Idle);
        let place = |wanted: &dyn Fn(&Event) -> bool| world.events.iter().position(wanted).unwrap();
        let made =
            place(&|event| matches!(event, Event::Done { key, effect: Effect::Created, .. } if key.kind == INSIGHTS));
        let runs = |kind| matches!(kind, ResourceKind::Task | ResourceKind::Service);
        let asked = place(&|event| matches!(event, Event::Intended { key, .. } if runs(key.kind)));
        assert!(made < asked, "a task was asked for before");
        let log = world.record.only(INSIGHTS).unwrap();
        let last = world.record.tasks().filter_map(|(_, task)| task.gone_at).max().unwrap();
        assert!(log.gone_at.unwrap().since(last) >= Span::from_mins(4), "{:?} after {last}", log.gone_at);
        assert!(log.gone_at.unwrap() > world.record.only(ResourceKind::Cluster).unwrap().gone_at.unwrap());
    }
}

#[test]
fn what_container_insights_had_before_is_left_standing_and_anothers_cluster_is_not_touched_for_it() {
    let mut world = World::new(watched(), 32);
    world.put_foreign(INSIGHTS);
    let world = finished(world);
    assert_eq!((cause(&world), world.foreign_left()), (Cause::Idle, 1), "its log group was there before");
    let mut adopting = watched();
    adopting.adopt = vec![ResourceKind::Cluster];
    let mut world = World::new(adopting, 33);
    world.put_foreign(ResourceKind::Cluster);
    let world = finished(world);
    assert_eq!((cause(&world), world.foreign_left()), (Cause::Idle, 1));
    assert!(world.record.only(INSIGHTS).is_none(), "the cluster's own log group is none of ours");
}

#[test]
fn a_session_whose_tasks_never_ran_does_not_wait_for_late_writes() {
    let mut world = World::new(watched(), 34);
    world.run_until(PLENTY, |record| record.only(INSIGHTS).is_some_and(|it| it.live_at.is_some()));
    ask(&mut world, Request::End { reason: "enough".into() });
    let before = world.now;
    let world = finished(world);
    assert_eq!(world.record.tasks().count(), 0);
    assert!(world.now.since(before) < Span::from_mins(1), "{}", world.now.since(before));
}
