//! The archive readers on bytes that nobody vouches for: what the fuzz target and the tests of mutations call.

use std::{
    io::Write as _,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use super::{
    Desk, ImageSummary, Report,
    check::{self, Expected, Room},
    choose::Shape,
    prepared::Check,
    source, spool,
};
use crate::domain::model::{Arch, Fault, Platforms};

/// The most that an archive may unzip to, and its layers unpack to, per byte given, beside a fixed 1 MiB.
const GROWTH: u64 = 64;

/// Reads `bytes` as an archive and checks its layers, as a push would before it sends the last of them. Work and disk
/// are bounded by the length of `bytes`; nothing stays in `workspace`.
///
/// # Errors
/// The fault that a push of this archive would end with.
pub fn read_bytes(bytes: &[u8], workspace: &Path) -> Result<ImageSummary, Fault> {
    let failed = |error: &std::io::Error| spool::unwritable(workspace, error);
    let mut file = tempfile::NamedTempFile::new_in(workspace).map_err(|error| failed(&error))?;
    file.write_all(bytes).map_err(|error| failed(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
    let limit = (1 << 20) + bytes.len() as u64 * GROWTH;
    let desk = Desk {
        cloud: None,
        owner: None,
        workspace: workspace.into(),
        memory: None,
        engine: None,
        report: Report::default(),
    };
    let shape = Shape { arch: Arch::X86_64, platforms: Platforms::Task, room_gib: 1 };
    runtime.block_on(async {
        let prepared = source::read_within(&desk, file.path(), None, shape, limit).await?;
        let room = Room::of_bytes(limit);
        for blob in &prepared.blobs {
            let (diff_id, tar) = match &blob.check {
                Check::Nothing => continue,
                Check::Digest => (None, false),
                Check::Layer { diff_id, .. } => (diff_id.clone(), true),
            };
            let expected = Expected { digest: blob.digest.clone(), diff_id, tar, rooms: vec![room.clone()] };
            check::layer(&blob.content.readable().await?, &expected, &Arc::new(AtomicBool::new(false)))?;
        }
        Ok(prepared.summary())
    })
}
