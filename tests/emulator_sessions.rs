//! Whole sessions against independent emulators over TCP: the same engine and adapter as in production.
//!
//! Stated fixtures, never special cases in the product: moto has no registry, so pushes go to ministack's
//! `/v2/` (where the fixture makes the repository); moto gives a task no public address, so the fixture
//! gives its interface one on which the reference prediction service really listens; neither's default VPC
//! leads to the internet, so the fixture gives it that route. CloudWatch is ministack's in both, since moto
//! does not speak CBOR. What is left is read from the emulators' own listings, whatever its tags.

mod support;

#[path = "support/lab.rs"]
mod lab;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use aws_sdk_ecs::types::TaskDefinitionStatus;
use aws_smithy_http_client::tls;
use lab::{Lab, Parts};
use labguard::{
    clock::Clock,
    cloud::Cloud,
    domain::{
        model::{Cause, ImageConfig, ImageSource, Net, Receipt, Request, ResourceKind, Span},
        policy::Policy,
    },
    journal::Journal,
    probe::{own_address::Fixed, tcp::TcpTransport},
    reconcile::{
        handle::Control,
        status::{NetWord, SessionStatus},
    },
};
use support::emulators::{Ec2, Ministack, Moto};
use tokio_util::sync::CancellationToken;

struct World {
    lab: Lab,
    parts: Parts,
    _folder: tempfile::TempDir,
}

async fn world(endpoint: &str, ministack: &Ministack, change: impl FnOnce(&mut Policy)) -> World {
    let clock = Clock::System;
    let mut config = lab::cloud_config(&clock);
    config.endpoint_url = Some(endpoint.to_owned());
    config.service_endpoints = BTreeMap::from([("cloudwatch".to_owned(), ministack.endpoint())]);
    config.registry_endpoint = Some(ministack.endpoint());
    let folder = tempfile::tempdir().unwrap();
    let source = ImageSource::Executable {
        path: lab::tiny_executable(folder.path()).display().to_string(),
        args: Vec::new(),
        config: ImageConfig::default(),
    };
    let mut policy = lab::policy("lab", source);
    policy.names.repository = "admission_prediction".to_owned();
    policy.health.interval = Span::from_millis(500);
    policy.activity.interval = Span::from_millis(500);
    policy.metrics.cloudwatch = vec!["session_spend_dollars".to_owned(), "session_healthy".to_owned()];
    change(&mut policy);
    let parts = Parts {
        cloud: Cloud::connect(config).await,
        journal: Journal::in_memory(clock.clone()),
        clock,
        transport: Arc::new(TcpTransport::default()),
        workspace: folder.path().join("images"),
        seed: 1,
        max_sessions: 10,
        mirror: Arc::new(Fixed(std::net::Ipv4Addr::LOCALHOST)),
    };
    let lab = Lab::start(&parts, BTreeMap::from([("lab".to_owned(), policy)]), None).await;
    World { lab, parts, _folder: folder }
}

impl World {
    async fn wait(&self, session: &str, what: &str, done: impl Fn(&SessionStatus) -> bool) -> Arc<SessionStatus> {
        let mut status = self.lab.engine.follow(session).unwrap();
        let settled = status.wait_for(|status| done(status) || status.closed_at.is_some());
        // Cloned at once: what is borrowed from the channel holds its writer up, and with it the engine.
        let reached =
            tokio::time::timeout(Duration::from_secs(240), settled).await.map(|it| it.map(|it| Arc::clone(&it)));
        let last = Arc::clone(&self.lab.engine.get(session).unwrap());
        match reached {
            Ok(Ok(reached)) if done(&reached) => reached,
            _ => panic!("never {what}: {last:#?}"),
        }
    }

    async fn end(self, session: &str) -> Receipt {
        self.wait(session, "closed", |status| status.closed_at.is_some()).await;
        let receipt = self.lab.engine.receipt(session.to_owned()).await.unwrap();
        self.lab.stop().await;
        assert!(receipt.proven_clean);
        let _ = self.parts;
        receipt
    }
}

