//! Sources of activity in whole sessions, in memory under paused time: the log, the operator's command, what CloudWatch
//! knows, whose use counts by address, and gaps.

#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
#[expect(dead_code, reason = "not every test needs every corner")]
mod memory;

use std::time::Duration;

use labguard::{
    cloud::Owner,
    domain::{
        model::{Cause, Effect, Item, Observed, Removal, ResourceKind, SessionId, Sign, Source, Span, Spec, Timestamp},
        policy::Policy,
    },
    reconcile::{handle::Control, status::SessionStatus},
    sandbox::latency::Latency,
};
use memory::{Blueprint, House};

const MINUTE: Duration = Duration::from_secs(60);

/// Ten minutes of idle time, a gap of at most a quarter of an hour, and no metrics page.
fn policy(house: &House) -> Policy {
    let mut policy = house.policy();
    policy.activity.metrics_path = None;
    policy.activity.max_gap = Span::from_mins(15);
    policy.limits.lifetime = Span::from_mins(600);
    policy.limits.max_lifetime = policy.limits.lifetime;
    policy.limits.budget = policy.limits.max_budget;
    policy
}

/// The session's log group, and one stream of its container in it.
struct Log {
    client: aws_sdk_cloudwatchlogs::Client,
    group: String,
    stream: String,
}

impl Log {
    async fn of(house: &House, policy: &Policy, session: &str) -> Self {
        let names = policy.names.for_session(session);
        let client = aws_sdk_cloudwatchlogs::Client::new(&house.sdk().await);
        let (group, stream) = (names.log_group, format!("lab/{}/by-hand", names.container));
        client.create_log_stream().log_group_name(&group).log_stream_name(&stream).send().await.unwrap();
        Self { client, group, stream }
    }

