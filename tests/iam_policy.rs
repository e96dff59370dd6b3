//! The least-privilege policy in `deploy/iam` against what the code really calls: none missing, none too many.
//!
//! The calls are made here, in memory: sessions as tasks and as a service, stopped and resumed, on adopted things, from
//! a registry's image, with lost answers and failed starts, with metrics, a sweep, and a look at the Price List. Each SDK call notes the action
//! of its name and those that AWS asks for besides (`Cloud::actions`), so a new call fails this test by itself.

#[path = "support/crash.rs"]
mod crash;
#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
mod memory;

use std::{collections::BTreeSet, fs, path::Path};

use labguard::{
    domain::{
        model::{Cause, Extension, ImageSource, Money, Phase, Request, ResourceKind, SessionId, Severity, Span, Spec},
        policy::RunMode,
    },
    probe::own_address::Fixed,
    reconcile::handle::Control,
    sandbox::latency::Latency,
};
use memory::House;
use serde_json::Value;

/// Calls that need no right at all.
const FREE: &[&str] = &["sts:GetCallerIdentity"];

/// Actions that the policy may hold though no suite needs them, each with its reason.
const BESIDES: &[(&str, &str)] = &[];

/// Every action that sessions of all kinds need.
async fn called() -> BTreeSet<String> {
    let mut called = BTreeSet::new();
    let mut note = |house: &House| called.extend(house.parts.cloud.actions());

    note(&a_task_with_metrics_and_a_role_that_somebody_added_to().await);
    note(&a_service_that_is_stopped_and_resumed().await);
    note(&adopted_things().await);
    note(&an_image_of_a_registry().await);
    note(&lost_answers().await);
    note(&a_scanned_image().await);
    note(&a_log_that_is_watched().await);
    note(&what_cloudwatch_knows().await);
    note(&a_start_that_fails().await);
    note(&a_sweep().await);
    note(&an_account_of_aws().await);
    note(&prices().await);
    note(&a_net_outside_the_task().await);
    note(&an_address_that_changes().await);
    called
}

async fn a_task_with_metrics_and_a_role_that_somebody_added_to() -> House {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.metrics.cloudwatch = vec!["session_spend_dollars".to_owned()];
    policy.metrics.interval = Span::from_secs(30);
    let session = house.open(policy).await;
    session.until_live().await;
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    let sdk = house.sdk().await;
    let role = format!("labguard-{}", session.id);
    let document = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let put = aws_sdk_iam::Client::new(&sdk).put_role_policy().role_name(role).policy_name("extra");
    put.policy_document(document).send().await.unwrap();
    session.ended().await;
    assert_eq!(house.left(), Vec::<String>::new());
    house
}

async fn a_scanned_image() -> House {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.repository.settings.scan_on_push = true;
    policy.repository.settings.expire_days = Some(1);
    policy.repository.block_on = Some(Severity::Critical);
    policy.repository.scan_timeout = Span::from_mins(5);
    let session = house.open(policy).await;
    session.until_live().await;
    session.ended().await;
    assert_eq!(house.left(), Vec::<String>::new());
    house
}

async fn a_log_that_is_watched() -> House {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.activity.logs.pattern = Some("predict".to_owned());
    let session = house.open(policy).await;
    session.until_live().await;
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    session.ended().await;
    assert_eq!(house.left(), Vec::<String>::new());
    house
}

/// Container Insights with their log group, and a load balancer.
async fn what_cloudwatch_knows() -> House {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.activity.insights.enabled = true;
    policy.activity.load_balancer.name = Some("app/lab/50dc6c495c0c9188".to_owned());
    let session = house.open(policy).await;
    session.until_live().await;
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    session.ended().await;
    assert_eq!(house.left(), Vec::<String>::new());
    house
}

async fn a_service_that_is_stopped_and_resumed() -> House {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.task.run = RunMode::Service { desired: 1 };
    policy.end.keep_stopped = Span::from_mins(60);
    let session = house.open(policy).await;
    session.until_live().await;
    session.ask(Request::Stop { reason: "lunch".to_owned() }).await;
    session.until("stopped", |status| status.phase == Phase::Stopping).await;
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    assert_eq!(house.containers.running(), 0);
    session.ask(Request::Resume).await;
    session.until("live again", |status| status.phase == Phase::Running && status.url.is_some()).await;
    session.ended().await;
    assert_eq!(house.left(), Vec::<String>::new());
    house
}

async fn adopted_things() -> House {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    let kinds = [ResourceKind::Repository, ResourceKind::LogGroup, ResourceKind::Cluster, ResourceKind::SecurityGroup];
    let theirs = "labguard-theirs".to_owned();
    policy.names.repository = theirs.clone();
    policy.names.log_group = theirs.clone();
    policy.names.cluster = theirs.clone();
    policy.names.security_group = theirs.clone();
    policy.adopt = kinds.to_vec();
    let mut specs = Vec::new();
    for kind in kinds {
        specs.push(house.foreign(kind, &theirs).await);
    }
    let before = house.plant(specs).await;
    let session = house.open(policy).await;
    session.until_live().await;
    session.ended().await;
    assert_eq!(house.left(), before);
    house
}

