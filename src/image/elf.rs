//! The header of an ELF file: which machine it is for, and whether it needs a loader that an empty image has not.

use std::io::{self, Read, Seek, SeekFrom};

use crate::domain::model::Arch;

/// What a file says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    /// A 64-bit little-endian program of a machine that Fargate has.
    Fits(Arch),
    /// ELF, but of another machine (its `e_machine`).
    Other(u16),
    /// No ELF file.
    NotElf,
}

/// Reads the header (System V ABI: magic, class 2, data 1, `e_machine` at 18).
pub(super) fn machine(bytes: &[u8]) -> Machine {
    if bytes.len() < 20 || &bytes[..4] != b"\x7fELF" {
        return Machine::NotElf;
    }
    let number = if bytes[5] == 2 {
        u16::from_be_bytes([bytes[18], bytes[19]])
    } else {
        u16::from_le_bytes([bytes[18], bytes[19]])
    };
    match (bytes[4], bytes[5], number) {
        (2, 1, 0x3E) => Machine::Fits(Arch::X86_64),
        (2, 1, 0xB7) => Machine::Fits(Arch::Arm64),
        _ => Machine::Other(number),
    }
}

/// Most bytes of program headers, or of a loader's path, that are read.
const MOST: usize = 64 * 1024;

/// The dynamic loader that a 64-bit little-endian program names (System V ABI: `PT_INTERP`); none: it is static, or no
/// such program.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn loader(file: &mut (impl Read + Seek)) -> io::Result<Option<String>> {
    let header = bytes(file, 0, 64)?;
    if header.len() < 64 || !matches!(machine(&header), Machine::Fits(_)) {
        return Ok(None);
    }
    let (at, size, count) = (long(&header, 32), short(&header, 54), short(&header, 56));
    if size < 56 {
        return Ok(None);
    }
    let table = bytes(file, at, (size * count).min(MOST))?;
    let Some(entry) = table.chunks_exact(size).find(|entry| entry[..4] == [3, 0, 0, 0]) else { return Ok(None) };
    let length = usize::try_from(long(entry, 32)).unwrap_or(MOST).min(MOST);
    let path = bytes(file, long(entry, 8), length)?;
    Ok(Some(String::from_utf8_lossy(&path).trim_end_matches('\0').to_owned()))
}

fn bytes(file: &mut (impl Read + Seek), at: u64, most: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut read = Vec::new();
    file.take(most as u64).read_to_end(&mut read)?;
    Ok(read)
}

fn short(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The smallest thing that passes for a program of `arch`.
    pub(in crate::image) fn program(arch: Arch) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18] = if arch == Arch::X86_64 { 0x3E } else { 0xB7 };
        bytes
    }

    /// A program that names that loader.
    pub(in crate::image) fn dynamic(arch: Arch, loader: &str) -> Vec<u8> {
        let mut bytes = program(arch);
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 2;
        let mut entries = vec![0; 112];
        entries[0] = 1;
        entries[56] = 3;
        entries[64] = 176;
        entries[88] = u8::try_from(loader.len() + 1).unwrap();
        bytes.extend(entries);
        bytes.extend(loader.bytes().chain([0]));
        bytes
    }

    #[test]
    fn a_program_that_names_a_loader_is_told_from_one_that_runs_alone() {
        let of = |bytes: Vec<u8>| loader(&mut io::Cursor::new(bytes)).unwrap();
        let name = "/lib64/ld-linux-x86-64.so.2";
        assert_eq!(of(dynamic(Arch::X86_64, name)).as_deref(), Some(name));
        assert_eq!(of(program(Arch::Arm64)), None);
        assert_eq!(of(b"#!/bin/sh\n".to_vec()), None);
        // Cut short or garbled anywhere, it is read without harm.
        let whole = dynamic(Arch::X86_64, name);
        for end in 0..whole.len() {
            let _ = of(whole[..end].to_vec());
            let mut garbled = whole.clone();
            garbled[end] ^= 0xff;
            let _ = of(garbled);
        }
        // This very test is linked as the machine's own programs are.
        let own = std::env::current_exe().unwrap();
        let found = loader(&mut std::fs::File::open(own).unwrap()).unwrap();
        assert_eq!(found.is_some(), cfg!(all(target_os = "linux", target_env = "gnu")), "{found:?}");
    }

    #[test]
    fn the_machine_is_read_and_scripts_are_told_apart() {
        assert_eq!(machine(&program(Arch::Arm64)), Machine::Fits(Arch::Arm64));
        assert_eq!(machine(b"#!/bin/sh\necho this is a longer script\n"), Machine::NotElf);
        assert_eq!(machine(b"\x7fELF"), Machine::NotElf);
        let mut riscv = program(Arch::X86_64);
        riscv[18] = 0xF3;
        assert_eq!(machine(&riscv), Machine::Other(0xF3));
    }
}
