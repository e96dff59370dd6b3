//! Tables: what the guard inside the task means for its session, seen from outside.

use super::{
    Rules, decide,
    world::{World, at, policy},
};
use crate::domain::{
    meter::{self, RateBook},
    model::{
        Cause, Event, Lease, Money, Observation, Observed, Phase, Plan, Record, RenewalReading, ResourceKey, Sighting,
        Span, Stage, TaskFacts, TaskStatus, Timestamp, sentinel::End,
    },
    policy::{Policy, Sentinel},
};

/// A policy with a guard that labguard reaches, and that ends for idleness.
fn guarded() -> Policy {
    let mut policy = policy();
    policy.fuse.sentinel = Sentinel::Shell;
    policy.fuse.end_idle = true;
    policy.fuse.sources = vec!["127.0.0.1/32".to_owned()];
    policy
}

fn running(policy: &Policy) -> (Record, Timestamp) {
    let mut world = World::new(policy.clone(), 1);
    world.run_until(1000, |record| record.phase == Phase::Running);
    (world.record, world.now)
}

fn look(record: &Record, policy: &Policy, seen: &Observation, now: Timestamp) -> Plan {
    decide(record, seen, Rules { policy, card: &RateBook::embedded().card("us-east-1") }, now)
}

fn serving(record: &Record) -> (ResourceKey, TaskFacts) {
    let (key, task) = record.tasks().last().unwrap();
    (key, task.task.clone().unwrap())
}

/// What becomes of a session whose guard ended its task.
fn after(record: &Record, policy: &Policy, end: End, given: Option<Timestamp>, now: Timestamp) -> Plan {
    look(record, policy, &stopped(record, end, given, now), now)
}

/// How its task is seen then.
fn stopped(record: &Record, end: End, given: Option<Timestamp>, now: Timestamp) -> Observation {
    let (key, mut facts) = serving(record);
    facts.status = TaskStatus::Stopped;
    facts.wanted = false;
    facts.stopped_at = Some(now);
    facts.stop_code = Some("EssentialContainerExited".to_owned());
    facts.stopped_reason = Some("Essential container in task exited".to_owned());
    facts.exit_code = Some(143);
    facts.sentinel_exit = Some(end.code().into());
    facts.sentinel_deadline = given;
    let sighting = Sighting {
        id: facts.arn.clone(),
        ours: true,
        held_by: Vec::new(),
        task: Some(facts),
        made_at: None,
        fault: None,
    };
    let sightings = [(key, Observed::Present(sighting))].into();
    Observation { sightings, ..Observation::default() }
}

fn ended(plan: &Plan) -> Option<(Cause, Stage, String)> {
    plan.notes.iter().find_map(|note| match note {
        Event::Ending { cause, stage, detail } => Some((*cause, *stage, detail.clone())),
        _ => None,
    })
}

fn restarts(plan: &Plan) -> bool {
    plan.notes.iter().any(|note| matches!(note, Event::Restarting { .. }))
}

