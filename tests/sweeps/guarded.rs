//! Two journals on one account: what another labguard guards is told apart, and left alone unless it is named.

use std::time::Duration;

use labguard::{
    domain::{
        model::{Phase, Request, Span},
        policy::RunMode,
    },
    reconcile::handle::{CommandError, Control, OrphanState, Verdict},
    sandbox::{faults::FaultRule, latency::Latency},
};

use super::{NOTHING, another, crash::crash, kinds, listed, memory::House, only, swept};

#[tokio::test(start_paused = true)]
async fn a_running_session_of_another_labguard_is_told_apart_and_survives_a_sweep() {
    for run in [RunMode::Task, RunMode::Service { desired: 1 }] {
        let house = House::new(Latency::fast()).await;
        let mut policy = house.policy();
        policy.task.run = run;
        policy.limits.idle_timeout = None;
        // Neither a net nor a young thing speaks for it: that it runs is enough.
        policy.fuse.scheduler = false;
        policy.limits.lifetime = Span::from_mins(600);
        policy.limits.max_lifetime = Span::from_mins(600);
        let alices = house.open(policy).await;
        alices.until_live().await;
        tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
        let before = house.left();

        let bob = another(&house).await;
        let report = listed(&bob).await;
        let session = only(&report);
        assert_eq!((session.session.as_str(), session.owner.as_deref()), (alices.id.as_str(), Some("tests")));
        assert_eq!((session.verdict, session.known), (Verdict::MaybeGuarded, false), "{}", session.why);
        assert!(session.why.contains("runs") && !session.running.is_empty(), "{session:?}");
        assert!(session.newest_at.is_some_and(|at| house.parts.clock.now().since(at) > Span::from_mins(60)));

        let report = swept(&bob, &[]).await;
        assert_eq!(kinds(&report, OrphanState::Kept).len(), only(&report).things.len(), "{report:#?}");
        assert_eq!(house.left(), before);
        assert_eq!(alices.status().phase, Phase::Running);
        assert!(listed(&alices.lab).await.sessions.is_empty(), "to her daemon it is no orphan");
        let refused = alices.lab.engine.sweep(vec![alices.id.clone()]).unwrap_err();
        assert!(matches!(&refused, CommandError::Refused(text) if text.contains("labguard down")), "{refused}");

        let id = alices.id.clone();
        crash(alices.lab).await;
        let report = swept(&bob, &[&id]).await;
        assert_eq!(kinds(&report, OrphanState::Gone).len(), only(&report).things.len(), "{report:#?}");
        assert_eq!(house.left(), NOTHING);
        bob.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_session_is_guarded_as_long_as_its_net_has_something_to_come() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.end.keep_stopped = Span::from_mins(300);
    policy.limits.lifetime = Span::from_mins(600);
    policy.limits.max_lifetime = Span::from_mins(600);
    let alices = house.open(policy).await;
    alices.until_live().await;
    alices.until("in the net", |status| status.nets.iter().any(|net| net.acts_at.is_some())).await;
    alices.ask(Request::Stop { reason: "lunch".to_owned() }).await;
    alices.until("stopped", |status| status.phase == Phase::Stopping).await;
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    let before = house.left();
    let bob = another(&house).await;
    let report = swept(&bob, &[]).await;
    let session = only(&report);
    assert_eq!((session.verdict, &session.running), (Verdict::MaybeGuarded, &Vec::new()), "{}", session.why);
    assert!(session.why.contains("its net outside has"), "{}", session.why);
    assert_eq!(house.left(), before);
    // A listing that was refused shows no groups, which is not that there are none.
    house.sandbox.add_fault("scheduler:ListScheduleGroups=access-denied".parse::<FaultRule>().unwrap());
    let session = only(&listed(&bob).await).clone();
    assert_eq!(session.verdict, Verdict::MaybeGuarded, "{}", session.why);
    assert!(session.why.contains("its net outside has"), "{}", session.why);
    // Without the right to see its schedules nothing is known of it, which is not nothing to come.
    house.sandbox.add_fault("scheduler:ListSchedules=access-denied".parse::<FaultRule>().unwrap());
    let session = only(&listed(&bob).await).clone();
    assert_eq!(session.verdict, Verdict::MaybeGuarded);
    assert!(session.why.contains("not all known") && session.why.contains("ListSchedules"), "{}", session.why);
    bob.stop().await;
    alices.lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_made_a_moment_ago_is_kept_and_an_hour_later_it_is_an_orphan() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.fuse.scheduler = false;
    // On its way up, with nothing that runs.
    house.sandbox.add_fault("ecs:RunTask=throttle".parse::<FaultRule>().unwrap());
    let lost = house.open(policy).await;
    lost.until("on its way", |status| status.resources.len() > 5).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let bob = another(&house).await;
    let before = house.left();
    let report = swept(&bob, &[]).await;
    assert!(only(&report).why.contains("less than"), "{}", only(&report).why);
    assert_eq!(house.left(), before);
    crash(lost.lab).await;
    tokio::time::sleep(Duration::from_secs(3700)).await;
    let report = swept(&bob, &[]).await;
    assert_eq!(only(&report).verdict, Verdict::Orphan, "{}", only(&report).why);
    assert_eq!(house.left(), NOTHING);
    let report = swept(&bob, &["lab-nobody"]).await;
    assert_eq!((report.sessions.len(), &report.unknown), (0, &vec!["lab-nobody".to_owned()]));
    bob.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_closed_session_of_this_journal_left_is_removed_at_once() {
    let house = House::new(Latency::fast()).await;
    let session = house.open(house.policy()).await;
    session.until_live().await;
    session.ask(Request::End { reason: "the test is over".to_owned() }).await;
    session.until("closed", |status| status.closed_at.is_some()).await;
    assert!(listed(&session.lab).await.sessions.is_empty());
    // Something with its tag appears after all.
    let spec = labguard::domain::model::Spec::Cluster { name: "late".to_owned(), spot: false, insights: false };
    let id = session.status().id.clone();
    let owner = labguard::cloud::Owner { session: &id, owner: "tests" };
    let key = labguard::domain::model::ResourceKey::only(labguard::domain::model::ResourceKind::Cluster);
    house.parts.cloud.ensure(owner, key, &spec, false).await.unwrap();
    let report = swept(&session.lab, &[]).await;
    assert!(only(&report).known && only(&report).why.contains("closed"), "{}", only(&report).why);
    assert_eq!(house.left(), NOTHING);
    session.lab.stop().await;
}
