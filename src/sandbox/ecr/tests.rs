//! ECR: repositories, deletion order and pulls.

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_400_000_000);

fn with_repository(extra: Value) -> Ecr {
    let mut ecr = Ecr::new("us-east-1", "000000000000", Some("http://127.0.0.1:4566"));
    let mut ask = json!({ "repositoryName": "lab", "tags": [{ "Key": "labguard:session", "Value": "s1" }] });
    if let (Some(ask), Some(extra)) = (ask.as_object_mut(), extra.as_object()) {
        ask.extend(extra.clone());
    }
    ecr.create_repository(&ask, NOW).unwrap();
    ecr
}

/// Puts an image for `arch`; gives its manifest's digest.
fn image(ecr: &mut Ecr, arch: &str, tag: Option<&str>) -> String {
    let config = Bytes::from(json!({ "architecture": arch, "os": "linux" }).to_string());
    let layer = Bytes::from(format!("layer of {arch}"));
    let repository = ecr.repository_mut("lab").unwrap();
    for blob in [&config, &layer] {
        repository.blobs.insert(digest_of(blob), Arc::new(blob.clone()));
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "digest": digest_of(&config), "size": config.len() },
        "layers": [{ "digest": digest_of(&layer), "size": layer.len(), "mediaType": "application/vnd.oci.image.layer.v1.tar" }],
    });
    repository.put_manifest(NOW, &Bytes::from(manifest.to_string()), None, tag, None).unwrap()
}

fn index(ecr: &mut Ecr, digest: &str) -> String {
    let index = json!({ "schemaVersion": 2, "manifests": [{ "digest": digest, "platform": { "architecture": "arm64", "os": "linux" } }] });
    let repository = ecr.repository_mut("lab").unwrap();
    repository.put_manifest(NOW, &Bytes::from(index.to_string()), None, Some("multi"), None).unwrap()
}

#[test]
fn a_repository_with_images_goes_only_by_force() {
    let mut ecr = with_repository(json!({}));
    let ask = json!({ "repositoryName": "lab" });
    assert_eq!(ecr.create_repository(&ask, NOW).unwrap_err().code, "RepositoryAlreadyExistsException");
    image(&mut ecr, "amd64", Some("1"));
    assert_eq!(ecr.delete_repository(&ask).unwrap_err().code, "RepositoryNotEmptyException");
    ecr.delete_repository(&json!({ "repositoryName": "lab", "force": true })).unwrap();
    assert_eq!(ecr.delete_repository(&ask).unwrap_err().code, "RepositoryNotFoundException");
    assert!(ecr.leftovers().is_empty());
}

#[test]
fn a_pull_resolves_tags_digests_and_indexes_for_the_architecture() {
    let mut ecr = with_repository(json!({}));
    let digest = image(&mut ecr, "arm64", Some("1"));
    index(&mut ecr, &digest);
    for reference in ["lab:1".to_owned(), format!("lab@{digest}"), "lab:multi".to_owned()] {
        for host in ["127.0.0.1:4566", "000000000000.dkr.ecr.us-east-1.labguard.invalid"] {
            let pulled = ecr.pull(&format!("{host}/{reference}"), "ARM64").unwrap();
            assert_eq!(
                (pulled.digest.as_str(), pulled.layers[0].as_ref().as_ref()),
                (digest.as_str(), &b"layer of arm64"[..])
            );
        }
    }
    let mismatch = ecr.pull("127.0.0.1:4566/lab:multi", "amd64").unwrap_err();
    assert!(mismatch.contains("does not contain descriptor matching platform 'linux/amd64'"), "{mismatch}");
    assert!(ecr.pull("127.0.0.1:4566/lab:2", "arm64").unwrap_err().ends_with("lab:2: not found"));
    assert!(ecr.pull("docker.io/library/nginx", "amd64").unwrap_err().starts_with("CannotPullContainerError"));
}

#[test]
fn an_image_that_an_index_refers_to_is_deleted_after_it() {
    let mut ecr = with_repository(json!({}));
    let digest = image(&mut ecr, "arm64", None);
    let parent = index(&mut ecr, &digest);
    let mut delete = |digest: &str| {
        ecr.batch_delete_image(&json!({ "repositoryName": "lab", "imageIds": [{ "imageDigest": digest }] })).unwrap()
    };
    assert_eq!(delete(&digest)["failures"][0]["failureCode"], "ImageReferencedByManifestList");
    assert_eq!(delete(&parent)["imageIds"][0]["imageTag"], "multi");
    assert_eq!(delete(&digest)["failures"], json!([]));
    assert_eq!(delete(&digest)["failures"][0]["failureCode"], "ImageNotFound");
    assert!(ecr.repository_mut("lab").unwrap().blobs.is_empty());
}

#[test]
fn deleting_one_of_two_tags_keeps_the_image() {
    let mut ecr = with_repository(json!({}));
    image(&mut ecr, "amd64", Some("1"));
    image(&mut ecr, "amd64", Some("2"));
    ecr.batch_delete_image(&json!({ "repositoryName": "lab", "imageIds": [{ "imageTag": "1" }] })).unwrap();
    let left = ecr.list_images(&json!({ "repositoryName": "lab" })).unwrap();
    assert_eq!(left["imageIds"].as_array().unwrap().len(), 1);
    assert_eq!(left["imageIds"][0]["imageTag"], "2");
}

#[test]
fn scans_are_found_only_where_scanning_is_on() {
    let ask = json!({ "repositoryName": "lab", "imageId": { "imageTag": "1" } });
    for (on, expected) in [(false, Err("ScanNotFoundException")), (true, Ok("COMPLETE"))] {
        let mut ecr = with_repository(json!({ "imageScanningConfiguration": { "scanOnPush": on } }));
        image(&mut ecr, "amd64", Some("1"));
        match (ecr.scan_findings(&ask, Timestamp::MAX, Span::ZERO), expected) {
            (Ok(found), Ok(status)) => assert_eq!(found["imageScanStatus"]["status"], status),
            (Err(error), Err(code)) => assert_eq!(error.code, code),
            (other, _) => panic!("{on}: {other:?}"),
        }
    }
}
