//! What people ask of a session, at awkward moments.

#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
#[expect(dead_code, reason = "other suites ask for more")]
mod memory;

use labguard::{
    domain::model::{Cause, Extension, Request, Span},
    reconcile::handle::{CommandError, Control},
    sandbox::latency::Latency,
};
use memory::House;

#[tokio::test(start_paused = true)]
async fn a_stop_and_a_resume_right_after_it_are_both_taken() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.limits.idle_timeout = None;
    let session = house.open(policy).await;
    session.until_live().await;
    session.ask(Request::Stop { reason: "lunch".to_owned() }).await;
    session.ask(Request::Resume).await;
    session.until("live again", |status| status.url.is_some() && status.ending.is_none()).await;
    let refused = session.lab.engine.request(session.id.clone(), Request::Resume).await.unwrap_err();
    assert!(refused.to_string().contains("only a stopped session can be resumed"), "{refused}");
    session.ended().await;
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
