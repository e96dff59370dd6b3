//! Pushes into a repository that was there before, on the sandbox: nothing of others is touched.

use std::sync::Arc;

use super::sample::{ALL, Room, SHAPE, Sample};
use crate::{
    clock::Clock,
    cloud::{Cloud, CloudConfig, Owner},
    domain::model::{Effect, ResourceKey, ResourceKind, SessionId, Spec, Timestamp},
    image::{self, Desk, Prepared, Pushed, Report, Target, choose::Shape, source},
    sandbox::{Sandbox, SandboxConfig, latency::Latency, runtime::Simulated},
};

const NAME: &str = "team/web";

async fn cloud() -> Cloud {
    let clock = Clock::simulated(Timestamp::from_millis(1_790_000_000_000));
    let sandbox = Sandbox::new(SandboxConfig {
        seed: 1,
        faults: Vec::new(),
        latency: Latency::zero(),
        clock: clock.clone(),
        containers: Arc::new(Simulated::new()),
        region: "us-east-1".to_owned(),
        endpoint: None,
    });
    let mut config = CloudConfig::new("us-east-1", clock);
    config.static_credentials = Some(("labguard-sandbox".into(), "labguard-sandbox".into()));
    config.pace = false;
    config.http_client = Some(sandbox.http_client());
    config.registry_transport = Some(sandbox.transport());
    let cloud = Cloud::connect(config).await;
    let session = SessionId::new("team", 1);
    let owner = Owner { session: &session, owner: "team" };
    let spec = Spec::repository(NAME.to_owned());
    cloud.ensure(owner, ResourceKey::only(ResourceKind::Repository), &spec, false).await.unwrap();
    cloud
}

async fn prepared(room: &Room, index: bool, arch: &str, shape: Shape) -> Prepared {
    let mut sample = Sample::default();
    let top = if index { sample.many() } else { sample.image(arch) };
    let path = room.file("archive", &sample.tar(&[top]));
    source::read(&room.desk(), &path, None, shape).await.unwrap()
}

async fn push(cloud: &Cloud, room: &Room, image: &Prepared, tag: &str, mark: Option<&str>) -> Pushed {
    let desk = Desk::by_hand(Some(cloud), room.workspace(), Report::default());
    let mark = mark.map(ToOwned::to_owned);
    image::push(&desk, &Target::Account { repository: NAME.into(), tag: tag.into(), mark }, image).await.unwrap()
}

async fn tags(cloud: &Cloud, digest: &str) -> Option<Vec<String>> {
    let mut tags = cloud.tagged_image(NAME, digest).await.unwrap()?.tags;
    tags.sort();
    Some(tags)
}

#[tokio::test(start_paused = true)]
async fn what_we_bring_is_marked_and_bears_no_other_tag() {
    let (cloud, room) = (cloud().await, Room::new());
    let theirs = prepared(&room, false, "arm64", Shape { arch: crate::domain::model::Arch::Arm64, ..SHAPE }).await;
    push(&cloud, &room, &theirs, "latest", None).await;
    let ours = prepared(&room, false, "amd64", SHAPE).await;
    let pushed = push(&cloud, &room, &ours, "latest", Some("labguard.s1")).await;
    assert_eq!((pushed.effect, pushed.tags.as_slice()), (Effect::Created, &["labguard.s1".to_owned()][..]));
    assert_eq!(tags(&cloud, theirs.digest()).await.unwrap(), ["latest"], "not moved");
    assert_eq!(tags(&cloud, ours.digest()).await.unwrap(), ["labguard.s1"]);
    assert_eq!(push(&cloud, &room, &ours, "v2", Some("labguard.s1")).await.effect, Effect::AlreadyThere);
    push(&cloud, &room, &ours, "v2", Some("labguard.s2")).await;
    assert_eq!(tags(&cloud, ours.digest()).await.unwrap(), ["labguard.s1", "labguard.s2"], "two sessions");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_was_there_without_a_tag_is_not_made_ours() {
    let (cloud, room) = (cloud().await, Room::new());
    let index = prepared(&room, true, "", ALL).await;
    push(&cloud, &room, &index, "theirs", None).await;
    let one = prepared(&room, true, "", SHAPE).await;
    assert_eq!(tags(&cloud, one.digest()).await.unwrap(), Vec::<String>::new(), "a child of theirs");
    let pushed = push(&cloud, &room, &one, "free", Some("labguard.s1")).await;
    assert_eq!((pushed.effect, pushed.tags), (Effect::Adopted, vec![]));
    assert_eq!(tags(&cloud, one.digest()).await.unwrap(), Vec::<String>::new(), "left as it was");
}

#[tokio::test(start_paused = true)]
async fn children_are_marked_by_their_place_and_a_changed_image_takes_the_marks_along() {
    let (cloud, room) = (cloud().await, Room::new());
    let index = prepared(&room, true, "", ALL).await;
    push(&cloud, &room, &index, "v1", Some("labguard.s1")).await;
    for (place, child) in index.manifests[..3].iter().enumerate() {
        assert_eq!(tags(&cloud, &child.digest).await.unwrap(), [format!("labguard.s1.{place}")]);
    }
    assert_eq!(tags(&cloud, index.digest()).await.unwrap(), ["labguard.s1"]);
    let other = {
        let mut sample = Sample::default();
        let tar = image::entries::tests::tar_of(&[("app/other", b"other")]);
        let packed = super::sample::zipped(&tar);
        let top = sample.image_of("amd64", &[(packed, image::document::digest(&tar))]);
        let path = room.file("other", &sample.tar(&[top]));
        source::read(&room.desk(), &path, None, SHAPE).await.unwrap()
    };
    push(&cloud, &room, &other, "v1", Some("labguard.s1")).await;
    assert_eq!(tags(&cloud, other.digest()).await.unwrap(), ["labguard.s1"]);
    assert_eq!(tags(&cloud, index.digest()).await, None, "what we pushed before is gone");
}
