//! Sessions with a guard inside their task, met by the whole engine under paused time: the guard lets the task live
//! while labguard renews its lease, and ends it when labguard is gone, when its hard end comes, and never otherwise.

#[path = "support/crash.rs"]
mod crash;
#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
#[expect(dead_code, reason = "other suites plant images as well")]
mod memory;

use std::{collections::BTreeMap, time::Duration};

use crash::crash;
use lab::Lab;
use labguard::{
    clock::Clock,
    domain::{
        model::{
            Cause, Event, Extension, ImageConfig, ImageSource, LimitKind, Money, Net, Phase, Request, ResourceKey,
            Span, TaskLoss, sentinel,
        },
        policy::{Policy, Sentinel},
    },
    reconcile::{
        handle::Control,
        status::{NetStatus, NetWord, SessionStatus},
    },
    sandbox::latency::Latency,
};
use memory::{Blueprint, House};

const LEASE: Span = Span::from_mins(10);

/// A policy with a guard that labguard can reach; always in use.
fn guarded(house: &House) -> Policy {
    let mut policy = house.policy();
    let ImageSource::Executable { path, .. } = &policy.image.source else { unreachable!("made from an executable") };
    policy.fuse.sentinel_executable = Some(path.clone());
    policy.fuse.sentinel = Sentinel::Own;
    policy.fuse.lease = LEASE;
    policy.fuse.sources = vec!["127.0.0.1/32".to_owned()];
    policy.limits.idle_timeout = None;
    policy.limits.lifetime = Span::from_mins(60);
    policy.limits.max_lifetime = Span::from_mins(120);
    policy
}

