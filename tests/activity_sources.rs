//! Sources of activity in whole sessions, in memory under paused time: the log, the operator's command, and gaps.

#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
#[expect(dead_code, reason = "not every test needs every corner")]
mod memory;

use std::time::Duration;

use labguard::{
    domain::{
        model::{Cause, Sign, Source, Span, Timestamp},
        policy::Policy,
    },
    sandbox::latency::Latency,
};
use memory::House;

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
