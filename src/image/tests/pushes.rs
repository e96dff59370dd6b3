//! Pushes to a registry that misbehaves: what is sent, what is skipped, what is tried again, and what is given up.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    fake::{Act, Fake},
    sample::{ALL, Room, SHAPE, Sample, saved, zipped},
};
use crate::{
    clock::Clock,
    domain::model::{Effect, Fault, FaultClass, LayerState, Timestamp},
    image::{
        Desk, Prepared, Pushed, Report, choose::Shape, document::digest, entries::tests::tar_of, push::Place,
        registry::Registry, source,
    },
};

async fn prepared(room: &Room, bytes: &[u8], shape: Shape) -> Prepared {
    let path = room.file("archive", bytes);
    source::read(&room.desk(), &path, None, shape).await.unwrap()
}

async fn push(room: &Room, registry: &Registry, prepared: &Prepared) -> Result<Pushed, Fault> {
    push_from(&room.desk(), registry, prepared).await
}

async fn push_from(desk: &Desk<'_>, registry: &Registry, prepared: &Prepared) -> Result<Pushed, Fault> {
    let place = Place { registry, repository: "lab/web", name: "registry.invalid/lab/web".into() };
    place.push(desk, prepared, "v1").await
}

/// Everything is there, exactly.
fn complete(fake: &Fake, prepared: &Prepared) {
    let state = fake.state();
    for blob in &prepared.blobs {
        assert_eq!(digest(&state.blobs[&blob.digest]), blob.digest);
    }
    for manifest in &prepared.manifests {
        let (kind, bytes) = &state.manifests[&manifest.digest];
        assert_eq!((kind, bytes), (&manifest.media_type, &manifest.bytes));
    }
    assert_eq!(state.tags["v1"], prepared.digest());
}

fn image() -> Vec<u8> {
    let mut sample = Sample::default();
    let top = sample.image("amd64");
    sample.tar(&[top])
}