#[test]
fn an_idle_end_of_the_sentinels_is_the_sessions_unless_labguard_knows_of_use_that_it_has_not_heard_of() {
    let timeout = Span::from_mins(10);
    type Case = (&'static str, fn(&mut Policy, &mut Record, Timestamp), Option<Stage>);
    let cases: [Case; 7] = [
        ("nobody used it", |_, _, _| {}, Some(Stage::Teardown)),
        ("staged", |policy, _, _| policy.end.on_idle = Stage::Stop, Some(Stage::Stop)),
        (
            "touched a moment ago",
            |_, record, now| {
                let event = Event::Active { last: now, source: "touch".into(), what: "somebody".into() };
                record.apply(now, &event);
            },
            None,
        ),
        (
            "used when its idle time began",
            |_, record, now| {
                let last = Timestamp::from_millis(now.as_millis() - 600_000);
                record.apply(last, &Event::Active { last, source: "requests".into(), what: "a request".into() });
            },
            Some(Stage::Teardown),
        ),
        (
            "held by a lease",
            |_, record, now| {
                let lease = Lease {
                    by: "train.py".into(),
                    opened_at: at(0),
                    renewed_at: at(0),
                    ttl: Span::from_mins(30),
                    expires_at: now + Span::from_mins(5),
                };
                record.leases.insert("a".into(), lease);
            },
            None,
        ),
        ("extended", |_, record, now| record.extensions.idle_until = Some(now + Span::from_mins(5)), None),
        ("no idle time any more", |policy, _, _| policy.limits.idle_timeout = None, None),
    ];
    for (name, change, stage) in cases {
        let mut policy = guarded();
        let (mut record, ready) = running(&policy);
        let now = ready + timeout + Span::from_mins(1);
        change(&mut policy, &mut record, now);
        // Without any reading labguard knows nothing of idleness itself.
        let plan = after(&record, &policy, End::Idle, None, now);
        assert_eq!(ended(&plan).map(|(cause, stage, _)| (cause, stage)), stage.map(|it| (Cause::Idle, it)), "{name}");
        assert_eq!(restarts(&plan), stage.is_none(), "{name}");
    }
}

#[test]
fn a_deadline_of_the_sentinels_is_the_hard_limit_that_it_stood_for() {
    let policy = guarded();
    let (record, now) = running(&policy);
    let lifetime = record.opened_at + policy.limits.max_lifetime.max(policy.limits.lifetime);
    let soon = now + Span::from_mins(1);
    let little = Money::from_nanos(2_000_000);
    let card = RateBook::embedded().card("us-east-1");
    let begun = record.tasks().last().unwrap().1.intended_at;
    let mut poor = policy.clone();
    (poor.limits.budget, poor.limits.max_budget) = (little, little);
    let spent = meter::deadline(&record, &poor, &card, little, begun);
    assert!(spent < lifetime, "{spent}");
    type Case = (&'static str, fn(&mut Policy, Timestamp), Option<Timestamp>, Option<Cause>);
    let cases: [Case; 6] = [
        ("lifetime, its clock ahead", |_, _| {}, Some(lifetime), Some(Cause::Lifetime)),
        ("nothing told, as by a task of before", |_, _| {}, None, Some(Cause::Lifetime)),
        ("end time", |policy, now| policy.limits.ends_at = Some(now), Some(soon), Some(Cause::EndTime)),
        (
            "money",
            |policy, _| {
                policy.limits.budget = Money::from_nanos(2_000_000);
                policy.limits.max_budget = policy.limits.budget;
            },
            Some(spent),
            Some(Cause::Budget),
        ),
        (
            "money, of a task that was not told",
            |policy, _| {
                policy.limits.budget = Money::from_nanos(2_000_000);
                policy.limits.max_budget = policy.limits.budget;
            },
            None,
            Some(Cause::Budget),
        ),
        ("a limit that was moved since", |_, _| {}, Some(soon), None),
    ];
    for (name, change, given, cause) in cases {
        let mut policy = policy.clone();
        change(&mut policy, soon);
        let plan = after(&record, &policy, End::Deadline, given, now + Span::from_secs(1));
        let end = ended(&plan);
        assert_eq!(
            end.as_ref().map(|(cause, stage, _)| (*cause, *stage)),
            cause.map(|it| (it, Stage::Teardown)),
            "{name}"
        );
        assert_eq!(restarts(&plan), cause.is_none(), "{name}");
        assert!(end.is_none_or(|(.., detail)| detail.contains("its sentinel ended it at its deadline")), "{name}");
    }
}

#[test]
fn a_deadline_that_was_the_close_of_the_hours_ends_it_as_the_policy_says_for_them() {
    for stage in [Stage::Stop, Stage::Teardown] {
        let mut policy = guarded();
        let (record, now) = running(&policy);
        let end_cron = (now + Span::from_mins(2)).to_chrono().format("%M %H * * *").to_string();
        policy.limits.hours = Some(crate::domain::policy::Hours { end_cron, zone: "UTC".into() });
        policy.end.on_hours = stage;
        let close = meter::closes(&record, &policy).unwrap();
        // Its clock is a little ahead of ours, or we were away: what it was given tells.
        for (given, now) in [(Some(close), close - Span::from_secs(20)), (Some(close), close + Span::from_mins(30))] {
            let (cause, how_far, detail) = ended(&after(&record, &policy, End::Deadline, given, now)).unwrap();
            assert_eq!((cause, how_far), (Cause::HoursClosed, stage), "{detail}");
            assert!(detail.starts_with("its hours closed at"), "{detail}");
        }
    }
}

#[test]
fn a_guards_deadline_is_told_and_read_by_its_own_clock() {
    let policy = guarded();
    let (record, now) = running(&policy);
    let lifetime = record.opened_at + policy.limits.max_lifetime.max(policy.limits.lifetime);
    for ahead in [-3_600_000, 3_600_000_i64] {
        let seen = Observation { clock_ahead: Some(ahead), ..Observation::default() };
        let theirs = seen.apart().theirs(lifetime);
        assert_eq!(theirs.as_millis() - lifetime.as_millis(), ahead);
        let seen = Observation { clock_ahead: Some(ahead), ..stopped(&record, End::Deadline, Some(theirs), now) };
        let (cause, _, detail) = ended(&look(&record, &policy, &seen, now)).unwrap();
        assert_eq!(cause, Cause::Lifetime, "{detail}");
    }
}

#[test]
fn a_lease_says_nothing_of_the_session_and_its_task_is_restarted() {
    let policy = guarded();
    let (record, now) = running(&policy);
    let plan = after(&record, &policy, End::Lease, None, now + Span::from_mins(1));
    assert!(restarts(&plan) && ended(&plan).is_none());
    let because = plan.notes.iter().find_map(|note| match note {
        Event::Restarting { because, .. } => Some(because.clone()),
        _ => None,
    });
    assert!(because.is_some_and(|said| said.contains("whose lease nobody renewed")));
}

#[test]
fn the_sentinel_is_told_an_idle_time_that_ends_after_labguards_own() {
    let mut policy = guarded();
    let (mut record, now) = running(&policy);
    policy.fuse.sentinel = Sentinel::Own;
    let timeout = policy.limits.idle_timeout.unwrap();
    let told = |record: &Record, now| {
        let lease = look(record, &policy, &Observation::default(), now).outlook.sentinel;
        lease.expect("it is renewed").idle.expect("it ends for idleness")
    };
    let started = serving(&record).1.started_at.unwrap();
    // Never used: the sentinel counts from its start, labguard from when it could first be used.
    let ready = record.first_healthy_at.unwrap();
    assert!(ready > started, "{ready} {started}");
    assert!(started + told(&record, now) > ready + timeout + Span::from_secs(20));
    let last = now + Span::from_mins(2);
    record.apply(last, &Event::Active { last, source: "requests".into(), what: "a request".into() });
    let after_use = told(&record, last + Span::from_secs(5));
    assert!(after_use > timeout + Span::from_secs(20) && after_use < timeout + Span::from_mins(40), "{after_use}");
    record.extensions.idle_until = Some(now + Span::from_mins(60));
    let lease = look(&record, &policy, &Observation::default(), now).outlook.sentinel;
    assert_eq!(lease.unwrap().idle, None, "it knows of no extension");
}

/// A session with labguard's own guard, whose task has its address but not its image yet.
fn pulling() -> (Policy, Record, ResourceKey, Timestamp) {
    let mut policy = guarded();
    let (mut record, now) = running(&policy);
    policy.fuse.sentinel = Sentinel::Own;
    let (key, _) = serving(&record);
    record.phase = Phase::Starting;
    let task = record.resources.get_mut(&key).unwrap().task.as_mut().unwrap();
    (task.status, task.started_at) = (TaskStatus::Activating, None);
    (policy, record, key, now)
}

#[test]
fn a_task_that_never_ran_was_not_idle() {
    let (policy, record, _, now) = pulling();
    let plan = after(&record, &policy, End::Idle, None, now + Span::from_mins(30));
    assert!(restarts(&plan) && ended(&plan).is_none(), "{:?}", plan.notes);
}

#[test]
fn a_guard_is_talked_to_before_the_application_runs_and_nothing_else_is() {
    let (mut policy, record, key, now) = pulling();
    let watch = |policy: &Policy| look(&record, policy, &Observation::default(), now).watch;
    assert_eq!(watch(&policy).map(|watch| (watch.task, watch.runs)), Some((key, false)));
    let told = look(&record, &policy, &Observation::default(), now).outlook.sentinel.unwrap();
    assert_eq!(told.idle, None, "a pull is not idle time");
    policy.fuse.sentinel = Sentinel::Off;
    assert_eq!(watch(&policy), None);
    let (policy, (record, now)) = (guarded(), running(&guarded()));
    assert!(look(&record, &policy, &Observation::default(), now).watch.is_some_and(|watch| watch.runs));
}

#[test]
fn when_a_sentinel_acts_is_by_its_last_answer_then_by_its_first_lease_and_not_known_before_it_runs() {
    let (policy, mut record, key, now) = pulling();
    let acts = |record: &Record, reading: &RenewalReading| {
        let seen = Observation { renewals: Some(reading.clone()), ..Observation::default() };
        look(record, &policy, &seen, now).outlook.sentinel_acts
    };
    let mut silent = RenewalReading::new(key, now);
    silent.failed(now, "no answer".into());
    let mut answered = silent.clone();
    answered.accepted(now, Span::from_mins(2));
    assert_eq!((acts(&record, &silent), acts(&record, &answered)), (None, Some(now + Span::from_mins(2))));
    let task = record.resources.get_mut(&key).unwrap().task.as_mut().unwrap();
    (task.status, task.started_at) = (TaskStatus::Running, Some(now));
    assert_eq!(acts(&record, &silent), Some(now + policy.fuse.lease));
    let task = record.resources.get_mut(&key).unwrap().task.as_mut().unwrap();
    task.sentinel_lease = Some(Span::from_secs(50));
    assert_eq!(acts(&record, &silent), Some(now + Span::from_secs(50)), "it was started with less");
    assert_eq!(acts(&record, &answered), Some(now + Span::from_mins(2)), "and was renewed");
}
