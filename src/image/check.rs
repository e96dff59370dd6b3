//! What a layer must be before the last byte of it is sent.
//!
//! Its bytes have its digest, what they unpack to has the `diff_id` of the configuration, it is a whole tar whose entries
//! stay inside the image, and all of an image's layers together fit into the task's storage (a tar bomb does not).
//! Streams: memory is flat. Must run in a blocking thread; stops when told to.

use std::{
    io::{self, BufRead, BufReader, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::{
    content::{CHUNK, Content, unreadable},
    entries::{Broken, Entry, Kind, Pass, Walk},
    refused,
    zstd::{self, Zstd},
};
use crate::domain::model::{Fault, FaultClass};

/// What one image's layers may unpack to, and have so far.
#[derive(Debug)]
pub(super) struct Room {
    limit: u64,
    used: AtomicU64,
}

impl Room {
    /// `gib` GiB.
    pub(super) fn of_gib(gib: u32) -> Arc<Self> {
        Self::of_bytes(u64::from(gib) << 30)
    }

    pub(super) fn of_bytes(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// Whether so much more fits.
    fn take(&self, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        before.saturating_add(bytes) <= self.limit
    }
}

/// What is known of a layer beforehand.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) digest: String,
    /// Of what it unpacks to; none where the configuration does not tell.
    pub(super) diff_id: Option<String>,
    /// Whether it is a filesystem layer; else only its digest counts.
    pub(super) tar: bool,
    /// The images it is part of.
    pub(super) rooms: Vec<Arc<Room>>,
}

impl Expected {
    /// Whether so much more fits into every image that the layer is part of. All of them are told.
    pub(super) fn take(&self, bytes: u64) -> bool {
        self.rooms.iter().filter(|room| !room.take(bytes)).count() == 0
    }
}

fn wrong(code: &str, message: String, advice: &str) -> Fault {
    refused(FaultClass::Rejected, code, message, advice)
}

/// That the image is too large when unpacked.
pub(super) fn too_large(expected: &Expected, entry: &str) -> Fault {
    let limit = expected.rooms.iter().map(|room| room.limit).min().unwrap_or(0);
    wrong(
        "ImageTooLarge",
        format!(
            "the layer {}{entry} makes the image unpack to more than the {} GiB that the task has",
            expected.digest,
            limit as f64 / f64::from(1_u32 << 30)
        ),
        "give the task more ephemeral storage, or make the image smaller",
    )
}

/// Hashes what is read through it, and ends when told to stop.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
    stop: Arc<AtomicBool>,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the push has ended"));
        }
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

impl<R> Hashing<R> {
    fn new(inner: R, stop: Arc<AtomicBool>) -> Self {
        Self { inner, hash: Sha256::new(), stop }
    }

    fn digest(self) -> String {
        format!("sha256:{}", hex::encode(self.hash.finalize()))
    }
}

/// Counts what a layer unpacks to, against every room it needs.
struct Bounded<'a, R> {
    inner: R,
    expected: &'a Expected,
    unpacked: u64,
    full: bool,
}

impl<R: Read> Bounded<'_, R> {
    fn take(&mut self, bytes: u64) -> io::Result<()> {
        self.unpacked = self.unpacked.saturating_add(bytes);
        if self.expected.take(bytes) {
            return Ok(());
        }
        self.full = true;
        Err(io::Error::other("it is too large"))
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.take(read as u64)?;
        Ok(read)
    }
}

impl<R: Read> Pass for Bounded<'_, R> {
    fn pass(&mut self, length: u64) -> io::Result<u64> {
        io::copy(&mut Read::take(&mut *self, length), &mut io::sink())
    }
}

