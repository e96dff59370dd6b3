//! Where a blob's bytes are: in memory, in (a part of) a file, at another registry, or still to be compressed.
//!
//! Guarantees: it can be read any number of times, in chunks of at most 256 KiB, so that memory stays flat whatever the
//! size; what is read has exactly the length told. Never holds a file's bytes whole.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::{beside, pack::Unpacked, refused, registry::Remote};
use crate::domain::model::{Fault, FaultClass};

/// Largest piece that is in memory at once.
pub(super) const CHUNK: usize = 256 * 1024;

/// Largest manifest, index or configuration that is read (registries refuse manifests above 4 MiB).
pub(super) const LARGEST_DOCUMENT: u64 = 4 * 1024 * 1024;

/// A part of a file, by its open handle: it stays readable when the file's name goes.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    file: Arc<File>,
    /// How people call it.
    name: Arc<str>,
    offset: u64,
    length: u64,
}

impl Slice {
    /// `length` bytes from `offset`.
    pub(super) fn new(file: Arc<File>, name: Arc<str>, offset: u64, length: u64) -> Self {
        Self { file, name, offset, length }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// A reader of its own position over it.
    pub(super) fn reader(&self) -> SliceReader {
        SliceReader { slice: self.clone(), at: 0 }
    }
}

/// Reads a [`Slice`]; ends with an error where the file has become shorter.
#[derive(Debug)]
pub(super) struct SliceReader {
    slice: Slice,
    at: u64,
}

impl Read for SliceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.slice.length - self.at;
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.slice.file.read_at(&mut buffer[..most], self.slice.offset + self.at)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before it should"));
        }
        self.at += read as u64;
        Ok(read)
    }
}

/// Where the bytes are.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Small documents.
    Memory(Bytes),
    /// A part of an open file.
    Slice(Slice),
    /// A whole file that is opened when it is read.
    Path {
        /// Where.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
    },
    /// At another registry.
    Remote(Remote),
    /// An uncompressed layer whose compressed form is made when it is first read.
    Unpacked(Arc<Unpacked>),
}

/// A stream of chunks. Dropping it ends the reading.
#[derive(Debug)]
pub(super) struct Chunks(mpsc::Receiver<Result<Bytes, Fault>>);

impl Chunks {
    pub(super) fn new(receiver: mpsc::Receiver<Result<Bytes, Fault>>) -> Self {
        Self(receiver)
    }

    /// The next chunk; none at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Fault>> {
        self.0.recv().await
    }
}

/// What goes wrong when a file of the image is read.
pub(super) fn unreadable(name: impl std::fmt::Display, error: &io::Error) -> Fault {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => "check the path; relative ones are read from where labguard runs",
        io::ErrorKind::PermissionDenied => "let the user that labguard runs as read it",
        _ => "make it again, whole, and see that nothing changes it while it is read",
    };
    refused(FaultClass::Rejected, "ImageSourceUnreadable", format!("{name} cannot be read: {error}"), advice)
}

/// A thread that reads could not finish.
pub(super) fn stopped(error: &tokio::task::JoinError) -> Fault {
    refused(FaultClass::Transient, "ReadingStopped", error.to_string(), "try again")
}