/// When the session's only task stopped, after `from`, as the sandbox sees it; none: it runs on.
async fn stopped_after(house: &House, longest: Duration) -> Option<Span> {
    let from = house.parts.clock.now();
    let running = || house.left().iter().any(|it| it.starts_with("ecs task "));
    while running() {
        if house.parts.clock.now().since(from).as_duration() > longest {
            return None;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    Some(house.parts.clock.now().since(from))
}

#[tokio::test(start_paused = true)]
async fn a_guarded_session_outlives_many_leases_while_labguard_lives_and_leaves_nothing() {
    for latency in [Latency::fast(), Latency::aws_like()] {
        let house = House::new(latency).await;
        let session = house.open(guarded(&house)).await;
        session.until_live().await;
        let record = house.parts.journal.record(&session.id.parse().unwrap()).await.unwrap().unwrap();
        let guard = &record.resources[&ResourceKey::SENTINEL_IMAGE];
        assert!(guard.id.as_deref().is_some_and(|uri| uri.contains("@sha256:")), "{guard:?}");
        tokio::time::sleep(Duration::from_secs(45 * 60)).await;
        let status = session.lab.engine.get(&session.id).unwrap();
        assert_eq!((status.phase, status.restarts), (Phase::Running, 0), "four leases later");
        let receipt = session.closed().await;
        assert_eq!(receipt.cause, Some(Cause::Lifetime));
        assert!(receipt.proven_clean);
        assert_eq!(house.left(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn labguard_dies_for_ever_and_its_task_stops_within_the_lease() {
    for minutes in [0, 3, 17, 40] {
        let house = House::new(Latency::aws_like()).await;
        let session = house.open(guarded(&house)).await;
        session.until_live().await;
        tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
        crash(session.lab).await;
        let after = stopped_after(&house, Duration::from_secs(3600)).await.expect("it ran on for an hour");
        // The lease, and what ECS takes to stop a task whose container has exited.
        assert!(after <= LEASE + Span::from_mins(3), "{after} after the death in minute {minutes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_never_reaches_beyond_lifetime_and_budget() {
    for by_budget in [false, true] {
        let house = House::new(Latency::fast()).await;
        let mut policy = guarded(&house);
        policy.fuse.lease = Span::from_mins(60);
        policy.limits.lifetime = Span::from_mins(30);
        policy.limits.max_lifetime = Span::from_mins(30);
        if by_budget {
            // A quarter of an hour at 0.0173 USD an hour.
            policy.limits.budget = Money::from_nanos(5_000_000);
            policy.limits.max_budget = policy.limits.budget;
        }
        let session = house.open(policy).await;
        session.until_live().await;
        let status = session.lab.engine.get(&session.id).unwrap();
        let deadline = status.deadline.unwrap();
        crash(session.lab).await;
        let after = stopped_after(&house, Duration::from_secs(3600)).await.expect("it ran on for an hour");
        let late = house.parts.clock.now().since(deadline);
        assert!(late <= Span::from_mins(2), "stopped {after} after the death, {late} after the deadline {deadline}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_extension_reaches_the_guard_and_a_guard_that_nobody_may_reach_lives_to_the_hard_end() {
    let house = House::new(Latency::fast()).await;
    let session = house.open(guarded(&house)).await;
    session.until_live().await;
    let extend = Request::Extend(Extension::Lifetime { by: Span::from_mins(30) });
    session.lab.engine.request(session.id.clone(), extend).await.unwrap();
    tokio::time::sleep(Duration::from_secs(80 * 60)).await;
    let status = session.lab.engine.get(&session.id).unwrap();
    assert_eq!((status.phase, status.restarts), (Phase::Running, 0), "beyond the lifetime it was launched with");
    assert_eq!(session.closed().await.cause, Some(Cause::Lifetime));

    let house = House::new(Latency::fast()).await;
    let mut policy = guarded(&house);
    policy.fuse.sources.clear();
    let session = house.open(policy).await;
    session.until_live().await;
    crash(session.lab).await;
    let after = stopped_after(&house, Duration::from_secs(4 * 3600)).await.expect("it ran on");
    assert!(after > Span::from_mins(115) && after < Span::from_mins(123), "the hard end is after two hours: {after}");
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_runs_while_the_image_is_still_pulled_is_renewed_and_the_pull_is_not_idle_time() {
    for end_idle in [false, true] {
        let house = House::new(Latency { dependent: Span::from_mins(12), ..Latency::fast() }).await;
        let mut policy = guarded(&house);
        policy.fuse.lease = Span::from_mins(2);
        if end_idle {
            policy.fuse.end_idle = true;
            policy.limits.idle_timeout = Some(Span::from_mins(5));
        }
        let session = house.open(policy).await;
        tokio::time::sleep(Duration::from_secs(6 * 60)).await;
        let status = session.status();
        assert_eq!(status.phase, Phase::Starting, "its image is on its way");
        let acts_at = sentinel_net(&status).acts_at.expect("its guard has answered");
        assert!(acts_at.since(status.at) <= Span::from_mins(2), "{acts_at}");
        session.until_live().await;
        assert_eq!(session.status().restarts, 0);
        session.ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_labguard_that_dies_while_the_image_is_pulled_leaves_a_task_that_stops_within_its_lease() {
    let house = House::new(Latency { dependent: Span::from_mins(12), ..Latency::aws_like() }).await;
    let session = house.open(guarded(&house)).await;
    tokio::time::sleep(Duration::from_secs(5 * 60)).await;
    assert_eq!(session.status().phase, Phase::Starting);
    crash(session.lab).await;
    let after = stopped_after(&house, Duration::from_secs(3600)).await.expect("it ran on");
    assert!(after <= LEASE + Span::from_mins(3), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_cannot_run_before_the_image_is_there_is_no_net_that_fails() {
    let house = House::new(Latency { activating: Span::from_mins(8), ..Latency::fast() }).await;
    let session = house.open(guarded(&house)).await;
    session.until_live().await;
    tokio::time::sleep(Duration::from_secs(5 * 60)).await;
    assert_eq!(changes_of_the_net(&house, &session.id).await, 1, "it holds all the time");
    session.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_extended_when_its_budget_is_all_but_spent_keeps_its_task() {
    // Once its task is started anew just then, with a first lease that is cut; once its lease was cut by renewals.
    for (resumed, left) in [(true, 90), (false, 20)] {
        let house = House::new(Latency::fast()).await;
        let mut policy = guarded(&house);
        policy.fuse.scheduler = false;
        // A quarter of an hour at 0.0173 USD an hour.
        policy.limits.budget = Money::from_nanos(5_000_000);
        policy.limits.max_budget = Money::from_nanos(500_000_000);
        let session = house.open(policy).await;
        session.until_live().await;
        let now = || house.parts.clock.now();
        while session.status().deadline.unwrap().since(now()) > Span::from_secs(left) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if resumed {
            session.ask(Request::Stop { reason: "a break".to_owned() }).await;
            tokio::time::sleep(Duration::from_secs(30)).await;
            session.ask(Request::Resume).await;
            session.until_live().await;
            let status = session.status();
            let left = status.deadline.unwrap().since(status.at);
            assert!(left < Span::from_secs(90), "{left}");
        }
        session.ask(Request::Extend(Extension::Budget { by: Money::from_nanos(100_000_000) })).await;
        tokio::time::sleep(Duration::from_secs(20 * 60)).await;
        let status = session.status();
        assert_eq!((status.phase, status.restarts), (Phase::Running, 0), "resumed: {resumed}");
        session.ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_labguard_that_comes_back_late_tells_what_its_guard_did_and_goes_on() {
    let house = House::new(Latency::fast()).await;
    let policy = guarded(&house);
    let session = house.open(policy.clone()).await;
    session.until_live().await;
    let id = session.id.clone();
    crash(session.lab).await;
    stopped_after(&house, Duration::from_secs(3600)).await.expect("it ran on");
    let lab = Lab::start(&house.parts, BTreeMap::from([("lab".to_owned(), policy)]), None).await;
    tokio::time::sleep(Duration::from_secs(5 * 60)).await;
    let status = lab.engine.get(&id).unwrap();
    assert_eq!((status.phase, status.restarts), (Phase::Running, 1));
    let record = house.parts.journal.record(&id.parse().unwrap()).await.unwrap().unwrap();
    let (_, loss, detail) = record.last_loss.unwrap();
    assert_eq!(loss, TaskLoss::FusedByLease, "{detail}");
    lab.engine.request(id.clone(), Request::End { reason: "done".to_owned() }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20 * 60)).await;
    lab.stop().await;
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_guard_is_told_whose_use_counts_where_the_policy_says_so() {
    for ranges in [false, true] {
        let house = House::new(Latency::fast()).await;
        let mut policy = guarded(&house);
        if ranges {
            policy.activity.allowed_sources = vec!["203.0.113.0/24".to_owned(), "2001:db8::/32".to_owned()];
            policy.activity.ignored_sources = vec!["203.0.113.66/32".to_owned()];
        }
        let cluster_of = policy.names.clone();
        let session = house.open(policy).await;
        session.until_live().await;
        let ecs = aws_sdk_ecs::Client::new(&house.sdk().await);
        let cluster = cluster_of.for_session(&session.id).cluster;
        let arns = ecs.list_tasks().cluster(&cluster).send().await.unwrap().task_arns.unwrap();
        let tasks = ecs.describe_tasks().cluster(&cluster).set_tasks(Some(arns)).send().await.unwrap();
        let overrides = tasks.tasks()[0].overrides().unwrap().container_overrides();
        let told = |name: &str| {
            let all = overrides.iter().flat_map(|container| container.environment());
            all.filter(|pair| pair.name() == Some(name)).find_map(|pair| pair.value().map(str::to_owned))
        };
        assert!(told(sentinel::PORTS).is_some());
        let (allowed, ignored) = (told(sentinel::ALLOWED), told(sentinel::IGNORED));
        let expected = ranges.then(|| ("203.0.113.0/24,2001:db8::/32".to_owned(), "203.0.113.66/32".to_owned()));
        assert_eq!(allowed.zip(ignored), expected);
        session.ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_the_guard_counts_are_use_and_labguards_own_are_none() {
    for used in [false, true] {
        let house = House::new(Latency::fast()).await;
        let mut policy = guarded(&house);
        policy.activity.metrics_path = None;
        policy.activity.sentinel = true;
        policy.limits.idle_timeout = Some(Span::from_mins(5));
        let session = house.open(policy).await;
        let ip = session.until_live().await;
        let live = house.parts.clock.now();
        for _ in 0..10 {
            // Probes go on all the time; a person comes once a minute for ten minutes, or never.
            if used {
                assert!(house.containers.use_it(&ip, 1));
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let receipt = session.closed().await;
        assert_eq!(receipt.cause, Some(Cause::Idle), "{}", receipt.cause_detail);
        let lived = receipt.ended_at.since(live);
        let expected = if used { 14..17 } else { 5..7 };
        assert!(expected.contains(&lived.as_secs().div_euclid(60)), "used: {used}, lived {lived}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_whose_guard_ends_for_idleness_ends_as_idle_and_is_not_restarted() {
    // By labguard's counter, by the guard's, and without any: then nobody is known to use it.
    for counter in ["requests", "sentinel", "none"] {
        for latency in [Latency::fast(), Latency::aws_like()] {
            let house = House::new(latency).await;
            let mut policy = guarded(&house);
            policy.fuse.end_idle = true;
            policy.limits.idle_timeout = Some(Span::from_mins(5));
            if counter != "requests" {
                policy.activity.metrics_path = None;
            }
            policy.activity.sentinel = counter == "sentinel";
            let session = house.open(policy).await;
            let ip = session.until_live().await;
            tokio::time::sleep(Duration::from_secs(120)).await;
            assert!(house.containers.use_it(&ip, 1));
            let used = house.parts.clock.now();
            let receipt = session.closed().await;
            assert_eq!(receipt.cause, Some(Cause::Idle), "{counter}: {}", receipt.cause_detail);
            assert!(receipt.cause_detail.starts_with("idle since"), "labguard decides first: {}", receipt.cause_detail);
            assert!(receipt.ended_at.since(used) < Span::from_mins(8), "{counter}: {}", receipt.ended_at.since(used));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_ended_an_idle_task_while_labguard_was_gone_has_ended_its_session() {
    let house = House::new(Latency::fast()).await;
    let mut policy = guarded(&house);
    policy.fuse.end_idle = true;
    policy.fuse.lease = Span::from_mins(40);
    policy.limits.idle_timeout = Some(Span::from_mins(5));
    policy.activity.metrics_path = None;
    policy.activity.sentinel = true;
    let session = house.open(policy.clone()).await;
    session.until_live().await;
    let id = session.id.clone();
    tokio::time::sleep(Duration::from_secs(90)).await;
    crash(session.lab).await;
    let after = stopped_after(&house, Duration::from_secs(3600)).await.expect("it ran on");
    assert!(after < Span::from_mins(8), "{after}");
    let lab = Lab::start(&house.parts, BTreeMap::from([("lab".to_owned(), policy)]), None).await;
    tokio::time::sleep(Duration::from_secs(20 * 60)).await;
    let status = lab.engine.get(&id).unwrap();
    let (cause, detail) = status.ending.clone().unwrap();
    assert_eq!((cause, status.restarts), (Cause::Idle, 0), "{detail}");
    assert!(detail.contains("its sentinel ended it for idleness"), "{detail}");
    lab.stop().await;
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_holds_by_the_tasks_clock_however_far_ours_is_from_it() {
    for apart in [-10 * 60_000, 10 * 60_000] {
        for (sentinel, dies) in [(Sentinel::Own, false), (Sentinel::Shell, false), (Sentinel::Shell, true)] {
            let house = House::build(Blueprint { apart, ..Blueprint::new(7, Latency::fast()) }).await;
            let mut policy = guarded(&house);
            policy.fuse.sentinel = sentinel;
            policy.fuse.scheduler = false;
            policy.limits.max_lifetime = policy.limits.lifetime;
            let (lifetime, opened) = (policy.limits.lifetime, house.parts.clock.now());
            let session = house.open(policy).await;
            session.until_live().await;
            let lasted = if dies {
                crash(session.lab).await;
                stopped_after(&house, Duration::from_secs(2 * 3600)).await.expect("it ran on");
                house.parts.clock.now().since(opened)
            } else {
                let receipt = session.closed().await;
                assert_eq!(receipt.cause, Some(Cause::Lifetime), "{}", receipt.cause_detail);
                assert_eq!(house.left(), Vec::<String>::new());
                receipt.ended_at.since(opened)
            };
            let off = lasted.max(lifetime).saturating_sub(lasted.min(lifetime));
            assert!(off < Span::from_mins(3), "{lasted} of {lifetime}, {apart} ms apart, {sentinel:?}");
        }
    }
}

/// How often the journal says that the net inside the task has changed.
async fn changes_of_the_net(house: &House, session: &str) -> usize {
    let entries = house.parts.journal.entries(&session.parse().unwrap()).await.unwrap();
    let changes = entries.iter().filter(|it| matches!(it.event, Event::NetChanged { net: Net::Sentinel, .. }));
    changes.count()
}

fn sentinel_net(status: &SessionStatus) -> NetStatus {
    status.nets.iter().find(|net| net.net == Net::Sentinel).cloned().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_never_answers_is_told_of_with_the_instant_at_which_it_ends_the_task() {
    let house = House::new(Latency::fast()).await;
    house.containers.shut_guards_off(true);
    let session = house.open(guarded(&house)).await;
    session.until_live().await;
    let live = house.parts.clock.now();
    assert_eq!(sentinel_net(&session.status()).state, NetWord::Holds, "one failure is no news");
    let fails = |status: &SessionStatus| sentinel_net(status).state == NetWord::Fails;
    let status = session.until("told of", fails).await;
    assert!(house.parts.clock.now().since(live) <= Span::from_mins(3), "a quarter of a lease, and a try");
    let net = sentinel_net(&status);
    assert!(net.detail.contains("never answered") && net.detail.contains("fuse.sources"), "{net:?}");
    let limit = status.limits.first().unwrap();
    assert_eq!((limit.kind, Some(limit.at)), (LimitKind::SentinelLease, net.acts_at), "{limit:?}");
    assert!(limit.why.contains("restart 1 of"), "{limit:?}");
    let again = session.until("started again", |status| status.restarts == 1).await;
    let late = again.at.since(limit.at);
    assert!(again.at >= limit.at && late <= Span::from_mins(2), "it acted at {}, not {}", again.at, limit.at);
    house.containers.shut_guards_off(false);
    let back = session.until("as it was", |status| sentinel_net(status).state == NetWord::Holds).await;
    assert!(back.limits.iter().all(|limit| limit.kind != LimitKind::SentinelLease));
    assert!(sentinel_net(&back).acts_at.is_some_and(|at| at > back.at), "it acts when labguard dies");
    assert_eq!(changes_of_the_net(&house, &session.id).await, 3, "holds, does not, holds");
    session.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_cut_off_for_a_while_is_told_of_once_and_one_that_answers_now_and_then_is_not() {
    let house = House::new(Latency::fast()).await;
    let session = house.open(guarded(&house)).await;
    session.until_live().await;
    for turn in 0..30 {
        house.containers.shut_guards_off(turn % 2 == 0);
        tokio::time::sleep(Duration::from_secs(70)).await;
    }
    assert_eq!(changes_of_the_net(&house, &session.id).await, 1, "it holds all the time");
    house.containers.shut_guards_off(true);
    let fails = |status: &SessionStatus| sentinel_net(status).state == NetWord::Fails;
    let status = session.until("told of", fails).await;
    let net = sentinel_net(&status);
    assert!(net.detail.contains("has taken no renewal since"), "{net:?}");
    house.containers.shut_guards_off(false);
    session.until("as it was", |status| sentinel_net(status).state == NetWord::Holds).await;
    assert_eq!(session.status().restarts, 0);
    session.ended().await;
}

/// The guard's container, as the task definition has it.
async fn definition_of(house: &House, session: &str) -> aws_sdk_ecs::types::ContainerDefinition {
    let ecs = aws_sdk_ecs::Client::new(&house.sdk().await);
    let family = format!("labguard-{session}-task");
    let answer = ecs.describe_task_definition().task_definition(family).send().await.unwrap();
    let definition = answer.task_definition.unwrap();
    let guard = definition.container_definitions().iter().find(|it| it.name() == Some(sentinel::CONTAINER)).unwrap();
    assert_eq!(guard.essential(), Some(true));
    guard.clone()
}

#[tokio::test(start_paused = true)]
async fn the_guards_container_has_an_init_and_is_asked_whether_it_is_healthy() {
    for (program, line) in [
        ("labguard-sentinel-x86", &["CMD", "/app/labguard-sentinel-x86", "healthy"][..]),
        ("labguard", &["CMD", "/app/labguard", "sentinel", "healthy"][..]),
        ("shell", &[][..]),
    ] {
        let house = House::new(Latency::fast()).await;
        let mut policy = guarded(&house);
        let folder = tempfile::tempdir().unwrap();
        if program == "shell" {
            policy.fuse.sentinel = Sentinel::Shell;
        } else {
            let path = folder.path().join(program);
            std::fs::copy(policy.fuse.sentinel_executable.as_deref().unwrap(), &path).unwrap();
            policy.fuse.sentinel_executable = Some(path.display().to_string());
        }
        let session = house.open(policy).await;
        session.until_live().await;
        let guard = definition_of(&house, &session.id).await;
        assert_eq!(guard.linux_parameters().and_then(|it| it.init_process_enabled()), Some(true), "{program}");
        let check = guard.health_check();
        assert_eq!(check.map(|it| it.command().to_vec()).unwrap_or_default(), line, "{program}");
        assert!(check.is_none_or(|it| it.interval() == Some(30) && it.timeout() == Some(5)), "{check:?}");
        session.ended().await;
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[tokio::test(start_paused = true)]
async fn a_program_that_needs_a_loader_is_refused_before_anything_is_made() {
    let house = House::new(Latency::fast()).await;
    // This very test: linked as cargo links for this machine.
    let dynamic = std::env::current_exe().unwrap().display().to_string();
    let up = async |policy: Policy| {
        let lab = Lab::start(&house.parts, BTreeMap::from([("lab".to_owned(), policy)]), None).await;
        let answer = lab.engine.up("lab".to_owned()).await;
        lab.stop().await;
        answer.err().map(|error| error.to_string())
    };
    let mut guard = guarded(&house);
    guard.fuse.sentinel_executable = Some(dynamic.clone());
    let mut application = guarded(&house);
    application.fuse.sentinel = Sentinel::Off;
    application.image.source =
        ImageSource::Executable { path: dynamic.clone(), args: Vec::new(), config: ImageConfig::default() };
    let shell = "fuse.sentinel = \"shell\"";
    for (what, policy, advice) in
        [("the sentinel", guard.clone(), shell), ("the executable", application, "image.source")]
    {
        let said = up(policy).await.unwrap();
        assert!(said.contains(&format!("{what} {dynamic} is linked dynamically: it needs /")), "{said}");
        assert!(said.contains("rustup target add x86_64-unknown-linux-musl") && said.contains(advice), "{said}");
    }
    assert_eq!(house.left(), Vec::<String>::new());
    guard.fuse.sentinel = Sentinel::Shell;
    assert_eq!(up(guard).await, None, "a shell needs no program");
}

fn run(line: &[String], deadline: Option<i64>) -> std::process::Child {
    let mut command = std::process::Command::new(&line[0]);
    command.args(&line[1..]).env_remove(sentinel::DEADLINE).stdout(std::process::Stdio::null());
    if let Some(deadline) = deadline {
        command.env(sentinel::DEADLINE, deadline.to_string());
    }
    command.spawn().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_shell_of_the_applications_own_image_sleeps_until_the_hard_end_and_fails_closed() {
    let house = House::new(Latency::fast()).await;
    let mut policy = guarded(&house);
    policy.fuse.sentinel = Sentinel::Shell;
    let session = house.open(policy).await;
    session.until_live().await;
    let net = session.status().nets.iter().find(|net| net.net == Net::Sentinel).cloned().unwrap();
    assert_eq!(net.state, NetWord::Holds, "{net:?}");
    let shell = definition_of(&house, &session.id).await.entry_point().to_vec();
    crash(session.lab).await;
    let after = stopped_after(&house, Duration::from_secs(4 * 3600)).await.expect("it ran on");
    assert!(after > Span::from_mins(115) && after < Span::from_mins(123), "the hard end is after two hours: {after}");

    // The same words in a real shell.
    let now = Clock::System.now().as_millis() / 1000;
    assert_eq!(run(&shell, Some(now - 1)).wait().unwrap().code(), Some(80), "its time has come");
    assert_eq!(run(&shell, None).wait().unwrap().code(), Some(64), "without orders it ends the task");
    let mut asleep = run(&shell, Some(now + 600));
    // Once it has a sleep for a child, it has set its trap and read its orders.
    let children = format!("/proc/{0}/task/{0}/children", asleep.id());
    let sleeps = || {
        let children = std::fs::read_to_string(&children).unwrap_or_default();
        let name = |child: &str| std::fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        children.split_whitespace().any(|child| name(child).trim() == "sleep")
    };
    let mut looks = 0;
    while !sleeps() {
        assert_eq!(asleep.try_wait().unwrap(), None, "it ended before it slept");
        looks += 1;
        if looks > 1000 {
            let _ = asleep.kill();
            panic!("it neither slept nor ended within 10 s");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(asleep.try_wait().unwrap().is_none(), "it sleeps");
    let told = std::process::Command::new("kill").args(["-TERM", &asleep.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(asleep.wait().unwrap().code(), Some(143), "a stopped task is no guard's doing");
}
