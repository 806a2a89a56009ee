//! The description: the last bytes of a share of version 2, which say what file it is of.
//!
//! ```text
//! 0      1  shares needed, less one
//! 1      1  shares in all, less one
//! 2      2  block size in units of 64 bytes, less one
//! 4      f  file size, in as few bytes as it has: 0 to 8, the first of them not zero
//! 4 + f  1  0x20 + f: version 2
//! ```
//!
//! Integers are big-endian. It is read from its end, so that it is found in a share about which
//! nothing else is known. A reader with a cap knows it before, and compares.

use lafs::Parameters;
use lafs::cap::native::Version;

use super::geometry::Geometry;
use super::ueb::UebError;

/// Appends the description of a file.
pub(crate) fn write(geometry: &Geometry, bytes: &mut Vec<u8>) {
    let parameters = geometry.parameters();
    let less_one = |count: usize| u8::try_from(count - 1).expect("a count is 1 to 256");
    let units = parameters.block_size() / Parameters::BLOCK_UNIT;
    let units_less_one = u16::try_from(units - 1).expect("a segment is at most 4 MiB");
    bytes.push(less_one(parameters.needed()));
    bytes.push(less_one(parameters.total()));
    bytes.extend_from_slice(&units_less_one.to_be_bytes());
    let size = size_bytes(geometry.file_size());
    bytes.extend_from_slice(&size);
    bytes.push(MARK + u8::try_from(size.len()).expect("at most 8"));
}

/// Parses the description with which these bytes end.
pub(crate) fn parse(ending: &[u8]) -> Result<Geometry, UebError> {
    let (mark, rest) = ending.split_last().ok_or(UebError::Magic)?;
    let len = mark
        .checked_sub(MARK)
        .filter(|len| *len <= 8)
        .ok_or(UebError::Magic)?;
    let size_at = rest.len().checked_sub(len.into());
    let (rest, size) = rest.split_at(size_at.ok_or(UebError::Spelling)?);
    let (_, fixed) = rest.split_last_chunk().ok_or(UebError::Spelling)?;
    let [needed_less_one, total_less_one, high, low] = *fixed;
    let needed = usize::from(needed_less_one) + 1;
    // At most 2^16 units of 64 bytes for each of 256 shares.
    let block_size = (u32::from(u16::from_be_bytes([high, low])) + 1) * Parameters::BLOCK_UNIT;
    let segment_size = block_size * (u32::from(needed_less_one) + 1);
    let parameters = Parameters::new(needed, usize::from(total_less_one) + 1, segment_size)?;
    if size.first() == Some(&0) {
        return Err(UebError::Spelling);
    }
    let file_size = size
        .iter()
        .fold(0, |size: u64, byte| size << 8 | u64::from(*byte));
    Geometry::of_version(Version::V2, parameters, file_size).ok_or(UebError::FileSize(file_size))
}

/// The bytes of a file size, without zeros in front.
fn size_bytes(file_size: u64) -> Vec<u8> {
    let bytes = file_size.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0);
    bytes[zeros.count()..].to_vec()
}

/// What the last byte is, besides the length of the file size.
const MARK: u8 = 0x20;

/// A block of the largest segment is described too.
const _: () = assert!(Parameters::SEGMENT_SIZE_MAX / Parameters::BLOCK_UNIT - 1 <= u16::MAX as u32);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::geometry::description_len;

    fn geometry(needed: usize, total: usize, segment_size: u32, file_size: u64) -> Geometry {
        let parameters = Parameters::new(needed, total, segment_size).unwrap();
        Geometry::of_version(Version::V2, parameters, file_size).unwrap()
    }

    fn written(geometry: &Geometry) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(geometry, &mut bytes);
        bytes
    }

    #[test]
    fn the_bytes_are_those_of_the_table() {
        let usual = geometry(3, 10, 196_608, 1000);
        assert_eq!(written(&usual), *b"\x02\x09\x03\xff\x03\xe8\x22");
        assert_eq!(written(&geometry(1, 1, 64, 0)), *b"\0\0\0\0\x20");
        let largest = geometry(1, 256, 4 << 20, 1 << 60);
        assert_eq!(written(&largest), *b"\0\xff\xff\xff\x10\0\0\0\0\0\0\0\x28");
    }

    #[test]
    fn what_is_written_is_read_whatever_is_before_it() {
        for (needed, total, segment_size) in [(1, 1, 64), (3, 10, 196_608), (256, 256, 4 << 20)] {
            for file_size in [0, 1, 255, 256, 1000, 65_535, 65_536, (1 << 56) - 1, 1 << 60] {
                let geometry = geometry(needed, total, segment_size, file_size);
                let bytes = written(&geometry);
                assert_eq!(bytes.len(), description_len(file_size));
                assert_eq!(parse(&bytes), Ok(geometry));
                assert_eq!(parse(&[&[0xff; 9][..], &bytes].concat()), Ok(geometry));
                for cut in 1..bytes.len() {
                    assert_eq!(parse(&bytes[cut..]), Err(UebError::Spelling), "{cut}");
                }
            }
        }
        assert_eq!(parse(&[]), Err(UebError::Magic));
    }

    #[test]
    fn each_error_is_provoked() {
        for (bytes, error) in [
            (&b"\0\0\0\0\x1f"[..], UebError::Magic),
            (b"\0\0\0\0\x29", UebError::Magic),
            (b"\0\0\0\0\x31", UebError::Magic),
            (b"\0\0\0\0\0\x21", UebError::Spelling),
            (b"\0\0\0\0\0\xff\x22", UebError::Spelling),
            (b"\0\0\0\x20", UebError::Spelling),
            (
                b"\0\0\0\0\x10\0\0\0\0\0\0\x01\x28",
                UebError::FileSize((1 << 60) + 1),
            ),
        ] {
            assert_eq!(parse(bytes), Err(error), "{bytes:?}");
        }
        for bytes in [
            b"\x01\0\0\0\x20",
            b"\x01\x01\xff\xff\x20",
            b"\xff\xff\xff\xff\x20",
        ] {
            assert!(
                matches!(parse(bytes), Err(UebError::Parameters(_))),
                "{bytes:?}"
            );
        }
    }

    // One spelling for each file: a share with a flipped bit is never the same share.
    #[test]
    fn what_parses_is_written_as_it_was() {
        let bytes = written(&geometry(3, 10, 196_608, 1000));
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[index] ^= 1 << bit;
                if let Ok(other) = parse(&flipped) {
                    assert!(flipped.ends_with(&written(&other)));
                    assert_ne!(other, geometry(3, 10, 196_608, 1000));
                }
            }
        }
    }
}
