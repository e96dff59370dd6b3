//! Whole sessions with the net outside the task, on the model world.

use super::{
    stories::{PLENTY, ahead, ask, cause, finished, running},
    world::{World, at, policy},
};
use crate::domain::{
    meter,
    model::{
        Cause, Event, Extension, LimitKind, Money, Net, Phase, Receipt, Request, ResourceKey, ResourceKind, Span, Stage,
    },
    policy::RunMode,
};

/// A policy with the net outside the task.
fn netted() -> crate::domain::policy::Policy {
    let mut netted = policy();
    netted.fuse.scheduler = true;
    netted
}

fn net(world: &World) -> Option<bool> {
    world.record.nets.get(&Net::Scheduler).map(|net| net.holds)
}

#[test]
fn a_task_waits_for_the_net_outside_it_and_is_in_it_at_once() {
    let mut world = World::new(netted(), 21);
    world.run_until(PLENTY, running);
    assert_eq!(net(&world), Some(true));
    let place = |wanted: &dyn Fn(&Event) -> bool| world.events.iter().position(wanted).unwrap();
    let held = place(&|event| matches!(event, Event::NetChanged { holds: true, .. }));
    let asked = place(&|event| matches!(event, Event::Intended { key, .. } if key.kind == ResourceKind::Task));
    assert!(held < asked, "the task was asked for before the net was known to hold");
    let set = &world.record.schedules;
    let (stop, cluster) = (set["task-1-stop"], set["cluster-delete"]);
    assert_eq!(cluster.since(stop), Span::from_mins(10));
    assert!(set.contains_key("security-group-delete") && set.contains_key("log-group-delete-again"), "{set:?}");
    let world = finished(world);
    let gone = |kind| world.record.only(kind).unwrap().gone_at.unwrap();
    let last = gone(ResourceKind::ScheduleGroup);
    for kind in [ResourceKind::Cluster, ResourceKind::SecurityGroup, ResourceKind::Repository, ResourceKind::LogGroup] {
        assert!(gone(kind) <= last, "{kind} went after the net");
    }
    assert!(gone(ResourceKind::SchedulerRole) >= last);
}

#[test]
fn a_deadline_that_moves_takes_the_schedules_with_it() {
    let mut world = World::new(netted(), 22);
    world.used_until = at(1_000_000);
    world.run_until(PLENTY, running);
    let before = world.record.schedules["task-1-stop"];
    // The budget is what its deadline is by; more of it is a later one.
    let more = Money::from_nanos(world.policy.limits.max_budget.nanos() - world.policy.limits.budget.nanos());
    ask(&mut world, Request::Extend(Extension::Budget { by: more }));
    world.run(20);
    let after = world.record.schedules["task-1-stop"];
    let deadline = crate::domain::meter::deadline(
        &world.record,
        &world.policy,
        &world.card,
        world.policy.limits.budget + more,
        world.now,
    );
    assert!(after > before || deadline.since(before) < Span::from_mins(6), "{before} {after} {deadline}");
    assert!(after < deadline, "set for {after}, which is not before {deadline}");
    finished(world);
}

#[test]
fn labguard_that_dies_as_the_budget_ends_its_session_leaves_the_end_to_schedules_within_it() {
    for seed in 1..30 {
        let mut rules = netted();
        rules.limits.budget = Money::from_nanos(10_000_000 + i64::try_from(seed).unwrap() * 123_456);
        let mut world = World::new(rules, seed);
        world.used_until = at(1_000_000);
        world.run_until(PLENTY, |record| record.ending.is_some());
        assert_eq!(cause(&world), Cause::Budget);
        // The net's own way: called within the minute after its instant, then the stop itself.
        let (spent, rate) = meter::spend(&world.record, &world.card, world.now);
        let called = world.record.schedules["task-1-stop"] + Span::from_mins(1);
        let stop = meter::teardown_cost(&world.record, &world.policy, &world.card);
        let total = spent + rate.per_hour_over(called.since(world.now)) + stop;
        // The look that saw the budget's end came a part of a second late.
        let budget = world.policy.limits.budget + rate.per_hour_over(Span::from_secs(1));
        assert!(total <= budget, "seed {seed}: {} of {}", total.exact(), budget.exact());
        finished(world);
    }
}

