//! Fargate sizes: what a task is, and is billed, by.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Processor architecture of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Arch {
    /// Linux on x86-64.
    #[serde(rename = "X86_64")]
    X86_64,
    /// Linux on 64-bit ARM (Graviton).
    #[serde(rename = "ARM64")]
    Arm64,
}

impl Arch {
    /// As ECS's `runtimePlatform.cpuArchitecture` writes it.
    #[must_use]
    pub const fn ecs_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "X86_64",
            Arch::Arm64 => "ARM64",
        }
    }

    /// As OCI images write it.
    #[must_use]
    pub const fn oci_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }
}

/// A legal Fargate size. Built with [`TaskSize::new`], which refuses the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskSize {
    /// CPU units; 1024 is one vCPU.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// Ephemeral storage in GiB: 20 (included) to 200.
    pub storage: u32,
    /// Processor architecture.
    pub arch: Arch,
    /// Fargate Spot: cheaper, and AWS may take it back.
    pub spot: bool,
}

/// An illegal pair, with the legal ones near it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IllegalSize {
    /// What was asked for: CPU units and MiB.
    pub asked: (u32, u32),
    /// Legal neighbours, nearest first.
    pub neighbours: Vec<(u32, u32)>,
}

impl fmt::Display for IllegalSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fargate has no size with {} CPU units and {} MiB; near it:", self.asked.0, self.asked.1)?;
        for (index, (cpu, memory)) in self.neighbours.iter().enumerate() {
            write!(f, "{} {cpu}/{memory}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for IllegalSize {}

/// CPU units, then first, last and step of the memory in MiB (aws-facts §2.1).
const LINUX_STEPS: [(u32, u32, u32, u32); 6] = [
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

/// Every legal Linux pair of CPU units and MiB, smallest first (aws-facts §2.1).
#[must_use]
pub fn legal_pairs() -> Vec<(u32, u32)> {
    let mut pairs = vec![(256, 512), (256, 1024), (256, 2048)];
    for (cpu, first, last, step) in LINUX_STEPS {
        pairs.extend((first..=last).step_by(step as usize).map(|memory| (cpu, memory)));
    }
    pairs.extend([(32_768, 61_440), (32_768, 122_880), (32_768, 249_856)]);
    pairs
}

impl TaskSize {
    /// The smallest task, on X86_64.
    pub const SMALLEST: TaskSize = TaskSize { cpu: 256, memory: 512, storage: 20, arch: Arch::X86_64, spot: false };

    /// An on-demand X86_64 size with the included storage.
    ///
    /// # Errors
    /// [`IllegalSize`] with the legal neighbours when Fargate has no such pair.
    pub fn new(cpu: u32, memory: u32) -> Result<Self, IllegalSize> {
        let pairs = legal_pairs();
        if pairs.contains(&(cpu, memory)) {
            return Ok(Self { cpu, memory, ..Self::SMALLEST });
        }
        // A doubling of CPU weighs like a doubling of memory.
        let distance = |pair: &(u32, u32)| {
            let octave = |a: u32, b: u32| f64::from(a.max(1)).log2() - f64::from(b.max(1)).log2();
            let far = octave(pair.0, cpu).abs() + octave(pair.1, memory).abs();
            (far * 1e6) as u64
        };
        let mut neighbours = pairs;
        neighbours.sort_by_key(distance);
        neighbours.truncate(4);
        Err(IllegalSize { asked: (cpu, memory), neighbours })
    }
}

impl fmt::Display for TaskSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vcpu = f64::from(self.cpu) / 1024.0;
        let gb = f64::from(self.memory) / 1024.0;
        write!(f, "{vcpu} vCPU, {gb} GB, {}{}", self.arch.ecs_name(), if self.spot { ", Spot" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_legal_pair_is_accepted_and_its_neighbours_by_one_are_not() {
        let pairs = legal_pairs();
        assert_eq!(pairs.len(), 3 + 4 + 7 + 13 + 23 + 12 + 12 + 3);
        for (cpu, memory) in pairs {
            assert!(TaskSize::new(cpu, memory).is_ok(), "{cpu}/{memory}");
            assert!(TaskSize::new(cpu, memory + 1).is_err(), "{cpu}/{memory}+1");
        }
    }

    #[test]
    fn an_illegal_pair_names_its_legal_neighbours() {
        let illegal = TaskSize::new(256, 8192).unwrap_err();
        assert!(illegal.neighbours.contains(&(1024, 8192)) || illegal.neighbours.contains(&(256, 2048)), "{illegal}");
        assert!(illegal.to_string().contains("256 CPU units and 8192 MiB"));
    }
}
