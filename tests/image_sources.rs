//! Whole sessions under paused time whose image comes from elsewhere than an executable, or goes into a repository that
//! is somebody else's: it runs, nothing is left, and nothing of others is gone.

#[path = "support/crash.rs"]
mod crash;
#[path = "support/lab.rs"]
mod lab;
#[path = "support/memory.rs"]
#[expect(dead_code, reason = "other suites ask for more")]
mod memory;

use std::{collections::BTreeMap, path::Path};

use labguard::{
    domain::model::{ImageSource, ImageSpec, Life, ResourceKind, Spec, mark_of},
    reconcile::{handle::Control, status::SessionStatus},
    sandbox::latency::Latency,
};
use memory::House;
use serde_json::json;
use sha2::{Digest, Sha256};

/// A file with its name in a tar.
fn put(tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, name, bytes).unwrap();
}

/// What `docker save` before Docker 25 writes of an image with one layer.
fn saved(program: &Path, arch: &str, to: &Path) {
    let mut layer = tar::Builder::new(Vec::new());
    put(&mut layer, "serve", &std::fs::read(program).unwrap());
    let layer = layer.into_inner().unwrap();
    let diff_id = format!("sha256:{}", hex::encode(Sha256::digest(&layer)));
    let config = json!({
        "architecture": arch, "os": "linux", "config": {"Entrypoint": ["/serve"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": ["lab:1"], "Layers": ["a/layer.tar"]}]);
    let mut outer = tar::Builder::new(Vec::new());
    put(&mut outer, "a/layer.tar", &layer);
    put(&mut outer, "config.json", config.to_string().as_bytes());
    put(&mut outer, "manifest.json", manifest.to_string().as_bytes());
    std::fs::write(to, outer.into_inner().unwrap()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_runs_what_docker_saved_and_refuses_another_platform_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let (program, archive) = (lab::tiny_executable(folder.path()), folder.path().join("saved.tar"));
    for (arch, runs) in [("amd64", true), ("arm64", false)] {
        let house = House::new(Latency::fast()).await;
        saved(&program, arch, &archive);
        let mut policy = house.policy();
        policy.image.source = ImageSource::Archive { path: archive.display().to_string(), reference: None };
        let session = house.open(policy).await;
        if runs {
            session.until_live().await;
            session.ended().await;
        } else {
            let detail = session.closed().await.cause_detail;
            assert!(detail.contains("linux/arm64") && detail.contains("--platform=linux/amd64"), "{detail}");
        }
        assert_eq!(house.left(), Vec::<String>::new(), "{arch}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirrored_image_runs_from_the_sessions_own_repository_and_the_first_one_stays() {
    let house = House::new(Latency::fast()).await;
    let theirs = Spec::repository("theirs/app".to_owned());
    let before = house.plant(vec![theirs, house.image("theirs/app")]).await;
    let uri = format!("{}:v1", house.parts.cloud.repository_uri("theirs/app").await.unwrap());
    let mut policy = house.policy();
    policy.image.source = ImageSource::Registry { uri, mirror: true };
    let session = house.open(policy).await;
    session.until_live().await;
    let status = session.status();
    let image = status.resources.iter().find(|it| it.key.kind == ResourceKind::Image).unwrap();
    assert!(image.id.as_ref().unwrap().contains(&format!("labguard/{}@sha256:", status.id)), "{image:?}");
    session.ended().await;
    assert_eq!(house.left(), before);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_somebody_else_tagged_too_outlives_the_session_that_pushed_it() {
    const NAME: &str = "theirs/app";
    let house = House::new(Latency::fast()).await;
    let mut policy = house.policy();
    policy.names.repository = NAME.to_owned();
    policy.adopt = vec![ResourceKind::Repository];
    let mut ports: Vec<u16> = policy.network.ingress.iter().map(|ingress| ingress.port).collect();
    ports.push(policy.health.port);
    ports.sort_unstable();
    ports.dedup();
    let same = ImageSpec { ports, ..ImageSpec::plain(NAME, "v1", policy.image.source.clone()) };
    let theirs = vec![Spec::repository(NAME.to_owned()), Spec::Image(same)];
    let before = house.plant(theirs).await;
    let cloud = &house.parts.cloud;
    let tags = async |reference: &str| {
        let image = cloud.tagged_image(NAME, reference).await.unwrap();
        image.map(|image| image.tags.into_iter().map(|tag| (tag, ())).collect::<BTreeMap<_, _>>())
    };
    let session = house.open(policy).await;
    session.until_live().await;
    let mark = mark_of(session.status().id.as_str());
    let live = tags("v1").await.unwrap();
    assert_eq!(live.keys().map(String::as_str).collect::<Vec<_>>(), [mark.as_str(), "v1"], "the very same image");
    session.ended().await;
    assert_eq!(tags("v1").await.unwrap().keys().map(String::as_str).collect::<Vec<_>>(), ["v1"]);
    assert_eq!(tags(&mark).await, None);
    assert_eq!(house.left(), before);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_finds_what_a_lost_session_pushed_into_somebodys_repository() {
    const NAME: &str = "theirs/app";
    let house = House::new(Latency::fast()).await;
    // Made by a person, without any tag of labguard's.
    let config = aws_sdk_ecr::Config::builder()
        .behavior_version(aws_sdk_ecr::config::BehaviorVersion::latest())
        .region(aws_sdk_ecr::config::Region::new("us-east-1"))
        .credentials_provider(aws_credential_types::Credentials::new("labguard-sandbox", "x", None, None, "test"))
        .endpoint_url("http://sandbox")
        .http_client(house.sandbox.http_client());
    let ecr = aws_sdk_ecr::Client::from_conf(config.build());
    ecr.create_repository().repository_name(NAME).send().await.unwrap();
    let before = house.plant(vec![house.image(NAME)]).await;
    let mut policy = house.policy();
    policy.names.repository = NAME.to_owned();
    policy.adopt = vec![ResourceKind::Repository];
    // Not what is there already.
    policy.health.port = 5001;
    let lost = house.open(policy).await;
    let made = |status: &SessionStatus| {
        status.resources.iter().any(|it| it.key.kind == ResourceKind::Image && it.life == Life::Live)
    };
    let status = lost.until("pushed", made).await;
    let mark = mark_of(status.id.as_str());
    assert!(house.parts.cloud.tagged_image(NAME, &mark).await.unwrap().is_some());
    crash::crash(lost.lab).await;

    let mut parts = house.parts.clone();
    parts.journal = labguard::journal::Journal::in_memory(parts.clock.clone());
    let lab = lab::Lab::start(&parts, BTreeMap::new(), None).await;
    let listed = lab.engine.orphans(Vec::new()).await.unwrap();
    let (session, image) = listed.things().find(|(_, orphan)| orphan.kind == "image").expect("it is found");
    assert_eq!((session.session.as_str(), &image.id), (status.id.as_str(), &format!("{NAME}:{mark}")));
    // Its daemon may live yet, as far as this one can tell: it is named.
    let mut job = lab.engine.sweep(vec![status.id.to_string()]).unwrap();
    job.report.wait_for(|report| report.is_over()).await.unwrap();
    assert_eq!(lab.engine.orphans(Vec::new()).await.unwrap().sessions, []);
    lab.stop().await;
    assert_eq!(house.parts.cloud.tagged_image(NAME, &mark).await.unwrap(), None);
    assert_eq!(house.left(), before, "theirs, and nothing else");
}
