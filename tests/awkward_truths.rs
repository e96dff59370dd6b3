//! AWS's awkward truths, met by the whole engine through the real SDK, under paused time.
//!
//! Each test switches one of them on in the sandbox, in memory, and asks what a person would: does the session do its
//! work all the same, does it say what is wrong, is nothing left, is nothing of somebody else's touched?

#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
#[expect(dead_code, reason = "other suites plant images as well")]
mod memory;

use labguard::{
    cloud::Owner,
    domain::{
        model::{
            Action, Cause, Effect, Event, FaultClass, Receipt, ReceiptResource, Request, ResourceKey, ResourceKind,
            SessionId, Span, Spec,
        },
        policy::{Policy, RunMode},
    },
    reconcile::status::SessionStatus,
    sandbox::{Interruption, latency::Latency},
};
use memory::House;

async fn ecs(house: &House) -> aws_sdk_ecs::Client {
    aws_sdk_ecs::Client::new(&house.sdk().await)
}

/// The tasks that ECS has of a session, stopped ones too.
async fn tasks(house: &House, session: &str) -> Vec<aws_sdk_ecs::types::Task> {
    use aws_sdk_ecs::types::DesiredStatus;
    let ecs = ecs(house).await;
    let cluster = format!("labguard-{session}-cluster");
    let mut arns = Vec::new();
    for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let listed = ecs.list_tasks().cluster(&cluster).desired_status(status).send().await.unwrap();
        arns.extend(listed.task_arns.unwrap_or_default());
    }
    let seen = ecs.describe_tasks().cluster(&cluster).set_tasks(Some(arns)).send().await.unwrap();
    seen.tasks.unwrap_or_default()
}

fn fault(house: &House, rule: &str) {
    house.sandbox.add_fault(rule.parse().unwrap());
}

fn of_kind(receipt: &Receipt, kind: ResourceKind) -> Vec<&ReceiptResource> {
    receipt.resources.iter().filter(|resource| resource.key.kind == kind).collect()
}

fn calls(house: &House, name: &str) -> u64 {
    house.sandbox.calls().get(name).copied().unwrap_or(0)
}

const NOTHING: [String; 0] = [];

