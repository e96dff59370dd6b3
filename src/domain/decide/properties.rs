//! What must hold of any record and any observation, sensible or not.

use proptest::{prelude::*, strategy::Union};

use super::{
    Rules, decide, invariants, wants,
    world::{at, fault, opened, policy},
};
use crate::domain::{
    meter::{RateBook, estimate, ledger, receipt},
    model::{
        Action, BudgetReading, Cause, Effect, Event, Extension, FaultClass, HealthReading, Identity, Measure, Money,
        Net, Network, Observation, Observed, Period, Phase, Pool, Record, Request, ResourceKey, ResourceKind,
        ScheduledCall, Scope, Sighting, Sign, Source, SourceReading, Span, Stage, Step, Subnet, TaskFacts, TaskLoss,
        TaskSize, TaskStatus, Threshold, Timestamp, Unread,
    },
    policy::{Policy, RunMode},
};

fn when() -> impl Strategy<Value = Timestamp> {
    (-100i64..9_000).prop_map(at)
}

fn key() -> impl Strategy<Value = ResourceKey> {
    prop_oneof![
        (0..10usize).prop_map(|kind| {
            let kinds = ResourceKind::ALL.into_iter().filter(|kind| *kind != ResourceKind::Task);
            ResourceKey::only(kinds.collect::<Vec<_>>()[kind])
        }),
        (1u32..4).prop_map(ResourceKey::task),
    ]
}

