//! A build's folder as the tar that the engine gets: what `.dockerignore` leaves, in order, in a nameless spool.
//!
//! Guarantees: memory is flat; owners are root's and only modes, names and bytes are the file's own, as Docker's clients do
//! it; a link stays a link, so that nothing outside the folder is read through one. Must never change the folder.

use std::{
    fs::{self, File, Metadata},
    io::{self, BufWriter, Read},
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

use super::{content::CHUNK, ignore::Ignore, refused, spool};
use crate::domain::model::{Fault, FaultClass};

/// What a Dockerfile from outside the folder is called in the tar.
const OUTSIDER: &str = ".labguard.Dockerfile";

/// A context ready to be sent.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) tar: File,
    pub(super) length: u64,
    /// The Dockerfile's name in it.
    pub(super) dockerfile: String,
    pub(super) files: u64,
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let message = format!("{} of the build cannot be read: {error}", path.display());
    let advice = match error.kind() {
        io::ErrorKind::NotFound => {
            "check image.context and image.dockerfile; relative ones are read from where labguard runs"
        }
        io::ErrorKind::PermissionDenied => "let labguard read it, or leave it out with .dockerignore",
        _ => "see whether it changes while it is read; leave it out with .dockerignore",
    };
    refused(FaultClass::Rejected, "BuildContext", message, advice)
}

/// Gathers the folder; in a blocking thread. `dockerfile` is relative to it, or absolute.
///
/// # Errors
/// `Rejected`: not there, unreadable, a bad `.dockerignore`; no room in the workspace.
pub(super) fn gather(folder: &Path, dockerfile: Option<&str>, workspace: &Path) -> Result<Context, Fault> {
    let root = fs::canonicalize(folder).map_err(|error| unreadable(folder, &error))?;
    if !root.is_dir() {
        let message = format!("{} is no folder", folder.display());
        return Err(refused(
            FaultClass::Rejected,
            "BuildContext",
            message,
            "give the folder with the Dockerfile in it",
        ));
    }
    let place = root.join(dockerfile.unwrap_or("Dockerfile"));
    let recipe = fs::canonicalize(&place).map_err(|error| unreadable(&place, &error))?;
    let inside = recipe.strip_prefix(&root).ok().map(Path::to_owned);
    let ignore = ignore(&root, &recipe)?;
    let failed = |error: &io::Error| spool::unwritable(workspace, error);
    let spool = spool::create(workspace).map_err(|error| failed(&error))?;
    let mut writing = Writing { tar: Builder::new(BufWriter::with_capacity(CHUNK, spool)), workspace, files: 0 };
    let mut kept = vec![PathBuf::from(".dockerignore")];
    kept.extend(inside.clone());
    writing.folder(&root, Path::new(""), &ignore, &kept)?;
    let dockerfile = match &inside {
        Some(path) => slashed(path),
        None => {
            let about = fs::metadata(&recipe).map_err(|error| unreadable(&recipe, &error))?;
            writing.file(&recipe, Path::new(OUTSIDER), &about)?;
            OUTSIDER.to_owned()
        }
    };
    let files = writing.files;
    let tar = writing.tar.into_inner().and_then(|tar| tar.into_inner().map_err(io::IntoInnerError::into_error));
    let tar = tar.map_err(|error| failed(&error))?;
    let length = tar.metadata().map_err(|error| failed(&error))?.len();
    Ok(Context { tar, length, dockerfile, files })
}