    async fn write(&self, at: Timestamp, line: &str) {
        let event = aws_sdk_cloudwatchlogs::types::InputLogEvent::builder().timestamp(at.as_millis()).message(line);
        let put = self.client.put_log_events().log_group_name(&self.group).log_stream_name(&self.stream);
        put.log_events(event.build().unwrap()).send().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn lines_that_match_keep_a_session_and_others_do_not() {
    let house = House::new(Latency::fast()).await;
    let mut policy = policy(&house);
    policy.activity.logs.pattern = Some("\"POST /predict\" -probe".to_owned());
    let session = house.open(policy.clone()).await;
    session.until_live().await;
    let log = Log::of(&house, &policy, &session.id).await;
    let mut last = house.parts.clock.now();
    for round in 0..12 {
        tokio::time::sleep(5 * MINUTE).await;
        last = house.parts.clock.now();
        log.write(last, &format!("INFO \"POST /predict\" 200 {round}")).await;
    }
    tokio::time::sleep(3 * MINUTE).await;
    let status = session.status();
    let used = status.last_activity.clone().unwrap();
    assert_eq!((used.source.as_str(), used.at, used.what.as_str()), ("logs", last, "1 line in the log"));
    let logs = status.sources.iter().find(|reading| reading.source == Source::Logs).unwrap();
    assert_eq!(logs.sign, Sign::Quiet { since: last }, "quiet since its time, not since it was read");
    let limit = &status.limits[0];
    let late = policy.activity.logs.latency + policy.activity.logs.interval;
    assert_eq!(limit.at, last + Span::from_mins(10) + late, "{limit:?}");
    // Noise to the end: probes, and lines about something else.
    for _ in 0..6 {
        log.write(house.parts.clock.now(), "INFO \"POST /predict\" 200 probe").await;
        log.write(house.parts.clock.now(), "INFO \"GET /\" 404").await;
        tokio::time::sleep(MINUTE).await;
    }
    let due = limit.at;
    let ended = session.until("ending", |status| status.ending.is_some()).await;
    assert!(ended.at.since(due) < Span::from_secs(5) && ended.at >= due, "{} for {due}", ended.at);
    assert_eq!(session.closed().await.cause, Some(Cause::Idle));
    assert_eq!(house.left(), Vec::<String>::new());
}

/// By AWS's clock lines bear times that ours has had long ago, or has not had yet.
#[tokio::test(start_paused = true)]
async fn lines_keep_a_session_whatever_our_clock_says() {
    for apart in [-1_200_000, 1_200_000] {
        let house = House::build(Blueprint { apart, ..Blueprint::new(7, Latency::fast()) }).await;
        let mut policy = policy(&house);
        policy.activity.logs.pattern = Some("predict".to_owned());
        let session = house.open(policy.clone()).await;
        session.until_live().await;
        let log = Log::of(&house, &policy, &session.id).await;
        let mut last = house.parts.clock.now();
        for round in 0..6 {
            tokio::time::sleep(5 * MINUTE).await;
            last = house.parts.clock.now();
            let theirs = Timestamp::from_millis(last.as_millis() + apart);
            log.write(theirs, &format!("predict {round}")).await;
        }
        tokio::time::sleep(3 * MINUTE).await;
        let used = session.status().last_activity.clone().unwrap();
        let off = used.at.as_millis() - last.as_millis();
        assert!(used.source == "logs" && off.abs() <= 2_000, "{used:?}, {off} ms from {last}");
        let ended = session.until("ending", |status| status.ending.is_some()).await;
        assert!(ended.at.since(last) < Span::from_mins(13), "{} for a use of {last}", ended.at);
        assert_eq!(session.closed().await.cause, Some(Cause::Idle));
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_is_a_gap_with_a_reason_and_an_end() {
    let house = House::new(Latency::fast()).await;
    let mut policy = policy(&house);
    policy.activity.logs.pattern = Some("predict".to_owned());
    let session = house.open(policy.clone()).await;
    session.until_live().await;
    tokio::time::sleep(2 * MINUTE).await;
    house.sandbox.add_fault("logs:FilterLogEvents=access-denied".parse().unwrap());
    let unknown = |sign: &Sign| matches!(sign, Sign::Unknown { .. });
    let status = session.until("a gap", |status| status.sources.iter().any(|it| unknown(&it.sign))).await;
    let Sign::Unknown { since, why } = &status.sources[0].sign else { panic!("{:?}", status.sources) };
    assert!(why.contains("logs:FilterLogEvents"), "{why}");
    assert_eq!(status.idle, None, "nobody knows");
    let (until, limit) = (*since + Span::from_mins(15), &status.limits[0]);
    assert_eq!(limit.at, until, "{limit:?}");
    assert!(limit.why.contains("use cannot be read now (logs: "), "{}", limit.why);
    let ended = session.until("ending", |status| status.ending.is_some()).await;
    let (cause, detail) = ended.ending.clone().unwrap();
    assert_eq!(cause, Cause::Idle);
    assert!(detail.contains("use could not be read (logs: "), "{detail}");
    assert!(ended.at >= until && ended.at.since(until) < Span::from_secs(5), "{} for {until}", ended.at);
    session.closed().await;
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_idle_time_that_waited_for_a_source_is_over_as_soon_as_it_answers_again() {
    let house = House::new(Latency::fast()).await;
    let mut policy = policy(&house);
    policy.activity.logs.pattern = Some("predict".to_owned());
    policy.activity.max_gap = Span::from_mins(120);
    let session = house.open(policy.clone()).await;
    session.until_live().await;
    tokio::time::sleep(2 * MINUTE).await;
    house.sandbox.add_fault("logs:FilterLogEvents=access-denied".parse().unwrap());
    tokio::time::sleep(28 * MINUTE).await;
    assert_eq!(session.status().ending, None, "it may have been used all the time");
    house.sandbox.clear_faults();
    let back = house.parts.clock.now();
    let ended = session.until("ending", |status| status.ending.is_some()).await;
    let within = policy.activity.logs.interval + Span::from_secs(10);
    assert!(ended.at.since(back) <= within, "{} after {back}", ended.at);
    assert_eq!(session.closed().await.cause, Some(Cause::Idle));
}

/// Says whether it is used, as a file says.
fn says(folder: &std::path::Path, answer: &str) {
    std::fs::write(folder.join("answer"), answer).unwrap();
}

#[tokio::test]
async fn the_operators_command_keeps_a_session_and_its_silence_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::new(Latency::zero()).await;
    let mut policy = policy(&house);
    let script = format!("exec cat {}", folder.path().join("answer").display());
    policy.activity.check.command = vec!["sh".to_owned(), "-c".to_owned(), script];
    policy.activity.check.interval = Span::from_millis(200);
    policy.activity.check.timeout = Span::from_secs(5);
    says(folder.path(), "{\"sign\":\"active\",\"what\":\"2 kernels\"}");
    let session = house.open(policy).await;
    let used = session.until("used", |status| status.last_activity.is_some()).await;
    let last = used.last_activity.clone().unwrap();
    assert_eq!((last.source.as_str(), last.what.as_str()), ("command", "2 kernels"));
    std::fs::remove_file(folder.path().join("answer")).unwrap();
    let gap = |status: &labguard::reconcile::status::SessionStatus| {
        status.sources.iter().any(|it| matches!(&it.sign, Sign::Unknown { why, .. } if why.contains("it says nothing")))
    };
    says(folder.path(), "{\"sign\":\"unknown\",\"why\":\"it says nothing\"}");
    session.until("a gap", gap).await;
    session.ended().await;
}

/// Container Insights alone, as late as AWS may be.
async fn insights() -> (House, Policy) {
    let house = House::new(Latency { insights: Span::from_secs(150), ..Latency::fast() }).await;
    let mut policy = policy(&house);
    policy.activity.insights.enabled = true;
    (house, policy)
}

fn sign_of(status: &SessionStatus, source: Source) -> &Sign {
    &status.sources.iter().find(|reading| reading.source == source).unwrap().sign
}

#[tokio::test(start_paused = true)]
async fn work_that_container_insights_show_keeps_a_session_and_the_probes_do_not() {
    let (house, policy) = insights().await;
    let session = house.open(policy.clone()).await;
    let ip = session.until_live().await;
    tokio::time::sleep(MINUTE).await;
    assert!(matches!(sign_of(&session.status(), Source::Insights), Sign::Unknown { why, .. } if why.contains("yet")));
    // Half an hour of computing, longer than the idle time.
    for _ in 0..30 {
        assert!(house.containers.work(&ip, 0, 0, Span::from_secs(30)));
        tokio::time::sleep(MINUTE).await;
    }
    let computed = house.parts.clock.now();
    tokio::time::sleep(8 * MINUTE).await;
    let status = session.status();
    let used = status.last_activity.clone().unwrap();
    assert_eq!(
        (used.source.as_str(), used.what.as_str()),
        ("insights", "CPU 200 %"),
        "30 s of a quarter vCPU's minute"
    );
    assert!(used.at.since(computed).max(computed.since(used.at)) <= Span::from_mins(2), "{} for {computed}", used.at);
    assert!(matches!(sign_of(&status, Source::Insights), Sign::Quiet { .. }));
    // A download: network alone.
    assert!(house.containers.work(&ip, 10_000, 4_000_000, Span::ZERO));
    tokio::time::sleep(8 * MINUTE).await;
    let used = session.status().last_activity.clone().unwrap();
    assert!(used.what.starts_with("network 6"), "4,010,000 bytes in a minute, and the probes': {}", used.what);
    let limit = session.status().limits[0].clone();
    let late = policy.activity.insights.latency + policy.activity.insights.interval;
    assert_eq!(limit.at, used.at + Span::from_mins(10) + late, "{limit:?}");
    let ended = session.until("ending", |status| status.ending.is_some()).await;
    assert!(ended.at >= limit.at && ended.at.since(limit.at) <= policy.activity.insights.interval, "{}", ended.at);
    let receipt = session.closed().await;
    assert_eq!(receipt.cause, Some(Cause::Idle));
    assert_eq!(house.left(), Vec::<String>::new(), "its log group among what AWS writes late");
}

#[tokio::test(start_paused = true)]
async fn container_insights_are_on_for_the_session_alone_and_what_they_cost_is_planned_counted_and_told() {
    let (house, policy) = insights().await;
    let session = house.open(policy.clone()).await;
    session.until_live().await;
    let ecs = aws_sdk_ecs::Client::new(&house.sdk().await);
    let cluster = policy.names.for_session(&session.id).cluster;
    let included = aws_sdk_ecs::types::ClusterField::Settings;
    let described = ecs.describe_clusters().clusters(&cluster).include(included).send().await.unwrap();
    assert_eq!(described.clusters()[0].settings()[0].value(), Some("enabled"));
    let group = format!("logs group /aws/ecs/containerinsights/{cluster}/performance");
    assert!(house.left().contains(&group), "{:?}", house.left());
    tokio::time::sleep(9 * MINUTE).await;
    let plan = session.lab.engine.plan("lab").unwrap();
    let line = |item| plan.per_hour.iter().find(|line| line.billed_as == Some(item)).unwrap().clone();
    assert_eq!((line(Item::Metric).units.of, line(Item::Metric).amount.exact().as_str()), (24, "0.009863014 USD"));
    assert_eq!((line(Item::MetricReads).units.of, line(Item::MetricReads).amount.exact().as_str()), (90, "0.0009 USD"));
    assert!(plan.resources.iter().any(|(kind, _)| *kind == ResourceKind::InsightsLog));
    let receipt = session.ended().await;
    let asked = house.sandbox.calls()["cloudwatch:GetMetricData"];
    let read = receipt.lines.iter().find(|line| line.billed_as == Some(Item::MetricReads)).unwrap();
    assert_eq!((read.units.of, read.units.per), (3 * asked, 1000), "every metric that was asked for");
    assert!(asked >= 5, "{asked} calls in ten minutes");
    let metrics = receipt.lines.iter().find(|line| line.billed_as == Some(Item::Metric)).unwrap();
    assert!(metrics.units.of.is_multiple_of(24) && metrics.units.of >= 24, "{metrics:?}");
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn container_insights_without_figures_are_a_gap_with_a_reason_and_an_end() {
    for fault in [None, Some("cloudwatch:GetMetricData=access-denied")] {
        let house = House::new(Latency { insights: Span::from_mins(600), ..Latency::fast() }).await;
        let mut policy = policy(&house);
        policy.activity.insights.enabled = true;
        if let Some(fault) = fault {
            house.sandbox.add_fault(fault.parse().unwrap());
        }
        let session = house.open(policy).await;
        session.until_live().await;
        tokio::time::sleep(7 * MINUTE).await;
        let status = session.status();
        assert_eq!(status.idle, None, "nobody knows");
        let Sign::Unknown { why, .. } = sign_of(&status, Source::Insights) else { panic!("{:?}", status.sources) };
        let reason =
            if fault.is_some() { "cloudwatch:GetMetricData" } else { "no data of Container Insights for cluster" };
        assert!(why.contains(reason), "{why}");
        let ended = session.until("ending", |status| status.ending.is_some()).await;
        assert_eq!(ended.ending.as_ref().unwrap().0, Cause::Idle);
        assert!(ended.ending.as_ref().unwrap().1.contains("use could not be read (insights: "), "{:?}", ended.ending);
        session.closed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_balancers_requests_keep_a_session_and_its_idle_minutes_end_it() {
    let house = House::new(Latency::fast()).await;
    let mut policy = policy(&house);
    let (name, group) = ("app/lab/50dc6c495c0c9188", "targetgroup/lab/73e2d6bc24d8a067");
    policy.activity.load_balancer.name = Some(name.to_owned());
    policy.activity.load_balancer.target_group = Some(group.to_owned());
    policy.activity.load_balancer.min_requests = 3;
    let session = house.open(policy.clone()).await;
    session.until_live().await;
    let late = Span::from_secs(100);
    let took = |requests| {
        let now = house.parts.clock.now();
        house.sandbox.load_balancer_took(name, Some(group), now, requests, late);
        // Of another application behind it.
        house.sandbox.load_balancer_took(name, Some("targetgroup/other/0000000000000000"), now, 50, late);
        now
    };
    let mut last = house.parts.clock.now();
    for round in 0..25 {
        // Now and then people; scanners, too few of them, all the time.
        let people = round % 8 == 0;
        let at = took(if people { 7 } else { 2 });
        last = if people { at } else { last };
        tokio::time::sleep(MINUTE).await;
    }
    for _ in 0..40 {
        if session.status().ending.is_some() {
            break;
        }
        took(0);
        tokio::time::sleep(MINUTE).await;
    }
    let status = session.status();
    let used = status.last_activity.clone().unwrap();
    assert_eq!((used.source.as_str(), used.what.as_str()), ("load_balancer", "7 requests in a minute"));
    assert!(used.at.since(last) <= Span::from_mins(1) && used.at >= last, "{} for {last}", used.at);
    let (cause, detail) = status.ending.clone().expect("it is idle");
    assert_eq!(cause, Cause::Idle, "{detail}");
    let ended = status.at.since(used.at);
    let lag = policy.activity.load_balancer.latency + policy.activity.load_balancer.interval;
    assert!(ended >= Span::from_mins(10) + lag, "{ended}");
    let receipt = session.closed().await;
    let asked = house.sandbox.calls()["cloudwatch:GetMetricData"];
    let read = receipt.lines.iter().find(|line| line.billed_as == Some(Item::MetricReads)).unwrap();
    assert_eq!(read.units.of, 2 * asked);
    assert!(!receipt.lines.iter().any(|line| line.billed_as == Some(Item::Metric)), "AWS's own metrics cost nothing");
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn lines_of_known_scanners_do_not_keep_a_session_and_those_without_an_address_do() {
    let house = House::new(Latency::fast()).await;
    let mut policy = policy(&house);
    policy.activity.logs.pattern = Some("GET".to_owned());
    policy.activity.allowed_sources = vec!["203.0.113.0/24".to_owned(), "2001:db8::/32".to_owned()];
    policy.activity.ignored_sources = vec!["203.0.113.66/32".to_owned()];
    let session = house.open(policy.clone()).await;
    session.until_live().await;
    let log = Log::of(&house, &policy, &session.id).await;
    let mut last = Vec::new();
    for line in ["203.0.113.7 - \"GET / HTTP/1.1\" 200", "[2001:db8::5]:4711 GET /", "GET / by nobody knows whom"] {
        tokio::time::sleep(5 * MINUTE).await;
        let at = house.parts.clock.now();
        log.write(at, line).await;
        // Strangers, all the time.
        for stranger in ["203.0.113.66:80 GET /", "198.51.100.4 - \"GET / HTTP/1.1\" 404", "[2001:db9::1]:1 GET /"] {
            tokio::time::sleep(MINUTE).await;
            log.write(house.parts.clock.now(), stranger).await;
        }
        tokio::time::sleep(MINUTE).await;
        last.push((session.status().last_activity.clone().unwrap().at, at));
    }
    for (used, written) in &last {
        assert_eq!(used, written);
    }
    let ended = session.until("ending", |status| status.ending.is_some()).await;
    assert!(ended.at.since(last[2].1) < Span::from_mins(14), "{} after {:?}", ended.at, last[2]);
    session.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_group_that_aws_made_anew_is_removed_and_that_of_anothers_cluster_is_not() {
    let house = House::new(Latency::fast()).await;
    let session = SessionId::new("lab", 1);
    let owner = Owner { session: &session, owner: "me" };
    let logs = aws_sdk_cloudwatchlogs::Client::new(&house.sdk().await);
    let name = "/aws/ecs/containerinsights/fixed/performance";
    let removal = Removal {
        name: name.to_owned(),
        id: None,
        cluster: None,
        vpc: None,
        reason: String::new(),
        mark: None,
        address: None,
    };
    let remove = async || house.parts.cloud.remove(owner, ResourceKind::InsightsLog, &removal).await.unwrap();
    let ours = async || match house.parts.cloud.look(owner, ResourceKind::InsightsLog, &removal).await.unwrap() {
        Observed::Present(seen) => Some(seen.ours),
        _ => None,
    };
    assert_eq!((ours().await, remove().await), (None, Effect::AlreadyGone));
    // AWS makes it without tags; no cluster bears its name any more.
    logs.create_log_group().log_group_name(name).send().await.unwrap();
    assert_eq!((ours().await, remove().await), (Some(true), Effect::Removed));
    assert_eq!(house.left(), Vec::<String>::new());
    // Somebody has made a cluster of that name, and AWS writes of that one.
    logs.create_log_group().log_group_name(name).send().await.unwrap();
    let before = house.plant(vec![Spec::Cluster { name: "fixed".to_owned(), spot: false, insights: true }]).await;
    assert_eq!((ours().await, remove().await), (Some(false), Effect::NotOurs));
    assert_eq!(house.left(), before);
    // Another session's own.
    let other = "/aws/ecs/containerinsights/other/performance";
    house.plant(vec![Spec::LogGroup { name: other.to_owned(), retention_days: 1 }]).await;
    let removal = Removal { name: other.to_owned(), ..removal };
    let effect = house.parts.cloud.remove(owner, ResourceKind::InsightsLog, &removal).await.unwrap();
    assert_eq!(effect, Effect::NotOurs);
}
