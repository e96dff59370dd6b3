//! Archives on this machine: an OCI layout (folder, tar, gzipped tar), and what `docker save` writes.
//!
//! A tar is indexed and read from within, never unpacked; a gzipped one is unzipped to a nameless spool, within bounds.
//! Nothing in it can name a file outside of it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::bufread::MultiGzDecoder;

use super::{
    content::{CHUNK, Content, Slice, fill, open_file, unreadable},
    document::no_image,
    entries::{Broken, Kind, Pass, Walk},
    refused, spool,
};
use crate::domain::model::{Fault, FaultClass};

/// Most entries of an archive: a layout has a handful for each layer.
const MOST_ENTRIES: usize = 100_000;

/// Links followed from one name to the file.
const LINKS: u32 = 8;

/// What is in a tar.
#[derive(Debug)]
enum Place {
    File { offset: u64, length: u64 },
    Link(String),
}

/// An opened archive.
#[derive(Debug)]
pub(super) enum Archive {
    /// An OCI layout's folder.
    Folder(PathBuf),
    /// A tar.
    Tar {
        /// How people call it.
        name: Arc<str>,
        file: Arc<File>,
        places: Places,
    },
}

/// Names in a tar, and what they are.
#[derive(Debug)]
pub(super) struct Places {
    by_name: BTreeMap<String, Place>,
    /// Whether the end mark is there; without it the archive may be cut between two entries.
    whole: bool,
}

/// A file that is passed over by seeking.
struct Seeking {
    reader: BufReader<File>,
    length: u64,
    at: u64,
}

impl Read for Seeking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Pass for Seeking {
    fn pass(&mut self, length: u64) -> io::Result<u64> {
        let passed = length.min(self.length.saturating_sub(self.at));
        self.reader.seek_relative(i64::try_from(passed).map_err(io::Error::other)?)?;
        self.at += passed;
        Ok(passed)
    }
}

/// Opens it; in a blocking thread. `most` bytes at most are unzipped into `workspace`.
///
/// # Errors
/// `Rejected`: not there, unreadable, cut, no archive, too large unzipped.
pub(super) fn open(path: &Path, workspace: &Path, most: u64) -> Result<Archive, Fault> {
    let name: Arc<str> = path.display().to_string().into();
    let failed = |error: &io::Error| unreadable(&name, error);
    if std::fs::metadata(path).map_err(|error| failed(&error))?.is_dir() {
        return Ok(Archive::Folder(path.to_owned()));
    }
    let file = open_file(path).map_err(|error| failed(&error))?;
    let file = if begins_with_gzip(&file).map_err(|error| failed(&error))? {
        gunzip(file, &name, workspace, most)?
    } else {
        file
    };
    let places = index(&file, &name)?;
    Ok(Archive::Tar { name, file: Arc::new(file), places })
}

/// An archive that was spooled here, a plain tar; in a blocking thread.
///
/// # Errors
/// `Rejected`: cut, or no archive.
pub(super) fn open_file_of(file: File, name: &str) -> Result<Archive, Fault> {
    let places = index(&file, name)?;
    Ok(Archive::Tar { name: name.into(), file: Arc::new(file), places })
}

