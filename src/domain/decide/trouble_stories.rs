//! Sessions to which something happens that is nobody's plan: what does not stop, what was there before, a network that is
//! away, a clock that was wrong.

use super::{
    Rules, decide,
    stories::{PLENTY, ask, cause, finished, running},
    world::{World, fault, policy},
};
use crate::domain::{
    model::{
        Action, Cause, Event, Fault, FaultClass, HealthReading, Life, LimitKind, Money, Observation, Observed, Phase,
        Plan, Request, ResourceKey, ResourceKind, Sighting, Span, Stage, Step, TaskFacts, TaskStatus, Timestamp,
        Unread,
    },
    policy::{Policy, RunMode},
};

const SERVICE: ResourceKey = ResourceKey::only(ResourceKind::Service);

fn of_service() -> Policy {
    let mut policy = policy();
    policy.task.run = RunMode::Service { desired: 1 };
    policy
}

/// A running session.
fn up(policy: Policy) -> World {
    let mut world = World::new(policy, 21);
    world.run_until(PLENTY, running);
    world
}

fn look(world: &World, seen: &Observation, now: Timestamp) -> Plan {
    decide(&world.record, seen, Rules { policy: &world.policy, card: &world.card }, now)
}

/// What is noted of the serving task's going, if anything.
fn restarts(plan: &Plan) -> bool {
    plan.notes.iter().any(|note| matches!(note, Event::Restarting { .. }))
}

#[test]
fn a_service_that_does_not_go_is_named_with_what_its_tasks_cost_and_a_resume_waits_for_it() {
    let mut world = up(of_service());
    world.denied_until = Some(world.now + Span::from_mins(30));
    ask(&mut world, Request::Stop { reason: "lunch".into() });
    world.run_until(PLENTY, |record| !record.blockers.is_empty());
    assert_eq!(world.record.phase, Phase::Stopping, "it is kept, not torn down");
    let [blocker] = &world.record.blockers[..] else { panic!("{:?}", world.record.blockers) };
    assert_eq!(blocker.key, SERVICE);
    assert!(blocker.why.contains("lack the right"), "{}", blocker.why);
    assert!(blocker.cost_per_hour > Money::ZERO, "its task runs on");

    ask(&mut world, Request::Resume);
    world.run_until(20, |record| record.ending.is_none());
    assert!(world.record.blockers.is_empty(), "nothing is to stop any more");
    let life = |world: &World| world.record.resources[&SERVICE].life;
    world.run(30);
    assert_eq!((life(&world), world.record.phase), (Life::Leaving, Phase::Provisioning), "asked for again and again");
    world.denied_until = None;
    world.run_until(PLENTY, running);
    assert_eq!((life(&world), world.record.phase), (Life::Live, Phase::Running), "its next life has its own");
    let mut world = finished(world);
    assert_eq!(cause(&world), Cause::Idle);

    // What never goes ends it, from when it was to live again.
    world = up(of_service());
    world.denied_until = Some(world.now + Span::from_mins(60));
    ask(&mut world, Request::Stop { reason: "lunch".into() });
    world.run_until(PLENTY, |record| !record.blockers.is_empty());
    world.now = world.now + Span::from_mins(20);
    ask(&mut world, Request::Resume);
    let resumed = world.now;
    world.run_until(PLENTY, |record| record.ending.as_ref().is_some_and(|ending| ending.stage == Stage::Teardown));
    let ending = world.record.ending.clone().unwrap();
    assert_eq!(ending.cause, Cause::DeployFailed);
    assert!(ending.at.since(resumed) >= Span::from_mins(9), "{} after {resumed}", ending.at);
    assert!(ending.detail.contains("cannot be stopped"), "{}", ending.detail);
    // While it is torn down its tasks are told with it, not as something else.
    world.run_until(PLENTY, |record| record.phase == Phase::Stuck);
    world.now = world.now + Span::from_mins(15);
    world.run(5);
    assert!(world.record.blockers.iter().all(|blocker| blocker.key.kind != ResourceKind::Task));
    finished(world);
}

