//! What people ask of a session, at awkward moments, and of a daemon that has many.

#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
#[expect(dead_code, reason = "other suites ask for more")]
mod memory;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lab::Lab;
use labguard::{
    domain::model::{Cause, Event, Extension, Phase, Request, Span},
    reconcile::{
        Checkpoint, Engine,
        handle::{CommandError, Control},
    },
    sandbox::latency::Latency,
};
use memory::{Blueprint, House};

/// Whether the session's journal says that it was to end.
async fn ended(engine: &Arc<Engine>, session: &str) -> bool {
    let entries = engine.entries(session.to_owned()).await.unwrap();
    entries.iter().any(|entry| matches!(entry.event, Event::Ending { .. }))
}

#[tokio::test(start_paused = true)]
async fn a_stop_and_a_resume_right_after_it_are_both_taken() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.limits.idle_timeout = None;
    let session = house.open(policy).await;
    session.until_live().await;
    session.ask(Request::Stop { reason: "lunch".to_owned() }).await;
    session.ask(Request::Resume).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let status = session.status();
    assert_eq!((status.phase, &status.ending), (Phase::Running, &None), "{status:#?}");
    assert!(!ended(&session.lab.engine, &session.id).await, "the stop had not begun");
    let refused = session.lab.engine.request(session.id.clone(), Request::Resume).await.unwrap_err();
    assert!(refused.to_string().contains("only a stopped session can be resumed"), "{refused}");
    session.ended().await;
}

#[tokio::test(start_paused = true)]
async fn leases_that_lapsed_make_room_for_new_ones() {
    let house = House::new(Latency::fast()).await;
    let session = house.open(house.policy()).await;
    let ask = |number: u32| {
        let (lease, by) = (format!("job-{number}"), "ci".to_owned());
        session.lab.engine.request(session.id.clone(), Request::Lease { lease, by, ttl: Span::from_secs(60) })
    };
    for number in 0..100 {
        ask(number).await.unwrap();
    }
    let refused = ask(100).await.unwrap_err();
    assert!(refused.to_string().contains("100 leases already"), "{refused}");
    ask(7).await.unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    ask(100).await.unwrap();
    session.ended().await;
}

/// A turn has decided to stop it and is about to journal that: the resume, which was taken before, must not be lost.
#[tokio::test(start_paused = true)]
async fn a_resume_that_comes_while_the_stop_is_being_journalled_is_heeded() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.limits.idle_timeout = None;
    let asker = Arc::new((OnceLock::<(Arc<Engine>, String)>::new(), AtomicBool::new(false)));
    let asks = Arc::clone(&asker);
    let checkpoint: Checkpoint = Arc::new(move |place| {
        let asks = Arc::clone(&asks);
        Box::pin(async move {
            if place == "before notes" && asks.1.swap(false, Ordering::SeqCst) {
                let (engine, session) = asks.0.get().unwrap();
                engine.request(session.clone(), Request::Resume).await.unwrap();
            }
        })
    });
    let lab = Lab::start(&house.parts, BTreeMap::from([("lab".to_owned(), policy)]), Some(checkpoint)).await;
    let id = lab.engine.up("lab".to_owned()).await.unwrap().to_string();
    asker.0.set((Arc::clone(&lab.engine), id.clone())).ok().unwrap();
    let mut status = lab.engine.follow(&id).unwrap();
    status.wait_for(|status| status.url.is_some()).await.unwrap();
    // Nothing is under way any more that would be noted before the stop.
    tokio::time::sleep(Duration::from_secs(60)).await;
    lab.engine.request(id.clone(), Request::Stop { reason: "lunch".to_owned() }).await.unwrap();
    asker.1.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(!asker.1.load(Ordering::SeqCst), "the resume was asked for");
    let status = lab.engine.get(&id).unwrap();
    assert_eq!((status.phase, &status.ending), (Phase::Running, &None), "{status:#?}");
    assert!(!ended(&lab.engine, &id).await, "the stop was taken back before it began");
    lab.engine.request(id.clone(), Request::End { reason: "the test is over".to_owned() }).await.unwrap();
    let mut status = lab.engine.follow(&id).unwrap();
    status.wait_for(|status| status.closed_at.is_some()).await.unwrap();
    lab.stop().await;
}

/// What makes or keeps is refused, what ends is heeded (decision 0009).
#[tokio::test(start_paused = true)]
async fn a_session_is_ended_though_the_disk_is_full_and_closes_once_it_is_not() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.limits.idle_timeout = None;
    let session = house.open(policy).await;
    session.until_live().await;
    house.parts.journal.refuse_writes(true);
    let by = Span::from_mins(1);
    for kept in [Request::Extend(Extension::Lifetime { by }), Request::Touch { by: "me".to_owned() }] {
        let refused = session.lab.engine.request(session.id.clone(), kept).await.unwrap_err();
        assert!(matches!(refused, CommandError::Journal(_)), "{refused}");
    }
    session.ask(Request::End { reason: "it costs".to_owned() }).await;
    let free = ["ecs task-definition"];
    let status = session
        .until("nothing is left but its receipt", |status| {
            status.things_left == 0 && house.left().iter().all(|it| free.iter().any(|kind| it.starts_with(kind)))
        })
        .await;
    assert!(status.closed_at.is_none(), "a receipt that is not on the disk is no receipt");
    assert!(status.alarm.as_ref().is_some_and(|alarm| alarm.contains("journal cannot be written")), "{status:#?}");
    house.parts.journal.refuse_writes(false);
    let receipt = session.closed().await;
    assert_eq!(receipt.cause, Some(Cause::Operator));
}