#[tokio::test(start_paused = true)]
async fn a_push_sends_everything_once_and_a_second_one_nothing() {
    let (room, fake) = (Room::new(), Fake::default());
    let image = prepared(&room, &image(), SHAPE).await;
    let (report, ear) = Report::new(Clock::simulated(Timestamp::from_millis(0)));
    let desk = Desk::by_hand(None, room.workspace(), report);
    let pushed = push_from(&desk, &fake.client(), &image).await.unwrap();
    complete(&fake, &image);
    assert_eq!(pushed.effect, Effect::Created);
    assert_eq!(pushed.sent, image.blobs.iter().map(|blob| blob.size).sum::<u64>());
    assert_eq!(pushed.uri, format!("registry.invalid/lab/web@{}", image.digest()));
    let progress = ear.borrow().clone().unwrap();
    assert!(progress.layers.len() == 3 && progress.layers.iter().all(|layer| layer.state == LayerState::Sent));
    assert_eq!(fake.count("PUT /v2/lab/web/blobs"), 3, "one PUT for a blob");
    assert_eq!(fake.count("PATCH"), 0);
    let again = push(&room, &fake.client(), &image).await.unwrap();
    assert_eq!((again.effect, again.sent), (Effect::AlreadyThere, 0));
    assert_eq!(fake.count("PUT"), 4);
    assert_eq!(room.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_index_goes_children_first_and_only_the_root_is_tagged() {
    let (room, fake) = (Room::new(), Fake::default());
    let mut sample = Sample::default();
    let top = sample.many();
    let image = prepared(&room, &sample.tar(&[top]), ALL).await;
    push(&room, &fake.client(), &image).await.unwrap();
    complete(&fake, &image);
    let log = fake.state().log.clone();
    let puts: Vec<&String> = log.iter().filter(|line| line.starts_with("PUT /v2/lab/web/manifests")).collect();
    assert_eq!(puts.len(), 4);
    assert!(puts[3].ends_with("/v1") && puts[..3].iter().all(|put| put.contains("sha256:")));
    assert_eq!(fake.state().tags.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn blobs_that_are_there_are_skipped_and_reported_so() {
    let (room, fake) = (Room::new(), Fake::default());
    let image = prepared(&room, &image(), SHAPE).await;
    push(&room, &fake.client(), &image).await.unwrap();
    fake.state().tags.clear();
    fake.state().blobs.remove(&image.blobs[2].digest);
    let (report, ear) = Report::new(Clock::simulated(Timestamp::from_millis(0)));
    let desk = Desk::by_hand(None, room.workspace(), report);
    let pushed = push_from(&desk, &fake.client(), &image).await.unwrap();
    assert_eq!(pushed.sent, image.blobs[2].size);
    let states: Vec<LayerState> = ear.borrow().as_ref().unwrap().layers.iter().map(|layer| layer.state).collect();
    assert_eq!(states, [LayerState::AlreadyThere, LayerState::AlreadyThere, LayerState::Sent]);
    complete(&fake, &image);
}

#[tokio::test(start_paused = true)]
async fn a_break_at_any_request_is_mended_by_trying_again() {
    let room = Room::new();
    let image = prepared(&room, &image(), SHAPE).await;
    let plain = Fake::default();
    push(&room, &plain.client(), &image).await.unwrap();
    let requests = plain.state().log.len();
    assert!(requests > 9);
    for number in 0..requests {
        let busy = Act::Say(429, vec![("retry-after", "7".to_owned())], "");
        for act in [Act::Cut, Act::Lost, Act::Say(500, vec![], ""), Act::Say(503, vec![], ""), busy] {
            let fake = Fake::default();
            fake.state().acts.insert(number, act.clone());
            let pushed = push(&room, &fake.client(), &image).await;
            assert!(pushed.is_ok(), "{act:?} at {number}: {pushed:?}");
            complete(&fake, &image);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_registrys_own_wait_is_kept() {
    let (room, fake) = (Room::new(), Fake::default());
    let image = prepared(&room, &image(), SHAPE).await;
    fake.state().acts.insert(2, Act::Say(429, vec![("retry-after", "45".to_owned())], ""));
    let before = tokio::time::Instant::now();
    push(&room, &fake.client(), &image).await.unwrap();
    let waited = before.elapsed().as_secs();
    assert!((45..60).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_stays_broken_is_given_up_in_its_own_words() {
    let (room, fake) = (Room::new(), Fake::default());
    let image = prepared(&room, &image(), SHAPE).await;
    let body = r#"{"errors":[{"code":"UNAVAILABLE","message":"maintenance until noon"}]}"#;
    fake.state().acts.extend((0..99).map(|number| (number, Act::Say(503, vec![], body))));
    let fault = push(&room, &fake.client(), &image).await.unwrap_err();
    assert_eq!(
        (fault.class, fault.message.as_str()),
        (FaultClass::Transient, "registry.invalid: maintenance until noon")
    );
    assert!(fault.advice.as_deref().is_some_and(|advice| advice.contains("tried 6 times")), "{fault}");
    assert_eq!(fake.state().log.len(), 6);
    let silent = Fake::default();
    silent.state().acts.extend((0..99).map(|number| (number, Act::Cut)));
    assert_eq!(push(&room, &silent.client(), &image).await.unwrap_err().code, "Connection");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_runs_out_in_the_middle_is_renewed_once_for_a_request() {
    let room = Room::new();
    let image = prepared(&room, &image(), SHAPE).await;
    for number in 0..11 {
        let fake = Fake::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let client = fake.client_with(move || format!("Basic {}", counted.fetch_add(1, Ordering::Relaxed)));
        fake.state().acts.insert(number, Act::Say(401, vec![("www-authenticate", "Basic realm=\"x\"".to_owned())], ""));
        push(&room, &client, &image).await.unwrap();
        complete(&fake, &image);
        assert_eq!(asked.load(Ordering::Relaxed), 2, "at {number}");
        assert_eq!(fake.state().logins.last().unwrap(), "Basic 1");
    }
    let fake = Fake::default();
    fake.state().wants = Some("Basic right".to_owned());
    let fault = push(&room, &fake.client(), &image).await.unwrap_err();
    assert_eq!((fault.class, fake.state().log.len()), (FaultClass::Denied, 2), "not asked for ever");
}

#[tokio::test(start_paused = true)]
async fn ecrs_own_word_for_a_token_that_ran_out_renews_it_too() {
    let (room, fake) = (Room::new(), Fake::default());
    let image = prepared(&room, &image(), SHAPE).await;
    let body = r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate"}]}"#;
    fake.state().acts.insert(3, Act::Say(403, vec![], body));
    push(&room, &fake.client(), &image).await.unwrap();
    let denied = Fake::default();
    denied.state().acts.insert(3, Act::Say(403, vec![], r#"{"errors":[{"code":"DENIED","message":"no right"}]}"#));
    assert_eq!(push(&room, &denied.client(), &image).await.unwrap_err().class, FaultClass::Denied);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_lies_about_digests_is_not_believed() {
    let room = Room::new();
    let image = prepared(&room, &image(), SHAPE).await;
    let plain = Fake::default();
    push(&room, &plain.client(), &image).await.unwrap();
    let log = plain.state().log.clone();
    for (number, line) in log.iter().enumerate().filter(|(_, line)| line.starts_with("PUT")) {
        let fake = Fake::default();
        fake.state().acts.insert(number, Act::Lie);
        let fault = push(&room, &fake.client(), &image).await.unwrap_err();
        assert_eq!(fault.code, "DigestMismatch", "{line}");
    }
    let upload = log.iter().position(|line| line.starts_with("PUT")).unwrap();
    let fake = Fake::default();
    fake.state().acts.insert(upload, Act::Damage);
    let fault = push(&room, &fake.client(), &image).await.unwrap_err();
    assert_eq!((fault.code.as_str(), fault.class), ("DIGEST_INVALID", FaultClass::Transient));
    assert!(fault.message.contains("is right here"), "{}", fault.message);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_fails_its_check_is_never_stored() {
    let mut sample = Sample::default();
    let tar = tar_of(&[("app/file", &[7; 700_000])]);
    let top = sample.image_of("amd64", &[(zipped(&tar), digest(b"another layer"))]);
    let (room, fake) = (Room::new(), Fake::default());
    let image = prepared(&room, &sample.tar(&[top]), SHAPE).await;
    let fault = push(&room, &fake.client(), &image).await.unwrap_err();
    assert_eq!(fault.code, "LayerDiffId");
    assert!(fake.state().manifests.is_empty());
    assert!(!fake.state().blobs.contains_key(&image.blobs[0].digest));
    assert_eq!(fake.count("DELETE"), 1, "the upload that was begun is dropped");
}

#[tokio::test(start_paused = true)]
async fn layers_of_a_saved_image_that_are_there_are_not_compressed_again() {
    let (room, fake) = (Room::new(), Fake::default());
    let tar = saved(&[]);
    let first = prepared(&room, &tar, SHAPE).await;
    push(&room, &fake.client(), &first).await.unwrap();
    complete(&fake, &first);
    fake.state().tags.clear();
    let again = prepared(&room, &tar, SHAPE).await;
    assert_eq!(push(&room, &fake.client(), &again).await.unwrap().sent, 0);
    for blob in &again.blobs {
        if let crate::image::content::Content::Unpacked(layer) = &blob.content {
            assert!(!layer.is_made(), "the registry has it, and it passed before");
        }
    }
    assert_eq!(room.left(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_push_that_is_dropped_leaves_nothing_in_the_workspace() {
    let (room, fake) = (Room::new(), Fake::default());
    let image = prepared(&room, &saved(&[]), SHAPE).await;
    fake.state().acts.extend((3..99).map(|number| (number, Act::Cut)));
    let given_up = tokio::time::timeout(std::time::Duration::from_secs(2), push(&room, &fake.client(), &image)).await;
    assert!(given_up.is_err());
    drop(image);
    assert_eq!(room.left(), Vec::<String>::new());
    assert!(fake.state().manifests.is_empty());
}