#[test]
fn tasks_of_an_earlier_service_of_the_same_name_are_not_taken_for_its_own() {
    let policy = of_service();
    let world = up(policy);
    let (before, now) = (world.record.opened_at - Span::from_mins(20), world.now);
    let task = |number: u32, created: Timestamp, status| {
        let mut facts = TaskFacts::new(format!("arn:aws:ecs:us-east-1:0:task/c/old-{number}"));
        (facts.created_at, facts.status) = (Some(created), status);
        facts.stopped_at = (status == TaskStatus::Stopped).then_some(created + Span::from_mins(1));
        facts
    };
    let taken = |tasks: Vec<TaskFacts>, clock_ahead| {
        let seen = Observation { tasks: Observed::Present(tasks), clock_ahead, ..Observation::default() };
        let notes = look(&world, &seen, now).notes;
        notes.iter().filter(|note| matches!(note, Event::TaskSeen { .. })).count()
    };
    for status in [TaskStatus::Stopped, TaskStatus::Deprovisioning, TaskStatus::Running] {
        assert_eq!(taken(vec![task(1, before, status)], None), 0, "{status:?}");
        assert_eq!(taken(vec![task(2, world.record.opened_at, status)], None), 1, "{status:?}");
    }
    // AWS's clock is three minutes behind ours, and so are the times that it tells.
    let behind = world.record.opened_at - Span::from_mins(2);
    assert_eq!(taken(vec![task(3, behind, TaskStatus::Running)], Some(-180_000)), 1);
}

#[test]
fn who_is_cut_off_from_aws_and_from_the_task_does_not_replace_it() {
    let world = up(policy());
    let (task, bad, now) = (ResourceKey::task(1), world.policy.health.unhealthy_after, world.now);
    let probed = now + Span::from_secs(5);
    let seen = |bad, read: Timestamp| Observation {
        tasks_seen_at: Some(read),
        health: HealthReading { task: Some(task), bad, at: Some(probed), ..HealthReading::default() },
        ..Observation::default()
    };
    let unanswered = Fault { own: true, code: "Connection".into(), ..fault(FaultClass::Transient) };
    let cut_off = |bad| Observation {
        unread: Some(Unread { since: probed, fault: unanswered.clone() }),
        cut_off_at: Some(probed + Span::from_secs(1)),
        ..seen(bad, now)
    };
    for (bad, after) in [(bad, 1), (bad, 60), (100 * bad, 600)] {
        assert!(!restarts(&look(&world, &cut_off(bad), probed + Span::from_secs(after))), "{bad} after {after} s");
    }
    // It answers again, and late: what was probed meanwhile says nothing, but for so long.
    let late =
        |bad| Observation { cut_off_at: Some(probed + Span::from_secs(8)), ..seen(bad, probed + Span::from_secs(8)) };
    assert!(!restarts(&look(&world, &late(bad), probed + Span::from_secs(8))));
    assert!(restarts(&look(&world, &late(2 * bad), probed + Span::from_secs(8))));
    // A probe that failed since is of the task.
    let since = Observation { cut_off_at: Some(now), ..seen(bad, probed) };
    assert!(restarts(&look(&world, &since, probed)));
}

#[test]
fn what_aws_takes_away_is_judged_when_it_is_gone() {
    let world = up(policy());
    let task = ResourceKey::task(1);
    let mut facts = world.record.resources[&task].task.clone().unwrap();
    facts.wanted = false;
    let (now, bad) = (world.now, world.policy.health.unhealthy_after);
    let id = facts.arn.clone();
    let sighting = Sighting { id, ours: true, held_by: vec![], task: Some(facts.clone()), made_at: None, fault: None };
    let seen = Observation {
        sightings: [(task, Observed::Present(sighting.clone()))].into(),
        tasks_seen_at: Some(now),
        health: HealthReading { task: Some(task), bad, at: Some(now), ..HealthReading::default() },
        ..Observation::default()
    };
    assert!(!restarts(&look(&world, &seen, now)), "it closes for AWS");
    (facts.status, facts.stop_code) = (TaskStatus::Stopped, Some("SpotInterruption".into()));
    let gone = Sighting { task: Some(facts), ..sighting };
    let seen = Observation { sightings: [(task, Observed::Present(gone))].into(), ..seen };
    let notes = look(&world, &seen, now).notes;
    let lost = notes.iter().any(|note| matches!(note, Event::TaskLost { .. }));
    let because = notes.iter().find_map(|note| match note {
        Event::Restarting { because, .. } => Some(because.clone()),
        _ => None,
    });
    assert!(lost && because.is_some_and(|because| because.contains("Spot")), "{notes:?}");
}