fn facts() -> impl Strategy<Value = TaskFacts> {
    let status = prop_oneof![
        Just(TaskStatus::Other),
        Just(TaskStatus::Pending),
        Just(TaskStatus::Running),
        Just(TaskStatus::Stopping),
        Just(TaskStatus::Stopped),
    ];
    let ip = proptest::option::of(Just("198.51.100.7".to_owned()));
    (1u32..6, status, any::<bool>(), proptest::option::of(when()), proptest::option::of(when()), ip).prop_map(
        |(number, status, wanted, started, stopped, ip)| TaskFacts {
            status,
            wanted,
            created_at: started,
            started_at: started,
            stopped_at: stopped.filter(|_| status == TaskStatus::Stopped),
            public_ip: ip,
            ..TaskFacts::new(format!("arn:{number}"))
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let action = || prop_oneof![Just(Action::Create), Just(Action::Stop), Just(Action::Remove)];
    let effect = prop_oneof![
        Just(Effect::Created),
        Just(Effect::AlreadyThere),
        Just(Effect::Adopted),
        Just(Effect::StopRequested),
        Just(Effect::Removed),
        Just(Effect::NotOurs),
    ];
    let class = || (0..10usize).prop_map(|class| FaultClass::ALL[class]);
    let phase = (0..8usize).prop_map(|phase| Phase::ALL[phase]);
    let cause = (0..12usize).prop_map(|cause| Cause::ALL[cause]);
    let stage = prop_oneof![Just(Stage::Stop), Just(Stage::Teardown)];
    let identity = Identity { account: "000000000000".into(), arn: "arn".into(), region: "us-east-1".into() };
    let network = Network { vpc: "vpc".into(), subnets: vec![Subnet { id: "subnet".into(), zone: "a".into() }] };
    Union::new([
        Just(Event::Identified { identity }).boxed(),
        Just(Event::Surveyed { network }).boxed(),
        phase.prop_map(|phase| Event::Entered { phase, because: "any".into() }).boxed(),
        (key(), action())
            .prop_map(|(key, action)| Event::Intended { key, action, name: "n".into(), size: Some(TaskSize::SMALLEST) })
            .boxed(),
        (key(), action(), effect)
            .prop_map(|(key, action, effect)| Event::Done {
                key,
                action,
                effect,
                id: Some(format!("arn:{}", key.number)),
            })
            .boxed(),
        (proptest::option::of(key()), action(), class())
            .prop_map(|(key, action, class)| Event::Failed { key, action, fault: fault(class) })
            .boxed(),
        key().prop_map(|key| Event::Vanished { key }).boxed(),
        (1u32..4, facts())
            .prop_map(|(number, facts)| Event::TaskSeen {
                key: ResourceKey::task(number),
                facts,
                size: TaskSize::SMALLEST,
            })
            .boxed(),
        (1u32..4)
            .prop_map(|number| Event::TaskLost {
                key: ResourceKey::task(number),
                loss: TaskLoss::Exited,
                detail: "x".into(),
            })
            .boxed(),
        any::<bool>().prop_map(|healthy| Event::Health { healthy, detail: "d".into() }).boxed(),
        Just(Event::Announced { url: "http://198.51.100.7:5000".into() }).boxed(),
        (cause, stage).prop_map(|(cause, stage)| Event::Ending { cause, detail: "d".into(), stage }).boxed(),
        Just(Event::Requested { request: Request::Resume }).boxed(),
        Just(Event::Requested { request: Request::Stop { reason: "r".into() } }).boxed(),
        Just(Event::Requested { request: Request::End { reason: "r".into() } }).boxed(),
        (0u64..100_000)
            .prop_map(|secs| Event::Requested {
                request: Request::Extend(Extension::Idle { by: Span::from_secs(secs) }),
            })
            .boxed(),
        Just(Event::Resumed).boxed(),
        Just(Event::Verified { left: Vec::new() }).boxed(),
        Just(Event::Restarting { restart: 1, because: "b".into() }).boxed(),
        when().prop_map(|at| Event::Scheduled { schedules: vec![("task-1-stop".into(), at)] }).boxed(),
        any::<bool>().prop_map(|holds| Event::NetChanged { net: Net::Scheduler, holds, detail: "d".into() }).boxed(),
    ])
}

/// Shared budgets, sensible or not: over, far from over, of a period that is over, reached already.
fn budgets() -> impl Strategy<Value = Vec<BudgetReading>> {
    let money = || (0i64..100_000_000).prop_map(Money::from_nanos);
    let pool = (when(), money(), money(), money()).prop_map(|(at, spent, rate, teardown)| Pool {
        at,
        spent,
        rate,
        teardown,
        sessions: 2,
        ..Pool::default()
    });
    let threshold = (0..4usize, 1u8..=100, money()).prop_map(|(measure, percent, amount)| {
        let measure = [Measure::Notify, Measure::Block, Measure::Stop, Measure::Teardown][measure];
        Threshold { percent, measure, amount }
    });
    let reached = proptest::option::of(prop_oneof![Just(Stage::Stop), Just(Stage::Teardown)]);
    let thresholds = proptest::collection::vec(threshold, 0..4);
    let budget = (when(), proptest::option::of(when()), pool, thresholds, reached).prop_map(
        |(from, until, pool, thresholds, reached)| BudgetReading {
            name: "class".into(),
            scope: Scope::Group,
            of: "ml".into(),
            period: Period::Day,
            from,
            until,
            limit: Money::from_nanos(100_000_000),
            thresholds,
            pool,
            reached,
        },
    );
    proptest::collection::vec(budget, 0..3)
}

fn observation() -> impl Strategy<Value = Observation> {
    let sighting = (any::<bool>(), facts()).prop_map(|(ours, facts)| {
        Observed::Present(Sighting {
            id: facts.arn.clone(),
            ours,
            held_by: vec!["eni-1".into()],
            task: Some(facts),
            made_at: None,
            fault: None,
        })
    });
    let seen = prop_oneof![Just(Observed::Unknown), Just(Observed::Absent), sighting];
    let tasks = prop_oneof![
        Just(Observed::Unknown),
        Just(Observed::Absent),
        proptest::collection::vec(facts(), 0..4).prop_map(Observed::Present),
    ];
    let sign = prop_oneof![
        when().prop_map(|since| Sign::Unknown { since, why: "w".into() }),
        when().prop_map(|last| Sign::Active { since: last, last, what: "w".into() }),
        when().prop_map(|since| Sign::Quiet { since }),
    ];
    let source = proptest::sample::select(Source::ALL.to_vec());
    let reading = (source, sign, when(), 0..400u64).prop_map(|(source, sign, read_at, secs)| SourceReading {
        source,
        sign,
        read_at,
        latency: Span::from_secs(secs),
        interval: Span::from_secs(15),
    });
    let activity = proptest::collection::vec(reading, 0..4);
    let probed = proptest::option::of(when());
    let health = (proptest::option::of(1u32..4), 0u32..6, 0u32..6, probed).prop_map(|(task, good, bad, at)| {
        HealthReading { task: task.map(ResourceKey::task), good, bad, at, ..HealthReading::default() }
    });
    let sightings = proptest::collection::btree_map(key(), seen, 0..6);
    let failed = || proptest::option::of((when(), (0..10usize).prop_map(|class| fault(FaultClass::ALL[class]))));
    let faults = (failed(), failed());
    (sightings, tasks, proptest::option::of(when()), health, activity, any::<bool>(), budgets(), faults).prop_map(
        |(sightings, tasks, tasks_seen_at, health, activity, draining, budgets, (unread, unplaced))| {
            // A sighting of a resource that is no task has no task in it.
            let sightings = sightings
                .into_iter()
                .map(|(key, seen)| match seen {
                    Observed::Present(seen) if key.kind != ResourceKind::Task => {
                        (key, Observed::Present(Sighting { task: None, ..seen }))
                    }
                    seen => (key, seen),
                })
                .collect();
            Observation {
                sightings,
                tasks,
                tasks_seen_at,
                health,
                activity,
                draining,
                budgets,
                unread: unread.map(|(since, fault)| Unread { since, fault }),
                unplaced,
                ..Observation::default()
            }
        },
    )
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (any::<bool>(), any::<bool>(), 0u32..4, 1i64..2_000_000_000).prop_map(|(service, staged, restarts, budget)| {
        let mut policy = policy();
        if service {
            policy.task.run = RunMode::Service { desired: 2 };
        }
        if staged {
            policy.end.on_idle = Stage::Stop;
        }
        policy.task.max_restarts = restarts;
        policy.limits.budget = Money::from_nanos(budget);
        policy.fuse.scheduler = budget % 2 == 0;
        if budget % 4 == 0 {
            policy.fuse.require = vec![Net::Scheduler];
        }
        policy
    })
}

fn replay(policy: &Policy, events: &[(Timestamp, Event)]) -> Record {
    let mut record = opened(policy);
    events.iter().for_each(|(at, event)| record.apply(*at, event));
    record
}

/// Whether a schedule would touch only what the record calls this session's. A service that is yet to be made is in a
/// cluster of the session's own.
fn is_ours(record: &Record, call: &ScheduledCall) -> bool {
    let ours = |kind| record.only(kind).is_some_and(|it| it.ours && it.life.may_exist());
    match call {
        ScheduledCall::StopTask { task, .. } => {
            record.tasks().any(|(_, it)| it.ours && it.id.as_ref() == Some(task) && it.life.may_exist())
        }
        ScheduledCall::DeleteService { .. } => ours(ResourceKind::Service) || ours(ResourceKind::Cluster),
        ScheduledCall::DeleteCluster { .. } => ours(ResourceKind::Cluster),
        ScheduledCall::DeleteRepository { .. } => ours(ResourceKind::Repository),
        ScheduledCall::DeleteSecurityGroup { .. } => ours(ResourceKind::SecurityGroup),
        ScheduledCall::DeleteLogGroup { log_group } if log_group.starts_with("/aws/") => {
            ours(ResourceKind::InsightsLog)
        }
        ScheduledCall::DeleteLogGroup { .. } => ours(ResourceKind::LogGroup),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_record_and_observation_give_a_plan_that_keeps_the_promises(
        policy in any_policy(),
        events in proptest::collection::vec((when(), event()), 0..25),
        seen in observation(),
        now in when(),
    ) {
        let card = RateBook::embedded().card("us-east-1");
        let rules = Rules { policy: &policy, card: &card };
        let mut record = replay(&policy, &events);
        let before = record.ending.clone();
        let plan = decide(&record, &seen, rules, now);
        prop_assert_eq!(&plan, &decide(&record, &seen, rules, now), "the same question, the same answer");
        for note in &plan.notes {
            record.apply(now, note);
        }
        for step in &plan.steps {
            match step {
                Step::Ensure { .. } | Step::Admit { .. } => {
                    prop_assert!(record.ending.is_none(), "made something while ending: {:?}", step);
                }
                Step::Remove { key, .. } | Step::StopTask { key, .. } => {
                    prop_assert!(record.resources[key].ours, "removes what is not ours: {:?}", step);
                    if key.kind.is_net() {
                        prop_assert!(record.ours_left().all(|(key, _)| key.kind.is_net()), "the net goes last");
                    }
                    if key.kind == ResourceKind::Cluster {
                        prop_assert!(!record.tasks().any(|(_, task)| task.ours && task.life.may_exist()));
                    }
                }
                Step::Arm { arming, .. } => {
                    let stopped = record.ending.as_ref().is_none_or(|ending| ending.stage == Stage::Stop);
                    prop_assert!(stopped, "armed while it is torn down: {:?}", step);
                    for scheduled in &arming.schedules {
                        prop_assert!(scheduled.at > now, "scheduled in the past: {:?}", scheduled);
                        prop_assert!(is_ours(&record, &scheduled.call), "would remove others' things: {:?}", scheduled);
                    }
                }
                Step::Identify | Step::Survey { .. } => prop_assert!(record.ending.is_none()),
            }
        }
        let mut keys: Vec<_> = plan.steps.iter().filter_map(Step::key).collect();
        let steps = keys.len();
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(keys.len(), steps, "one step a resource");
        // A resume lifts a stop; what ends it after that is a new ending.
        let resumed = plan.notes.contains(&Event::Resumed);
        if let (Some(before), Some(after), false) = (before, &record.ending, resumed) {
            prop_assert!(after.cause >= before.cause && after.stage >= before.stage);
        }
        prop_assert!(plan.wake_at.is_some_and(|at| at > now) || record.is_closed());
        prop_assert!(plan.outlook.limits.is_sorted_by_key(|limit| limit.at));
        let _ = (wants(&record, &policy, &seen, now), invariants::lint(&record, &policy, now));
        let receipt = receipt(&record, &card, now);
        prop_assert_eq!(receipt.lines.iter().map(|line| line.amount).sum::<Money>(), receipt.total);
    }

    #[test]
    fn looking_again_soon_comes_to_rest(
        policy in any_policy(),
        events in proptest::collection::vec((when(), event()), 0..25),
        seen in observation(),
        now in when(),
    ) {
        let card = RateBook::embedded().card("us-east-1");
        let rules = Rules { policy: &policy, card: &card };
        let mut record = replay(&policy, &events);
        let mut last = Vec::new();
        // A senseless record may take a few looks to be put in order; it must not go round in circles.
        for _ in 0..12 {
            last = decide(&record, &seen, rules, now).notes;
            if last.is_empty() {
                break;
            }
            for note in &last {
                record.apply(now, note);
            }
        }
        prop_assert_eq!(last, Vec::new());
    }

    #[test]
    fn spend_never_falls_as_time_passes(
        events in proptest::collection::vec((when(), event()), 0..25), now in when(), later in 0u64..10_000,
    ) {
        let record = replay(&policy(), &events);
        let card = RateBook::embedded().card("us-east-1");
        let (early, late) = (ledger(&record, &card, now), ledger(&record, &card, now + Span::from_secs(later)));
        prop_assert!(early.total <= late.total);
    }

    #[test]
    fn an_estimate_adds_up(policy in any_policy()) {
        let estimate = estimate(&policy, &RateBook::embedded().card("us-east-1"));
        prop_assert_eq!(estimate.per_hour.iter().map(|line| line.amount).sum::<Money>(), estimate.rate);
        prop_assert!(estimate.until.is_sorted_by_key(|(_, span, _)| *span));
    }
}
