//! The archive readers on thousands of damaged archives: whatever the bytes, an answer within bounds and nothing left.

use super::sample::{Sample, named, saved, zipped};
use crate::image::read_bytes;

fn seeds() -> Vec<Vec<u8>> {
    let mut sample = Sample::default();
    let (one, many) = (named(sample.image("amd64"), "one"), named(sample.many(), "many"));
    let two = sample.tar(&[one.clone(), many.clone()]);
    let seeds = vec![sample.tar(&[one]), sample.tar(&[many]), two, saved(&["web:1"])];
    let packed: Vec<Vec<u8>> = seeds.iter().map(|seed| zipped(seed)).collect();
    [seeds, packed].concat()
}

/// One change of a kind, or several.
fn mutated(seed: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.usize(1..4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.usize(..bytes.len());
        let block = at / 512 * 512;
        match random.u8(..7) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << random.u8(..8),
            2 => {
                let piece = bytes[block..(block + 512).min(bytes.len())].to_vec();
                bytes.splice(block..block, piece);
            }
            3 => drop(bytes.drain(block..(block + 512).min(bytes.len()))),
            4 if block + 512 <= bytes.len() => resize(&mut bytes[block..block + 512], random),
            5 => {
                let digit = bytes[at].is_ascii_digit();
                bytes[at] = if digit { b'0' + random.u8(..10) } else { random.u8(..) };
            }
            _ => bytes[at..].iter_mut().take(16).for_each(|byte| *byte = 0),
        }
    }
    bytes
}

/// Lies about an entry's size, with a checksum that agrees.
fn resize(header: &mut [u8], random: &mut fastrand::Rng) {
    let size = match random.u8(..4) {
        0 => "77777777777\0".to_owned(),
        1 => "00000000000\0".to_owned(),
        _ => format!("{:011o}\0", random.u32(..5000)),
    };
    header[124..136].copy_from_slice(size.as_bytes());
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn thousands_of_damaged_archives_are_answered_and_nothing_is_left() {
    let workspace = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(20_260_923);
    let (mut fine, mut refused) = (0, std::collections::BTreeMap::<String, usize>::new());
    for seed in seeds() {
        for _ in 0..400 {
            match read_bytes(&mutated(&seed, &mut random), workspace.path()) {
                Ok(_) => fine += 1,
                Err(fault) => {
                    assert!(fault.advice.is_some(), "{fault:?}");
                    *refused.entry(fault.code).or_default() += 1;
                }
            }
        }
    }
    assert_eq!(std::fs::read_dir(workspace.path()).unwrap().count(), 0);
    assert!(fine > 0, "some changes do no harm");
    assert!(refused.len() >= 5, "many kinds of damage are told apart: {refused:?}");
}

#[test]
fn the_seeds_themselves_are_read_or_ask_for_a_reference() {
    let workspace = tempfile::tempdir().unwrap();
    let codes: Vec<Option<String>> =
        seeds().iter().map(|seed| read_bytes(seed, workspace.path()).err().map(|fault| fault.code)).collect();
    let several = Some("ImageNotInArchive".to_owned());
    assert_eq!(codes, [None, None, several.clone(), None, None, None, several, None]);
}