#[tokio::test(start_paused = true)]
async fn where_nobody_says_whose_account_it_is_no_limit_waits_for_the_answer() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.limits.idle_timeout = None;
    policy.limits.lifetime = Span::from_mins(7);
    let lab = Lab::start(&house.parts, [(policy.name.clone(), policy.clone())].into(), None).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(lab.engine.up(policy.name.clone()).await.unwrap());
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    house.sandbox.add_fault("sts:GetCallerIdentity=slow(300s)".parse().unwrap());
    tokio::time::sleep(Duration::from_secs(9 * 60)).await;
    for id in ids {
        let record = house.parts.journal.record(&id).await.unwrap().unwrap();
        let late = record.ending.as_ref().expect("its life is over").at.since(record.opened_at + Span::from_mins(7));
        assert!(late < Span::from_secs(3), "{id} ended {late} late");
        assert!(record.is_closed(), "{id} is {}", record.phase);
    }
    lab.stop().await;
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn another_health_port_in_the_file_is_for_the_next_session() {
    let house = House::new(Latency::fast()).await;
    let policy = house.policy();
    let session = house.open(policy.clone()).await;
    session.until_live().await;
    let before = session.status();
    let mut changed = policy.clone();
    (changed.health.port, changed.health.path) = (8080, "/".to_owned());
    assert_eq!(session.lab.engine.replace_policies([(changed.name.clone(), changed)].into()).await, 1);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let after = session.status();
    assert_eq!((after.url.clone(), after.restarts), (before.url.clone(), 0));
    session.ended().await;
}

#[tokio::test(start_paused = true)]
async fn metrics_that_are_refused_are_tried_when_they_are_due() {
    let house = House::new(Latency::fast()).await;
    house.sandbox.add_fault("cloudwatch:PutMetricData=access-denied".parse().unwrap());
    let mut policy = house.policy();
    policy.metrics.cloudwatch = vec!["session_spend_dollars".to_owned()];
    policy.metrics.interval = Span::from_mins(2);
    let session = house.open(policy).await;
    session.until_live().await;
    let calls = || house.sandbox.calls().get("cloudwatch:PutMetricData").copied().unwrap_or(0);
    let before = calls();
    tokio::time::sleep(Duration::from_secs(6 * 60)).await;
    let tries = calls() - before;
    assert!((2..=4).contains(&tries), "{tries} tries in six minutes");
    session.ended().await;
}

#[tokio::test(start_paused = true)]
async fn sessions_that_ended_long_ago_take_no_room_and_keep_their_receipts() {
    let house = House::build(Blueprint { max_sessions: 200, ..Blueprint::new(1, Latency::fast()) }).await;
    let policy = house.policy();
    let lab = Lab::start(&house.parts, [(policy.name.clone(), policy.clone())].into(), None).await;
    let mut first = None;
    for _ in 0..120 {
        let id = lab.engine.up(policy.name.clone()).await.unwrap();
        lab.engine.request(id.to_string(), Request::End { reason: "enough".to_owned() }).await.unwrap();
        let mut status = lab.engine.follow(id.as_str()).unwrap();
        status.wait_for(|status| status.closed_at.is_some()).await.unwrap();
        first.get_or_insert(id);
    }
    tokio::time::sleep(Duration::from_secs(11 * 60)).await;
    let last = lab.engine.up(policy.name.clone()).await.unwrap();
    lab.engine.request(last.to_string(), Request::End { reason: "enough".to_owned() }).await.unwrap();
    let mut status = lab.engine.follow(last.as_str()).unwrap();
    status.wait_for(|status| status.closed_at.is_some()).await.unwrap();
    assert_eq!(lab.engine.list().len(), 100);
    let first = first.unwrap();
    assert!(lab.engine.get(first.as_str()).is_err());
    assert!(lab.engine.receipt(first.to_string()).await.unwrap().proven_clean);
    assert!(!lab.engine.entries(first.to_string()).await.unwrap().is_empty());
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_several_ups_at_once_one_has_the_fixed_names_and_the_cap_holds() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.names.cluster = "the-only-one".to_owned();
    let book = [(policy.name.clone(), policy.clone())].into();
    let lab = Lab::start(&house.parts, book, None).await;
    let up = || lab.engine.up(policy.name.clone());
    let answers = tokio::join!(up(), up(), up(), up());
    let opened = [answers.0.is_ok(), answers.1.is_ok(), answers.2.is_ok(), answers.3.is_ok()];
    assert_eq!(opened.iter().filter(|opened| **opened).count(), 1, "{opened:?}");
    lab.stop().await;

    let house = House::build(Blueprint { max_sessions: 3, ..Blueprint::new(1, Latency::fast()) }).await;
    let policy = house.policy();
    let lab = Lab::start(&house.parts, [(policy.name.clone(), policy.clone())].into(), None).await;
    let up = || lab.engine.up(policy.name.clone());
    let answers = tokio::join!(up(), up(), up(), up(), up());
    let answers = [answers.0, answers.1, answers.2, answers.3, answers.4];
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3, "{answers:?}");
    let refused = answers.into_iter().find_map(Result::err).unwrap().to_string();
    assert!(refused.contains("3 sessions are live, which is the most"), "{refused}");
    lab.stop().await;
}
