//! Pushing an image beside Debian's `skopeo copy`, to the same kind of registry, in one run: first, and again after a small
//! change. Each is a process of its own with an empty home; medians, and labguard's time as a multiple of skopeo's.
//!
//! `./test --prepare` unpacks registry and client; where that cannot be, it says so and measures nothing.

#[path = "../tests/image_supply/images.rs"]
#[expect(dead_code, reason = "the tests make more kinds of images")]
mod images;
#[path = "../tests/image_supply/registry.rs"]
#[expect(dead_code, reason = "the tests look further into it")]
mod registry;
#[path = "../tests/image_supply/skopeo.rs"]
#[expect(dead_code, reason = "the tests pull, too")]
mod skopeo;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use images::{Layout, OCI_PLAIN_LAYER, digest, noise, tar_of};
use registry::Registry;
use tokio::time::Instant;

/// Rounds; their medians are told.
const ROUNDS: usize = 5;

/// An image, and the same after a small change.
struct Pair {
    name: &'static str,
    first: PathBuf,
    second: PathBuf,
}

fn many(at: &Path) -> Pair {
    let layer = |seed: u64| tar_of(&[("data", &noise(seed, 1 << 20))]);
    let write = |name: &str, last: u64| {
        let mut layout = Layout::default();
        let tars: Vec<Vec<u8>> = (0..39).chain([last]).map(layer).collect();
        let image = layout.image("amd64", &tars);
        layout.tops.push(image);
        layout.folder(&at.join(name))
    };
    Pair { name: "40 layers of 1 MiB", first: write("many", 39), second: write("many-changed", 40) }
}

fn one(at: &Path) -> Pair {
    let big = tar_of(&[("data", &noise(1, 512 << 20))]);
    let small = tar_of(&[("data", &noise(2, 1 << 20))]);
    let write = |name: &str, tars: &[&Vec<u8>]| {
        let mut layout = Layout::default();
        let layers = tars.iter().map(|tar| layout.put(OCI_PLAIN_LAYER, (*tar).clone())).collect();
        let ids: Vec<String> = tars.iter().map(|tar| digest(tar)).collect();
        let image = layout.image_of("amd64", &ids, layers);
        layout.tops.push(image);
        layout.folder(&at.join(name))
    };
    Pair { name: "one layer of 512 MiB", first: write("one", &[&big]), second: write("one-changed", &[&big, &small]) }
}

fn labguard(home: &Path, from: &Path, to: &str) {
    let done = Command::new(env!("CARGO_BIN_EXE_labguard"))
        .args(["image", "push", &format!("archive:{}", from.display()), to, "--quiet"])
        .env_clear()
        .env("HOME", home)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn other(home: &Path, from: &Path, to: &str) {
    let (from, to) = (format!("oci:{}", from.display()), format!("docker://{to}"));
    skopeo::copy(home, &["--quiet", "--preserve-digests", "--dest-tls-verify=false", &from, &to]);
}

/// First push and push after the change, to a fresh registry from a fresh home.
fn round(pair: &Pair, push: fn(&Path, &Path, &str)) -> [Duration; 2] {
    let registry = Registry::start().expect("it was there before");
    let home = tempfile::tempdir().unwrap();
    [(&pair.first, "1"), (&pair.second, "2")].map(|(from, tag)| {
        let began = Instant::now();
        push(home.path(), from, &registry.place(&format!("lab:{tag}")));
        began.elapsed()
    })
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    // `cargo test --benches` only looks whether it runs.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 0 };
    if rounds == 0 || registry::debian().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    println!("{:<24}{:<14}{:>10}{:>10}{:>8}", "image", "push", "labguard", "skopeo", "ratio");
    for pair in [many(folder.path()), one(folder.path())] {
        let (mut ours, mut theirs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for number in 0..rounds {
            let run = |push: fn(&Path, &Path, &str), into: &mut [Vec<Duration>; 2]| {
                for (times, time) in into.iter_mut().zip(round(&pair, push)) {
                    times.push(time);
                }
            };
            // In turn, so that neither always finds the files warm.
            if number % 2 == 0 {
                run(labguard, &mut ours);
                run(other, &mut theirs);
            } else {
                run(other, &mut theirs);
                run(labguard, &mut ours);
            }
        }
        for (place, push) in ["first", "after a change"].into_iter().enumerate() {
            let (ours, theirs) = (median(&mut ours[place]), median(&mut theirs[place]));
            println!(
                "{:<24}{push:<14}{:>8.2} s{:>8.2} s{:>7.2}×",
                pair.name,
                ours.as_secs_f64(),
                theirs.as_secs_f64(),
                ours.as_secs_f64() / theirs.as_secs_f64()
            );
        }
    }
}
