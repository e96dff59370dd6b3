//! Nothing is left out in silence: roles by any name are found, and what could not be searched is said.

use labguard::{
    reconcile::handle::OrphanState,
    sandbox::{faults::FaultRule, latency::Latency},
};

use super::{NOTHING, another, crash::crash, kinds, listed, memory::House, swept};

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
