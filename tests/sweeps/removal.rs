//! A removal goes on by itself, side by side, and ends with an outcome for every thing.

use std::time::Duration;

use labguard::{
    domain::{model::Span, policy::Policy},
    reconcile::handle::{Control, OrphanState, SweepFailure, SweepStage},
    sandbox::{faults::FaultRule, latency::Latency},
};

use super::{NOTHING, another, crash::crash, kinds, listed, memory::House, only, swept};

/// A session whose daemon is gone.
async fn lost(house: &House, policy: Policy) -> String {
    let session = house.open(policy).await;
    session.until_live().await;
    let id = session.id.clone();
    crash(session.lab).await;
    id
}

#[tokio::test(start_paused = true)]
async fn one_group_that_cannot_be_deleted_holds_up_nothing_else_and_nobody_needs_to_wait() {
    let house = House::new(Latency::fast()).await;
    let id = lost(&house, house.policy()).await;
    house.sandbox.add_fault("ec2:DeleteSecurityGroup=throttle".parse::<FaultRule>().unwrap());
    let bob = another(&house).await;
    drop(bob.engine.sweep(vec![id.clone()]).unwrap());

    tokio::time::sleep(Duration::from_secs(180)).await;
    let left = house.left();
    let of = |kind: &str| left.iter().filter(|it| it.starts_with(kind)).count();
    let counts = ["ec2 security-group", "ecs cluster", "ecr repository", "logs group"].map(of);
    assert_eq!(counts, [1, 0, 0, 0], "{left:?}");

    let joined = bob.engine.sweep(vec![id.clone()]).unwrap();
    assert!(joined.joined);
    let report = swept(&bob, &[&id]).await;
    assert_eq!(report.stage, SweepStage::Done);
    let took = report.ended_at.unwrap().since(report.began_at);
    assert!(took > Span::from_mins(15) && took < Span::from_mins(22), "{took}");
    // Its net would have gone on to try: it is left for that.
    assert_eq!(kinds(&report, OrphanState::StillThere), ["security group", "schedule group", "scheduler role"]);
    let group = report.things().find(|(_, thing)| thing.kind == "security group").unwrap().1;
    assert!(group.detail.as_ref().unwrap().contains("RequestLimitExceeded"), "{group:?}");

    house.sandbox.clear_faults();
    let report = swept(&bob, &[&id]).await;
    assert_eq!(kinds(&report, OrphanState::Gone).len(), 3, "{report:#?}");
    assert_eq!(house.left(), NOTHING);
    bob.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_interface_that_lingers_is_waited_for() {
    let house = House::new(Latency::aws_like()).await;
    let id = lost(&house, house.policy()).await;
    let bob = another(&house).await;
    let report = swept(&bob, &[&id]).await;
    assert_eq!(kinds(&report, OrphanState::Gone).len(), only(&report).things.len(), "{report:#?}");
    assert_eq!(house.left(), NOTHING);
    bob.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_ends_at_once_with_the_reason() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.fuse.scheduler = false;
    let id = lost(&house, policy).await;
    house.sandbox.add_fault("ecr:DeleteRepository=access-denied".parse::<FaultRule>().unwrap());
    let bob = another(&house).await;
    let report = swept(&bob, &[&id]).await;
    assert_eq!(kinds(&report, OrphanState::StillThere), ["repository"]);
    let took = report.ended_at.unwrap().since(report.began_at);
    assert!(took < Span::from_mins(5), "{took}");
    bob.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_ends_tells_that_the_sweep_broke_off_and_begins_no_other() {
    let house = House::new(Latency::fast()).await;
    let id = lost(&house, house.policy()).await;
    house.sandbox.add_fault("ec2:DeleteSecurityGroup=throttle".parse::<FaultRule>().unwrap());
    let bob = another(&house).await;
    let job = bob.engine.sweep(vec![id.clone()]).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    bob.engine.begin_drain();
    assert!(bob.engine.sweep(vec![id]).is_err());
    bob.engine.rest().await;
    let report = job.report.borrow().clone();
    assert_eq!(report.stage, SweepStage::Failed);
    assert!(report.failure.as_ref().unwrap().contains("broke off"), "{report:#?}");
    assert_eq!(report.failure_kind, Some(SweepFailure::DaemonEnded));
    assert!(bob.engine.sweeping().is_none());
    bob.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_task_is_no_orphan() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.task.environment = vec![("LABGUARD_SIM_CRASH_AFTER".to_owned(), "5s".to_owned())];
    policy.task.max_restarts = 0;
    let session = house.open(policy).await;
    session.until("closed", |status| status.closed_at.is_some()).await;
    assert!(session.lab.engine.receipt(session.id.clone()).await.unwrap().proven_clean);
    assert_eq!(listed(&session.lab).await.sessions, []);
    let bob = another(&house).await;
    assert_eq!(listed(&bob).await.sessions, []);
    bob.stop().await;
    session.lab.stop().await;
}
