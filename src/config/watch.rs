//! Noticing that the configuration changed.
//!
//! Guarantees: many changes in a short time give one signal; a file counts as changed, too, where a link on its way leads
//! elsewhere (as Kubernetes changes a ConfigMap); a signal carries no data, the receiver loads anew and
//! keeps what it has when the new files are wrong. Must never load or apply anything itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::{Path, PathBuf},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::folders::files_in;
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
    /// there are noticed when they appear, as long as the folder that holds them is there. What links lead to is watched as
    /// it is now: after a signal, watch anew.
    ///
    /// # Errors
    /// [`WatchError`] when the platform refuses one of them; the others are watched, and explicit wishes still work.
    pub fn watch(&mut self, paths: &[PathBuf]) -> Result<(), WatchError> {
        let mut folders = BTreeSet::new();
        let mut names = BTreeSet::<OsString>::new();
        let mut whole = BTreeSet::new();
        for path in paths {
            folders.extend(links(path));
            let files = if path.is_dir() {
                folders.insert(path.clone());
                whole.insert(path.clone());
                files_in(path)
            } else {
                vec![path.clone()]
            };
            // Each file itself, and where it is a link, what it leads to.
            for path in files.into_iter().flat_map(|file| [file.canonicalize().ok(), Some(file)]).flatten() {
                let parent = folder_of(&path);
                if parent.is_dir() {
                    folders.insert(parent.to_path_buf());
                    names.extend(path.file_name().map(OsString::from));
                }
            }
        }
        let paths = paths.to_vec();
        let mut known = targets(&paths);
        let trigger = self.trigger.clone();
        let tells = move |path: &PathBuf| {
            let named = path.file_name().is_some_and(|name| names.contains(name));
            let toml = path.extension().is_some_and(|extension| extension == "toml");
            named || (toml && path.parent().is_some_and(|parent| whole.iter().any(|folder| same(folder, parent))))
        };
        let handler = move |event: notify::Result<notify::Event>| {
            let counts = match event {
                Ok(event) if event.kind.is_access() => false,
                Ok(event) => {
                    let now = targets(&paths);
                    let led_elsewhere = now != known;
                    known = now;
                    led_elsewhere || event.paths.iter().any(&tells)
                }
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
        // One that cannot be watched keeps nobody from the others.
        let mut refused = Ok(());
        for folder in folders {
            let watched = watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(failed(&folder));
            refused = refused.and(watched);
        }
        self.watcher = Some(watcher);
        refused
    }

    /// Asks for a reload, as if a file had changed.
    pub fn trigger(&self) {
        // A full channel means that a signal is on its way already.
        let _ = self.trigger.try_send(());
    }
}

/// What each path leads to now; of a folder, each of its files too.
fn targets(paths: &[PathBuf]) -> BTreeMap<PathBuf, Option<PathBuf>> {
    let all = paths.iter().flat_map(|path| std::iter::once(path.clone()).chain(files_in(path)));
    all.map(|path| (path.clone(), path.canonicalize().ok())).collect()
}

/// The folders that hold the links on the way to a path.
fn links(path: &Path) -> Vec<PathBuf> {
    let linked = |path: &&Path| path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    path.ancestors().filter(linked).map(|link| folder_of(link).to_path_buf()).collect()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
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

    /// Whether something is told of within that time, and nothing after it.
    #[cfg(unix)]
    async fn told(signals: &mut mpsc::Receiver<()>) -> bool {
        let told = tokio::time::timeout(Duration::from_secs(20), signals.recv()).await == Ok(Some(()));
        told && tokio::time::timeout(Duration::from_millis(900), signals.recv()).await.is_err()
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_that_leads_elsewhere_is_a_change_of_the_file_behind_it() {
        use std::{fs, os::unix::fs::symlink};
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path().join("mount");
        // As Kubernetes mounts a ConfigMap: a.toml → ..data/a.toml, ..data → ..1; a new version is a new folder, and
        // ..data is put in its place by one rename.
        let version = |name: &str, text: &str| {
            fs::create_dir_all(mount.join(name)).unwrap();
            fs::write(mount.join(name).join("a.toml"), text).unwrap();
        };
        version("..1", "");
        symlink("..1", mount.join("..data")).unwrap();
        symlink("..data/a.toml", mount.join("a.toml")).unwrap();
        version("..2", "[daemon]\n");
        version("..3", "[aws]\n");
        let swap = |to: &str| {
            symlink(to, mount.join("..data_tmp")).unwrap();
            fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        };
        for watched in [mount.join("a.toml"), mount.clone()] {
            let (mut reloader, mut signals) = Reloader::new();
            reloader.watch(std::slice::from_ref(&watched)).unwrap();
            swap("..2");
            assert!(told(&mut signals).await, "{}", watched.display());
            swap("..3");
            assert!(told(&mut signals).await, "{}: a second time", watched.display());
        }

        // The folder itself is a link; and what a link leads to is written in place.
        let (link, file) = (folder.path().join("current"), folder.path().join("linked.toml"));
        symlink("mount/..1", &link).unwrap();
        symlink("mount/..3/a.toml", &file).unwrap();
        let (mut reloader, mut signals) = Reloader::new();
        reloader.watch(&[link.clone(), file]).unwrap();
        fs::remove_file(&link).unwrap();
        symlink("mount/..2", &link).unwrap();
        assert!(told(&mut signals).await, "a folder's link");
        fs::write(mount.join("..3/a.toml"), "[rates]\n").unwrap();
        assert!(told(&mut signals).await, "the file that a link leads to");

        // A link among the files of a folder, as of one's own repository; what it leads to is written in place.
        let (conf, theirs) = (folder.path().join("conf"), folder.path().join("git"));
        fs::create_dir(&conf).unwrap();
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("theirs.toml"), "").unwrap();
        symlink(theirs.join("theirs.toml"), conf.join("lab.toml")).unwrap();
        let (mut reloader, mut signals) = Reloader::new();
        reloader.watch(std::slice::from_ref(&conf)).unwrap();
        fs::write(theirs.join("theirs.toml"), "[aws]\n").unwrap();
        assert!(told(&mut signals).await, "the file that a link in a folder leads to");
        fs::write(theirs.join("other.toml"), "").unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(900), signals.recv()).await.is_err(), "another's file");
    }
}