/// Everything that exists by the emulator's own listings, whatever its tags. What AWS shows after its end
/// (INACTIVE clusters, STOPPED tasks) does not count.
async fn holdings(endpoint: &str, ec2: Ec2) -> BTreeSet<String> {
    let sdk = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::from_static("us-east-1"))
        .credentials_provider(aws_credential_types::Credentials::new("fixture", "fixture", None, None, "fixture"))
        .endpoint_url(endpoint)
        .http_client(
            aws_smithy_http_client::Builder::new()
                .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
                .build_https(),
        )
        .load()
        .await;
    let mut found: BTreeSet<String> = ec2.security_groups();
    let ecs = aws_sdk_ecs::Client::new(&sdk);
    for arn in ecs.list_clusters().send().await.unwrap().cluster_arns() {
        let seen = ecs.describe_clusters().clusters(arn).send().await.unwrap();
        if seen.clusters().iter().all(|cluster| cluster.status() == Some("INACTIVE")) {
            continue;
        }
        found.insert(arn.clone());
        found.extend(ecs.list_services().cluster(arn).send().await.unwrap().service_arns().iter().cloned());
        let tasks = ecs.list_tasks().cluster(arn).send().await.unwrap();
        if !tasks.task_arns().is_empty() {
            let seen =
                ecs.describe_tasks().cluster(arn).set_tasks(Some(tasks.task_arns().to_vec())).send().await.unwrap();
            let live = seen.tasks().iter().filter(|task| task.last_status() != Some("STOPPED"));
            found.extend(live.filter_map(|task| task.task_arn().map(str::to_owned)));
        }
    }
    for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
        let listed = ecs.list_task_definitions().status(status).send().await.unwrap();
        found.extend(listed.task_definition_arns().iter().cloned());
    }
    let repositories = aws_sdk_ecr::Client::new(&sdk).describe_repositories().send().await.unwrap();
    found.extend(repositories.repositories().iter().filter_map(|it| it.repository_arn().map(str::to_owned)));
    let roles = aws_sdk_iam::Client::new(&sdk).list_roles().send().await.unwrap();
    found.extend(roles.roles().iter().map(|role| role.arn().to_owned()));
    found.extend(schedule_groups(endpoint).await);
    let groups = aws_sdk_cloudwatchlogs::Client::new(&sdk).describe_log_groups().send().await.unwrap();
    found.extend(groups.log_groups().iter().filter_map(|group| group.arn().map(str::to_owned)));
    found
}

