//! Whether a binary can run in an image that holds nothing else.

use anyhow::{Context, ensure};

use super::Architecture;

/// What a file of the kind begins with: the magic number, 64 bits, little-endian.
const START: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
/// Where `e_machine`, `e_phoff`, `e_phentsize` and `e_phnum` lie.
const MACHINE: usize = 18;
const SEGMENTS: usize = 32;
const SEGMENT_SIZE: usize = 54;
const SEGMENT_COUNT: usize = 56;
/// `PT_INTERP`: the segment that names who loads a program with its libraries.
const INTERPRETER: u32 = 3;

/// Fails unless it is a program for this architecture that needs no loader.
pub(crate) fn is_static_for(binary: &[u8], architecture: Architecture) -> anyhow::Result<()> {
    ensure!(binary.starts_with(&START), "it is no program for 64-bit Linux");
    let machine = u16::from_le_bytes(at(binary, MACHINE)?);
    let wanted = match architecture {
        Architecture::Amd64 => 62,
        Architecture::Arm64 => 183,
    };
    ensure!(
        machine == wanted,
        "it is not for {}: its machine is {machine}, not {wanted}",
        architecture.name()
    );
    let first = usize::try_from(u64::from_le_bytes(at(binary, SEGMENTS)?))?;
    let size = usize::from(u16::from_le_bytes(at(binary, SEGMENT_SIZE)?));
    for number in 0..usize::from(u16::from_le_bytes(at(binary, SEGMENT_COUNT)?)) {
        let kind = u32::from_le_bytes(at(binary, first.saturating_add(number * size))?);
        ensure!(
            kind != INTERPRETER,
            "it is not statically linked, and an empty image has no libraries"
        );
    }
    Ok(())
}

fn at<const N: usize>(binary: &[u8], place: usize) -> anyhow::Result<[u8; N]> {
    let bytes = binary.get(place..place.saturating_add(N));
    bytes.and_then(|bytes| bytes.try_into().ok()).context("it is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tests::program;

    #[test]
    fn a_static_program_is_taken_for_its_architecture_alone() {
        is_static_for(&program(62, &[1, 2]), Architecture::Amd64).unwrap();
        is_static_for(&program(183, &[1]), Architecture::Arm64).unwrap();
        let error = is_static_for(&program(62, &[1]), Architecture::Arm64).unwrap_err();
        assert!(error.to_string().contains("not for arm64"), "{error}");
    }

    #[test]
    fn a_program_that_needs_libraries_is_refused() {
        let error = is_static_for(&program(62, &[1, 3]), Architecture::Amd64).unwrap_err();
        assert!(error.to_string().contains("not statically linked"), "{error}");
    }

    #[test]
    fn what_is_no_program_or_half_of_one_is_refused() {
        assert!(is_static_for(b"#!/bin/sh\n", Architecture::Amd64).is_err());
        let whole = program(62, &[1, 2]);
        assert!(is_static_for(&whole[..whole.len() - 56], Architecture::Amd64).is_err());
    }
}