/// Checks one layer; how many bytes it unpacks to.
pub(super) fn layer(content: &Content, expected: &Expected, stop: &Arc<AtomicBool>) -> Result<u64, Fault> {
    let opened = content.reader().map_err(|error| unreadable(content.name(), &error))?;
    let mut packed = BufReader::with_capacity(CHUNK / 2, Hashing::new(opened, stop.clone()));
    let magic = packed.fill_buf().map_err(|error| unreadable(content.name(), &error))?;
    let (gzip, zstd) = (magic.starts_with(&[0x1F, 0x8B]), zstd::begins(magic));
    let result = if !expected.tar {
        Ok((None, 0))
    } else if gzip {
        unpacked(MultiGzDecoder::new(&mut packed), expected, stop)
    } else if zstd {
        unpacked(Zstd::new(&mut packed), expected, stop)
    } else {
        unpacked(&mut packed, expected, stop)
    };
    // What is wrong inside may come from a damaged file: then the digest is the truer word.
    let rest = if result.as_ref().is_err_and(|fault| fault.code == "ImageTooLarge") {
        return result.map(|(_, size)| size);
    } else {
        io::copy(&mut packed, &mut io::sink())
    };
    rest.map_err(|error| unreadable(content.name(), &error))?;
    let found = packed.into_inner().digest();
    if found != expected.digest {
        return Err(wrong(
            "LayerDigest",
            format!("the layer {} in {} has the digest {found}", expected.digest, content.name()),
            "make the archive again: it is damaged",
        ));
    }
    let (diff_id, size) = result?;
    match (&diff_id, &expected.diff_id) {
        (Some(found), Some(said)) if found != said => Err(wrong(
            "LayerDiffId",
            format!("the layer {} unpacks to {found}, the image's configuration says {said}", expected.digest),
            "build the image again: its configuration belongs to other layers",
        )),
        _ => Ok(size),
    }
}

fn unpacked(reader: impl Read, expected: &Expected, stop: &Arc<AtomicBool>) -> Result<(Option<String>, u64), Fault> {
    let hashing = Hashing::new(reader, stop.clone());
    let mut walk =
        Walk::new(Bounded { inner: BufReader::with_capacity(CHUNK / 2, hashing), expected, unpacked: 0, full: false });
    let mut last = String::new();
    let walked = loop {
        match walk.next() {
            Ok(None) => break Ok(()),
            Ok(Some(entry)) => {
                inside(&entry, expected)?;
                last = entry.path;
                if let Err(error) = walk.holes(entry.holes) {
                    break Err(Broken::Io(error));
                }
            }
            Err(broken) => break Err(broken),
        }
    };
    let mut bounded = walk.into_inner();
    // What follows the end mark counts for the diff_id, and for the room.
    let walked = walked.and_then(|()| io::copy(&mut bounded, &mut io::sink()).map(drop).map_err(Broken::Io));
    if bounded.full {
        let entry = if last.is_empty() { String::new() } else { format!(" (entry {last})") };
        return Err(too_large(expected, &entry));
    }
    if let Err(broken) = walked {
        let why = match &broken {
            Broken::Io(error) => error.to_string(),
            other => other.to_string(),
        };
        let after = if last.is_empty() { String::new() } else { format!(" after its entry {last}") };
        return Err(wrong(
            "LayerUnreadable",
            format!("the layer {} cannot be unpacked{after}: {why}", expected.digest),
            "build the image again: a container could not be started from it",
        ));
    }
    let size = bounded.unpacked;
    Ok((Some(bounded.inner.into_inner().digest()), size))
}

impl<R: Read> Walk<Bounded<'_, R>> {
    /// A sparse file's holes take room too.
    fn holes(&mut self, bytes: u64) -> io::Result<()> {
        if bytes == 0 { Ok(()) } else { self.reader_mut().take(bytes) }
    }
}

/// An entry must stay inside the image.
fn inside(entry: &Entry, expected: &Expected) -> Result<(), Fault> {
    let climbs = |path: &str| path.split('/').any(|part| part == "..");
    let why = if entry.path.starts_with('/') {
        "has an absolute path"
    } else if climbs(&entry.path) {
        "climbs out of the image with \"..\""
    } else if entry.kind == Kind::HardLink && climbs(&entry.link) {
        "is a hard link that climbs out of the image with \"..\""
    } else {
        return Ok(());
    };
    Err(wrong(
        "LayerPath",
        format!("the layer {} is refused: its entry {:?} {why}", expected.digest, entry.path),
        "build the image with a tool that writes plain relative paths",
    ))
}
