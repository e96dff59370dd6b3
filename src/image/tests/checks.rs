//! What a layer must be: every refusal names the layer, and the entry where there is one.

use std::sync::{Arc, atomic::AtomicBool};

use super::sample::zipped;
use crate::{
    domain::model::Fault,
    image::{
        check::{self, Expected, Room},
        content::Content,
        document::digest,
        entries::tests::tar_of,
    },
};

fn check(bytes: &[u8], diff_id: Option<String>, room: u64) -> Result<u64, Fault> {
    let rooms = vec![Room::of_bytes(room)];
    let expected = Expected { digest: digest(bytes), diff_id, tar: true, rooms };
    check::layer(&Content::Memory(bytes.to_vec().into()), &expected, &Arc::new(AtomicBool::new(false)))
}

fn refusal(bytes: &[u8], diff_id: Option<String>, room: u64) -> Fault {
    let fault = check(bytes, diff_id, room).unwrap_err();
    assert!(fault.message.contains(&digest(bytes)), "{}", fault.message);
    assert!(fault.advice.is_some());
    fault
}

/// A tar with an entry of this name, written past the builder's own checks.
fn tar_with(name: &str, kind: tar::EntryType, link: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.extend([0; 1024]);
    tar
}

#[test]
fn gzip_zstd_and_plain_layers_pass_with_their_diff_id() {
    let tar = tar_of(&[("app/one", &[1; 3000]), ("app/.wh.two", b"")]);
    let id = Some(digest(&tar));
    let zstd = ruzstd::encoding::compress_to_vec(&tar[..], ruzstd::encoding::CompressionLevel::Fastest);
    for packed in [zipped(&tar), zstd, tar.clone()] {
        assert_eq!(check(&packed, id.clone(), 1 << 20).unwrap(), tar.len() as u64);
    }
    assert!(check(&zipped(&tar), None, 1 << 20).is_ok());
}

#[test]
fn entries_that_leave_the_image_are_refused_by_name() {
    for (name, kind, link) in [
        ("/etc/passwd", tar::EntryType::Regular, ""),
        ("app/../../etc/passwd", tar::EntryType::Regular, ""),
        ("..", tar::EntryType::Directory, ""),
        ("app/hard", tar::EntryType::Link, "../../etc/shadow"),
    ] {
        let fault = refusal(&zipped(&tar_with(name, kind, link)), None, 1 << 20);
        assert_eq!(fault.code, "LayerPath");
        assert!(fault.message.contains(name), "{}", fault.message);
    }
    for (name, kind, link) in [
        ("./app/file..name", tar::EntryType::Regular, ""),
        ("bin", tar::EntryType::Symlink, "../usr/bin"),
        ("etc/mtab", tar::EntryType::Symlink, "/proc/mounts"),
    ] {
        assert!(check(&zipped(&tar_with(name, kind, link)), None, 1 << 20).is_ok(), "{name}");
    }
}

#[test]
fn a_bomb_is_given_up_as_soon_as_it_is_too_large() {
    let bomb = zipped(&tar_of(&[("zeros", &vec![0; 8 << 20])]));
    assert!(bomb.len() < 64 << 10);
    let fault = refusal(&bomb, None, 1 << 20);
    assert_eq!(fault.code, "ImageTooLarge");
    assert!(fault.message.contains("zeros"), "{}", fault.message);
    // Each of two layers fits alone.
    let layer = zipped(&tar_of(&[("half", &vec![0; 600 << 10])]));
    let room = Room::of_bytes(1 << 20);
    let expected = Expected { digest: digest(&layer), diff_id: None, tar: true, rooms: vec![room] };
    let twice = [(); 2].map(|()| {
        check::layer(&Content::Memory(layer.clone().into()), &expected, &Arc::new(AtomicBool::new(false)))
            .map_err(|it| it.code)
    });
    assert!(twice[0].is_ok());
    assert_eq!(twice[1], Err("ImageTooLarge".to_owned()));
}

#[test]
fn a_sparse_files_holes_take_room_too() {
    let mut header = tar::Header::new_gnu();
    header.set_path("sparse").unwrap();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(0);
    header.as_gnu_mut().unwrap().set_real_size(4 << 30);
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.extend([0; 1024]);
    assert_eq!(refusal(&tar, None, 1 << 30).code, "ImageTooLarge");
    assert!(check(&tar, None, 5 << 30).is_ok());
}

#[test]
fn cut_damaged_and_mistaken_layers_are_told_apart() {
    let tar = tar_of(&[("app/one", &[1; 3000])]);
    let packed = zipped(&tar);
    let cut = zipped(&tar[..2000]);
    let fault = refusal(&cut, None, 1 << 20);
    assert_eq!(fault.code, "LayerUnreadable");
    assert!(fault.message.contains("app/one"), "{}", fault.message);
    assert_eq!(refusal(&packed[..packed.len() - 12], None, 1 << 20).code, "LayerUnreadable");
    assert_eq!(refusal(b"no tar", None, 1 << 20).code, "LayerUnreadable");
    assert_eq!(refusal(&packed, Some(digest(b"other")), 1 << 20).code, "LayerDiffId");
    let expected =
        Expected { digest: digest(b"other"), diff_id: None, tar: true, rooms: vec![Room::of_bytes(1 << 20)] };
    let stop = Arc::new(AtomicBool::new(false));
    for content in [packed, cut] {
        let fault = check::layer(&Content::Memory(content.into()), &expected, &stop).unwrap_err();
        assert_eq!(fault.code, "LayerDigest", "the digest is the truer word");
    }
}
