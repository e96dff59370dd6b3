//! What was found out about layers before: their compressed form by `diff_id`, and which of them passed the check.
//!
//! A small JSON file; it saves work and proves nothing. Every entry bears a seal over its words, so that a damaged one
//! is as good as none; what is made anew is compared with what was promised. Must never fail a push.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Most entries of a kind; beyond, all are forgotten.
const MOST: usize = 4096;

/// Digest and size of a compressed layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) digest: String,
    pub(super) size: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Packed {
    #[serde(flatten)]
    known: Known,
    seal: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Passed {
    diff_id: Option<String>,
    unpacked: u64,
    seal: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Book {
    /// `diff_id` → compressed form.
    #[serde(default)]
    packed: BTreeMap<String, Packed>,
    /// Digest → what the check found.
    #[serde(default)]
    passed: BTreeMap<String, Passed>,
}

/// The file and what is in it.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    path: Option<PathBuf>,
    book: Arc<Mutex<Book>>,
}

/// The first word is the version: of the compressor's settings, and of the check's rules.
fn seal(parts: &[&str]) -> String {
    hex::encode(&Sha256::digest(format!("labguard-layers-1\n{}", parts.join("\n")))[..16])
}

impl Memory {
    /// Reads it; what cannot be read is empty.
    pub(super) fn open(path: Option<&Path>) -> Self {
        let text = path.and_then(|path| std::fs::read(path).ok()).filter(|text| text.len() < 4 * 1024 * 1024);
        let book = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { path: path.map(Into::into), book: Arc::new(Mutex::new(book)) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn packed(&self, diff_id: &str) -> Option<Known> {
        let entry = self.book().packed.get(diff_id).cloned()?;
        let right = seal(&[diff_id, &entry.known.digest, &entry.known.size.to_string()]) == entry.seal;
        right.then_some(entry.known)
    }

    pub(super) fn remember_packed(&self, diff_id: &str, known: &Known) {
        let seal = seal(&[diff_id, &known.digest, &known.size.to_string()]);
        self.change(|book| {
            if book.packed.len() >= MOST {
                book.packed.clear();
            }
            book.packed.insert(diff_id.to_owned(), Packed { known: known.clone(), seal });
        });
    }

    pub(super) fn forget_packed(&self, diff_id: &str) {
        self.change(|book| {
            book.packed.remove(diff_id);
        });
    }

    /// What a layer that passed the check with this `diff_id` unpacks to, in bytes.
    pub(super) fn passed(&self, digest: &str, diff_id: Option<&str>) -> Option<u64> {
        let entry = self.book().passed.get(digest).cloned()?;
        let same = entry.diff_id.as_deref() == diff_id;
        let right = seal(&[digest, diff_id.unwrap_or("-"), &entry.unpacked.to_string()]) == entry.seal;
        (same && right).then_some(entry.unpacked)
    }

    pub(super) fn remember_passed(&self, digest: &str, diff_id: Option<&str>, unpacked: u64) {
        let seal = seal(&[digest, diff_id.unwrap_or("-"), &unpacked.to_string()]);
        self.change(|book| {
            if book.passed.len() >= MOST {
                book.passed.clear();
            }
            let diff_id = diff_id.map(ToOwned::to_owned);
            book.passed.insert(digest.to_owned(), Passed { diff_id, unpacked, seal });
        });
    }

    fn change(&self, how: impl FnOnce(&mut Book)) {
        let mut book = self.book();
        how(&mut book);
        let Some(path) = &self.path else { return };
        if let Err(error) = write(path, &book) {
            tracing::debug!(path = %path.display(), %error, "layers are not remembered");
        }
    }
}

/// Whole or not at all.
fn write(path: &Path, book: &Book) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec(book)?)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_again_and_what_is_damaged_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("layers.json");
        let memory = Memory::open(Some(&path));
        let known = Known { digest: "sha256:aa".into(), size: 7 };
        memory.remember_packed("sha256:dd", &known);
        memory.remember_passed("sha256:aa", Some("sha256:dd"), 99);
        let again = Memory::open(Some(&path));
        assert_eq!(again.packed("sha256:dd"), Some(known));
        assert_eq!(again.passed("sha256:aa", Some("sha256:dd")), Some(99));
        assert_eq!(again.passed("sha256:aa", None), None, "another image may say otherwise");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("sha256:aa", "sha256:ab")).unwrap();
        let damaged = Memory::open(Some(&path));
        assert_eq!((damaged.packed("sha256:dd"), damaged.passed("sha256:ab", Some("sha256:dd"))), (None, None));
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Memory::open(Some(&path)).packed("sha256:dd"), None);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
    }
}
