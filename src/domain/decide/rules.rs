//! Tables: one rule each, seen from outside.

use super::{
    Rules, decide, invariants,
    invariants::Severity,
    wants,
    world::{World, at, fault, opened, policy},
};
use crate::domain::{
    meter::{self, RateBook},
    model::{
        Action, Cause, CredentialReading, Effect, Event, Fault, FaultClass, HealthReading, LimitKind, Money,
        Observation, Observed, Phase, Plan, Record, Request, ResourceKey, ResourceKind, Sighting, Sign, Source,
        SourceReading, Span, Stage, Step, TaskStatus, Timestamp, Unread, Want,
    },
    policy::{Hours, Policy, ShutdownPolicy},
};

fn look(record: &Record, policy: &Policy, seen: &Observation, now: Timestamp) -> Plan {
    decide(record, seen, Rules { policy, card: &RateBook::embedded().card("us-east-1") }, now)
}

/// What one counter says, read at that time.
fn says(sign: Sign, read_at: Timestamp) -> Observation {
    let (source, latency, interval) = (Source::Requests, Span::ZERO, Span::from_secs(10));
    Observation { activity: vec![SourceReading { source, sign, read_at, latency, interval }], ..Observation::default() }
}

fn ended(plan: &Plan) -> Option<(Cause, Stage)> {
    plan.notes.iter().find_map(|note| match note {
        Event::Ending { cause, stage, .. } => Some((*cause, *stage)),
        _ => None,
    })
}

/// Why a plan ends it.
fn detail(plan: &Plan) -> String {
    let said = plan.notes.iter().find_map(|note| match note {
        Event::Ending { detail, .. } => Some(detail.clone()),
        _ => None,
    });
    said.expect("it ends")
}

/// A running session, and the instant it is at.
fn running(policy: &Policy) -> (Record, Timestamp) {
    let mut world = World::new(policy.clone(), 1);
    world.run_until(1000, |record| record.phase == Phase::Running);
    (world.record, world.now)
}

#[test]
fn the_first_turn_asks_who_and_where_side_by_side() {
    let policy = policy();
    let plan = look(&opened(&policy), &policy, &Observation::default(), at(0));
    assert!(matches!(plan.steps[..], [Step::Identify, Step::Survey { .. }]), "{:?}", plan.steps);
    assert!(matches!(plan.notes[..], [Event::Priced { .. }, Event::Entered { phase: Phase::Provisioning, .. }]));
}

#[test]
fn everything_without_needs_is_made_side_by_side() {
    let policy = policy();
    let mut world = World::new(policy.clone(), 1);
    world.turn();
    let plan = look(&world.record, &policy, &Observation::default(), world.now);
    let kinds: Vec<_> = plan.steps.iter().filter_map(Step::key).map(|key| key.kind).collect();
    use ResourceKind::{Cluster, ExecutionRole, LogGroup, Repository, SecurityGroup};
    assert_eq!(kinds, [LogGroup, ExecutionRole, Cluster, SecurityGroup, Repository]);
}

#[test]
fn an_image_on_its_way_is_not_asked_for_again_and_is_wanted_only_while_the_session_is_built() {
    let policy = policy();
    let mut world = World::new(policy.clone(), 1);
    let image = ResourceKey::only(ResourceKind::Image);
    // The image is intended, and its supply has begun.
    while !world.record.resources.contains_key(&image) {
        world.turn();
    }
    world.record.resources.remove(&image);
    let intended = Event::Intended { key: image, action: Action::Create, name: "lab".into(), size: None };
    world.record.apply(world.now, &intended);
    let asks = |plan: &Plan| plan.steps.iter().any(|step| step.key() == Some(image) && step.creates());
    let idle = look(&world.record, &policy, &Observation::default(), world.now);
    assert!(asks(&idle) && !idle.supply, "after a crash it is asked for again");
    let busy = Observation { supplying: true, ..Observation::default() };
    let goes_on = look(&world.record, &policy, &busy, world.now);
    assert!(!asks(&goes_on) && goes_on.supply, "{:?}", goes_on.steps);
    for stage in [Stage::Stop, Stage::Teardown] {
        let mut ending = world.record.clone();
        ending.apply(world.now, &Event::Ending { cause: Cause::Operator, detail: "enough".into(), stage });
        let plan = look(&ending, &policy, &busy, world.now);
        assert!(!asks(&plan) && !plan.supply, "{stage:?}");
    }
}