#[test]
fn without_the_right_to_schedule_a_session_runs_and_says_so_unless_its_policy_requires_the_net() {
    for kind in [ResourceKind::ScheduleGroup, ResourceKind::SchedulerRole] {
        let mut world = World::new(netted(), 23);
        world.refused = Some(kind);
        world.run_until(PLENTY, running);
        assert_eq!(net(&world), Some(false), "{kind}");
        let told = &world.record.nets[&Net::Scheduler].detail;
        assert!(told.contains("lack the right"), "{told}");
        assert_eq!(cause(&finished(world)), Cause::Idle);

        let mut required = netted();
        required.fuse.require = vec![Net::Scheduler];
        let mut world = World::new(required, 24);
        world.refused = Some(kind);
        let world = finished(world);
        assert_eq!(cause(&world), Cause::DeployFailed);
        let detail = &world.record.ending.as_ref().unwrap().detail;
        assert!(detail.contains("requires the net outside the task") && detail.contains("lack the right"), "{detail}");
        assert_eq!(world.record.tasks().count(), 0, "nothing ran without the net");
    }
}

#[test]
fn a_scheduler_that_never_answers_holds_up_neither_the_task_nor_the_end_and_the_receipt_says_what_may_be_left() {
    let kind = ResourceKind::ScheduleGroup;
    let mut world = World::new(netted(), 25);
    world.unanswered = Some(kind);
    world.run_until(PLENTY, running);
    assert!(world.now.since(at(0)) < Span::from_mins(2), "{}", world.now);
    assert_eq!(net(&world), Some(false));
    ask(&mut world, Request::End { reason: "enough".into() });
    let before = world.now;
    world.run(PLENTY);
    assert!(world.record.is_closed() && world.now.since(before) < Span::from_mins(4), "{:?}", world.record.blockers);
    assert!(!world.events.iter().any(|event| matches!(event, Event::Entered { phase: Phase::Stuck, .. })));
    let receipt: Receipt = serde_json::from_value(world.record.receipt.clone().unwrap()).unwrap();
    assert!(!receipt.proven_clean);
    let group = receipt.resources.iter().find(|it| it.key.kind == kind).unwrap();
    let remark = group.remark.as_deref().unwrap();
    assert!(remark.contains(&group.name) && remark.contains("costs nothing") && remark.contains("sweep"), "{remark}");
    assert!(receipt.resources.iter().all(|it| it.remark.is_none() || it.key.kind == kind));

    // Without a connection nothing was sent, so nothing can be left.
    let mut world = World::new(netted(), 26);
    (world.unanswered, world.unreached) = (Some(kind), true);
    world.run_until(PLENTY, running);
    ask(&mut world, Request::End { reason: "enough".into() });
    let before = world.now;
    let world = finished(world);
    assert!(world.now.since(before) < Span::from_mins(2));
    let receipt: Receipt = serde_json::from_value(world.record.receipt.unwrap()).unwrap();
    assert!(receipt.proven_clean);
}

#[test]
fn what_costs_or_was_once_confirmed_is_never_let_go_unproven() {
    for kind in [ResourceKind::Cluster, ResourceKind::ScheduleGroup] {
        let mut world = World::new(netted(), 27);
        world.run_until(PLENTY, running);
        world.unanswered = Some(kind);
        ask(&mut world, Request::End { reason: "enough".into() });
        world.run_until(PLENTY, |record| record.phase == Phase::Stuck);
        assert_eq!(world.record.phase, Phase::Stuck, "{kind}");
        world.unanswered = None;
        finished(world);
    }
    let mut world = World::new(netted(), 28);
    world.unanswered = Some(ResourceKind::Cluster);
    world.run_until(PLENTY, |record| record.phase == Phase::Stuck);
    assert_eq!(world.record.phase, Phase::Stuck, "a cluster may hold tasks");
    world.unanswered = None;
    finished(world);
}

/// Lets that much time pass.
fn pass(world: &mut World, span: Span) {
    let until = world.now + span;
    while world.now < until && !world.record.is_closed() {
        world.turn();
    }
}

/// A session in use, whose budget is extended while its schedules cannot be moved.
fn stale(seed: u64) -> World {
    stale_in(seed, RunMode::Task)
}

