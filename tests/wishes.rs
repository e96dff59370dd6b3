//! What people ask of a session, at awkward moments.

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
use memory::House;

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