#[tokio::test(start_paused = true)]
async fn a_run_whose_answer_is_lost_again_and_again_starts_one_task_only() {
    let house = House::new(Latency::fast()).await;
    // More often than the SDK tries one call, so that the engine itself meets the open question.
    fault(&house, "ecs:RunTask=lost-answer:7");
    let session = house.open(house.policy()).await;
    session.until_live().await;
    assert_eq!(tasks(&house, &session.id).await.len(), 1);
    assert_eq!(house.containers.running(), 1);
    assert!(calls(&house, "ecs:RunTask") >= 3, "the answer was not lost often enough");
    let receipt = session.ended().await;
    assert_eq!(of_kind(&receipt, ResourceKind::Task).len(), 1, "{receipt:#?}");
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn whatever_creation_is_done_but_not_answered_the_session_comes_up_and_knows_its_own() {
    for operation in [
        "ecr:CreateRepository",
        "logs:CreateLogGroup",
        "logs:PutRetentionPolicy",
        "iam:CreateRole",
        "iam:AttachRolePolicy",
        "ecs:CreateCluster",
        "ec2:CreateSecurityGroup",
        "ec2:AuthorizeSecurityGroupIngress",
        "ecs:RegisterTaskDefinition",
        "registry:PUT",
        "registry:POST",
    ] {
        for times in [1, 4] {
            let house = House::new(Latency::fast()).await;
            fault(&house, &format!("{operation}=lost-answer:{times}"));
            let session = house.open(house.policy()).await;
            session.until_live().await;
            assert!(calls(&house, operation) > 1, "{operation} was not asked again");
            let receipt = session.ended().await;
            assert!(receipt.resources.iter().all(|it| it.ours), "{operation}: {receipt:#?}");
            assert_eq!(house.left(), NOTHING, "{operation} lost {times} times");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_removal_is_done_but_not_answered_nothing_is_left() {
    for operation in [
        "ecs:StopTask",
        "ecs:DeregisterTaskDefinition",
        "ecs:DeleteTaskDefinitions",
        "ecs:DeleteCluster",
        "ec2:DeleteSecurityGroup",
        "ecr:DeleteRepository",
        "logs:DeleteLogGroup",
        "iam:DetachRolePolicy",
        "iam:DeleteRole",
    ] {
        let house = House::new(Latency::fast()).await;
        fault(&house, &format!("{operation}=lost-answer:4"));
        let session = house.open(house.policy()).await;
        session.until_live().await;
        session.ended().await;
        assert!(calls(&house, operation) >= 1, "{operation} was not called");
        assert_eq!(house.left(), NOTHING, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_creation_was_not_answered_is_made_once() {
    let house = House::new(Latency::fast()).await;
    fault(&house, "ecs:CreateService=lost-answer:7");
    let mut policy = house.policy();
    policy.task.run = RunMode::Service { desired: 1 };
    let session = house.open(policy).await;
    session.until_live().await;
    assert_eq!(house.containers.running(), 1);
    session.ended().await;
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn an_interface_that_outlives_its_task_holds_the_security_group_and_is_waited_for() {
    let linger = Span::from_mins(8);
    let house = House::new(Latency { interface_linger: linger, ..Latency::fast() }).await;
    let session = house.open(house.policy()).await;
    session.until_live().await;
    let asked = house.parts.clock.now();
    session.ask(Request::End { reason: "done".to_owned() }).await;
    // It is told meanwhile what is waited for.
    session
        .until("telling what holds the group", |status| {
            status.resources.iter().any(|it| it.key.kind == ResourceKind::SecurityGroup && it.fault.is_some())
                || status.doing.contains("security group")
                || !status.blockers.is_empty()
        })
        .await;
    let receipt = session.closed().await;
    let gone = of_kind(&receipt, ResourceKind::SecurityGroup)[0].gone_at.unwrap();
    assert!(gone.since(asked) >= linger, "the group was gone after {}", gone.since(asked));
    assert!(receipt.ended_at.since(asked) < linger + Span::from_mins(15));
    // Nothing else waited for it.
    assert!(of_kind(&receipt, ResourceKind::Cluster)[0].gone_at.unwrap().since(asked) < Span::from_mins(2));
    assert_eq!(house.left(), NOTHING);
}

/// A policy whose resource of `kind` has the fixed name `theirs`.
fn with_fixed_name(house: &House, kind: ResourceKind) -> Policy {
    let mut policy = house.policy();
    let theirs = "labguard-theirs".to_owned();
    match kind {
        ResourceKind::Repository => policy.names.repository = theirs,
        ResourceKind::LogGroup => policy.names.log_group = theirs,
        ResourceKind::ExecutionRole => policy.names.execution_role = theirs,
        ResourceKind::Cluster => policy.names.cluster = theirs,
        ResourceKind::SecurityGroup => policy.names.security_group = theirs,
        other => panic!("{other} bears no name of its own"),
    }
    policy
}

const NAMED: [ResourceKind; 5] = [
    ResourceKind::Cluster,
    ResourceKind::SecurityGroup,
    ResourceKind::LogGroup,
    ResourceKind::ExecutionRole,
    ResourceKind::Repository,
];

#[tokio::test(start_paused = true)]
async fn what_somebody_else_made_under_the_same_name_is_refused_and_left_as_it_is() {
    for kind in NAMED {
        let house = House::new(Latency::fast()).await;
        let theirs = house.foreign(kind, "labguard-theirs").await;
        let before = house.plant(vec![theirs]).await;
        let receipt = house.open(with_fixed_name(&house, kind)).await.closed().await;
        assert_eq!(receipt.cause, Some(Cause::DeployFailed), "{kind}");
        let detail = &receipt.cause_detail;
        assert!(detail.contains("does not belong to this session") && detail.contains("adopt"), "{kind}: {detail}");
        assert_eq!(house.left(), before, "{kind}");
        assert_eq!(house.containers.running(), 0, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_adopted_is_used_and_left_standing() {
    for kind in NAMED {
        let house = House::new(Latency::fast()).await;
        let theirs = house.foreign(kind, "labguard-theirs").await;
        let before = house.plant(vec![theirs]).await;
        let mut policy = with_fixed_name(&house, kind);
        policy.adopt = vec![kind];
        let session = house.open(policy).await;
        session.until_live().await;
        let receipt = session.ended().await;
        let adopted = of_kind(&receipt, kind);
        assert!(!adopted[0].ours && adopted[0].gone_at.is_none(), "{kind}: {adopted:?}");
        assert_eq!(house.left(), before, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_who_make_the_same_cluster_at_once_one_has_it_and_the_other_is_told() {
    let house = House::new(Latency { call: Span::from_millis(50), ..Latency::zero() }).await;
    let (one, two) = (SessionId::new("one", 1), SessionId::new("two", 2));
    let spec = Spec::Cluster { name: "same".to_owned(), spot: false, insights: false };
    let cloud = &house.parts.cloud;
    let key = ResourceKey::only(ResourceKind::Cluster);
    // Both look before either makes: CreateCluster answers 200 to both.
    let (first, second) = tokio::join!(
        cloud.ensure(Owner { session: &one, owner: "one" }, key, &spec, false),
        cloud.ensure(Owner { session: &two, owner: "two" }, key, &spec, false),
    );
    assert_eq!(calls(&house, "ecs:CreateCluster"), 2, "the race did not take place");
    let (made, refused): (Vec<_>, Vec<_>) = [first, second].into_iter().partition(Result::is_ok);
    assert_eq!(made.into_iter().map(|made| made.unwrap().effect).collect::<Vec<_>>(), [Effect::Created]);
    assert_eq!(refused.into_iter().map(|it| it.unwrap_err().class).collect::<Vec<_>>(), [FaultClass::Conflict]);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_not_known_everywhere_yet_is_waited_for() {
    let house = House::new(Latency { role_propagation: Span::from_secs(50), ..Latency::fast() }).await;
    let opened = house.parts.clock.now();
    let session = house.open(house.policy()).await;
    session.until_live().await;
    assert!(house.parts.clock.now().since(opened) >= Span::from_secs(50));
    session.ended().await;
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_virgin_account_whose_service_linked_role_is_not_there_yet_is_waited_for() {
    let house = House::new(Latency::fast()).await;
    fault(&house, "ecs:CreateCluster=service-linked-role:2");
    fault(&house, "ecs:RunTask=service-linked-role:1");
    let session = house.open(house.policy()).await;
    session.until_live().await;
    session.ended().await;
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_service_replaces_a_lost_task_by_itself_and_its_tasks_go_with_it() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.task.run = RunMode::Service { desired: 2 };
    let session = house.open(policy).await;
    session.until_live().await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(house.containers.running(), 2);
    let lost = tasks(&house, &session.id).await[0].task_arn().unwrap().to_owned();
    assert!(house.sandbox.interrupt_task(&lost, Interruption::Infrastructure));
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    assert_eq!(house.containers.running(), 2, "the service replaced it");
    assert!(session.status().closed_at.is_none() && session.status().ending.is_none());
    let receipt = session.ended().await;
    assert!(of_kind(&receipt, ResourceKind::Task).len() >= 3, "each task is accounted for: {receipt:#?}");
    assert!(of_kind(&receipt, ResourceKind::Task).iter().all(|task| task.gone_at.is_some()));
    assert_eq!(house.containers.running(), 0);
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_task_on_spot_runs_on_spots_capacity_and_is_replaced_when_that_is_wanted_back() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.task.size.spot = true;
    let session = house.open(policy).await;
    session.until_live().await;
    let running = tasks(&house, &session.id).await;
    assert_eq!(running[0].capacity_provider_name(), Some("FARGATE_SPOT"));
    assert!(house.sandbox.interrupt_task(running[0].task_arn().unwrap(), Interruption::Spot));
    session.until("restarted", |status| status.restarts == 1).await;
    session.until_live().await;
    let receipt = session.ended().await;
    assert_eq!((receipt.restarts, of_kind(&receipt, ResourceKind::Task).len()), (1, 2));
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn where_a_zone_has_no_capacity_the_next_one_is_tried() {
    // The first RunTask is to meet nothing else that refuses it.
    let house = House::new(Latency { role_propagation: Span::ZERO, ..Latency::fast() }).await;
    let first = house.parts.cloud.survey(None, &[]).await.unwrap().subnets[0].id.clone();
    fault(&house, "ecs:RunTask=capacity:1");
    let session = house.open(house.policy()).await;
    session.until_live().await;
    let running = tasks(&house, &session.id).await;
    let details = running[0].attachments()[0].details();
    let subnet = details.iter().find(|it| it.name() == Some("subnetId")).and_then(|it| it.value()).unwrap();
    assert_ne!(subnet, first, "the zone that had none was asked again: {:?}", house.sandbox.calls());
    session.ended().await;
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn where_no_zone_has_capacity_the_start_ends_with_that() {
    let house = House::new(Latency::fast()).await;
    fault(&house, "ecs:RunTask=capacity");
    let receipt = house.open(house.policy()).await.closed().await;
    assert_eq!(receipt.cause, Some(Cause::DeployFailed), "{}", receipt.cause_detail);
    assert!(receipt.cause_detail.to_lowercase().contains("capacity"), "{}", receipt.cause_detail);
    assert_eq!(house.left(), NOTHING);
}

/// A policy whose task is a service's.
fn service(house: &House) -> Policy {
    let mut policy = house.policy();
    policy.task.run = RunMode::Service { desired: 1 };
    policy
}

#[tokio::test(start_paused = true)]
async fn what_an_account_does_not_allow_ends_the_start_at_once_in_words_that_fit() {
    for (rule, told) in [
        (
            "ecs:RunTask=quota",
            "an account limit stands in the way: ecs:RunTask answered Failure: You’ve reached the limit on the number of vCPUs",
        ),
        (
            "ecs:RunTask=blocked",
            "AWS has blocked this account: ecs:RunTask answered BlockedException: Your account is currently blocked",
        ),
        (
            "ec2:DescribeVpcs=no-default-vpc",
            "the account has no default VPC in us-east-1 (NoDefaultVpc in ec2:DescribeVpcs)",
        ),
    ] {
        let house = House::new(Latency { role_propagation: Span::ZERO, ..Latency::fast() }).await;
        fault(&house, rule);
        let opened = house.parts.clock.now();
        let receipt = house.open(house.policy()).await.closed().await;
        let detail = &receipt.cause_detail;
        assert_eq!(receipt.cause, Some(Cause::DeployFailed), "{rule}: {detail}");
        assert!(detail.contains(told) && !detail.contains("right"), "{rule}: {detail}");
        assert!(receipt.ended_at.since(opened) < Span::from_mins(2), "{rule}: {}", receipt.ended_at.since(opened));
        assert_eq!(house.containers.running(), 0, "{rule}");
        assert_eq!(house.left(), NOTHING, "{rule}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_can_place_no_task_says_why_and_ends_at_once_where_it_never_will() {
    for (kind, told) in [
        ("quota", "an account limit stands in the way"),
        ("blocked", "AWS has blocked this account"),
        ("capacity", "AWS has no capacity for it"),
    ] {
        let house = House::new(Latency::fast()).await;
        fault(&house, &format!("ecs:RunTask={kind}"));
        let opened = house.parts.clock.now();
        let session = house.open(service(&house)).await;
        if kind == "capacity" {
            session.until("telling what it waits for", |status| status.doing.contains(told)).await;
        }
        let receipt = session.closed().await;
        let (detail, took) = (&receipt.cause_detail, receipt.ended_at.since(opened));
        assert_eq!(receipt.cause, Some(Cause::DeployFailed), "{kind}: {detail}");
        assert!(detail.contains(told) && detail.contains("was unable to place a task. Reason: "), "{kind}: {detail}");
        let most = Span::from_mins(if kind == "capacity" { 17 } else { 2 });
        assert!(took < most, "{kind}: {took}");
        assert_eq!(house.left(), NOTHING, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_somebody_takes_away_ends_its_session_which_says_so() {
    let house = House::new(Latency::fast()).await;
    let session = house.open(service(&house)).await;
    session.until_live().await;
    let (cluster, name) = (format!("labguard-{}-cluster", session.id), format!("labguard-{}-service", session.id));
    ecs(&house).await.delete_service().cluster(cluster).service(name).force(true).send().await.unwrap();
    let receipt = session.closed().await;
    let detail = &receipt.cause_detail;
    assert_eq!(receipt.cause, Some(Cause::TaskLost), "{detail}");
    assert!(detail.contains("had no task for 15m") && detail.contains("is not there any more"), "{detail}");
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_service_waits_for_capacity_that_comes_late() {
    let house = House::new(Latency::fast()).await;
    fault(&house, "ecs:RunTask=capacity:5");
    let session = house.open(service(&house)).await;
    session.until_live().await;
    session.ended().await;
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_may_not_be_read_is_told_at_once_and_ends_the_start_soon() {
    for operation in ["ec2:DescribeNetworkInterfaces", "ecs:DescribeTasks"] {
        for policy in [House::policy, service] {
            let house = House::new(Latency::fast()).await;
            fault(&house, &format!("{operation}=access-denied"));
            let opened = house.parts.clock.now();
            let session = house.open(policy(&house)).await;
            let told = |status: &SessionStatus| {
                let alarm = status.alarm.as_deref().unwrap_or_default();
                alarm.contains("its tasks cannot be read since") && alarm.contains(operation)
            };
            session.until("telling that it cannot be read", told).await;
            assert!(house.parts.clock.now().since(opened) < Span::from_mins(1), "{operation}");
            session.until("ending", |status| status.ending.is_some()).await;
            assert!(house.parts.clock.now().since(opened) < Span::from_mins(4), "{operation}");
            // Without reading tasks nothing is proven gone.
            house.sandbox.clear_faults();
            let receipt = session.closed().await;
            let detail = &receipt.cause_detail;
            assert_eq!(receipt.cause, Some(Cause::DeployFailed), "{operation}: {detail}");
            assert!(detail.contains("these credentials lack the right to do it"), "{operation}: {detail}");
            assert!(detail.contains(operation) && detail.contains("deploy/iam"), "{operation}: {detail}");
            assert_eq!(house.left(), NOTHING, "{operation}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_task_is_not_lost_with_the_right_to_read_its_address() {
    let house = House::new(Latency::fast()).await;
    fault(&house, "ec2:DescribeNetworkInterfaces=access-denied");
    let session = house.open(house.policy()).await;
    session.until("running", |status| status.doing == "waiting for the first healthy answer").await;
    house.sandbox.clear_faults();
    session.until_live().await;
    assert_eq!(session.status().alarm, None);
    session.ended().await;
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_lost_is_told_as_lost_however_fast_the_probes_are() {
    for run in [RunMode::Task, RunMode::Service { desired: 1 }] {
        let house = House::new(Latency::fast()).await;
        let mut policy = house.policy();
        policy.task.run = run;
        (policy.health.interval, policy.health.unhealthy_after) = (Span::from_secs(1), 3);
        let session = house.open(policy).await;
        session.until_live().await;
        // Well between two reads of a session that runs well.
        tokio::time::sleep(std::time::Duration::from_secs(130)).await;
        let running = tasks(&house, &session.id).await;
        assert!(house.sandbox.interrupt_task(running[0].task_arn().unwrap(), Interruption::Infrastructure));
        session.until("restarted", |status| status.restarts == 1).await;
        let entries = house.parts.journal.entries(&session.id.parse().unwrap()).await.unwrap();
        let because = entries.iter().find_map(|entry| match &entry.event {
            Event::Restarting { because, .. } => Some(because.clone()),
            _ => None,
        });
        assert!(because.as_ref().is_some_and(|it| it.starts_with("its task was lost")), "{run:?}: {because:?}");
        session.until_live().await;
        session.ended().await;
        assert_eq!(house.left(), NOTHING);
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_expire_during_a_teardown_are_told_and_it_goes_on_when_they_are_renewed() {
    let house = House::new(Latency::fast()).await;
    let session = house.open(house.policy()).await;
    session.until_live().await;
    fault(&house, "*=expired-token");
    session.ask(Request::End { reason: "done".to_owned() }).await;
    let told = session
        .until("telling that the credentials are refused", |status| {
            let words = format!("{:?} {:?} {:?}", status.alarm, status.blockers, status.resources).to_lowercase();
            words.contains("expired") || words.contains("credential")
        })
        .await;
    assert!(told.things_left > 0);
    tokio::time::sleep(std::time::Duration::from_secs(1800)).await;
    assert!(session.status().closed_at.is_none());
    assert_eq!(house.containers.running(), 1, "nothing can have been stopped");
    house.sandbox.clear_faults();
    let renewed = house.parts.clock.now();
    let receipt = session.closed().await;
    assert!(receipt.ended_at.since(renewed) < Span::from_mins(20), "{}", receipt.ended_at.since(renewed));
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_ends_the_start_with_the_name_of_the_right() {
    for operation in
        ["ecs:CreateCluster", "ec2:CreateSecurityGroup", "iam:CreateRole", "ecr:CreateRepository", "ecs:RunTask"]
    {
        let house = House::new(Latency::fast()).await;
        fault(&house, &format!("{operation}=access-denied"));
        let receipt = house.open(house.policy()).await.closed().await;
        assert_eq!(receipt.cause, Some(Cause::DeployFailed), "{operation}: {}", receipt.cause_detail);
        let detail = &receipt.cause_detail;
        assert!(detail.contains(operation) && detail.contains("deploy/iam"), "{operation}: {detail}");
        assert_eq!(house.left(), NOTHING, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_task_that_reads_do_not_show_yet_is_not_started_again() {
    let house = House::new(Latency { visibility: Span::from_secs(90), ..Latency::fast() }).await;
    let session = house.open(house.policy()).await;
    session.until_live().await;
    assert_eq!(house.containers.running(), 1);
    assert_eq!(session.status().restarts, 0);
    let receipt = session.ended().await;
    assert_eq!(of_kind(&receipt, ResourceKind::Task).len(), 1);
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn what_lost_its_tag_is_left_alone_and_told() {
    let house = House::new(Latency::fast()).await;
    let session = house.open(house.policy()).await;
    session.until_live().await;
    let (sdk, tag) = (house.sdk().await, "labguard:session");
    let repository = session.status().resources.iter().find(|it| it.key.kind == ResourceKind::Repository).cloned();
    let arn = format!("arn:aws:ecr:us-east-1:000000000000:repository/{}", repository.unwrap().name);
    aws_sdk_ecr::Client::new(&sdk).untag_resource().resource_arn(arn).tag_keys(tag).send().await.unwrap();
    session.ask(Request::End { reason: "enough".to_owned() }).await;
    let receipt = session.account().await;
    assert!(!receipt.proven_clean, "{receipt:#?}");
    for kind in [ResourceKind::Repository, ResourceKind::Image] {
        let [left] = of_kind(&receipt, kind)[..] else { panic!("{receipt:#?}") };
        assert!(left.ours && left.gone_at.is_none() && left.remark.is_some(), "{left:?}");
    }
    let named =
        receipt.resources.iter().filter_map(|it| it.remark.as_deref()).any(|why| why.contains("its tag no more"));
    assert!(named, "{receipt:#?}");
    let there = aws_sdk_ecr::Client::new(&sdk).describe_repositories().send().await.unwrap().repositories.unwrap();
    assert_eq!(there.len(), 1, "it is not touched");

    // What is paid for by the second is not let go: it is asked again until the tag is back, or it is gone. (A task of its own
    // is known by who started it, too.)
    let house = House::new(Latency::fast()).await;
    let session = house.open(service(&house)).await;
    session.until_live().await;
    let service = session.status().resources.iter().find(|it| it.key.kind == ResourceKind::Service).cloned();
    let service = service.and_then(|service| service.id).unwrap();
    let ecs = ecs(&house).await;
    ecs.untag_resource().resource_arn(&service).tag_keys(tag).send().await.unwrap();
    session.ask(Request::End { reason: "enough".to_owned() }).await;
    let stuck = session.until("stuck", |status| !status.blockers.is_empty()).await;
    assert!(stuck.blockers[0].why.contains("bears its tag no more"), "{:?}", stuck.blockers);
    assert!(stuck.blockers[0].cost_per_hour > labguard::domain::model::Money::ZERO, "{:?}", stuck.blockers);
    let with = aws_sdk_ecs::types::Tag::builder().key(tag).value(&session.id).build();
    ecs.tag_resource().resource_arn(&service).tags(with).send().await.unwrap();
    session.closed().await;
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_away_for_a_while_costs_no_healthy_task() {
    let house = House::new(Latency::fast()).await;
    let session = house.open(house.policy()).await;
    session.until_live().await;
    for _ in 0..4 {
        // Neither AWS nor the task can be reached from here.
        for service in ["ecs", "ec2", "sts"] {
            fault(&house, &format!("{service}:*=no-answer"));
        }
        house.containers.cut_off(true);
        tokio::time::sleep(std::time::Duration::from_secs(40)).await;
        house.sandbox.clear_faults();
        house.containers.cut_off(false);
        tokio::time::sleep(std::time::Duration::from_secs(40)).await;
    }
    let status = session.status();
    assert_eq!((status.restarts, status.ending.clone()), (0, None), "{status:#?}");
    let receipt = session.ended().await;
    assert_eq!(of_kind(&receipt, ResourceKind::Task).len(), 1);
    assert_eq!(house.left(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_kept_to_the_moment_while_every_look_at_the_cloud_hangs() {
    // Wherever in its rhythm of looks the limit finds the session.
    for second in (0..60).step_by(4) {
        let house = House::new(Latency::fast()).await;
        let mut policy = house.policy();
        policy.limits.idle_timeout = None;
        policy.limits.lifetime = Span::from_secs(600 + second);
        let session = house.open(policy).await;
        session.until_live().await;
        fault(&house, "ecs:DescribeTasks=slow(9s)");
        fault(&house, "sts:GetCallerIdentity=slow(9s)");
        let (id, opened) = (session.id.clone(), session.status().opened_at);
        let asked = session.until("ending", |status| status.ending.is_some()).await;
        assert_eq!(asked.ending.as_ref().unwrap().0, Cause::Lifetime);
        let entries = house.parts.journal.entries(&id.parse().unwrap()).await.unwrap();
        let stop = entries.iter().find(|entry| {
            matches!(&entry.event, Event::Intended { key, action: Action::Stop, .. } if key.kind == ResourceKind::Task)
        });
        let late = stop.expect("the stop is intended with the ending").at.since(opened + Span::from_secs(600 + second));
        assert!(late <= Span::from_millis(100), "the stop waited {late} for a look (lifetime 600 s + {second} s)");
        session.closed().await;
    }
}
