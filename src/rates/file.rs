//! A price file on disk, gzipped or not: opened, read through once or twice, and judged.
//!
//! Guarantee: whether it is gzipped is told by its first bytes, not by its name. Must never write.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use super::{Imported, error::RatesError, offer::Reading};

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// Reads the prices of ours in a file; `name` is what people know it by. Of `region` alone, where one is given.
///
/// # Errors
/// When it cannot be read, is cut, damaged or something else, is in another currency, or has no price of ours.
pub fn read(path: &Path, name: &str, region: Option<&str>) -> Result<Imported, RatesError> {
    let file = open(path).map_err(|source| RatesError::Unreadable { path: path.to_path_buf(), source })?;
    read_open(file, name, region)
}

/// The same of an open file, from its present place.
///
/// # Errors
/// As [`read`].
pub fn read_open(mut file: File, name: &str, region: Option<&str>) -> Result<Imported, RatesError> {
    let path = Path::new(name);
    let unreadable = |source| RatesError::Unreadable { path: path.to_path_buf(), source };
    let mut reading = Reading::of(name);
    if pass(&mut reading, &mut file, name).map_err(|error| error.at(path))? {
        file.rewind().map_err(unreadable)?;
        pass(&mut reading, &mut file, name).map_err(|error| error.at(path))?;
    }
    let (found, origin) = reading.finish();
    found.imported(&origin, region)
}

/// What goes wrong on the way: with the file, or with what is in it.
enum Broken {
    Io(io::Error),
    Prices(RatesError),
}

impl Broken {
    fn at(self, path: &Path) -> RatesError {
        match self {
            Broken::Io(source) => RatesError::Unreadable { path: path.to_path_buf(), source },
            Broken::Prices(error) => error,
        }
    }
}

fn pass(reading: &mut Reading, file: &mut File, name: &str) -> Result<bool, Broken> {
    let mut plain = BufReader::with_capacity(CHUNK, file);
    let start = plain.fill_buf().map_err(Broken::Io)?;
    if start.is_empty() {
        return Err(Broken::Prices(RatesError::Cut { name: name.to_owned() }));
    }
    let again = if start.starts_with(&[0x1f, 0x8b]) {
        reading.pass(BufReader::with_capacity(CHUNK, Marked(MultiGzDecoder::new(plain))))
    } else {
        reading.pass(plain)
    };
    again.map_err(Broken::Prices)
}

/// Says of a broken archive that it is one: the decoder alone says only that something is corrupt.
struct Marked<R>(R);

impl<R: Read> Read for Marked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, format!("as gzip: {error}")),
        })
    }
}

/// A regular file: what cannot be read twice (a pipe) is refused.
fn open(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    File::open(path)
}