fn http() -> reqwest::Client {
    // A second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// The names of EventBridge Scheduler's groups but AWS's own.
async fn schedule_groups(endpoint: &str) -> Vec<String> {
    let scope = "AWS4-HMAC-SHA256 Credential=fixture/20260101/us-east-1/scheduler/aws4_request, SignedHeaders=host, Signature=0";
    let answer = http().get(format!("{endpoint}/schedule-groups")).header("Authorization", scope).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    let listed: serde_json::Value = answer.json().await.unwrap();
    let names = listed["ScheduleGroups"].as_array().unwrap().iter().filter_map(|group| group["Name"].as_str());
    names.filter(|name| *name != "default").map(|name| format!("schedule group {name}")).collect()
}

async fn make_repository(ministack: &Ministack) {
    let scope =
        "AWS4-HMAC-SHA256 Credential=fixture/20260101/us-east-1/ecr/aws4_request, SignedHeaders=host, Signature=0";
    let answer = http()
        .post(ministack.endpoint())
        .header("X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.CreateRepository")
        .header("Content-Type", "application/x-amz-json-1.1")
        .header("Authorization", scope)
        .body(r#"{"repositoryName":"admission_prediction"}"#)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_on_moto_goes_from_image_to_receipt_and_leaves_its_listings_empty() {
    let (moto, ministack) = (Moto::start(), Ministack::start());
    make_repository(&ministack).await;
    // Another address for each run, so that two runs on one machine do not meet.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 88, high, low.clamp(1, 254));
    let listener = tokio::net::TcpListener::bind((address, 5000)).await.unwrap();
    let stop = CancellationToken::new();
    let served = stop.clone();
    let container = tokio::spawn(async move {
        axum::serve(listener, labguard::predictor::router()).with_graceful_shutdown(served.cancelled_owned()).await
    });
    let giving = moto.give_addresses(&[address]);
    moto.ec2().open_default_vpc();
    let before = holdings(&moto.endpoint(), moto.ec2()).await;
    let world = world(&moto.endpoint(), &ministack, |_| {}).await;
    let id = world.lab.engine.up("lab".to_owned()).await.unwrap().to_string();

    let live = world.wait(&id, "live", |status| status.url.is_some()).await;
    assert_eq!(live.url.as_deref(), Some(format!("http://{address}:5000").as_str()));
    let answer: serde_json::Value = http()
        .post(format!("http://{address}:5000/predict"))
        .json(&serde_json::json!({
            "gre_score": 300, "toefl_score": 100, "university_rating": 4, "sop": 3, "lor": 4, "cgpa": 8.90, "research": "Yes"
        }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let chance = answer["chance_of_admit"].as_f64().unwrap();
    assert!((chance - 0.7335).abs() <= 0.0005, "{answer}");
    world.wait(&id, "used", |status| status.last_activity.is_some()).await;
    let during = holdings(&moto.endpoint(), moto.ec2()).await;
    let made: Vec<&String> = during.difference(&before).collect();
    // repository, cluster, task, task definition, security group, role, log group; schedule group and its role
    assert_eq!(made.len(), 9, "moto lists what the session made while it runs: {made:#?}");
    let status = world.lab.engine.get(&id).unwrap();
    let net = status.nets.iter().find(|net| net.net == Net::Scheduler).unwrap();
    assert_eq!(net.state, NetWord::Holds, "{net:?}");

    let reason = "the test is over".to_owned();
    world.lab.engine.request(id.clone(), Request::End { reason }).await.unwrap();
    let receipt = world.end(&id).await;
    assert_eq!(receipt.cause, Some(Cause::Operator));
    assert_eq!(receipt.resources.iter().filter(|it| it.ours && it.gone_at.is_none()).count(), 0, "{receipt:#?}");
    assert_eq!(holdings(&moto.endpoint(), moto.ec2()).await, before);
    drop(giving);
    stop.cancel();
    container.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_emulator_gives_no_interface_the_session_ends_with_that_and_is_cleaned_up() {
    let ministack = Ministack::start();
    ministack.ec2().open_default_vpc();
    let before = holdings(&ministack.endpoint(), ministack.ec2()).await;
    let world = world(&ministack.endpoint(), &ministack, |policy| {
        // Bounded by what a person allows for a start.
        policy.health.start_grace = Span::from_secs(5);
        policy.task.max_restarts = 0;
        policy.limits.lifetime = Span::from_mins(10);
    })
    .await;
    let id = world.lab.engine.up("lab".to_owned()).await.unwrap().to_string();
    let receipt = world.end(&id).await;
    let (cause, detail) = (receipt.cause, receipt.cause_detail.as_str());
    assert!(matches!(cause, Some(Cause::DeployFailed | Cause::NeverHealthy)), "{cause:?}: {detail}");
    assert!(detail.contains("address"), "a person is told what is missing: {detail}");
    // It came as far as a running task, and everything it had made by then is gone.
    let born: Vec<_> = receipt.resources.iter().filter(|it| it.born_at.is_some()).map(|it| it.key.kind).collect();
    assert!(born.contains(&ResourceKind::Task) && born.len() >= 7, "{born:?}");
    assert_eq!(holdings(&ministack.endpoint(), ministack.ec2()).await, before);
}