fn stale_in(seed: u64, run: RunMode) -> World {
    let mut rules = netted();
    rules.task.run = run;
    rules.limits.idle_timeout = None;
    rules.limits.budget = Money::from_nanos(8_000_000);
    rules.limits.max_budget = Money::from_nanos(30_000_000);
    let mut world = World::new(rules, seed);
    world.used_until = at(1_000_000);
    world.run_until(PLENTY, running);
    pass(&mut world, Span::from_mins(1));
    world.unmovable = true;
    ask(&mut world, Request::Extend(Extension::Budget { by: Money::from_nanos(20_000_000) }));
    world.run(20);
    world
}

#[test]
fn schedules_that_cannot_be_moved_are_no_net_and_their_instant_is_a_limit() {
    let mut world = stale(41);
    assert_eq!(net(&world), Some(false));
    let told = &world.record.nets[&Net::Scheduler].detail;
    assert!(told.contains("could not be moved") && told.contains("lack the right"), "{told}");
    let first = world.record.schedules["task-1-stop"];
    let outlook = ahead(&world);
    assert_eq!(outlook.net_acts_at, Some(first));
    assert_eq!((outlook.limits[0].kind, outlook.limits[0].at), (LimitKind::Net, first), "{:?}", outlook.limits);
    world.unmovable = false;
    pass(&mut world, Span::from_mins(11));
    assert_eq!(net(&world), Some(true));
    assert!(world.record.schedules["task-1-stop"] > first);
    assert!(ahead(&world).limits.iter().all(|limit| limit.kind != LimitKind::Net));
    ask(&mut world, Request::End { reason: "enough".into() });
    finished(world);
}

#[test]
fn a_new_task_gets_its_stop_at_once_though_the_others_cannot_be_moved_and_a_gone_one_s_counts_no_more() {
    let mut world = stale(42);
    let (old, now) = (world.record.schedules["task-1-stop"], world.now);
    world.cloud.stop_from_outside(now, "somebody at the console");
    world.run_until(PLENTY, |record| record.restarts == 1 && record.phase == Phase::Running);
    let live = world.record.resources[&ResourceKey::task(2)].live_at.unwrap();
    let set = world.events.iter().any(|event| match event {
        Event::Scheduled { schedules } => schedules.iter().any(|(name, _)| name == "task-2-stop"),
        _ => false,
    });
    assert!(set && world.now.since(live) < Span::from_mins(2), "{:?}", world.record.schedules);
    assert!(!world.record.schedules.contains_key("task-1-stop"), "it stops nothing any more");
    assert_ne!(ahead(&world).net_acts_at, Some(old));
    ask(&mut world, Request::End { reason: "enough".into() });
    finished(world);
}

#[test]
fn a_task_that_the_session_s_own_schedules_stopped_ends_it_by_what_they_stand_for() {
    let mut world = stale(43);
    let now = world.now;
    world.cloud.stop_from_outside(now, "labguard: the deadline of budget and lifetime, without labguard");
    let world = finished(world);
    assert!(cause(&world) == Cause::Budget && world.record.restarts == 0);
    let detail = &world.record.ending.as_ref().unwrap().detail;
    assert!(detail.contains("the schedules outside the task stopped task 1, set for"), "{detail}");
}

#[test]
fn a_service_that_its_own_schedules_deleted_ends_it_by_what_they_stand_for_however_long_its_tasks_take_to_stop() {
    let mut world = stale_in(46, RunMode::Service { desired: 1 });
    // labguard was away; a task that is told to stop may take two minutes and more.
    world.now = world.record.schedules["service-delete"] + Span::from_secs(20);
    world.cloud.take_away(ResourceKind::Service);
    let world = finished(world);
    assert!(cause(&world) == Cause::Budget && world.record.restarts == 0, "{:?}", world.record.ending);
    let detail = &world.record.ending.as_ref().unwrap().detail;
    assert!(detail.contains("the schedules outside the task stopped task 1, set for"), "{detail}");
}

#[test]
fn a_service_whose_deletion_failed_gets_its_schedules_anew() {
    let mut world = stale_in(47, RunMode::Service { desired: 1 });
    let set = world.record.schedules["service-delete"];
    (world.now, world.unmovable) = (set + Span::from_secs(20), false);
    pass(&mut world, Span::from_mins(4));
    assert_eq!(world.record.schedules["service-delete"], set, "what has come due is left to act");
    pass(&mut world, Span::from_mins(3));
    assert!(world.record.schedules["service-delete"] > world.now && world.record.ending.is_none());
}