#[test]
fn each_limit_ends_a_running_session_at_its_time() {
    let minute = Span::from_mins(1);
    type Case = (&'static str, fn(&mut Policy), Span, Cause, Stage);
    let cases: [Case; 5] = [
        ("idle", |_| {}, Span::from_mins(10), Cause::Idle, Stage::Teardown),
        ("idle, staged", |policy| policy.end.on_idle = Stage::Stop, Span::from_mins(10), Cause::Idle, Stage::Stop),
        (
            "end time",
            |policy| policy.limits.ends_at = Some(at(300)),
            Span::from_mins(5),
            Cause::EndTime,
            Stage::Teardown,
        ),
        (
            "credentials",
            |policy| policy.end.credentials_expire_at = Some(at(600)),
            Span::from_mins(5),
            Cause::CredentialsExpiring,
            Stage::Teardown,
        ),
        (
            "lifetime",
            |policy| policy.limits.lifetime = Span::from_mins(4),
            Span::from_mins(4),
            Cause::Lifetime,
            Stage::Teardown,
        ),
    ];
    for (name, change, after, cause, stage) in cases {
        let mut policy = policy();
        change(&mut policy);
        let (record, now) = running(&policy);
        let seen = says(Sign::Quiet { since: now }, at(1_000_000));
        let plan = look(&record, &policy, &seen, at(0) + after - Span::from_secs(1));
        assert_eq!(ended(&plan), None, "{name}: a second early");
        let limit = plan.outlook.limits.first().unwrap();
        assert_eq!(limit.cause, cause, "{name} is what is told to come next");
        assert_eq!(ended(&look(&record, &policy, &seen, limit.at)), Some((cause, stage)), "{name}: at its time");
        assert!(limit.at.since(at(0) + after) <= minute, "{name}");
    }
}

#[test]
fn a_cron_window_missed_while_nobody_looked_has_closed_all_the_same() {
    let mut policy = policy();
    policy.limits.hours = Some(Hours { end_cron: "0 18 * * *".into(), zone: "Europe/Berlin".into() });
    policy.end.on_hours = Stage::Stop;
    policy.limits.lifetime = Span::from_mins(100_000);
    policy.limits.max_lifetime = policy.limits.lifetime;
    policy.limits.budget = Money::from_nanos(1_000_000_000_000);
    let (record, now) = running(&policy);
    let unknown = Observation::default();
    let hours = |plan: &Plan| plan.outlook.limits.iter().find(|limit| limit.kind == LimitKind::Hours).unwrap().at;
    let close = hours(&look(&record, &policy, &unknown, now));
    let long_after = close + Span::from_mins(600);
    assert_eq!(ended(&look(&record, &policy, &unknown, long_after)), Some((Cause::HoursClosed, Stage::Stop)));
}

#[test]
fn of_several_causes_the_worst_is_given_with_the_furthest_stage() {
    let mut policy = policy();
    policy.end.on_idle = Stage::Stop;
    policy.limits.ends_at = Some(at(60));
    policy.end.on_shutdown = ShutdownPolicy::Teardown;
    let (record, now) = running(&policy);
    let seen = Observation { draining: true, ..Observation::default() };
    let plan = look(&record, &policy, &seen, now + Span::from_mins(30));
    assert_eq!(ended(&plan), Some((Cause::EndTime, Stage::Teardown)));
}

#[test]
fn idle_waits_for_late_news_for_a_gap_and_for_a_lease_and_says_so_with_the_exact_time() {
    let policy = policy();
    let (record, now) = running(&policy);
    let (minute, timeout) = (Span::from_mins(1), Span::from_mins(10));
    let limit = |record: &Record, seen: &Observation, now| {
        let plan = look(record, &policy, seen, now);
        plan.outlook.limits.into_iter().find(|limit| limit.kind == LimitKind::Idle).unwrap()
    };
    let quiet = says(Sign::Quiet { since: now }, now);
    let plain = limit(&record, &quiet, now);
    assert_eq!(plain.at, now + timeout + Span::from_secs(10), "one interval for the news");
    let stale = look(&record, &policy, &quiet, plain.at);
    assert_eq!(ended(&stale), None, "the last read is too old to say that nobody came since");
    assert!(stale.wake_at.unwrap() <= plain.at + Span::from_secs(2), "it looks again soon");

    let gap = says(Sign::Unknown { since: now, why: "answered 503".into() }, now + minute);
    let waiting = limit(&record, &gap, now + minute);
    assert_eq!(waiting.at, now + policy.activity.max_gap);
    assert!(waiting.why.contains("cannot be read now (requests: answered 503)"), "{}", waiting.why);
    let plan = look(&record, &policy, &gap, waiting.at);
    assert_eq!(ended(&plan), Some((Cause::Idle, Stage::Teardown)));
    let said = |note: &Event| matches!(note, Event::Ending { detail, .. } if detail.contains("use could not be read (requests: answered 503)"));
    assert!(plan.notes.iter().any(said), "the cause says so: {:?}", plan.notes);

    let mut leased = record.clone();
    let ask = |request| Event::Requested { request };
    let lease = |ttl| ask(Request::Lease { lease: "l".into(), by: "train.py".into(), ttl });
    leased.apply(now, &lease(Span::from_mins(30)));
    let held = limit(&leased, &quiet, now);
    assert_eq!(held.at, now + Span::from_mins(30), "{}", held.why);
    assert!(held.why.contains("held by a lease (train.py)"), "{}", held.why);
    leased.apply(now + minute, &ask(Request::Release { lease: "l".into() }));
    assert_eq!(limit(&leased, &quiet, now + minute).at, plain.at + minute, "it was in use until it was given back");
}

#[test]
fn a_lease_holds_off_no_hard_limit() {
    let policy = policy();
    let (mut record, now) = running(&policy);
    let request = Request::Lease { lease: "l".into(), by: "x".into(), ttl: Span::from_mins(600) };
    record.apply(now, &Event::Requested { request });
    let seen = says(Sign::Active { since: now, last: at(60 * 60), what: "w".into() }, at(60 * 60));
    assert_eq!(ended(&look(&record, &policy, &seen, at(60 * 60))), Some((Cause::Lifetime, Stage::Teardown)));
}

#[test]
fn unknown_is_not_idle_and_holds_off_no_hard_limit() {
    let policy = policy();
    let (record, _) = running(&policy);
    let unknown = Observation::default();
    assert_eq!(
        ended(&look(&record, &policy, &unknown, at(30 * 60))),
        None,
        "idle time-out long over, but use is unknown"
    );
    assert_eq!(ended(&look(&record, &policy, &unknown, at(60 * 60))), Some((Cause::Lifetime, Stage::Teardown)));
}

#[test]
fn a_known_expiry_of_the_credentials_ends_it_in_time_and_refused_ones_alone_do_not() {
    let policy = policy();
    let (record, now) = running(&policy);
    let with = |expires_at, refused| Observation {
        credentials: CredentialReading { expires_at, refused, missing: refused },
        ..Observation::default()
    };
    let soon = Some(now + Span::from_mins(4));
    assert_eq!(
        ended(&look(&record, &policy, &with(soon, false), now)),
        Some((Cause::CredentialsExpiring, Stage::Teardown))
    );
    assert_eq!(ended(&look(&record, &policy, &with(None, true), now)), None);
}

#[test]
fn capacity_rotates_the_subnets_and_is_given_up_after_ten_tries() {
    let policy = policy();
    let mut world = World::new(policy.clone(), 1);
    world.run_until(100, |record| record.resources.contains_key(&ResourceKey::task(1)));
    let mut record = world.record;
    let key = ResourceKey::task(1);
    if let Some(task) = record.resources.get_mut(&key) {
        *task = crate::domain::model::Resource {
            life: crate::domain::model::Life::Intended,
            id: None,
            live_at: None,
            task: None,
            ..task.clone()
        };
    }
    record.phase = Phase::Provisioning;
    let mut first = Vec::new();
    for tries in 0..10 {
        let now = world.now + Span::from_mins(tries);
        let plan = look(&record, &policy, &Observation::default(), now);
        assert_eq!(ended(&plan), None, "try {tries}");
        for step in &plan.steps {
            if let Step::Ensure { spec: crate::domain::model::Spec::Task(task), .. } = step {
                first.push(task.subnets[0].clone());
            }
        }
        record
            .apply(now, &Event::Failed { key: Some(key), action: Action::Create, fault: fault(FaultClass::Capacity) });
    }
    assert_eq!(first.len(), 10);
    assert_ne!(first[0], first[1], "another zone is tried");
    let plan = look(&record, &policy, &Observation::default(), world.now + Span::from_mins(10));
    assert_eq!(ended(&plan), Some((Cause::DeployFailed, Stage::Teardown)));
}

#[test]
fn a_task_that_aws_will_not_stop_is_asked_again_soon_and_has_no_successor_beside_it() {
    let mut policy = policy();
    policy.task.restart_backoff = Span::from_secs(1);
    let (mut record, start) = running(&policy);
    let (task, stop) = (ResourceKey::task(1), Action::Stop);
    record.apply(start, &Event::Restarting { restart: 1, because: "unhealthy".into() });
    record.apply(start, &Event::Entered { phase: Phase::Starting, because: "restart".into() });
    record.apply(start, &Event::Intended { key: task, action: stop, name: "lab-1".into(), size: None });
    let mut asked = Vec::new();
    let mut now = start;
    while record.ending.is_none() && now.since(start) < Span::from_mins(60) {
        record.apply(now, &Event::Failed { key: Some(task), action: stop, fault: fault(FaultClass::Throttled) });
        let refused_at = now;
        loop {
            now = now + Span::from_secs(1);
            let plan = look(&record, &policy, &Observation::default(), now);
            assert!(!plan.steps.iter().any(Step::creates), "two tasks would be paid for: {:?}", plan.steps);
            for note in &plan.notes {
                record.apply(now, note);
            }
            if record.ending.is_some() || plan.steps.iter().any(|step| step.key() == Some(task)) {
                break;
            }
        }
        asked.push(now.since(refused_at));
    }
    assert!(
        asked.len() > 20 && asked.iter().max() <= Some(&Span::from_secs(10)),
        "what costs is asked often: {asked:?}"
    );
    let ending = record.ending.clone().unwrap();
    assert_eq!((ending.cause, ending.stage), (Cause::CrashLoop, Stage::Teardown));
    assert!(ending.detail.contains("task 1 cannot be stopped"), "{}", ending.detail);

    // Once AWS has accepted the stop, a slow death holds its successor up for two minutes only.
    let (mut record, start) = running(&policy);
    record.apply(start, &Event::Restarting { restart: 1, because: "unhealthy".into() });
    record.apply(start, &Event::Entered { phase: Phase::Starting, because: "restart".into() });
    record.apply(start, &Event::Intended { key: task, action: stop, name: "lab-1".into(), size: None });
    record.apply(start, &Event::Done { key: task, action: stop, effect: Effect::StopRequested, id: None });
    let creates = |secs| {
        let plan = look(&record, &policy, &Observation::default(), start + Span::from_secs(secs));
        plan.steps.iter().any(Step::creates)
    };
    assert_eq!([30, 119, 120].map(creates), [false, false, true]);
}

#[test]
fn the_sentinel_ends_for_idleness_only_what_nothing_holds_that_it_cannot_see() {
    let mut policy = policy();
    policy.fuse.sentinel = crate::domain::policy::Sentinel::Own;
    policy.fuse.sources = vec!["10.0.0.0/8".to_owned()];
    policy.fuse.end_idle = true;
    let (record, now) = running(&{
        let mut bare = policy.clone();
        bare.fuse = crate::domain::policy::FusePolicy::default();
        bare
    });
    let idle_after = |event: Option<Event>| {
        let mut record = record.clone();
        if let Some(event) = event {
            record.apply(now, &event);
        }
        let later = now + Span::from_secs(20);
        look(&record, &policy, &Observation::default(), later).outlook.sentinel.expect("it is renewed").idle
    };
    let asked = |request| Some(Event::Requested { request });
    let active = |source: &str| Some(Event::Active { last: now, source: source.into(), what: "w".into() });
    // A little more than the policy's, so that labguard decides first.
    for its_own in [None, active("requests")] {
        assert!(idle_after(its_own) > policy.limits.idle_timeout);
    }
    let lease = Request::Lease { lease: "l".into(), by: "train.py".into(), ttl: Span::from_mins(5) };
    for (what, held) in
        [("touch", asked(Request::Touch { by: "me".into() })), ("lease", asked(lease)), ("logs", active("logs"))]
    {
        assert_eq!(idle_after(held), None, "{what}");
    }
}

#[test]
fn reads_are_fast_in_transitions_slow_while_it_runs_and_complete_at_the_end() {
    let policy = policy();
    let (record, now) = running(&policy);
    let task = vec![Want::Resource(ResourceKey::task(1))];
    let seen_at = |at| Observation { tasks_seen_at: Some(at), ..Observation::default() };
    let later = |secs| wants(&record, &policy, &seen_at(now), now + Span::from_secs(secs));
    assert_eq!(later(30), vec![]);
    assert_eq!(later(60), task);
    let back = seen_at(now + Span::from_mins(600));
    assert_eq!(wants(&record, &policy, &back, now), task, "a clock that stepped back");

    let mut world = World::new(policy.clone(), 1);
    world.run(100_000);
    let mut record = world.record;
    (record.closed_at, record.clean_passes) = (None, 0);
    let all = wants(&record, &policy, &Observation::default(), now);
    for kind in
        [ResourceKind::Cluster, ResourceKind::SecurityGroup, ResourceKind::Repository, ResourceKind::TaskDefinition]
    {
        assert!(all.contains(&Want::Resource(ResourceKey::only(kind))), "{kind}");
    }
    assert!(all.contains(&Want::Tasks));
}

#[test]
fn many_sessions_share_the_reads_and_a_failing_probe_is_a_reason_to_look_soon() {
    let policy = policy();
    let (record, now) = running(&policy);
    let first_read = |sharing: usize, bad: u32| {
        let health = HealthReading { bad, ..HealthReading::default() };
        let known = Observation { tasks_seen_at: Some(now), sharing, health, ..Observation::default() };
        let due = (0..5000).find(|secs| !wants(&record, &policy, &known, now + Span::from_secs(*secs)).is_empty());
        let plan = look(&record, &policy, &known, now);
        assert!(plan.wake_at.unwrap() <= now + Span::from_secs(due.unwrap()), "looked at when a read is due");
        due.unwrap()
    };
    assert_eq!([1, 100, 480].map(|sharing| first_read(sharing, 0)), [60; 3], "few sessions: once a minute");
    assert_eq!(
        [1_000, 10_000].map(|sharing| first_read(sharing, 0)),
        [125, 1250],
        "many: eight reads a second together"
    );
    assert_eq!([1, 10_000].map(|sharing| first_read(sharing, 1)), [15; 2], "a probe that fails");
}

#[test]
fn sessions_on_their_way_share_the_reads_too() {
    let policy = policy();
    let mut world = World::new(policy.clone(), 1);
    world.run_until(1000, |record| record.phase == Phase::Starting);
    let now = world.now;
    assert!(super::is_moving(&world.record, &policy) && !super::is_moving(&running(&policy).0, &policy));
    let next_read = |moving: usize| {
        let known = Observation { tasks_seen_at: Some(now), moving, ..Observation::default() };
        let at = |tenths: u64| now + Span::from_millis(100 * tenths);
        (0..).find(|tenths| !wants(&world.record, &policy, &known, at(*tenths)).is_empty()).unwrap()
    };
    assert_eq!([1, 15].map(next_read), [25; 2], "few: every 2.5 s");
    assert_eq!([60, 600].map(next_read), [100, 1000], "many: six reads a second together");
}

#[test]
fn the_linter_speaks_up_when_a_promise_is_broken() {
    let policy = policy();
    let (record, now) = running(&policy);
    assert_eq!(invariants::lint(&record, &policy, now), vec![]);
    let errors = |change: fn(&mut Record)| {
        let mut record = record.clone();
        change(&mut record);
        invariants::lint(&record, &policy, now).iter().filter(|finding| finding.severity == Severity::Error).count()
    };
    assert!(errors(|record| record.url = None) > 0, "not announced");
    assert!(errors(|record| record.phase = Phase::TearingDown) > 0, "no ending");
    assert!(errors(|record| record.closed_at = Some(at(0))) > 0, "closed with things left");
    assert!(errors(|record| record.restarts = 99) > 0, "too many restarts");
    assert!(errors(|record| record.opened_at = at(0)) == 0, "nothing changed");
    let mut poor = policy.clone();
    (poor.limits.budget, poor.limits.max_budget) = (Money::ZERO, Money::ZERO);
    let mut late = record.clone();
    late.overshoot = Money::ZERO;
    assert!(!invariants::lint(&late, &poor, now + Span::from_mins(10_000)).is_empty(), "over budget and overshoot");
}

#[test]
fn the_exercise_costs_what_aws_facts_says_and_the_overshoot_is_stated() {
    let policy = policy();
    let estimate = meter::estimate(&policy, &RateBook::embedded().card("us-east-1"));
    assert_eq!(estimate.rate.exact(), "0.0173425 USD");
    assert_eq!(estimate.forgotten_month.to_string(), "12.6601 USD");
    // 30 s turn + 30 s stop time-out + 2 min allowance + 1 min minimum = 4 min.
    assert_eq!(estimate.overshoot, estimate.rate.per_hour_over(Span::from_mins(4)));
    assert!(estimate.warnings.iter().any(|warning| warning.contains("port 5000 is open to the whole internet")));
    assert!(!estimate.warnings.iter().any(|warning| warning.contains("its use is not seen")));
    let mut unseen = policy.clone();
    unseen.activity.metrics_path = None;
    let told = meter::estimate(&unseen, &RateBook::embedded().card("us-east-1")).warnings;
    assert!(told.iter().any(|warning| warning.contains("its use is not seen")), "{told:?}");
    assert!(!told.iter().any(|warning| warning.contains("count as use")), "{told:?}");
    let order: Vec<_> = estimate.resources.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(order.first(), Some(&ResourceKind::Repository));
    assert_eq!(order.last(), Some(&ResourceKind::Task));

    // A guard is an image more, and needs a repository even where the application's image stands elsewhere.
    let mut guarded = policy.clone();
    guarded.fuse.sentinel = crate::domain::policy::Sentinel::Own;
    guarded.image.source =
        crate::domain::model::ImageSource::Registry { uri: "public.ecr.aws/lab/app:1".into(), mirror: false };
    let made = meter::estimate(&guarded, &RateBook::embedded().card("us-east-1")).resources;
    assert_eq!(made[0].0, ResourceKind::Repository);
    assert!(made[2].0 == ResourceKind::Image && made[2].1.ends_with(":labguard-sentinel"), "{made:?}");
}

#[test]
fn a_task_that_may_not_be_read_ends_a_start_soon_and_a_running_session_never() {
    let policy = policy();
    let mut world = World::new(policy.clone(), 1);
    world.run_until(1000, |record| record.phase == Phase::Starting);
    let (record, now) = (world.record, world.now);
    let unread = |class| Observation {
        tasks_seen_at: None,
        unread: Some(Unread { since: now, fault: Fault { operation: "ecs:DescribeTasks".into(), ..fault(class) } }),
        ..Observation::default()
    };
    let denied = unread(FaultClass::Denied);
    assert_eq!(ended(&look(&record, &policy, &denied, now + Span::from_secs(119))), None, "a new right takes a while");
    let plan = look(&record, &policy, &denied, now + Span::from_mins(2));
    assert_eq!(ended(&plan), Some((Cause::DeployFailed, Stage::Teardown)));
    let said = detail(&plan);
    assert!(
        said.starts_with(
            "its tasks could not be read for 2m: these credentials lack the right to do it: ecs:DescribeTasks"
        ),
        "{said}"
    );

    let later = now + Span::from_mins(15);
    let failing = look(&record, &policy, &unread(FaultClass::Transient), later - Span::from_secs(10));
    assert_eq!(ended(&failing), None, "what may pass is waited for");
    let plan = look(&record, &policy, &unread(FaultClass::Transient), later);
    let said = detail(&plan);
    assert!(said.contains("did not reach RUNNING within 15m; it could not be read since"), "{said}");
    assert!(said.contains("AWS or the network kept failing: ecs:DescribeTasks"), "{said}");

    let (record, start) = running(&policy);
    let since = Unread { since: start, ..denied.unread.clone().unwrap() };
    let plan = look(
        &record,
        &policy,
        &Observation { unread: Some(since), ..Observation::default() },
        start + Span::from_mins(9),
    );
    assert_eq!(ended(&plan), None, "it may be in use");
}

#[test]
fn a_service_without_a_task_ends_in_bounded_time_and_at_once_where_it_can_have_none() {
    let mut policy = policy();
    policy.task.run = crate::domain::policy::RunMode::Service { desired: 1 };
    let service = ResourceKey::only(ResourceKind::Service);
    let mut world = World::new(policy.clone(), 1);
    world.run_until(1000, |record| record.phase == Phase::Starting);
    world.record.resources.retain(|key, _| key.kind != ResourceKind::Task);
    let (mut record, now) = (world.record.clone(), world.record.phase_since);
    let asks = |record: &Record, secs| {
        wants(record, &policy, &Observation::default(), now + Span::from_secs(secs)).contains(&Want::Resource(service))
    };
    assert!(!asks(&record, 10) && asks(&record, 15), "it is asked why, once it takes long");
    let told = |class, at| Observation { unplaced: Some((at, fault(class))), ..Observation::default() };
    let after = |record: &Record, seen: &Observation, secs| look(record, &policy, seen, now + Span::from_secs(secs));
    for class in [FaultClass::Quota, FaultClass::Denied] {
        let plan = after(&record, &told(class, now), 20);
        assert_eq!(ended(&plan), Some((Cause::DeployFailed, Stage::Teardown)), "{class:?}");
        assert!(detail(&plan).contains("can place no task: "), "{}", detail(&plan));
        assert_eq!(ended(&after(&record, &told(class, now - Span::from_secs(1)), 20)), None, "of a time before");
    }
    let full = told(FaultClass::Capacity, now);
    assert_eq!(ended(&after(&record, &full, 899)), None);
    let plan = after(&record, &full, 900);
    assert_eq!(ended(&plan), Some((Cause::DeployFailed, Stage::Teardown)));
    assert!(detail(&plan).contains("had no task for 15m: AWS has no capacity for it"), "{}", detail(&plan));
    assert!(detail(&after(&record, &Observation::default(), 900)).ends_with("had no task for 15m"));

    // The same for a task that is to take another's place.
    record.apply(now, &Event::Health { healthy: true, detail: String::new() });
    record.apply(now, &Event::Restarting { restart: 1, because: "lost".into() });
    let plan = after(&record, &full, 900);
    assert_eq!(ended(&plan), Some((Cause::TaskLost, Stage::Teardown)));
    assert!(detail(&plan).starts_with("its lost task could not be replaced: the service"), "{}", detail(&plan));
}

#[test]
fn bad_probes_are_judged_by_a_task_that_was_read_since_unless_it_cannot_be_read() {
    let policy = policy();
    let (record, now) = running(&policy);
    let task = ResourceKey::task(1);
    let bad = policy.health.unhealthy_after;
    let probed = now + Span::from_secs(5);
    let seen = |bad, tasks_seen_at| Observation {
        tasks_seen_at: Some(tasks_seen_at),
        health: HealthReading { task: Some(task), bad, at: Some(probed), ..HealthReading::default() },
        ..Observation::default()
    };
    let reads = |seen: &Observation| wants(&record, &policy, seen, probed).contains(&Want::Resource(task));
    assert!(!reads(&seen(bad - 1, now)), "the last read is five seconds old");
    assert!(reads(&seen(bad, now)) && !reads(&seen(bad, probed)), "at the verdict it is read anew, once");
    let restarts = |seen: &Observation, at| {
        look(&record, &policy, seen, at).notes.iter().any(|note| matches!(note, Event::Restarting { .. }))
    };
    assert!(!restarts(&seen(bad, now), probed), "it may be gone");
    assert!(look(&record, &policy, &seen(bad, now), probed).wake_at.unwrap() <= probed + Span::from_secs(1));
    assert!(restarts(&seen(bad, probed), probed), "it is there");
    assert!(restarts(&seen(bad, now), probed + Span::from_secs(5)), "that long, and no longer");
    let unread = Some(Unread { since: now, fault: fault(FaultClass::Transient) });
    assert!(restarts(&Observation { unread, ..seen(bad, now) }, probed), "nobody says how it does");
}

#[test]
fn what_aws_takes_is_no_crash_loop_and_a_task_that_was_well_for_long_ends_a_row_of_restarts() {
    let mut policy = policy();
    policy.task.max_restarts = 2;
    policy.activity.metrics_path = None;
    let lost = |code: &str| {
        let (mut record, now) = running(&policy);
        record.restarts = 2;
        let mut facts = record.resources[&ResourceKey::task(1)].task.clone().unwrap();
        (facts.status, facts.wanted) = (TaskStatus::Stopped, false);
        (facts.stop_code, facts.stopped_reason) = (Some(code.to_owned()), Some("as AWS says".to_owned()));
        let sighting = Sighting {
            id: facts.arn.clone(),
            ours: true,
            held_by: vec![],
            task: Some(facts),
            made_at: None,
            fault: None,
        };
        let sightings = [(ResourceKey::task(1), Observed::Present(sighting))].into();
        let plan = look(&record, &policy, &Observation { sightings, ..Observation::default() }, now);
        assert!(detail(&plan).starts_with("after 2 of 2 restarts: its task was lost"), "{}", detail(&plan));
        ended(&plan).unwrap().0
    };
    for code in
        ["SpotInterruption", "TerminationNotice", "InfrastructureHealth", "UserInitiated", "ServiceSchedulerInitiated"]
    {
        assert_eq!(lost(code), Cause::TaskLost, "{code}");
    }
    assert_eq!(lost("EssentialContainerExited"), Cause::CrashLoop);

    let restart = |record: &mut Record, healthy_for: u64| {
        let healthy = |healthy| Event::Health { healthy, detail: String::new() };
        let begun = record.restarted_at.unwrap_or(at(0)) + Span::from_secs(60);
        record.apply(begun, &healthy(true));
        let ended = begun + Span::from_secs(healthy_for);
        record.apply(ended, &healthy(false));
        record.apply(ended, &Event::Restarting { restart: record.restarts + 1, because: "unhealthy".into() });
        (record.restarts, record.restarts_in_a_row)
    };
    let mut record = running(&policy).0;
    record.health = None;
    assert_eq!([30, 30, 599, 600, 30].map(|secs| restart(&mut record, secs)), [(1, 1), (2, 2), (3, 3), (4, 1), (5, 2)]);
}
