//! `labguard image push` as a process of its own: its memory, whatever a layer's size.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    images::{OCI_CONFIG, OCI_MANIFEST, OCI_PLAIN_LAYER, digest},
    registry::Registry,
    skopeo,
};

/// The memory that a push may take, in KiB (issue of the image supply: 64 MB).
const MOST: u64 = 64_000_000 / 1024;

/// Writes a layout with one layer of that many MiB, which does not compress; returns the root's digest.
fn layout(at: &Path, mib: usize) -> String {
    let blobs = at.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = digest(bytes);
        std::fs::write(blobs.join(&digest[7..]), bytes).unwrap();
        digest
    };
    let mut header = tar::Header::new_ustar();
    header.set_path("data").unwrap();
    header.set_size((mib << 20) as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let (mut hash, mut random) = (Sha256::new(), fastrand::Rng::with_seed(4));
    let mut file = std::fs::File::create(at.join("layer")).unwrap();
    let mut write = |bytes: &[u8]| {
        hash.update(bytes);
        file.write_all(bytes).unwrap();
    };
    write(header.as_bytes());
    let mut piece = vec![0; 1 << 20];
    for _ in 0..mib {
        random.fill(&mut piece);
        write(&piece);
    }
    write(&[0; 1024]);
    let layer = format!("sha256:{}", hex::encode(hash.finalize()));
    std::fs::rename(at.join("layer"), blobs.join(&layer[7..])).unwrap();
    let size = (mib << 20) + 512 + 1024;
    let config =
        json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer]}}).to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": put(config.as_bytes()), "size": config.len()},
        "layers": [{"mediaType": OCI_PLAIN_LAYER, "digest": layer, "size": size}],
    })
    .to_string();
    let root = put(manifest.as_bytes());
    let top = json!({"mediaType": OCI_MANIFEST, "digest": root, "size": manifest.len()});
    std::fs::write(at.join("index.json"), json!({"schemaVersion": 2, "manifests": [top]}).to_string()).unwrap();
    std::fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    root
}

/// The most memory that a process has had resident so far, in KiB.
#[cfg(target_os = "linux")]
fn high_water(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_flat_whatever_the_size_of_a_layer() {
    let Some(registry) = Registry::start() else { return };
    let mib = std::env::var("LABGUARD_LAYER_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(512);
    let home = tempfile::tempdir().unwrap();
    let root = layout(&home.path().join("layout"), mib);
    let mut pushing = Command::new(env!("CARGO_BIN_EXE_labguard"))
        .args(["image", "push", "archive:layout", &registry.place("big:1")])
        .current_dir(home.path())
        .env_clear()
        .env("HOME", home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = tokio::time::Instant::now();
    let mut most = 0;
    let status = loop {
        most = most.max(high_water(pushing.id()).unwrap_or_default());
        if let Some(status) = pushing.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut said = String::new();
    pushing.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(status.success(), "{said}");
    println!("a layer of {mib} MiB: {most} KiB resident at most, {:.1} s", began.elapsed().as_secs_f64());
    assert!(most > 0 && most < MOST, "{most} KiB resident for a layer of {mib} MiB");
    assert!(said.contains("layer ") && said.contains(" sent ("), "no line for the layer: {said}");
    if mib <= 512 {
        assert_eq!(skopeo::pull(home.path(), &registry.place("big:1")).0, root);
    }
}
