//! Any bytes as an image archive: an answer within bounds, no panic, nothing left in the workspace.
//!
//! `cargo +nightly fuzz run archives`. The same entry runs over thousands of seeded mutations in `cargo test`.
#![no_main]

use std::{path::PathBuf, sync::LazyLock};

static WORKSPACE: LazyLock<PathBuf> = LazyLock::new(|| tempfile::tempdir().expect("a folder").keep());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let answer = labguard::image::read_bytes(bytes, &WORKSPACE);
    if let Err(fault) = answer {
        assert!(fault.advice.is_some(), "a refusal says what to do: {fault:?}");
    }
    assert_eq!(std::fs::read_dir(&*WORKSPACE).expect("the workspace").count(), 0);
});