#[test]
fn a_pull_that_fails_once_is_tried_again_where_it_worked_before_or_its_role_is_new() {
    let lost = |world: &World, reason: &str, now: Timestamp| {
        let task = ResourceKey::task(1);
        let mut facts = world.record.resources[&task].task.clone().unwrap();
        (facts.status, facts.wanted) = (TaskStatus::Stopped, false);
        (facts.stopped_at, facts.stopped_reason) = (Some(now), Some(reason.into()));
        facts.stop_code = Some("TaskFailedToStart".into());
        let id = facts.arn.clone();
        let sighting = Sighting { id, ours: true, held_by: vec![], task: Some(facts), made_at: None, fault: None };
        let sightings = [(task, Observed::Present(sighting))].into();
        let plan = look(world, &Observation { sightings, ..Observation::default() }, now);
        let ended = plan.notes.iter().find_map(|note| match note {
            Event::Ending { cause, .. } => Some(*cause),
            _ => None,
        });
        (restarts(&plan), ended)
    };
    let (rights, network) = (
        "CannotPullContainerError: pull access denied: AccessDeniedException: not authorized",
        "CannotPullContainerError: dial tcp: i/o timeout",
    );
    let world = up(policy());
    assert_eq!(lost(&world, network, world.now), (true, None), "it was pulled before");

    let mut young = World::new(policy(), 21);
    young.run_until(PLENTY, |record| record.tasks().any(|(_, task)| task.task.is_some()));
    let role = ResourceKey::only(ResourceKind::ExecutionRole);
    let made = young.record.resources[&role].live_at.unwrap();
    assert_eq!(lost(&young, rights, made + Span::from_secs(50)), (true, None), "AWS does not know the role everywhere");
    assert_eq!(lost(&young, rights, made + Span::from_secs(121)), (false, Some(Cause::DeployFailed)));
    assert_eq!(lost(&young, network, made + Span::from_secs(50)), (false, Some(Cause::DeployFailed)));
    young.policy.task.max_restarts = 0;
    assert_eq!(lost(&young, rights, made + Span::from_secs(50)), (false, Some(Cause::DeployFailed)));
}

#[test]
fn a_clock_that_was_set_back_makes_no_wait_and_no_life_longer() {
    let mut world = up(policy());
    let task = ResourceKey::task(1);
    let hours = Span::from_mins(120);
    let ends = |world: &World, now| {
        let limits = look(world, &Observation::default(), now).outlook.limits;
        limits.into_iter().find(|limit| limit.kind == LimitKind::Lifetime).unwrap().at
    };
    let (now, end) = (world.now, ends(&world, world.now));
    ask(&mut world, Request::End { reason: "enough".into() });
    let note = |world: &mut World, now, event| world.record.apply(now, &event);
    let plan = look(&world, &Observation::default(), now);
    plan.notes.into_iter().for_each(|event| note(&mut world, now, event));
    note(&mut world, now, Event::Intended { key: task, action: Action::Stop, name: "t".into(), size: None });
    note(&mut world, now, Event::Failed { key: Some(task), action: Action::Stop, fault: fault(FaultClass::Throttled) });
    let back = now - hours;
    note(&mut world, back, Event::ClockSetBack { by: hours });
    let stops = |now| {
        let plan = look(&world, &Observation::default(), now);
        plan.steps.iter().any(|step| matches!(step, Step::StopTask { .. }))
    };
    assert!(!stops(back) && stops(back + Span::from_secs(10)), "the next try is within ten seconds, as ever");

    let mut world = up(policy());
    note(&mut world, back, Event::ClockSetBack { by: hours });
    assert_eq!(ends(&world, back), end - hours, "it lives as long as before");
}

#[test]
fn limits_say_what_moves_them_and_nothing_where_nothing_does() {
    let moved_by = |policy: Policy| {
        let world = up(policy);
        let limits = look(&world, &Observation::default(), world.now).outlook.limits;
        limits.into_iter().find(|limit| limit.kind == LimitKind::Budget).unwrap().moved_by
    };
    let mut fixed = policy();
    fixed.limits.max_budget = fixed.limits.budget;
    assert_eq!(moved_by(fixed.clone()), "nothing: this is the policy's hard limit");
    fixed.limits.max_budget = fixed.limits.budget + fixed.limits.budget;
    assert_eq!(moved_by(fixed), "`labguard extend --budget`, up to the policy's max_budget");
}

#[test]
fn a_repository_that_lost_its_tag_is_told_with_what_is_in_it() {
    let mut world = up(policy());
    let repository = ResourceKey::only(ResourceKind::Repository);
    ask(&mut world, Request::End { reason: "enough".into() });
    world.run_until(PLENTY, |record| record.resources[&repository].life != Life::Live);
    // What the executor makes of a removal that was refused for want of the tag.
    let why = "the repository lab was made by this session and bears its tag no more".to_owned();
    world.journal(Event::Unproven { key: repository, why });
    world.run(PLENTY);
    assert!(world.record.is_closed());
    let told: Vec<&str> = world.record.unproven().collect();
    assert!(told.len() == 2 && told.iter().any(|why| why.contains("the image is in the repository")), "{told:?}");
    let receipt = world.record.receipt.clone().unwrap();
    assert_eq!(receipt["proven_clean"], false);
    let left = receipt["resources"].as_array().unwrap().iter().filter(|it| it["gone_at"].is_null()).count();
    assert_eq!(left, 2, "{receipt}");
}