impl Content {
    /// Its length in bytes, where known (a layer still to be compressed has none).
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Content::Memory(bytes) => Some(bytes.len() as u64),
            Content::Slice(slice) => Some(slice.length),
            Content::Path { length, .. } => Some(*length),
            Content::Remote(remote) => Some(remote.size),
            Content::Unpacked(_) => None,
        }
    }

    /// Where it is, for people.
    pub(super) fn name(&self) -> String {
        match self {
            Content::Memory(_) => "memory".to_owned(),
            Content::Slice(slice) => slice.name.to_string(),
            Content::Path { path, .. } => path.display().to_string(),
            Content::Remote(remote) => remote.name(),
            Content::Unpacked(layer) => layer.name().to_owned(),
        }
    }

    /// What is read must be on this machine: compresses what is still to be compressed.
    async fn settled(&self) -> Result<Content, Fault> {
        match self {
            Content::Unpacked(layer) => Ok(Content::Slice(layer.packed().await?)),
            other => Ok(other.clone()),
        }
    }

    /// Streams it from the beginning. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// What keeps it from being opened.
    pub(super) async fn open(&self) -> Result<Chunks, Fault> {
        match self.settled().await? {
            Content::Remote(remote) => remote.open().await,
            Content::Memory(bytes) => {
                let (tx, rx) = mpsc::channel(1);
                if !bytes.is_empty() {
                    // The channel is empty and open: it takes one.
                    drop(tx.try_send(Ok(bytes)));
                }
                Ok(Chunks(rx))
            }
            local => {
                let in_place = beside::is_in_place();
                let all =
                    local.length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default() / CHUNK + 2;
                let (tx, rx) = mpsc::channel(if in_place { all } else { 2 });
                // Nobody waits for it but who takes the chunks.
                drop(beside::begin(move || {
                    local.feed(
                        |chunk| if in_place { tx.try_send(chunk).is_ok() } else { tx.blocking_send(chunk).is_ok() },
                    );
                    Ok(())
                }));
                Ok(Chunks(rx))
            }
        }
    }

    /// Reads it chunk by chunk in a blocking thread, until `send` says that nobody takes them any more.
    fn feed(&self, send: impl Fn(Result<Bytes, Fault>) -> bool) {
        let name = self.name();
        let failed = |error: &io::Error| {
            send(Err(unreadable(&name, error)));
        };
        let mut reader = match self.reader() {
            Ok(reader) => reader,
            Err(error) => return failed(&error),
        };
        loop {
            let mut chunk = BytesMut::zeroed(CHUNK);
            match fill(&mut reader, &mut chunk) {
                Ok(0) => return,
                Ok(read) => {
                    chunk.truncate(read);
                    if !send(Ok(chunk.freeze())) {
                        return;
                    }
                }
                Err(error) => return failed(&error),
            }
        }
    }

    /// Reads it in a blocking thread; for what is on this machine.
    ///
    /// # Errors
    /// What keeps it from being opened; `Unsupported` for what is elsewhere or still to be compressed.
    pub(super) fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Content::Memory(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
            Content::Slice(slice) => Ok(Box::new(slice.reader())),
            Content::Path { path, length } => {
                let slice = Slice::new(Arc::new(open_file(path)?), path.display().to_string().into(), 0, *length);
                Ok(Box::new(slice.reader()))
            }
            Content::Remote(_) | Content::Unpacked(_) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "its bytes are not in a file"))
            }
        }
    }

    /// As [`Content::reader`], after compressing what is still to be compressed.
    pub(super) async fn readable(&self) -> Result<Content, Fault> {
        self.settled().await
    }

    /// All of a small document.
    ///
    /// # Errors
    /// `Rejected` when it is larger than 4 MiB or unreadable.
    pub(super) async fn document(&self) -> Result<Bytes, Fault> {
        if self.length().is_some_and(|length| length > LARGEST_DOCUMENT) {
            return Err(refused(
                FaultClass::Rejected,
                "ImageDocument",
                format!("{} is larger than a manifest or configuration can be (4 MiB)", self.name()),
                "check that it is an image",
            ));
        }
        let mut chunks = self.open().await?;
        let mut all = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all.freeze())
    }
}

/// Opens a regular file; anything else (a pipe would block) is refused.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    File::open(path)
}

/// Reads until the buffer is full or the end has come.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match reader.read(&mut buffer[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lengths(content: &Content) -> Result<Vec<usize>, Fault> {
        let mut chunks = content.open().await?;
        let mut lengths = Vec::new();
        while let Some(chunk) = chunks.next().await {
            lengths.push(chunk?.len());
        }
        Ok(lengths)
    }

    #[tokio::test]
    async fn a_part_of_a_file_is_read_twice_in_bounded_chunks_and_its_end_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, vec![7; 2 * CHUNK + 30]).unwrap();
        let file = Arc::new(open_file(&path).unwrap());
        let content = Content::Slice(Slice::new(file.clone(), "data".into(), 10, CHUNK as u64 + 5));
        for _ in 0..2 {
            assert_eq!(lengths(&content).await.unwrap(), [CHUNK, 5]);
        }
        let beyond = Content::Slice(Slice::new(file, "data".into(), 2 * CHUNK as u64, 31));
        assert!(lengths(&beyond).await.unwrap_err().message.contains("ends before it should"));
        let gone = Content::Path { path: folder.path().join("gone"), length: 1 };
        assert_eq!(lengths(&gone).await.unwrap_err().code, "ImageSourceUnreadable");
        assert!(open_file(folder.path()).is_err(), "a folder is no file");
        assert_eq!(Content::Memory(Bytes::new()).document().await.unwrap().len(), 0);
    }
}
