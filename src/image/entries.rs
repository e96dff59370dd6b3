//! Walks a tar stream entry by entry: ustar, GNU long names and sparse files, pax.
//!
//! Guarantees: memory is bounded whatever the stream says (names at most 1 MiB); a header with a wrong checksum, a size
//! beyond the stream's end, or an end within an entry is an error. Never unpacks anything.

use std::io::{self, Read};

use super::content::fill;

/// A tar block.
const BLOCK: u64 = 512;

/// Longest extension (names, pax records).
const LONGEST: u64 = 1024 * 1024;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file with bytes.
    File,
    /// Another name of an earlier entry.
    HardLink,
    /// A symbolic link.
    SymLink,
    /// A folder, device or pipe.
    Other,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As written, lossily where it is no text.
    pub(super) path: String,
    /// Where a link leads.
    pub(super) link: String,
    pub(super) kind: Kind,
    /// Bytes of data that follow.
    pub(super) size: u64,
    /// Bytes that a sparse file has beyond its data.
    pub(super) holes: u64,
    /// Where the data begin, from the stream's beginning.
    pub(super) offset: u64,
}

/// What is wrong with a stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// It ends in the middle.
    #[error("it ends in the middle of {0}")]
    Truncated(String),
    /// It is not tar, or not this one.
    #[error("{0}")]
    Malformed(String),
    /// It cannot be read.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
}

fn malformed(text: impl Into<String>) -> Broken {
    Broken::Malformed(text.into())
}

/// How data are passed over.
pub(super) trait Pass: Read {
    /// Goes `length` bytes forward; how many there were.
    fn pass(&mut self, length: u64) -> io::Result<u64>;
}

/// What extensions say of the entry that follows them.
#[derive(Default)]
struct Extended {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
    real_size: Option<u64>,
}

/// A stream being walked.
pub(super) struct Walk<R> {
    reader: R,
    at: u64,
    /// Data and padding of the present entry that are still to be passed.
    pending: (u64, u64),
    current: String,
    /// Whether the end mark was seen.
    marked: bool,
}

