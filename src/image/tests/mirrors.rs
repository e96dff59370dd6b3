//! Copies from one registry to another: blobs stream across, digests are verified on the way.

use std::sync::Arc;

use super::{
    fake::{Act, Fake},
    sample::{ALL, Room, SHAPE, Sample},
};
use crate::{
    domain::model::{Arch, Fault},
    image::{Prepared, Pushed, choose::Shape, content::Content, push::Place, reference::Reference, resolve, source},
};

/// A registry with an image of many platforms.
async fn origin() -> Fake {
    let (room, fake) = (Room::new(), Fake::default());
    let mut sample = Sample::default();
    let top = sample.many();
    let path = room.file("archive", &sample.tar(&[top]));
    let image = source::read(&room.desk(), &path, None, ALL).await.unwrap();
    let registry = fake.client();
    let place = Place { registry: &registry, repository: "lab/web", name: "origin.invalid/lab/web".into() };
    place.push(&room.desk(), &image, "v1").await.unwrap();
    fake.state().log.clear();
    fake
}

async fn copied(from: &Fake, shape: Shape) -> Result<Prepared, Fault> {
    let reference = Reference::parse("origin.invalid/lab/web:v1").unwrap();
    resolve::from_registry(Arc::new(from.client()), reference, shape).await
}

async fn push(image: &Prepared, to: &Fake) -> Result<Pushed, Fault> {
    let registry = to.client();
    let place = Place { registry: &registry, repository: "lab/web", name: "here.invalid/lab/web".into() };
    place.push(&Room::new().desk(), image, "copy").await
}

#[tokio::test(start_paused = true)]
async fn an_image_is_copied_byte_for_byte_whole_or_for_the_task() {
    let from = origin().await;
    for shape in [SHAPE, ALL] {
        let to = Fake::default();
        let image = copied(&from, shape).await.unwrap();
        push(&image, &to).await.unwrap();
        for manifest in &image.manifests {
            assert_eq!(to.state().manifests[&manifest.digest], from.state().manifests[&manifest.digest]);
        }
        for blob in &image.blobs {
            assert_eq!(to.state().blobs[&blob.digest], from.state().blobs[&blob.digest]);
        }
        assert_eq!(to.state().tags["copy"], image.digest());
    }
    assert_eq!(copied(&from, ALL).await.unwrap().digest(), from.state().tags["v1"]);
    let arm = copied(&from, Shape { arch: Arch::Arm64, ..SHAPE }).await.unwrap();
    assert_eq!(arm.summary().platforms(), ["linux/arm64"]);
}

#[tokio::test(start_paused = true)]
async fn a_download_that_breaks_is_begun_anew_and_a_wrong_one_is_refused() {
    let from = origin().await;
    let image = copied(&from, SHAPE).await.unwrap();
    let next = from.state().log.len();
    from.state().acts.insert(next, Act::Cut);
    from.state().acts.insert(next + 1, Act::Say(503, vec![], ""));
    push(&image, &Fake::default()).await.unwrap();

    let layer = image.blobs.iter().find(|blob| matches!(blob.content, Content::Remote(_))).unwrap().digest.clone();
    let mut wrong = from.state().blobs[&layer].to_vec();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 1;
    from.state().blobs.insert(layer.clone(), wrong.into());
    let to = Fake::default();
    let fault = push(&copied(&from, SHAPE).await.unwrap(), &to).await.unwrap_err();
    assert_eq!(fault.code, "DigestMismatch");
    assert!(fault.message.contains("copied from"), "{}", fault.message);
    assert!(!to.state().blobs.contains_key(&layer), "nothing wrong is stored");
}

#[tokio::test(start_paused = true)]
async fn a_registry_whose_manifest_is_not_what_it_says_is_refused() {
    let from = origin().await;
    from.state().acts.insert(0, Act::Lie);
    assert_eq!(copied(&from, SHAPE).await.unwrap_err().code, "DigestMismatch");
}
