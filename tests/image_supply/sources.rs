//! Every source, pushed by labguard, pulled back by `skopeo`, compared byte for byte.

use std::{collections::BTreeMap, path::Path};

use flate2::read::GzDecoder;
use labguard::{
    domain::model::{Effect, ImageConfig, ImageSource, ImageSpec, Platforms},
    image::{self, Desk, Pushed, Report, Target},
};
use serde_json::Value;

use super::{
    images::{Layout, digest, gzip, noise, saved, saved_lately, tar_of},
    registry::Registry,
    skopeo,
};

/// A desk by hand with this workspace.
pub fn desk(workspace: &Path) -> Desk<'static> {
    Desk::by_hand(None, workspace.to_owned(), Report::default())
}

/// An image for a task on X86_64.
pub fn spec(source: ImageSource) -> ImageSpec {
    ImageSpec { repository: None, ..ImageSpec::plain("", "", source) }
}

pub fn archive(path: &Path) -> ImageSource {
    ImageSource::Archive { path: path.display().to_string(), reference: None }
}

pub async fn push(workspace: &Path, spec: &ImageSpec, to: &str) -> Pushed {
    let desk = desk(workspace);
    let prepared = image::prepare(&desk, spec).await.unwrap();
    image::push(&desk, &Target::Elsewhere { uri: to.to_owned() }, &prepared).await.unwrap()
}

fn layers(root: &str, found: &BTreeMap<String, Vec<u8>>) -> Vec<Vec<u8>> {
    let manifest: Value = serde_json::from_slice(&found[root]).unwrap();
    let digests = manifest["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap());
    digests.map(|digest| found[digest].clone()).collect()
}

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut GzDecoder::new(bytes), &mut plain).unwrap();
    plain
}