async fn an_image_of_a_registry() -> House {
    let house = House::new(Latency::fast()).await;
    let repository = Spec::repository("theirs/app".to_owned());
    let before = house.plant(vec![repository, house.image("theirs/app")]).await;
    let uri = house.parts.cloud.repository_uri("theirs/app").await.unwrap();
    let mut policy = house.policy();
    policy.image.source = ImageSource::Registry { uri: format!("{uri}:v1"), mirror: false };
    let session = house.open(policy).await;
    session.until_live().await;
    session.ended().await;
    assert_eq!(house.left(), before);
    house
}

async fn lost_answers() -> House {
    let house = House::new(Latency::fast()).await;
    for rule in ["ecs:*=lost-answer:40%", "ec2:*=lost-answer:40%", "iam:*=lost-answer:40%", "ecr:*=lost-answer:40%"] {
        house.sandbox.add_fault(rule.parse().unwrap());
    }
    let session = house.open(house.policy()).await;
    session.until_live().await;
    session.ended().await;
    assert_eq!(house.left(), Vec::<String>::new());
    house
}

async fn a_start_that_fails() -> House {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.task.environment = vec![("LABGUARD_SIM_NEVER_HEALTHY".to_owned(), "1".to_owned())];
    let receipt = house.open(policy).await.closed().await;
    assert!(matches!(receipt.cause, Some(Cause::NeverHealthy | Cause::CrashLoop)), "{:?}", receipt.cause);
    assert_eq!(house.left(), Vec::<String>::new());
    house
}

/// Schedules that are set, moved, and removed; their group is found by its tag.
async fn a_net_outside_the_task() -> House {
    let house = House::new(Latency::fast()).await;
    house.sandbox.add_fault("scheduler:CreateScheduleGroup=lost-answer:4".parse().unwrap());
    let mut policy = house.policy();
    policy.fuse.scheduler = true;
    policy.limits.idle_timeout = None;
    policy.limits.budget = Money::from_nanos(20_000_000);
    let session = house.open(policy).await;
    session.until_live().await;
    session.ask(Request::Extend(Extension::Budget { by: Money::from_nanos(900_000_000) })).await;
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    assert!(house.sandbox.calls()["scheduler:UpdateSchedule"] > 0, "the schedules were not moved");
    session.ended().await;
    assert_eq!(house.left(), Vec::<String>::new());
    house
}

/// Ports for labguard's own address alone.
async fn an_address_that_changes() -> House {
    let mut house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.network.ingress[0].sources = vec!["own".to_owned()];
    policy.limits.idle_timeout = None;
    house.parts.mirror = std::sync::Arc::new(Fixed([203, 0, 113, 7].into()));
    let session = house.open(policy.clone()).await;
    session.until_live().await;
    let id = session.id.clone();
    crash::crash(session.lab).await;
    house.parts.mirror = std::sync::Arc::new(Fixed([203, 0, 113, 8].into()));
    let book = [("lab".to_owned(), policy)].into_iter().collect();
    let lab = lab::Lab::start(&house.parts, book, None).await;
    tokio::time::sleep(std::time::Duration::from_secs(200)).await;
    assert_eq!(house.sandbox.ingress(), ["5000 203.0.113.8/32"]);
    lab.engine.request(id, Request::End { reason: "over".to_owned() }).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    lab.stop().await;
    assert_eq!(house.left(), Vec::<String>::new());
    house
}

/// A session that this journal does not know, taken away by its tags.
async fn an_account_of_aws() -> House {
    let house = House::new(Latency::fast()).await;
    let session = SessionId::new("lab", 1);
    house.parts.cloud.account_of(&session, "2026-11-01", "2026-11-02").await.unwrap();
    house
}

async fn a_sweep() -> House {
    let house = House::new(Latency::fast()).await;
    let lost = house.open(house.policy()).await;
    lost.until_live().await;
    let id = lost.id.clone();
    crash::crash(lost.lab).await;
    let mut parts = house.parts.clone();
    parts.journal = labguard::journal::Journal::in_memory(parts.clock.clone());
    let book = [("lab".to_owned(), house.policy())].into_iter().collect();
    let lab = lab::Lab::start(&parts, book, None).await;
    let mut job = lab.engine.sweep(vec![id]).unwrap();
    job.report.wait_for(|report| report.is_over()).await.unwrap();
    lab.stop().await;
    assert_eq!(house.left(), Vec::<String>::new());
    house
}

