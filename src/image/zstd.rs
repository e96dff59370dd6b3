//! zstd as layers have it: frame after frame, skippable ones passed over. The window is bounded, and so is memory.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// Largest window: what containerd accepts too.
const WINDOW: u64 = 64 * 1024 * 1024;

/// Whether a stream that begins so is zstd.
pub(super) fn begins(magic: &[u8]) -> bool {
    let skippable = magic.len() > 3 && magic[0] & 0xF0 == 0x50 && magic[1..4] == [0x2A, 0x4D, 0x18];
    magic.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) || skippable
}

/// Unpacks what is read through it.
pub(super) struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

impl<R: BufRead> Zstd<R> {
    pub(super) fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW);
        Self { source, decoder, in_frame: false }
    }

    /// Begins the next frame; false at the end.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut (&mut self.source).take(u64::from(length)), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(invalid(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                if !self.begin()? {
                    return Ok(0);
                }
                self.in_frame = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, one).map_err(invalid)?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.in_frame = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    #[test]
    fn frames_in_a_row_are_one_stream_and_a_cut_one_is_an_error() {
        let frame = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
        let (one, two) = (frame(&[1; 300_000]), frame(b"two"));
        let skippable = [&[0x53, 0x2A, 0x4D, 0x18, 3, 0, 0, 0][..], b"toc"].concat();
        let all = [&one[..], &skippable, &two].concat();
        let mut out = Vec::new();
        Zstd::new(&all[..]).read_to_end(&mut out).unwrap();
        assert_eq!((out.len(), &out[300_000..]), (300_003, &b"two"[..]));
        assert!(begins(&all) && begins(&skippable) && !begins(b"\x1f\x8b"));
        assert!(Zstd::new(&all[..one.len() - 2]).read_to_end(&mut Vec::new()).is_err());
        assert!(Zstd::new(&b"no zstd at all"[..]).read_to_end(&mut Vec::new()).is_err());
    }
}