fn begins_with_gzip(mut file: &File) -> io::Result<bool> {
    let mut magic = [0; 2];
    let read = fill(&mut file, &mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(read == 2 && magic == [0x1F, 0x8B])
}

fn gunzip(file: File, name: &str, workspace: &Path, most: u64) -> Result<File, Fault> {
    let failed = |error: &io::Error| spool::unwritable(workspace, error);
    let mut to = BufWriter::with_capacity(CHUNK, spool::create(workspace).map_err(|error| failed(&error))?);
    let mut from = MultiGzDecoder::new(BufReader::with_capacity(CHUNK, file));
    let (mut buffer, mut written) = (vec![0; CHUNK], 0_u64);
    loop {
        let read = fill(&mut from, &mut buffer).map_err(|error| {
            let message = format!("{name} is gzipped and cannot be unzipped: {error}");
            refused(FaultClass::Rejected, "ArchiveTruncated", message, "make the archive again: it is cut or damaged")
        })?;
        if read == 0 {
            break;
        }
        written += read as u64;
        if written > most {
            let message = format!("{name} unzips to more than {} GiB", most >> 30);
            let advice = "give an archive of one image, not gzipped, or the task more ephemeral storage";
            return Err(refused(FaultClass::Rejected, "ArchiveTooLarge", message, advice));
        }
        to.write_all(&buffer[..read]).map_err(|error| failed(&error))?;
    }
    to.into_inner().map_err(|error| failed(error.error()))
}

fn index(file: &File, name: &str) -> Result<Places, Fault> {
    let failed = |error: &io::Error| unreadable(name, error);
    let length = file.metadata().map_err(|error| failed(&error))?.len();
    let mut reader = BufReader::new(file.try_clone().map_err(|error| failed(&error))?);
    reader.seek(SeekFrom::Start(0)).map_err(|error| failed(&error))?;
    let mut walk = Walk::new(Seeking { reader, length, at: 0 });
    let mut places = BTreeMap::new();
    loop {
        let entry = match walk.next() {
            Ok(None) => break,
            Ok(Some(entry)) => entry,
            Err(Broken::Io(error)) => return Err(failed(&error)),
            Err(broken @ Broken::Truncated(_)) if !places.is_empty() => {
                let message = format!("{name} is cut: {broken}");
                let advice = "make the archive again, and see that it is copied whole";
                return Err(refused(FaultClass::Rejected, "ArchiveTruncated", message, advice));
            }
            Err(broken) => return Err(no_image(name, &broken.to_string())),
        };
        if places.len() >= MOST_ENTRIES {
            return Err(no_image(name, &format!("it has more than {MOST_ENTRIES} entries")));
        }
        let Some(path) = plain(&entry.path) else { continue };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let place = match entry.kind {
            Kind::File => Some(Place::File { offset: entry.offset, length: entry.size }),
            Kind::HardLink => plain(&entry.link).map(Place::Link),
            Kind::SymLink if entry.link.starts_with('/') => plain(&entry.link).map(Place::Link),
            Kind::SymLink => plain(&format!("{folder}/{}", entry.link)).map(Place::Link),
            Kind::Other => None,
        };
        if let Some(place) = place {
            places.insert(path, place);
        }
    }
    Ok(Places { by_name: places, whole: walk.has_end_mark() })
}

/// A path inside the archive without `.` and `..`; none where it leads out of it.
fn plain(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

impl Archive {
    /// How people call it.
    pub(super) fn name(&self) -> String {
        match self {
            Archive::Folder(path) => path.display().to_string(),
            Archive::Tar { name, places, .. } if places.whole => name.to_string(),
            Archive::Tar { name, .. } => format!("{name} (which may be cut: it has no end mark)"),
        }
    }

    /// A file of it; none when there is none of that name.
    ///
    /// # Errors
    /// What keeps a folder's file from being looked at; `Rejected` where a cut archive ends before the file does.
    pub(super) fn get(&self, path: &str) -> Result<Option<Content>, Fault> {
        match self {
            Archive::Folder(folder) => {
                let Some(path) = plain(path) else { return Ok(None) };
                let path = folder.join(path);
                match std::fs::metadata(&path) {
                    Ok(about) if about.is_file() => Ok(Some(Content::Path { path, length: about.len() })),
                    Ok(_) => Ok(None),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(unreadable(path.display(), &error)),
                }
            }
            Archive::Tar { .. } => Ok(self.slice(path).map(Content::Slice)),
        }
    }

    /// A file of a tar, over links.
    pub(super) fn slice(&self, path: &str) -> Option<Slice> {
        let Archive::Tar { name, file, places } = self else { return None };
        let mut path = plain(path)?;
        for _ in 0..LINKS {
            match places.by_name.get(&path)? {
                Place::File { offset, length } => {
                    let name = format!("{path} in {name}").into();
                    return Some(Slice::new(file.clone(), name, *offset, *length));
                }
                Place::Link(to) => path.clone_from(to),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::entries::tests::tar_of;

    fn opened(bytes: &[u8], most: u64) -> Result<Archive, Fault> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive.tar");
        std::fs::write(&path, bytes).unwrap();
        let opened = open(&path, &folder.path().join("spool"), most);
        let spooled = std::fs::read_dir(folder.path().join("spool")).map_or(0, Iterator::count);
        assert_eq!(spooled, 0, "a spool has no name");
        opened
    }

    fn text(archive: &Archive, path: &str) -> Option<String> {
        let mut text = String::new();
        archive.slice(path)?.reader().read_to_string(&mut text).unwrap();
        Some(text)
    }

    #[test]
    fn files_are_read_from_within_over_links_and_never_from_outside() {
        let mut tar = tar::Builder::new(tar_of(&[("./a/one", b"first"), ("two", b"second")])[..].to_vec());
        let _ = tar.get_mut().split_off(2048);
        for (path, to, kind) in [
            ("b/link", "../a/one", tar::EntryType::Symlink),
            ("hard", "two", tar::EntryType::Link),
            ("out", "../../etc/hostname", tar::EntryType::Symlink),
            ("round", "round", tar::EntryType::Symlink),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(0);
            tar.append_link(&mut header, path, to).unwrap();
        }
        let archive = opened(&tar.into_inner().unwrap(), 0).unwrap();
        assert_eq!(text(&archive, "a/one").as_deref(), Some("first"));
        assert_eq!(text(&archive, "b/link").as_deref(), Some("first"));
        assert_eq!(text(&archive, "/hard").as_deref(), Some("second"));
        assert_eq!((text(&archive, "out"), text(&archive, "round"), text(&archive, "../two")), (None, None, None));
    }

    #[test]
    fn gzipped_ones_are_unzipped_within_bounds_and_cut_ones_are_refused() {
        let tar = tar_of(&[("one", &[b'x'; 5000])]);
        let mut zipped = super::super::pack::gzip(Vec::new(), 6);
        zipped.write_all(&tar).unwrap();
        let zipped = zipped.finish().unwrap();
        assert_eq!(text(&opened(&zipped, 1 << 20).unwrap(), "one").unwrap().len(), 5000);
        let code = |bytes: &[u8], most| opened(bytes, most).unwrap_err().code;
        assert_eq!(code(&zipped, 5000), "ArchiveTooLarge");
        assert_eq!(code(&zipped[..zipped.len() / 2], 1 << 20), "ArchiveTruncated");
        assert_eq!(code(&tar[..3000], 0), "ArchiveTruncated");
        assert_eq!(code(b"no tar at all", 0), "ImageManifest");
    }

    #[test]
    fn a_missing_file_and_a_pipe_are_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let fault = open(&folder.path().join("gone.tar"), folder.path(), 0).unwrap_err();
        assert_eq!(fault.code, "ImageSourceUnreadable");
        assert!(fault.advice.unwrap().contains("check the path"));
    }
}