/// The prices that AWS is asked for, by every offer that has some.
async fn prices() -> House {
    let house = House::new(Latency::fast()).await;
    for (offer, field) in labguard::rates::offers() {
        let answers = house.parts.cloud.products(offer, field, "us-east-1").await.unwrap();
        let known = labguard::rates::of_answers(offer, "us-east-1", &answers).map_or(0, |read| read.count());
        assert_eq!(known > 0, !answers.is_empty(), "{offer}");
    }
    assert_eq!(house.sandbox.calls()["pricing:GetProducts"], 8);
    house
}

/// The IAM actions that a set of calls needs.
fn needed<'a>(calls: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    calls.into_iter().filter(|call| !FREE.contains(call)).map(str::to_owned).collect()
}

/// A string or a list of strings, as IAM writes both.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The actions that a policy document allows.
fn allowed(policy: &Value) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().expect("a policy has statements");
    statements
        .iter()
        .inspect(|statement| assert_eq!(statement["Effect"], "Allow", "{statement}"))
        .flat_map(|statement| strings(&statement["Action"]))
        .map(str::to_owned)
        .collect()
}

/// What differs, one line each: rights that are missing, and rights that nothing uses.
fn differences(policy: &Value, calls: &BTreeSet<&str>) -> Vec<String> {
    let (allowed, needed) = (allowed(policy), needed(calls.iter().copied()));
    let unused = |action: &&String| !BESIDES.iter().any(|(besides, _)| besides == action);
    let missing = needed.difference(&allowed).map(|action| format!("missing: {action}"));
    let too_many = allowed.difference(&needed).filter(unused).map(|action| format!("too many: {action}"));
    missing.chain(too_many).collect()
}

/// The shipped policies: what every session needs, and what those with a net outside the task need besides.
fn policies() -> [Value; 2] {
    ["labguard-policy.json", "labguard-fuse-policy.json"].map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/iam").join(name);
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    })
}

/// Both as one.
fn policy() -> Value {
    let statements: Vec<Value> =
        policies().iter().flat_map(|policy| policy["Statement"].as_array().unwrap().clone()).collect();
    serde_json::json!({ "Statement": statements })
}

#[tokio::test(start_paused = true)]
async fn the_policy_allows_what_the_code_calls_and_nothing_else() {
    let called = called().await;
    assert!(called.len() > 40, "the suites did next to nothing: {called:?}");
    let found = differences(&policy(), &called.iter().map(String::as_str).collect());
    assert!(found.is_empty(), "the policies in deploy/iam differ from what the code calls:\n  {}", found.join("\n  "));
}

#[test]
fn a_right_too_few_and_a_right_too_many_are_both_seen() {
    let policy = serde_json::json!({"Statement": [
        {"Effect": "Allow", "Action": ["ecs:RunTask", "ecs:TagResource"], "Resource": "*"},
        {"Effect": "Allow", "Action": "ecs:StopTask", "Resource": "*"},
    ]});
    let calls = BTreeSet::from(["ecs:RunTask", "ecs:TagResource", "iam:PassRole", "sts:GetCallerIdentity"]);
    assert_eq!(differences(&policy, &calls), ["missing: iam:PassRole", "too many: ecs:StopTask"]);
}

#[test]
fn no_statement_is_wider_than_its_reason() {
    let policy = policy();
    let mut sids = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        let sid = statement["Sid"].as_str().expect("every statement says what it is for");
        assert!(sids.insert(sid), "{sid} stands twice");
        for action in strings(&statement["Action"]) {
            assert!(!action.contains('*'), "{sid}: {action}");
            let everything = strings(&statement["Resource"]).contains(&"*");
            let scoped = statement.get("Condition").is_some() || sid.ends_with("CannotBeScoped");
            assert!(!everything || scoped, "{sid}: {action} on every resource without a condition");
            // the one change that IAM cannot scope (aws-facts: DeregisterTaskDefinition is for `*` only)
            let reads = ["Describe", "List", "Get"]
                .iter()
                .any(|verb| action.split(':').nth(1).is_some_and(|it| it.starts_with(verb)));
            assert!(
                !everything
                    || statement.get("Condition").is_some()
                    || reads
                    || action == "ecs:DeregisterTaskDefinition",
                "{action}"
            );
        }
    }
    for policy in policies() {
        let size = policy.to_string().len();
        assert!(size <= 6_144, "{size} characters: more than a managed policy may have");
    }
}

#[test]
fn security_groups_are_changed_and_deleted_by_tag_only() {
    let policy = policy();
    for action in ["ec2:DeleteSecurityGroup", "ec2:AuthorizeSecurityGroupIngress"] {
        let statements = policy["Statement"].as_array().unwrap().iter();
        let holding: Vec<&Value> = statements.filter(|it| strings(&it["Action"]).contains(&action)).collect();
        assert!(!holding.is_empty(), "{action}");
        for statement in holding {
            let tag = format!("aws:ResourceTag/{}", labguard::domain::model::SESSION_TAG);
            assert!(
                !statement["Condition"]["StringLike"][&tag].is_null(),
                "{action} without the session's tag: {statement}"
            );
        }
    }
}
