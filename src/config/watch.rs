//! Noticing that the configuration changed.
//!
//! Guarantees: many changes in a short time give one signal; a signal carries no data, the receiver loads anew and
//! keeps what it has when the new files are wrong. Must never load or apply anything itself.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::domain::model::Span;

/// How long files must be quiet before a change counts.
pub const QUIET: Span = Span::from_millis(500);

/// The longest that changes which never stop can hold a signal back.
const PATIENCE: u64 = 10;

/// Why files cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {path} for changes; a reload by SIGHUP still works")]
pub struct WatchError {
    /// What was to be watched.
    pub path: PathBuf,
    /// What the platform said.
    #[source]
    pub source: notify::Error,
}

/// Watches files, and takes explicit wishes (SIGHUP, the API). Watching ends when it is dropped.
#[derive(Debug)]
pub struct Reloader {
    trigger: mpsc::Sender<()>,
    watcher: Option<RecommendedWatcher>,
}

impl Reloader {
    /// A reloader, and the channel on which it says `()` when there is something to load. Needs a tokio runtime.
    #[must_use]
    pub fn new() -> (Reloader, mpsc::Receiver<()>) {
        let (trigger, raw) = mpsc::channel(1);
        let (signal, signals) = mpsc::channel(1);
        tokio::spawn(debounce(raw, signal, QUIET));
        (Reloader { trigger, watcher: None }, signals)
    }

    /// Watches `paths`, files or folders of `*.toml` files, in place of what was watched before. Those that are not
    /// there are noticed when they appear, as long as the folder that holds them is there.
    ///
    /// # Errors
    /// [`WatchError`] when the platform refuses; explicit wishes still work.
    pub fn watch(&mut self, paths: &[PathBuf]) -> Result<(), WatchError> {
        let mut folders = BTreeSet::new();
        let mut names = BTreeSet::<OsString>::new();
        let mut whole = BTreeSet::new();
        for path in paths {
            if path.is_dir() {
                folders.insert(path.clone());
                whole.insert(path.clone());
                continue;
            }
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if parent.is_dir() {
                folders.insert(parent.to_path_buf());
                names.extend(path.file_name().map(OsString::from));
            }
        }
        let trigger = self.trigger.clone();
        let tells = move |path: &PathBuf| {
            let named = path.file_name().is_some_and(|name| names.contains(name));
            let toml = path.extension().is_some_and(|extension| extension == "toml");
            named || (toml && path.parent().is_some_and(|parent| whole.iter().any(|folder| same(folder, parent))))
        };
        let handler = move |event: notify::Result<notify::Event>| {
            let counts = match event {
                Ok(event) => !event.kind.is_access() && event.paths.iter().any(&tells),
                // The watcher lost events: better look once too often.
                Err(_) => true,
            };
            if counts {
                // A full channel means that a signal is on its way already.
                let _ = trigger.try_send(());
            }
        };
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| WatchError { path, source }
        };
        let mut watcher = notify::recommended_watcher(handler).map_err(failed(Path::new("files")))?;
        for folder in folders {
            watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(failed(&folder))?;
        }
        self.watcher = Some(watcher);
        Ok(())
    }

    /// Asks for a reload, as if a file had changed.
    pub fn trigger(&self) {
        // A full channel means that a signal is on its way already.
        let _ = self.trigger.try_send(());
    }
}

fn same(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// One signal for each burst: when nothing came for `quiet`, at the latest `PATIENCE × quiet` after the first.
async fn debounce(mut raw: mpsc::Receiver<()>, signal: mpsc::Sender<()>, quiet: Span) {
    while raw.recv().await.is_some() {
        let latest = Instant::now() + quiet.saturating_mul(PATIENCE).as_duration();
        loop {
            let until = (Instant::now() + quiet.as_duration()).min(latest);
            tokio::select! {
                more = raw.recv() => {
                    if more.is_none() || Instant::now() >= latest {
                        break;
                    }
                }
                () = sleep_until(until) => break,
            }
        }
        if let Err(mpsc::error::TrySendError::Closed(())) = signal.try_send(()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_changes_is_one_signal() {
        let (raw, receiver) = mpsc::channel(1);
        let (signal, mut signals) = mpsc::channel(1);
        tokio::spawn(debounce(receiver, signal, QUIET));
        let begin = Instant::now();
        for _ in 0..4 {
            raw.send(()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        signals.recv().await.unwrap();
        assert_eq!(begin.elapsed().as_millis(), 900 + 500);
        assert!(tokio::time::timeout(Duration::from_secs(60), signals.recv()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_never_stop_are_told_of_all_the_same() {
        let (raw, receiver) = mpsc::channel(1);
        let (signal, mut signals) = mpsc::channel(1);
        tokio::spawn(debounce(receiver, signal, QUIET));
        let begin = Instant::now();
        tokio::spawn(async move {
            while raw.send(()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        signals.recv().await.unwrap();
        assert!(begin.elapsed() <= Duration::from_secs(6));
    }

    #[tokio::test]
    async fn a_changed_file_and_a_wish_are_both_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        std::fs::write(&file, "").unwrap();
        let (mut reloader, mut signals) = Reloader::new();
        reloader.watch(std::slice::from_ref(&file)).unwrap();
        std::fs::write(&file, "[daemon]\n").unwrap();
        let second = Duration::from_secs(20);
        assert_eq!(tokio::time::timeout(second, signals.recv()).await, Ok(Some(())));
        reloader.trigger();
        assert_eq!(tokio::time::timeout(second, signals.recv()).await, Ok(Some(())));
    }
}
