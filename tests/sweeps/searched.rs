//! Nothing is left out in silence: roles by any name are found, and what could not be searched is said.

use labguard::{
    reconcile::handle::{Control, OrphanState, SweepFailure, Verdict},
    sandbox::{faults::FaultRule, latency::Latency},
};

use super::{NOTHING, another, crash::crash, kinds, listed, memory::House, only, swept};

#[tokio::test(start_paused = true)]
async fn a_role_is_found_whatever_it_is_called() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.names.execution_role = "class-{session}".to_owned();
    let lost = house.open(policy).await;
    lost.until_live().await;
    let id = lost.id.clone();
    crash(lost.lab).await;
    let bob = another(&house).await;
    let report = swept(&bob, &[&id]).await;
    assert!(kinds(&report, OrphanState::Gone).contains(&"execution role"), "{report:#?}");
    assert_eq!(report.not_searched, []);
    assert_eq!(house.left(), NOTHING);
    bob.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_listed_is_said_with_the_right_that_is_missing() {
    let house = House::new(Latency::fast()).await;
    let bob = another(&house).await;
    assert_eq!(listed(&bob).await.not_searched, []);
    for (fault, what) in [
        ("iam:ListRoles", "IAM roles"),
        ("scheduler:ListScheduleGroups", "schedule groups"),
        ("ecr:DescribeRepositories", "images in repositories of others"),
    ] {
        house.sandbox.add_fault(format!("{fault}=access-denied").parse::<FaultRule>().unwrap());
        let report = listed(&bob).await;
        house.sandbox.clear_faults();
        assert_eq!(report.not_searched.len(), 1, "{fault}: {report:#?}");
        let part = &report.not_searched[0];
        assert_eq!((part.what.as_str(), part.matters), (what, true));
        assert!(part.why.contains("AccessDenied") && part.next.contains(&format!("allow {fault}")), "{part:?}");
    }
    bob.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_cannot_search_says_who_refused() {
    let house = House::new(Latency::fast()).await;
    let bob = another(&house).await;
    house.sandbox.add_fault("tagging:GetResources=access-denied".parse::<FaultRule>().unwrap());
    let mut job = bob.engine.sweep(Vec::new()).unwrap();
    let report = job.report.wait_for(|report| report.is_over()).await.unwrap().clone();
    assert_eq!(report.failure_kind, Some(SweepFailure::Cloud), "{report:#?}");
    assert!(report.failure.as_ref().unwrap().contains("AccessDenied"), "{report:#?}");
    bob.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_bears_the_tag_with_no_sessions_value_is_shown_and_never_removed() {
    let house = House::new(Latency::fast()).await;
    let tag = aws_sdk_ecs::types::Tag::builder().key("labguard:session").value("Some Body").build();
    let ecs = aws_sdk_ecs::Client::new(&house.sdk().await);
    ecs.create_cluster().cluster_name("theirs").tags(tag).send().await.unwrap();
    let before = house.left();
    let bob = another(&house).await;
    for asked in [&[][..], &["Some Body"]] {
        let report = swept(&bob, asked).await;
        let theirs = only(&report);
        assert_eq!((theirs.verdict, theirs.yields_when_named()), (Verdict::MaybeGuarded, false), "{}", theirs.why);
        assert_eq!(kinds(&report, OrphanState::Kept), ["cluster"], "{report:#?}");
    }
    assert_eq!(house.left(), before);
    bob.stop().await;
}
