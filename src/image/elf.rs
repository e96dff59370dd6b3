//! The first bytes of an ELF file: which machine it is for. Reads nothing else of it.

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