#[test]
fn what_deleted_a_service_of_yesterday_does_not_explain_the_loss_of_a_task_today() {
    let mut world = stale_in(48, RunMode::Service { desired: 1 });
    ask(&mut world, Request::Stop { reason: "for today".into() });
    world.run_until(PLENTY, |record| record.current_task().is_none() && record.phase == Phase::Stopping);
    let gone = !world.record.only(ResourceKind::Service).unwrap().life.may_exist();
    assert!(gone && !world.record.schedules.contains_key("service-delete"), "{:?}", world.record.schedules);
    assert!(world.record.schedules.contains_key("cluster-delete"));
}

#[test]
fn a_required_net_that_tore_while_it_was_stopped_is_made_anew_when_it_is_resumed() {
    let mut rules = netted();
    rules.fuse.require = vec![Net::Scheduler];
    rules.end.on_idle = Stage::Stop;
    let mut world = World::new(rules, 49);
    world.run_until(PLENTY, |record| record.phase == Phase::Stopping && record.current_task().is_none());
    world.cloud.take_away(ResourceKind::ScheduleGroup);
    world.run_until(PLENTY, |record| record.nets[&Net::Scheduler].detail.contains("removed from outside"));
    assert_eq!(net(&world), Some(false));
    ask(&mut world, Request::Resume);
    world.run_until(PLENTY, running);
    assert!(running(&world.record) && net(&world) == Some(true), "{:?}", world.record.ending);
    finished(world);
}

#[test]
fn money_that_ran_out_by_the_schedules_is_told_as_that_though_the_hours_close_before_it_would_now() {
    let mut world = stale(50);
    let close = world.now + Span::from_mins(90);
    let end_cron = close.to_chrono().format("%M %H * * *").to_string();
    world.policy.limits.hours = Some(crate::domain::policy::Hours { end_cron, zone: "UTC".into() });
    world.now = world.record.schedules["task-1-stop"];
    let now = world.now;
    world.cloud.stop_from_outside(now, "labguard: the deadline of budget, lifetime and hours, without labguard");
    assert_eq!(cause(&finished(world)), Cause::Budget);
}

#[test]
fn a_group_that_somebody_takes_away_is_missed_within_minutes_and_made_anew() {
    let mut rules = netted();
    rules.limits.idle_timeout = None;
    let mut world = World::new(rules, 44);
    world.used_until = at(1_000_000);
    world.run_until(PLENTY, running);
    let set = world.record.schedules.len();
    world.cloud.take_away(ResourceKind::ScheduleGroup);
    let taken = world.now;
    world.run_until(PLENTY, |record| record.nets[&Net::Scheduler].detail.contains("removed from outside"));
    assert!(world.now.since(taken) < Span::from_mins(12) && net(&world) == Some(false), "{}", world.now);
    world.run_until(PLENTY, |record| record.nets[&Net::Scheduler].holds);
    assert!(world.now.since(taken) < Span::from_mins(13));
    assert_eq!(world.record.schedules.len(), set);
    finished(world);
}

#[test]
fn the_close_of_the_hours_is_in_the_net_and_what_is_to_be_kept_is_not_removed_by_it() {
    for kept in [false, true] {
        let mut rules = netted();
        rules.limits.idle_timeout = None;
        let close = (at(0) + Span::from_mins(30)).to_chrono();
        let end_cron = close.format("%M %H * * *").to_string();
        rules.limits.hours = Some(crate::domain::policy::Hours { end_cron, zone: "UTC".into() });
        rules.end.on_hours = if kept { Stage::Stop } else { Stage::Teardown };
        let mut world = World::new(rules, 45);
        world.used_until = at(1_000_000);
        world.run_until(PLENTY, running);
        let closes = world.policy.limits.hours.as_ref().unwrap().first_close_after(at(0)).unwrap();
        let set = &world.record.schedules;
        assert!(set["task-1-stop"] <= closes && closes.since(set["task-1-stop"]) <= Span::from_mins(1), "{set:?}");
        assert_eq!(set["cluster-delete"] > closes + Span::from_mins(15), kept, "{set:?}");
        let stopped = if kept { Phase::Stopping } else { Phase::Ended };
        world.run_until(PLENTY, |record| record.phase == stopped && record.current_task().is_none());
        pass(&mut world, Span::from_mins(20));
        let set = world.record.schedules["cluster-delete"];
        assert!(!kept || set > world.now, "what is kept would be removed: {set}");
        assert_eq!(cause(&finished(world)), Cause::HoursClosed);
    }
}
