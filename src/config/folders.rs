//! The platform's folders for configuration and state.
//!
//! Guarantees: asks the platform only where it is called; creates nothing. Must never be called by [`super::load`]
//! unless the request says `search`.

use std::path::{Path, PathBuf};

/// Folders that are searched for `*.toml`, lowest layer first.
#[must_use]
pub fn configuration() -> Vec<PathBuf> {
    let own = directories::ProjectDirs::from("", "", "labguard").map(|folders| folders.config_dir().to_path_buf());
    [PathBuf::from("/etc/labguard")].into_iter().chain(own).collect()
}

/// Folder of the journal and the token, where the configuration names none.
#[must_use]
pub fn state() -> PathBuf {
    let own = directories::ProjectDirs::from("", "", "labguard");
    own.map_or_else(
        || PathBuf::from("/var/lib/labguard"),
        |folders| folders.state_dir().unwrap_or_else(|| folders.data_local_dir()).to_path_buf(),
    )
}

/// The `*.toml` files of a folder, in alphabetical order; none where there is no such folder.
pub(super) fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let toml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml") && !path.is_dir();
    let mut files: Vec<PathBuf> = entries.filter(toml).collect();
    files.sort();
    files
}
