//! How a session's own repository is set up, and what its scan may find: whole sessions under paused time, in memory.

#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
#[expect(dead_code, reason = "other suites plant images and foreign things as well")]
mod memory;

use labguard::{
    domain::{
        model::{
            Cause, Encryption, Event, ImageConfig, ImageSource, RepositorySettings, ResourceKind, ScanVerdict,
            Severity, Span,
        },
        policy::{Policy, Unscanned},
    },
    sandbox::latency::Latency,
};
use memory::House;

async fn ecr(house: &House) -> aws_sdk_ecr::Client {
    aws_sdk_ecr::Client::new(&house.sdk().await)
}

/// A session with a gate, whose image's scan finds what `findings` says.
fn gated(house: &House, findings: &str) -> Policy {
    let mut policy = house.policy();
    policy.repository.settings.scan_on_push = true;
    policy.repository.block_on = Some(Severity::High);
    policy.repository.scan_timeout = Span::from_mins(2);
    let ImageSource::Executable { config, .. } = &mut policy.image.source else { panic!("{:?}", policy.image.source) };
    let environment = vec![("LABGUARD_SIM_FINDINGS".to_owned(), findings.to_owned())];
    *config = ImageConfig { environment, ..ImageConfig::default() };
    policy
}

async fn verdict(house: &House, id: &str) -> Option<ScanVerdict> {
    let entries = house.parts.journal.entries(&id.parse().unwrap()).await.unwrap();
    entries.iter().find_map(|entry| match &entry.event {
        Event::Scanned { verdict, .. } => Some(*verdict),
        _ => None,
    })
}

#[tokio::test(start_paused = true)]
async fn an_image_runs_once_its_scan_found_nothing_as_bad_as_refused() {
    let house = House::new(Latency::aws_like()).await;
    let session = house.open(gated(&house, "MEDIUM=3,LOW=9")).await;
    session.until_live().await;
    assert_eq!(verdict(&house, &session.id).await, Some(ScanVerdict::Passed));
    session.ended().await;
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_image_with_worse_findings_never_runs_and_the_receipt_names_them() {
    let house = House::new(Latency::fast()).await;
    let session = house.open(gated(&house, "CRITICAL=1,HIGH=12,LOW=3")).await;
    let id = session.id.clone();
    let receipt = session.closed().await;
    assert_eq!(receipt.cause, Some(Cause::DeployFailed));
    let why = &receipt.cause_detail;
    assert!(why.contains("1 critical, 12 high, 3 low"), "{why}");
    assert!(why.contains("CVE-0000-CRITICAL-1, CVE-0000-HIGH-1") && why.contains("and 3 more"), "{why}");
    let ran = receipt.resources.iter().any(|resource| resource.key.kind == ResourceKind::Task);
    assert!(!ran, "nothing was run: {:?}", receipt.resources);
    assert_eq!(verdict(&house, &id).await, Some(ScanVerdict::Refused));
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_scanned_is_refused_or_run_as_the_policy_says() {
    for (on_scan_timeout, runs) in [(Unscanned::Refuse, false), (Unscanned::Run, true)] {
        let house = House::new(Latency::fast()).await;
        let mut policy = gated(&house, "UNSUPPORTED_IMAGE");
        policy.repository.on_scan_timeout = on_scan_timeout;
        let session = house.open(policy).await;
        let receipt = if runs {
            session.until_live().await;
            session.ended().await
        } else {
            session.closed().await
        };
        assert_eq!(receipt.cause == Some(Cause::DeployFailed), !runs, "{}", receipt.cause_detail);
        assert!(runs || receipt.cause_detail.contains("UNSUPPORTED_IMAGE"), "{}", receipt.cause_detail);
        assert_eq!(house.left(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_scan_that_takes_too_long_is_told_with_the_time_it_was_given() {
    let house = House::new(Latency { scanning: Span::from_mins(60), ..Latency::fast() }).await;
    let receipt = house.open(gated(&house, "")).await.closed().await;
    assert_eq!(receipt.cause, Some(Cause::DeployFailed));
    assert!(receipt.cause_detail.contains("no result within 2m: IN_PROGRESS"), "{}", receipt.cause_detail);
    assert_eq!(house.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_was_there_before_and_does_not_scan_is_told_apart() {
    let house = House::new(Latency::fast()).await;
    let mut policy = gated(&house, "");
    policy.names.repository = "theirs/app".to_owned();
    policy.adopt = vec![ResourceKind::Repository];
    let before = house.plant(vec![house.foreign(ResourceKind::Repository, "theirs/app").await]).await;
    let receipt = house.open(policy).await.closed().await;
    let why = &receipt.cause_detail;
    assert!(why.contains("not begun") && why.contains("was there before: switch on its scan on push"), "{why}");
    assert_eq!(house.left(), before);
}

#[tokio::test(start_paused = true)]
async fn a_repository_of_ours_is_set_up_as_the_policy_says_and_goes_with_the_session() {
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.repository.settings = RepositorySettings {
        scan_on_push: true,
        immutable_tags: true,
        encryption: Encryption::Kms(Some("alias/lab".to_owned())),
        expire_days: Some(3),
    };
    // What was created but not answered is set up all the same.
    house.sandbox.add_fault("ecr:CreateRepository=lost-answer:1".parse().unwrap());
    // The image's tag is taken by the first, unanswered push; the second try finds its own.
    house.sandbox.add_fault("ecr:PutLifecyclePolicy=server-error:2".parse().unwrap());
    let session = house.open(policy).await;
    session.until_live().await;
    let ecr = ecr(&house).await;
    let name = format!("labguard/{}", session.id);
    let found = ecr.describe_repositories().repository_names(&name).send().await.unwrap();
    let repository = &found.repositories()[0];
    assert_eq!(repository.image_tag_mutability().unwrap().as_str(), "IMMUTABLE");
    assert!(repository.image_scanning_configuration().unwrap().scan_on_push());
    let encryption = repository.encryption_configuration().unwrap();
    assert_eq!((encryption.encryption_type().as_str(), encryption.kms_key()), ("KMS", Some("alias/lab")));
    let rule = ecr.get_lifecycle_policy().repository_name(&name).send().await.unwrap();
    let rule: serde_json::Value = serde_json::from_str(rule.lifecycle_policy_text().unwrap()).unwrap();
    assert_eq!(rule["rules"][0]["selection"]["countNumber"], 3);
    session.ended().await;
    assert_eq!(house.left(), Vec::<String>::new());
}