impl<R: Pass> Walk<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, at: 0, pending: (0, 0), current: String::new(), marked: false }
    }

    /// Whether it ended with the mark that tar writes at the end.
    pub(super) fn has_end_mark(&self) -> bool {
        self.marked
    }

    /// The stream itself.
    pub(super) fn reader_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// The stream behind the end mark.
    pub(super) fn into_inner(self) -> R {
        self.reader
    }

    /// The next entry; none at the end. The data of the one before are passed over.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Broken> {
        let mut extended = Extended::default();
        loop {
            self.finish_entry()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header[156];
            let size = match extended.size {
                Some(size) if !matches!(kind, b'x' | b'g' | b'L' | b'K') => size,
                _ => number(&header[124..136]).ok_or_else(|| malformed("an entry has no legible size"))?,
            };
            match kind {
                b'x' => self.extension(size).and_then(|data| records(&data, &mut extended))?,
                b'g' => drop(self.extension(size)?),
                b'L' => extended.path = Some(text(&self.extension(size)?)),
                b'K' => extended.link = Some(text(&self.extension(size)?)),
                _ => return self.entry(&header, size, extended).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &[u8; 512], size: u64, extended: Extended) -> Result<Entry, Broken> {
        let path = extended.path.unwrap_or_else(|| {
            let (prefix, name) = (text(&header[345..500]), text(&header[..100]));
            let posix = &header[257..263] == b"ustar\0";
            if posix && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
        });
        let mut real_size = extended.real_size;
        self.current = path.clone();
        let kind = match header[156] {
            b'S' => {
                real_size = number(&header[483..495]);
                let mut more = header[482] != 0;
                while more {
                    let mut block = [0; 512];
                    self.exactly(&mut block)?;
                    more = block[504] != 0;
                }
                Kind::File
            }
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::SymLink,
            _ => Kind::Other,
        };
        // Links, folders and devices have no data, whatever their size says; a hard link may (pax).
        let size = if matches!(header[156], b'2'..=b'6') { 0 } else { size };
        self.pending = (size, padding(size));
        let holes = real_size.unwrap_or(0).saturating_sub(size);
        let link = extended.link.unwrap_or_else(|| text(&header[157..257]));
        Ok(Entry { path, link, kind, size, holes, offset: self.at })
    }

    /// One header; none at the end: a block of zeros, or the stream's end between entries.
    fn header(&mut self) -> Result<Option<[u8; 512]>, Broken> {
        let mut block = [0; 512];
        let read = fill(&mut self.reader, &mut block).map_err(Broken::Io)?;
        self.at += read as u64;
        if read == 0 || (read == 512 && block.iter().all(|byte| *byte == 0)) {
            self.marked = read > 0;
            return Ok(None);
        }
        if read < 512 {
            return Err(Broken::Truncated("an entry's header".to_owned()));
        }
        let said = number(&block[148..156]);
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
            .sum();
        if said != Some(sum) {
            let after = if self.current.is_empty() { String::new() } else { format!(" after {}", self.current) };
            return Err(malformed(format!("it is no tar{after}: a header's checksum is wrong")));
        }
        Ok(Some(block))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Broken> {
        if size > LONGEST {
            return Err(malformed(format!("a name or record of {size} bytes is too long")));
        }
        let mut data = vec![0; usize::try_from(size).unwrap_or_default()];
        self.exactly(&mut data)?;
        self.pending = (0, padding(size));
        Ok(data)
    }

    fn exactly(&mut self, buffer: &mut [u8]) -> Result<(), Broken> {
        let read = fill(&mut self.reader, buffer).map_err(Broken::Io)?;
        self.at += read as u64;
        if read < buffer.len() { Err(Broken::Truncated(self.name())) } else { Ok(()) }
    }

    fn name(&self) -> String {
        if self.current.is_empty() { "an entry".to_owned() } else { format!("the entry {}", self.current) }
    }

    fn finish_entry(&mut self) -> Result<(), Broken> {
        let (data, pad) = std::mem::take(&mut self.pending);
        let length =
            data.checked_add(pad).ok_or_else(|| malformed(format!("{} has an impossible size", self.name())))?;
        let passed = self.reader.pass(length).map_err(Broken::Io)?;
        self.at += passed;
        // The very last entry's padding may be left out.
        if passed < data { Err(Broken::Truncated(self.name())) } else { Ok(()) }
    }
}

fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

/// Text up to the first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// An octal number, or GNU's base 256; none where it is neither, negative, or too large.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let rest = std::iter::once(field[0] & 0x7F).chain(field[1..].iter().copied());
        if field[0] == 0xFF {
            return None;
        }
        return rest.into_iter().try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(byte)));
    }
    let digits = text(field);
    let digits = digits.trim_matches(' ');
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// Pax records: `LENGTH KEY=VALUE\n`.
fn records(mut data: &[u8], extended: &mut Extended) -> Result<(), Broken> {
    let wrong = || malformed("an extended header is malformed");
    while !data.is_empty() {
        let space = data.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let length: usize = std::str::from_utf8(&data[..space]).ok().and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
        let record = data.get(space + 1..length).and_then(|it| it.strip_suffix(b"\n")).ok_or_else(wrong)?;
        data = &data[length..];
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        let value = String::from_utf8_lossy(&record[equals + 1..]).into_owned();
        match &record[..equals] {
            b"path" | b"GNU.sparse.name" => extended.path = Some(value),
            b"linkpath" => extended.link = Some(value),
            b"size" => extended.size = Some(value.parse().map_err(|_| wrong())?),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => {
                extended.real_size = Some(value.parse().map_err(|_| wrong())?);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl Pass for &[u8] {
        fn pass(&mut self, length: u64) -> io::Result<u64> {
            let most = usize::try_from(length).unwrap_or(usize::MAX).min(self.len());
            *self = &self[most..];
            Ok(most as u64)
        }
    }

    fn walk(bytes: &[u8]) -> Result<Vec<Entry>, Broken> {
        let mut walk = Walk::new(bytes);
        std::iter::from_fn(|| walk.next().transpose()).collect()
    }

    /// A tar of files.
    pub(in crate::image) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, *bytes).unwrap();
        }
        tar.into_inner().unwrap()
    }

    #[test]
    fn names_long_and_short_sizes_and_offsets_are_read() {
        let long = "d/".repeat(90) + "file";
        let bytes = tar_of(&[("a", b"12345"), (&long, &[9; 600]), ("b", b"")]);
        let entries = walk(&bytes).unwrap();
        let seen: Vec<(&str, u64)> = entries.iter().map(|entry| (entry.path.as_str(), entry.size)).collect();
        assert_eq!(seen, [("a", 5), (long.as_str(), 600), ("b", 0)]);
        let at = usize::try_from(entries[1].offset).unwrap();
        assert_eq!(&bytes[at..at + 600], &[9; 600]);
    }

    #[test]
    fn pax_records_rule_the_entry_that_follows() {
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_pax_extensions([("path", b"renamed".as_slice()), ("size", b"3".as_slice())]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        tar.append_data(&mut header, "plain", &b"abc"[..]).unwrap();
        let entries = walk(&tar.into_inner().unwrap()).unwrap();
        assert_eq!((entries[0].path.as_str(), entries[0].size), ("renamed", 3));
    }

    #[test]
    fn what_is_cut_or_damaged_is_told_apart_from_what_has_ended() {
        let whole = tar_of(&[("a", &[1; 700])]);
        assert!(matches!(walk(&whole[..900]), Err(Broken::Truncated(what)) if what == "the entry a"));
        assert!(matches!(walk(&whole[..100]), Err(Broken::Truncated(_))));
        assert_eq!(walk(&whole[..512 + 1024]).unwrap().len(), 1, "without the end mark");
        let mut flipped = whole.clone();
        flipped[3] ^= 1;
        assert!(matches!(walk(&flipped), Err(Broken::Malformed(_))));
        assert!(matches!(walk(b"#!/bin/sh\n"), Err(Broken::Truncated(_))));
    }

    #[test]
    fn numbers_are_octal_or_base_256_and_never_wrap() {
        assert_eq!(number(b"0000017\0"), Some(15));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]), Some(258));
        assert_eq!(number(&[0xBF; 12]), None);
        assert_eq!(number(&[0xFF; 12]), None);
        assert_eq!(number(b"9999999\0"), None);
    }
}
