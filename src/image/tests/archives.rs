//! Archives as they come: which image is chosen, what is read, and every refusal.

use std::{io::Read as _, slice::from_ref};

use serde_json::json;

use super::sample::{ALL, Room, SHAPE, Sample, named, saved, tar_of_files, zipped};
use crate::{
    domain::model::{Arch, Fault},
    image::{Prepared, choose::Shape, content::Content, document::digest, source},
};

async fn read(room: &Room, bytes: &[u8], reference: Option<&str>, shape: Shape) -> Result<Prepared, Fault> {
    // A file of its own for each: what is read stays open.
    let path = room.file(&format!("archive-{}", &digest(bytes)[7..]), bytes);
    let read = source::read(&room.desk(), &path, reference, shape).await;
    assert_eq!(room.left(), Vec::<String>::new(), "nothing with a name is left in the workspace");
    read
}

async fn code(bytes: &[u8], reference: Option<&str>, shape: Shape) -> String {
    let fault = read(&Room::new(), bytes, reference, shape).await.unwrap_err();
    assert!(fault.advice.is_some(), "{fault:?}");
    fault.code
}

#[tokio::test]
async fn a_folder_a_tar_and_a_gzipped_tar_are_the_same_image_byte_for_byte() {
    let mut sample = Sample::default();
    let top = sample.image("amd64");
    let room = Room::new();
    let tar = sample.tar(from_ref(&top));
    for (path, bytes) in sample.files(from_ref(&top)) {
        let path = room.folder.path().join("layout").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let folder = source::read(&room.desk(), &room.folder.path().join("layout"), None, SHAPE).await.unwrap();
    for other in [read(&room, &tar, None, SHAPE).await.unwrap(), read(&room, &zipped(&tar), None, SHAPE).await.unwrap()]
    {
        assert_eq!(other.summary(), folder.summary());
        assert_eq!(other.digest(), top["digest"]);
        for blob in &other.blobs {
            assert_eq!(blob.content.document().await.unwrap(), sample.blobs[&blob.digest]);
        }
    }
    let summary = folder.summary();
    assert_eq!(summary.platforms(), ["linux/amd64"]);
    let config = summary.manifests[0].config.as_ref().unwrap();
    assert_eq!((config.environment[0].as_str(), config.user.as_deref()), ("SECRET", Some("7")));
    assert!(!serde_json::to_string(&summary).unwrap().contains("hidden"), "values are not shown");
}

#[tokio::test]
async fn of_many_platforms_the_tasks_is_taken_or_all_with_their_attestations() {
    let mut sample = Sample::default();
    let inner = sample.many();
    let outer = sample.index(from_ref(&inner));
    let tar = sample.tar(from_ref(&outer));
    let room = Room::new();
    let task = read(&room, &tar, None, SHAPE).await.unwrap();
    assert_eq!(task.manifests.len(), 1);
    assert_eq!(task.summary().platforms(), ["linux/amd64"]);
    let all = read(&room, &tar, None, ALL).await.unwrap();
    assert_eq!(all.digest(), outer["digest"]);
    assert_eq!(all.manifests.len(), 5, "three, their index, and the index of that");
    assert_eq!(all.manifests[3].digest, inner["digest"], "children first");
    assert_eq!(all.summary().platforms(), ["linux/arm64", "linux/amd64"]);
    let arm = read(&room, &tar, None, Shape { arch: Arch::Arm64, ..SHAPE }).await.unwrap();
    assert_eq!(arm.summary().platforms(), ["linux/arm64"]);
}

#[tokio::test]
async fn another_platform_is_refused_with_what_is_there_and_what_mends_it() {
    let mut sample = Sample::default();
    let (arm, attestation) = (sample.image("arm64"), sample.attestation());
    let index = sample.index(&[arm.clone(), attestation]);
    for (top, shape) in [(arm, SHAPE), (index.clone(), SHAPE), (index, ALL)] {
        let fault = read(&Room::new(), &sample.tar(&[top]), None, shape).await.unwrap_err();
        assert_eq!(fault.code, "ImageArchitecture");
        assert!(fault.message.contains("it has linux/arm64"), "{}", fault.message);
        assert!(!fault.message.contains("unknown"), "{}", fault.message);
        assert!(fault.advice.unwrap().contains("docker build --platform=linux/amd64"));
    }
}

#[tokio::test]
async fn one_of_several_is_chosen_by_reference_and_without_one_they_are_listed() {
    let mut sample = Sample::default();
    let (one, two) = (named(sample.image("amd64"), "web:1"), named(sample.many(), "web:2"));
    let tar = sample.tar(&[one.clone(), two]);
    assert_eq!(read(&Room::new(), &tar, Some("web:1"), SHAPE).await.unwrap().digest(), one["digest"]);
    let fault = read(&Room::new(), &tar, None, SHAPE).await.unwrap_err();
    assert_eq!(fault.code, "ImageNotInArchive");
    assert!(fault.message.contains("web:1, web:2"), "{}", fault.message);
    let bare = sample.tar(&[sample.clone().image("arm64"), sample.clone().image("amd64")]);
    sample.image("arm64");
    let platforms = read(&Room::new(), &bare, None, Shape { arch: Arch::X86_64, ..SHAPE }).await.unwrap();
    assert_eq!(platforms.digest(), one["digest"], "an index.json that is one image's platforms");
}

#[tokio::test]
async fn layouts_that_are_damaged_or_lie_are_refused_each_in_its_words() {
    let mut sample = Sample::default();
    let top = sample.image("amd64");
    let whole = sample.tar(from_ref(&top));
    let digest_of = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let manifest: serde_json::Value = serde_json::from_slice(&sample.blobs[&digest_of(&top["digest"])]).unwrap();
    let layer = digest_of(&manifest["layers"][0]["digest"]);

    let middle = whole.len() * 2 / 3 / 512 * 512;
    assert_eq!(code(&whole[..middle + 100], None, SHAPE).await, "ArchiveTruncated");
    let between = read(&Room::new(), &whole[..middle], None, SHAPE).await.unwrap_err();
    assert!(between.code == "ArchiveTruncated" || between.message.contains("may be cut"), "{between:?}");
    assert_eq!(code(&tar_of_files(&[("readme".into(), b"hello".to_vec())]), None, SHAPE).await, "ImageManifest");
    assert_eq!(code(b"hello", None, SHAPE).await, "ImageManifest");
    assert_eq!(code(&sample.tar(&[]), None, SHAPE).await, "ImageManifest");

    let mut without = sample.clone();
    without.blobs.remove(&layer);
    assert_eq!(code(&without.tar(from_ref(&top)), None, SHAPE).await, "ImageIncomplete");
    let mut longer = sample.clone();
    longer.blobs.get_mut(&layer).unwrap().push(0);
    assert_eq!(code(&longer.tar(from_ref(&top)), None, SHAPE).await, "LayerSize");
    let mut other = sample.clone();
    other.blobs.insert(digest_of(&top["digest"]), b"{}".to_vec());
    assert_eq!(code(&other.tar(from_ref(&top)), None, SHAPE).await, "ImageDigest");
    let mut lying = top.clone();
    lying["size"] = json!(1);
    assert_eq!(code(&sample.tar(&[lying]), None, SHAPE).await, "ImageManifest");
    let mut climbing = top.clone();
    climbing["digest"] = json!("sha256:../../../etc/passwd");
    assert_eq!(code(&sample.tar(&[climbing]), None, SHAPE).await, "ImageManifest");
    let mut deep = top;
    for _ in 0..6 {
        deep = sample.index(&[deep]);
    }
    assert_eq!(code(&sample.tar(&[deep]), None, SHAPE).await, "ImageManifest");
}

#[tokio::test]
async fn what_docker_save_wrote_is_compressed_the_same_way_every_time_over_links() {
    let room = Room::new();
    let tar = saved(&["web:1"]);
    let first = read(&room, &tar, Some("web:1"), SHAPE).await.unwrap();
    let [one, two, config] = first.blobs.as_slice() else { panic!("{:?}", first.blobs.len()) };
    for layer in [one, two] {
        let mut packed = Vec::new();
        layer.content.readable().await.unwrap().reader().unwrap().read_to_end(&mut packed).unwrap();
        assert_eq!(digest(&packed), layer.digest);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert!(first.manifests[0].config.as_ref().unwrap().rootfs.diff_ids.contains(&digest(&unpacked)));
    }
    assert!(matches!(config.content, Content::Memory(_)));
    let again = read(&Room::new(), &zipped(&tar), None, SHAPE).await.unwrap();
    assert_eq!(again.digest(), first.digest());
    let remembered = read(&room, &tar, None, SHAPE).await.unwrap();
    assert_eq!(remembered.digest(), first.digest());
    assert_eq!(code(&tar, Some("web:9"), SHAPE).await, "ImageNotInArchive");
    assert_eq!(code(&tar, None, Shape { arch: Arch::Arm64, ..SHAPE }).await, "ImageArchitecture");
}

#[tokio::test]
async fn newer_saves_with_both_lists_are_compressed_and_keep_their_configuration() {
    // What Docker 25 writes: an OCI layout whose layers are not compressed, and manifest.json beside it.
    let mut sample = Sample::default();
    let layer = crate::image::entries::tests::tar_of(&[("app/file", b"text")]);
    let id = digest(&layer);
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [id]}});
    let config = sample.put("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
    let plain = sample.put("application/vnd.oci.image.layer.v1.tar", layer);
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [plain]});
    let top = sample.put("application/vnd.oci.image.manifest.v1+json", manifest.to_string().into_bytes());
    let mut files = sample.files(&[named(top.clone(), "latest")]);
    let place = |value: &serde_json::Value| format!("blobs/{}", value["digest"].as_str().unwrap().replace(':', "/"));
    let list = json!([{"Config": place(&config), "RepoTags": ["web:latest"], "Layers": [place(&plain)]}]);
    let layout = read(&Room::new(), &tar_of_files(&files), None, SHAPE).await.unwrap();
    assert_eq!(layout.digest(), top["digest"], "a mere layout is left as it is");
    files.push(("manifest.json".to_owned(), list.to_string().into_bytes()));
    let packed = read(&Room::new(), &tar_of_files(&files), Some("latest"), SHAPE).await.unwrap();
    assert_ne!(packed.digest(), top["digest"]);
    assert_eq!(packed.blobs.last().unwrap().digest, config["digest"]);
    assert!(packed.summary().manifests[0].layers[0].media_type.ends_with("+gzip"));
}
