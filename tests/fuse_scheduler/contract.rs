//! The calls themselves, against the sandbox: what AWS refuses, and what comes of each.

use std::time::Duration;

use labguard::{
    cloud::{Cloud, Owner},
    domain::model::{
        Arming, Effect, FaultClass, Observed, Removal, ResourceKey, ResourceKind, Scheduled, ScheduledCall, SessionId,
        Span, Spec, Timestamp,
    },
    sandbox::latency::Latency,
};

use super::memory::House;

const GROUP: ResourceKey = ResourceKey::only(ResourceKind::ScheduleGroup);
const ROLE: ResourceKey = ResourceKey::only(ResourceKind::SchedulerRole);

fn removal(name: &str) -> Removal {
    Removal {
        name: name.to_owned(),
        id: None,
        cluster: None,
        vpc: None,
        reason: "labguard: the contract is over".to_owned(),
        mark: None,
        address: None,
    }
}

fn at_once(name: &str, at: Timestamp, known: bool) -> Scheduled {
    let call = ScheduledCall::DeleteCluster { cluster: "labguard-contract".to_owned() };
    Scheduled { name: name.to_owned(), at, call, known }
}

async fn made(cloud: &Cloud, owner: Owner<'_>) -> String {
    let group = Spec::ScheduleGroup { name: "labguard-contract".to_owned() };
    assert_eq!(cloud.ensure(owner, GROUP, &group, false).await.unwrap().effect, Effect::Created);
    let role = Spec::SchedulerRole {
        name: "labguard-contract-fuse".to_owned(),
        group: "labguard-contract".to_owned(),
        cluster: "labguard-contract".to_owned(),
    };
    let made = cloud.ensure(owner, ROLE, &role, false).await.unwrap();
    assert_eq!(made.effect, Effect::Created);
    assert_eq!(cloud.ensure(owner, ROLE, &role, false).await.unwrap().effect, Effect::AlreadyThere);
    assert_eq!(cloud.ensure(owner, GROUP, &group, false).await.unwrap().effect, Effect::AlreadyThere);
    made.id.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_group_is_its_sessions_alone_and_takes_its_schedules_with_it() {
    let house = House::new(Latency::fast()).await;
    let cloud = &house.parts.cloud;
    let (session, stranger) = (SessionId::new("contract", 1), SessionId::new("stranger", 2));
    let owner = Owner { session: &session, owner: "contract" };
    let other = Owner { session: &stranger, owner: "stranger" };
    let role = made(cloud, owner).await;
    for (kind, name) in
        [(ResourceKind::ScheduleGroup, "labguard-contract"), (ResourceKind::SchedulerRole, "labguard-contract-fuse")]
    {
        let spec = match kind {
            ResourceKind::ScheduleGroup => Spec::ScheduleGroup { name: name.to_owned() },
            _ => Spec::SchedulerRole { name: name.to_owned(), group: "g".to_owned(), cluster: "c".to_owned() },
        };
        let refused = cloud.ensure(other, ResourceKey::only(kind), &spec, false).await.unwrap_err();
        assert_eq!(refused.class, FaultClass::Conflict, "{refused}");
        assert_eq!(cloud.remove(other, kind, &removal(name)).await.unwrap(), Effect::NotOurs);
        assert!(cloud.look(owner, kind, &removal(name)).await.unwrap().present().is_some_and(|seen| seen.ours));
        assert!(cloud.look(other, kind, &removal(name)).await.unwrap().present().is_some_and(|seen| !seen.ours));
    }
    let tagged = cloud.tagged().await.unwrap();
    let kinds: Vec<_> = tagged.things.iter().filter(|it| it.session == session.to_string()).map(|it| it.kind).collect();
    assert!(kinds.contains(&Some(ResourceKind::ScheduleGroup)), "{tagged:?}");
    assert!(kinds.contains(&Some(ResourceKind::SchedulerRole)), "{tagged:?}");

    // The role has not propagated yet; then it has.
    let later = house.parts.clock.now() + Span::from_mins(30);
    let arming = |schedules| Arming { group: "labguard-contract".to_owned(), role: role.clone(), schedules };
    let (set, fault) = cloud.arm(owner, &arming(vec![at_once("a", later, false)])).await.unwrap_err();
    assert!(set.is_empty() && fault.class == FaultClass::Dependency, "{fault}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    cloud.arm(owner, &arming(vec![at_once("a", later, false)])).await.unwrap();
    // A try whose answer was lost does it again; a moved one that was due meanwhile is made again.
    cloud.arm(owner, &arming(vec![at_once("a", later, false), at_once("b", later, true)])).await.unwrap();
    assert_eq!(house.sandbox.scheduled().len(), 2);
    // What AWS refuses is told with what was set before it.
    let past = house.parts.clock.now() - Span::from_secs(60);
    let schedules = vec![at_once("c", later, false), at_once("d", past, false)];
    let (set, fault) = cloud.arm(owner, &arming(schedules)).await.unwrap_err();
    assert_eq!((set.len(), fault.code.as_str()), (1, "ValidationException"), "{fault}");
    let (_, fault) = cloud.arm(owner, &arming(vec![at_once("no name", later, false)])).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Rejected, "{fault}");

    for (kind, name) in
        [(ResourceKind::ScheduleGroup, "labguard-contract"), (ResourceKind::SchedulerRole, "labguard-contract-fuse")]
    {
        assert_eq!(cloud.remove(owner, kind, &removal(name)).await.unwrap(), Effect::Removed);
        assert_eq!(cloud.remove(owner, kind, &removal(name)).await.unwrap(), Effect::AlreadyGone);
        assert_eq!(cloud.look(owner, kind, &removal(name)).await.unwrap(), Observed::Absent);
    }
    assert_eq!(house.sandbox.scheduled(), []);
    assert_eq!(house.left(), super::NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_calls_within_its_minute_once_and_a_moved_one_at_its_new_instant_only() {
    let house = House::new(Latency::fast()).await;
    let cloud = &house.parts.cloud;
    let session = SessionId::new("contract", 1);
    let owner = Owner { session: &session, owner: "contract" };
    let role = made(cloud, owner).await;
    let cluster = Spec::Cluster { name: "labguard-contract".to_owned(), spot: false, insights: false };
    cloud.ensure(owner, ResourceKey::only(ResourceKind::Cluster), &cluster, false).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let now = house.parts.clock.now();
    let (first, moved) = (now + Span::from_mins(10), now + Span::from_mins(20));
    let arming = |at, known| Arming {
        group: "labguard-contract".to_owned(),
        role: role.clone(),
        schedules: vec![at_once("cluster-delete", at, known)],
    };
    cloud.arm(owner, &arming(first, false)).await.unwrap();
    cloud.arm(owner, &arming(moved, true)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    assert_eq!(house.sandbox.fired(), []);
    assert!(house.left().iter().any(|it| it.starts_with("ecs cluster")));
    tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    let [fired] = house.sandbox.fired().try_into().unwrap();
    assert_eq!((fired.call.as_str(), fired.refused.as_deref()), ("ecs:deleteCluster", None));
    assert!(fired.at >= moved && fired.at.since(moved) < Span::from_mins(1), "{fired:?} for {moved}");
    assert!(!house.left().iter().any(|it| it.starts_with("ecs cluster")));
    assert_eq!(house.sandbox.scheduled(), [], "it is gone once it has been due");
}