/// `DOCKERFILE.dockerignore` beside the Dockerfile, else the folder's `.dockerignore`.
fn ignore(root: &Path, recipe: &Path) -> Result<Ignore, Fault> {
    let mut beside = recipe.as_os_str().to_owned();
    beside.push(".dockerignore");
    for path in [PathBuf::from(beside), root.join(".dockerignore")] {
        match fs::read_to_string(&path) {
            Ok(text) => {
                return Ignore::parse(&text).map_err(|why| {
                    let message = format!("{} has a pattern that cannot be read: {why}", path.display());
                    refused(FaultClass::Rejected, "BuildContext", message, "mend the line")
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    Ok(Ignore::default())
}

fn slashed(path: &Path) -> String {
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

struct Writing<'w> {
    tar: Builder<BufWriter<File>>,
    workspace: &'w Path,
    files: u64,
}

impl Writing<'_> {
    fn folder(&mut self, root: &Path, at: &Path, ignore: &Ignore, kept: &[PathBuf]) -> Result<(), Fault> {
        let place = root.join(at);
        let entries = fs::read_dir(&place).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut names: Vec<PathBuf> = entries
            .map_err(|error| unreadable(&place, &error))?
            .into_iter()
            .map(|entry| at.join(entry.file_name()))
            .collect();
        names.sort();
        for path in names {
            let place = root.join(&path);
            let about = fs::symlink_metadata(&place).map_err(|error| unreadable(&place, &error))?;
            // The Dockerfile and .dockerignore are the builder's own, whatever the patterns say.
            let needed = kept.contains(&path);
            let above = kept.iter().any(|kept| kept.starts_with(&path));
            let out = ignore.leaves_out(&path) && !needed;
            if about.is_dir() {
                if !out || above {
                    self.entry(&path, &about, EntryType::Directory)?;
                }
                if !out || above || ignore.takes_any_back() {
                    self.folder(root, &path, ignore, kept)?;
                }
            } else if out {
            } else if about.is_symlink() {
                self.link(&place, &path, &about)?;
            } else if about.is_file() {
                self.file(&place, &path, &about)?;
            } else {
                tracing::debug!(path = %place.display(), "no file, folder or link: not sent to the builder");
            }
        }
        Ok(())
    }

    fn header(about: &Metadata, kind: EntryType) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode(about));
        header.set_uid(0);
        header.set_gid(0);
        let changed = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        header.set_mtime(changed.map_or(0, |since| since.as_secs()));
        header.set_size(if kind == EntryType::Regular { about.len() } else { 0 });
        header
    }

    fn entry(&mut self, path: &Path, about: &Metadata, kind: EntryType) -> Result<(), Fault> {
        let mut header = Self::header(about, kind);
        let written = self.tar.append_data(&mut header, slashed(path), io::empty());
        written.map_err(|error| spool::unwritable(self.workspace, &error))
    }

    fn link(&mut self, place: &Path, path: &Path, about: &Metadata) -> Result<(), Fault> {
        let target = fs::read_link(place).map_err(|error| unreadable(place, &error))?;
        let mut header = Self::header(about, EntryType::Symlink);
        let written = self.tar.append_link(&mut header, slashed(path), target);
        written.map_err(|error| spool::unwritable(self.workspace, &error))
    }

    fn file(&mut self, place: &Path, path: &Path, about: &Metadata) -> Result<(), Fault> {
        let file = File::open(place).map_err(|error| unreadable(place, &error))?;
        let mut header = Self::header(about, EntryType::Regular);
        let mut exact = Exact { file, left: about.len(), failed: None };
        let written = self.tar.append_data(&mut header, slashed(path), &mut exact);
        self.files += 1;
        match (exact.failed, written) {
            (Some(error), _) => Err(unreadable(place, &error)),
            (None, Err(error)) => Err(spool::unwritable(self.workspace, &error)),
            (None, Ok(())) => Ok(()),
        }
    }
}

#[cfg(unix)]
fn mode(about: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    about.permissions().mode() & 0o7777
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    // As Docker's client does where files have no modes.
    0o755
}

/// A file of exactly the length that was told of it.
struct Exact {
    file: File,
    left: u64,
    failed: Option<io::Error>,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = match self.file.read(&mut buffer[..most]) {
            Ok(0) => Err(io::Error::other("it became shorter while it was read")),
            other => other,
        };
        match read {
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(error) => {
                let again = io::Error::new(error.kind(), error.to_string());
                self.failed = Some(error);
                Err(again)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Seek as _};

    use super::*;

    fn names(mut context: Context) -> BTreeMap<String, (EntryType, String)> {
        context.tar.rewind().unwrap();
        let mut archive = tar::Archive::new(context.tar);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            assert_eq!((entry.header().uid().unwrap(), entry.header().gid().unwrap()), (0, 0));
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let link = entry.link_name().unwrap().map(|link| link.display().to_string());
            (name.trim_end_matches('/').to_owned(), (entry.header().entry_type(), link.unwrap_or(text)))
        });
        entries.collect()
    }

    fn put(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_is_ignored_stays_and_the_dockerfile_goes_whatever_is_ignored() {
        let home = tempfile::tempdir().unwrap();
        let (folder, workspace) = (home.path().join("app"), home.path().join("workspace"));
        put(&folder, "Dockerfile", "FROM scratch");
        put(&folder, "src/main.py", "print()");
        put(&folder, "target/huge", "x");
        put(&folder, "target/keep/app", "binary");
        put(&folder, ".dockerignore", "target\n!target/keep\n**/*.log\nDockerfile\n");
        put(&folder, "a.log", "noise");
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
        put(&folder, &long, "far");
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
        let context = gather(&folder, None, &workspace).unwrap();
        assert_eq!((context.dockerfile.as_str(), context.files), ("Dockerfile", 5));
        let found = names(context);
        let mut expected =
            vec!["Dockerfile", ".dockerignore", "src", "src/main.py", "target/keep", "target/keep/app", &long];
        let above = "d".repeat(90);
        expected.push(&above);
        #[cfg(unix)]
        {
            expected.push("link");
            assert_eq!(found["link"], (EntryType::Symlink, "/etc/passwd".to_owned()), "a link is not followed");
        }
        expected.sort_unstable();
        assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), expected);
        assert_eq!(found["target/keep/app"].1, "binary");
        assert_eq!(fs::read_dir(&workspace).unwrap().count(), 0, "the spool has no name");
    }

    #[test]
    fn a_dockerfile_elsewhere_is_sent_along_with_its_own_ignore_file() {
        let home = tempfile::tempdir().unwrap();
        put(home.path(), "app/a", "1");
        put(home.path(), "app/b", "2");
        put(home.path(), "recipes/lab", "FROM scratch");
        put(home.path(), "recipes/lab.dockerignore", "b");
        let context = gather(&home.path().join("app"), Some("../recipes/lab"), home.path()).unwrap();
        assert_eq!(context.dockerfile, OUTSIDER);
        let found = names(context);
        assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), [OUTSIDER, "a"]);
        assert_eq!(found[OUTSIDER].1, "FROM scratch");
    }

    #[test]
    fn what_cannot_be_gathered_is_named() {
        let home = tempfile::tempdir().unwrap();
        put(home.path(), "file", "");
        put(home.path(), "bad/Dockerfile", "FROM scratch");
        put(home.path(), "bad/.dockerignore", "[a-");
        for (folder, dockerfile, said) in [
            ("nowhere", None, "nowhere"),
            ("file", None, "no folder"),
            ("bad", Some("Other"), "Other"),
            ("bad", None, "line 1"),
        ] {
            let fault = gather(&home.path().join(folder), dockerfile, home.path()).unwrap_err();
            assert!(fault.to_string().contains(said) && fault.advice.is_some(), "{fault}");
        }
    }
}