#[tokio::test(flavor = "multi_thread")]
async fn every_archive_comes_back_as_it_was() {
    let Some(registry) = Registry::start() else { return };
    let home = tempfile::tempdir().unwrap();
    let tars =
        [tar_of(&[("base", &noise(1, 300_000))]), tar_of(&[("app/serve", b"program"), ("app/data", &noise(2, 9))])];
    let mut layout = Layout::default();
    let image = layout.image("amd64", &tars);
    layout.tops.push(image.clone());
    let write = |name: &str, bytes: &[u8]| {
        let path = home.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let forms = [
        ("folder", layout.folder(&home.path().join("layout")), true),
        ("tar", write("oci.tar", &layout.tar()), true),
        ("gzip", write("oci.tar.gz", &gzip(&layout.tar())), true),
        ("saved", write("saved.tar", &saved(&tars)), false),
        ("saved-gzip", write("saved.tar.gz", &gzip(&saved(&tars))), false),
        ("saved-lately", write("lately.tar", &saved_lately(&tars)), false),
    ];
    for (name, path, exact) in forms {
        let workspace = home.path().join("workspace").join(name);
        let (spec, place) = (spec(archive(&path)), registry.place(name));
        let pushed = push(&workspace, &spec, &format!("{place}:1")).await;
        assert_eq!(pushed.effect, Effect::Created, "{name}");
        let (root, found) = skopeo::pull(home.path(), &format!("{place}:1"));
        assert_eq!(pushed.uri, format!("{place}@{root}"), "{name}: the digest on both ends");
        if exact {
            assert_eq!(root, image["digest"].as_str().unwrap(), "{name}: not a byte is changed");
            for (digest, bytes) in &found {
                assert_eq!(layout.blobs.get(digest), Some(bytes), "{name}: {digest}");
            }
        }
        let plain: Vec<Vec<u8>> = layers(&root, &found).iter().map(|layer| unzipped(layer)).collect();
        assert_eq!(plain, tars, "{name}: what the layers unpack to");
        let again = push(&workspace, &spec, &format!("{place}:1")).await;
        assert_eq!((again.effect, again.sent, again.uri), (Effect::AlreadyThere, 0, pushed.uri), "{name}");
        let left: Vec<_> = std::fs::read_dir(&workspace).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert!(left.iter().all(|it| it == "layers.json"), "{name} left {left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executable_comes_back_as_the_same_image_every_time() {
    let Some(registry) = Registry::start() else { return };
    let home = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_labguard");
    let source = ImageSource::Executable {
        path: program.to_owned(),
        args: vec!["predictor".to_owned(), "serve".to_owned()],
        config: ImageConfig { environment: vec![("MODE".to_owned(), "lab".to_owned())], ..ImageConfig::default() },
    };
    let arch = if cfg!(target_arch = "aarch64") {
        labguard::domain::model::Arch::Arm64
    } else {
        labguard::domain::model::Arch::X86_64
    };
    let spec = ImageSpec { ports: vec![5000], arch, ..spec(source) };
    let first = push(&home.path().join("one"), &spec, &registry.place("first:1")).await;
    let second = push(&home.path().join("two"), &spec, &registry.place("second:1")).await;
    let (root, found) = skopeo::pull(home.path(), &registry.place("first:1"));
    assert!(first.uri.ends_with(&root) && second.uri.ends_with(&root), "{} {}", first.uri, second.uri);
    let manifest: Value = serde_json::from_slice(&found[&root]).unwrap();
    let config: Value = serde_json::from_slice(&found[manifest["config"]["digest"].as_str().unwrap()]).unwrap();
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["predictor", "serve"]));
    assert!(config["config"]["ExposedPorts"].get("5000/tcp").is_some(), "{config}");
    let tar = unzipped(&layers(&root, &found)[0]);
    assert_eq!(config["rootfs"]["diff_ids"][0].as_str().unwrap(), digest(&tar));
    let mut unpacked = tar::Archive::new(tar.as_slice());
    let inside = unpacked.entries().unwrap().map(Result::unwrap).find(|entry| entry.size() > 0).unwrap();
    assert_eq!(inside.size(), std::fs::metadata(program).unwrap().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_index_the_tasks_image_goes_or_the_whole_with_its_attestations() {
    let Some(registry) = Registry::start() else { return };
    let home = tempfile::tempdir().unwrap();
    let mut layout = Layout::default();
    let index = layout.index();
    layout.tops.push(index.clone());
    let folder = layout.folder(&home.path().join("layout"));
    let root_of_all = index["digest"].as_str().unwrap();

    let all = ImageSpec { platforms: Platforms::All, ..spec(archive(&folder)) };
    let pushed = push(&home.path().join("w"), &all, &registry.place("all:1")).await;
    assert!(pushed.uri.ends_with(root_of_all), "{}", pushed.uri);
    assert_eq!(
        registry.stored(),
        layout.blobs.keys().cloned().collect::<Vec<_>>(),
        "every manifest, blob and attestation"
    );
    let (root, found) = skopeo::pull(home.path(), &registry.place("all:1"));
    assert_eq!((root.as_str(), found.len()), (root_of_all, layout.blobs.len()));

    let pushed = push(&home.path().join("w"), &spec(archive(&folder)), &registry.place("task:1")).await;
    let (root, found) = skopeo::pull(home.path(), &registry.place("task:1"));
    assert!(pushed.uri.ends_with(&root) && root != root_of_all);
    let manifest: Value = serde_json::from_slice(&found[&root]).unwrap();
    let config: Value = serde_json::from_slice(&found[manifest["config"]["digest"].as_str().unwrap()]).unwrap();
    assert_eq!(config["architecture"], "amd64");

    // What skopeo put there is mirrored to another registry, whole and in part.
    let other = Registry::start().unwrap();
    let theirs = registry.place("theirs:1");
    let from = format!("oci:{}", folder.display());
    skopeo::copy(
        home.path(),
        &["--all", "--dest-tls-verify=false", "--preserve-digests", &from, &format!("docker://{theirs}")],
    );
    let source = ImageSource::Registry { uri: theirs, mirror: true };
    let whole = ImageSpec { platforms: Platforms::All, ..spec(source.clone()) };
    let pushed = push(&home.path().join("w"), &whole, &other.place("mirror:all")).await;
    assert!(pushed.uri.ends_with(root_of_all));
    assert_eq!(other.stored(), layout.blobs.keys().cloned().collect::<Vec<_>>());
    push(&home.path().join("w"), &spec(source), &other.place("mirror:task")).await;
    assert_eq!(skopeo::pull(home.path(), &other.place("mirror:task")).0, root);
}
