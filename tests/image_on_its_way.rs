//! Whole sessions under paused time while their image is on its way: it is seen in the status, limits and people's wishes
//! hold at once, and neither a stop nor a crash in the middle loses or leaves anything.

#[path = "support/crash.rs"]
mod crash;
#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
#[expect(dead_code, reason = "other suites ask for more")]
mod memory;

use std::collections::BTreeMap;

use labguard::{
    domain::model::{Cause, Extension, Phase, Request, Span, SupplyStage},
    reconcile::{handle::Control, status::SessionStatus},
    sandbox::latency::Latency,
};
use memory::House;

/// A registry that takes an hour over an upload: always, or the first time only.
fn slow(house: &House, when: &str) {
    house.sandbox.add_fault(format!("registry:PUT=slow(1h){when}").parse().unwrap());
}

fn pushing(status: &SessionStatus) -> bool {
    let stage = status.image.as_ref().map(|image| image.stage);
    stage == Some(SupplyStage::Pushing) && status.image.as_ref().is_some_and(|image| !image.layers.is_empty())
}

fn uploads(house: &House) -> u64 {
    house.sandbox.calls().get("registry:PUT").copied().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_down_acts_while_the_image_is_still_being_pushed() {
    let house = House::new(Latency::fast()).await;
    slow(&house, "");
    let session = house.open(house.policy()).await;
    let status = session.until("pushing", pushing).await;
    let doing = session.until("told", |status| status.doing.contains("pushing to")).await.doing.clone();
    assert!(doing.contains(" of ") && doing.ends_with("MB"), "{doing}");
    assert_eq!((status.phase, uploads(&house)), (Phase::Provisioning, 1));
    let asked = house.parts.clock.now();
    let receipt = session.ended().await;
    let took = receipt.ended_at.since(asked);
    assert!(took < Span::from_mins(1), "the end waited {took} for a push that takes an hour");
    assert_eq!(house.left(), Vec::<String>::new());
    tokio::time::sleep(std::time::Duration::from_secs(4 * 3600)).await;
    assert_eq!((uploads(&house), house.left()), (1, Vec::new()), "the push went on behind the session's back");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_reached_in_the_middle_of_a_push_ends_the_session_on_time() {
    let house = House::new(Latency::fast()).await;
    slow(&house, "");
    let mut policy = house.policy();
    policy.limits.lifetime = Span::from_mins(3);
    let session = house.open(policy).await;
    session.until("pushing", pushing).await;
    session.ask(Request::Extend(Extension::Lifetime { by: Span::from_mins(2) })).await;
    let receipt = session.closed().await;
    assert_eq!(receipt.cause, Some(Cause::Lifetime), "{}", receipt.cause_detail);
    let lived = receipt.ended_at.since(receipt.opened_at);
    assert!(lived >= Span::from_mins(5) && lived < Span::from_mins(6), "{lived}");
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_session_stopped_in_the_middle_of_a_push_pushes_again_when_it_is_resumed() {
    let house = House::new(Latency::fast()).await;
    slow(&house, ":1");
    let session = house.open(house.policy()).await;
    session.until("pushing", pushing).await;
    session.ask(Request::Stop { reason: "lunch".to_owned() }).await;
    session.until("stopped", |status| status.phase == Phase::Stopping && status.image.is_none()).await;
    session.ask(Request::Resume).await;
    session.until_live().await;
    assert_eq!(session.status().image, None, "what has arrived is on its way no more");
    session.ended().await;
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_daemon_that_comes_after_a_crash_in_the_middle_of_a_push_goes_on_with_it() {
    let house = House::new(Latency::fast()).await;
    slow(&house, ":1");
    let session = house.open(house.policy()).await;
    session.until("pushing", pushing).await;
    let id = session.id.clone();
    crash::crash(session.lab).await;
    let next = lab::Lab::start(&house.parts, BTreeMap::new(), None).await;
    let mut status = next.engine.follow(&id).unwrap();
    status.wait_for(|status| status.url.is_some()).await.unwrap();
    next.engine.request(id.clone(), Request::End { reason: "the test is over".to_owned() }).await.unwrap();
    status.wait_for(|status| status.closed_at.is_some()).await.unwrap();
    next.stop().await;
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn many_sessions_images_come_a_few_at_a_time_and_the_others_say_that_they_wait() {
    let mut house = House::new(Latency::fast()).await;
    house.parts.max_sessions = 20;
    slow(&house, "");
    let mut sessions = BTreeMap::new();
    for number in 0..10 {
        let mut policy = house.policy();
        policy.name = format!("lab{number}");
        sessions.insert(policy.name.clone(), policy);
    }
    let names: Vec<String> = sessions.keys().cloned().collect();
    let lab = lab::Lab::start(&house.parts, sessions, None).await;
    for name in &names {
        lab.engine.up(name.clone()).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let stages = |wanted| {
        let all = lab.engine.list();
        all.iter().filter(|status| status.image.as_ref().is_some_and(|image| image.stage == wanted)).count()
    };
    assert_eq!((stages(SupplyStage::Pushing), stages(SupplyStage::Waiting)), (8, 2));
    for name in &names[..8] {
        lab.engine.request(name.clone(), Request::End { reason: "enough".to_owned() }).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!((stages(SupplyStage::Pushing), stages(SupplyStage::Waiting)), (2, 0), "their turn has come");
    lab.stop().await;
}
