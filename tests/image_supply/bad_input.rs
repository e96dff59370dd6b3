//! Images that must not be pushed: one clear error each, nothing at the registry, nothing on the disk.

use std::path::Path;

use labguard::{
    domain::model::{Fault, FaultClass, ImageSource, ImageSpec},
    image::{self, Target},
};

use super::{
    images::{Layout, OCI_GZIP_LAYER, digest, gzip, noise, saved, tar_of},
    registry::Registry,
    sources::{archive, desk, spec},
};

/// Prepared and pushed, as far as it goes.
async fn refused(workspace: &Path, spec: &ImageSpec, to: &str) -> Fault {
    let desk = desk(workspace);
    let prepared = match image::prepare(&desk, spec).await {
        Ok(prepared) => prepared,
        Err(fault) => return fault,
    };
    image::push(&desk, &Target::Elsewhere { uri: to.to_owned() }, &prepared).await.unwrap_err()
}

/// A layout whose one layer is these bytes, said to unpack to that.
fn layout_of(at: &Path, layer: &[u8], diff_id: &str) -> ImageSpec {
    let mut layout = Layout::default();
    let layer = layout.put(OCI_GZIP_LAYER, layer.to_vec());
    let image = layout.image_of("amd64", &[diff_id.to_owned()], vec![layer]);
    layout.tops.push(image);
    spec(archive(&layout.folder(at)))
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_in_words_and_leaves_nothing_anywhere() {
    let Some(registry) = Registry::start() else { return };
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let good = tar_of(&[("app/serve", &noise(1, 100_000))]);
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(at(name), bytes).unwrap();
        spec(archive(&at(name)))
    };
    let tarred = |name: &str, files: &[(&str, &[u8])]| {
        let tar = tar_of(files);
        layout_of(&at(name), &gzip(&tar), &digest(&tar))
    };
    let whole = saved(std::slice::from_ref(&good));
    let mut changed = gzip(&good);
    let middle = changed.len() / 2;
    changed[middle] ^= 0x10;
    let bomb = layout_of(&at("bomb"), &gzip(&vec![0; 1 << 20]), &digest(&[]));
    let huge = tar_of(&[("zeros", &vec![0; 40 << 20])]);
    let room = ImageSpec { room_gib: 0, ..layout_of(&at("huge"), &gzip(&huge), &digest(&huge)) };
    // Swapped after the layout was made: the name says another digest.
    let swapped = layout_of(&at("swapped"), &gzip(&good), &digest(&good));
    let blob = at("swapped").join("blobs/sha256").join(&digest(&gzip(&good))[7..]);
    std::fs::write(blob, &changed).unwrap();
    let missing = ImageSource::Archive { path: at("nowhere.tar").display().to_string(), reference: None };
    let absent = ImageSource::Executable {
        path: at("no-program").display().to_string(),
        args: Vec::new(),
        config: Default::default(),
    };
    std::fs::create_dir_all(at("a-folder")).unwrap();
    let folder = ImageSource::Executable {
        path: at("a-folder").display().to_string(),
        args: Vec::new(),
        config: Default::default(),
    };
    let cases: Vec<(&str, ImageSpec, &[&str])> = vec![
        ("cut", file("cut.tar", &whole[..whole.len() / 2]), &["cut.tar"]),
        ("cut-gzip", file("cut.tar.gz", &gzip(&whole)[..5000]), &["cut.tar.gz"]),
        ("no-archive", file("text.tar", b"this is a text, and no archive of anything"), &["text.tar"]),
        ("empty", file("empty.tar", b""), &["empty.tar"]),
        ("digest", swapped, &["digest"]),
        ("diff-id", layout_of(&at("diff"), &gzip(&good), &digest(b"other")), &["unpack"]),
        ("absolute", tarred("absolute", &[("/etc/passwd", b"root")]), &["/etc/passwd"]),
        ("parent", tarred("parent", &[("app/../../etc/passwd", b"root")]), &[".."]),
        ("bomb", bomb, &["sha256:"]),
        ("room", room, &["GiB"]),
        ("missing", spec(missing), &["nowhere.tar"]),
        ("no-program", spec(absent), &["no-program"]),
        ("folder", spec(folder), &["a-folder"]),
    ];
    for (name, spec, said) in cases {
        let workspace = at("workspace").join(name);
        let fault = refused(&workspace, &spec, &format!("{}:1", registry.place(name))).await;
        assert!(matches!(fault.class, FaultClass::Rejected | FaultClass::NotFound), "{name}: {fault:?}");
        assert!(fault.advice.is_some(), "{name}: nobody knows what to do about {fault}");
        for words in said {
            assert!(fault.to_string().contains(words), "{name}: {words:?} is not in: {fault}");
        }
        assert_eq!(registry.tags(name), Vec::<String>::new(), "{name}");
        let left: Vec<_> =
            std::fs::read_dir(&workspace).into_iter().flatten().map(|it| it.unwrap().file_name()).collect();
        assert!(left.iter().all(|it| it == "layers.json"), "{name} left {left:?}");
        println!("{name}: {fault}");
    }
    let good = [digest(&gzip(&good))];
    let stored = registry.stored();
    assert!(!stored.iter().any(|it| good.contains(it)), "a layer of a refused image was stored");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("secret.tar");
    std::fs::write(&path, saved(&[tar_of(&[("a", b"b")])])).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        println!("skipped: whoever runs this may read every file");
        return;
    }
    let fault = refused(&home.path().join("w"), &spec(archive(&path)), "127.0.0.1:1/lab:1").await;
    assert!(fault.to_string().contains("secret.tar") && fault.to_string().contains("ermission"), "{fault}");
}
