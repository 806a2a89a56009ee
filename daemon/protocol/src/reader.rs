//! Cuts a stream of bytes into frames.
//!
//! ```text
//! 0  1  frame type
//! 1  n  payload length, a variable-length integer
//! ..    payload
//! ```
//!
//! Always holds: no more than one payload is kept, no larger than its type allows, in a buffer of
//! exactly its size, so that what a frame carries needs no further copy; between frames nothing is
//! kept. Which types may come next, and how large they may be, is the caller's to say.

use bytes::{Bytes, BytesMut};
use lafs::num;

use crate::error::Malformed;
use crate::limits::HEADER_LEN_MAX;
use crate::varint;

/// A frame whose payload has not been looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// The first byte.
    pub frame_type: u8,
    /// Everything behind the length.
    pub payload: Bytes,
}

/// Collects the frames of one direction.
#[derive(Debug, Default)]
pub struct FrameReader {
    state: State,
    frames: u64,
    bytes: u64,
}

#[derive(Debug)]
enum State {
    /// The header, of which `len` bytes are there.
    ExpectHeader {
        bytes: [u8; HEADER_LEN_MAX],
        len: usize,
    },
    /// The rest of a payload of `len` bytes.
    ExpectPayload {
        frame_type: u8,
        payload: BytesMut,
        len: usize,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::ExpectHeader {
            bytes: [0; HEADER_LEN_MAX],
            len: 0,
        }
    }
}

impl FrameReader {
    /// Takes bytes off the front of `input` until a frame is whole or `input` is empty.
    ///
    /// `payload_len_max` says how long the payload of a type may be, and refuses types that may not
    /// come now; it is asked as soon as the header is there, before anything is allocated.
    ///
    /// # Errors
    ///
    /// What `payload_len_max` says; [`Malformed::Oversized`] or [`Malformed::LongVarint`] for the
    /// length. The stream cannot be read on after an error.
    pub fn read<E: From<Malformed>>(
        &mut self,
        input: &mut &[u8],
        payload_len_max: impl Fn(u8) -> Result<usize, E>,
    ) -> Result<Option<RawFrame>, E> {
        let before = input.len();
        let frame = self.advance(input, payload_len_max);
        self.bytes += num::size(before - input.len());
        if let Ok(Some(_)) = frame {
            self.frames += 1;
        }
        frame
    }

    /// Whether part of a frame has arrived and its rest is owed.
    #[must_use]
    pub fn is_inside_frame(&self) -> bool {
        !matches!(self.state, State::ExpectHeader { len: 0, .. })
    }

    /// The number of whole frames that were read.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The number of bytes that were read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn advance<E: From<Malformed>>(
        &mut self,
        input: &mut &[u8],
        payload_len_max: impl Fn(u8) -> Result<usize, E>,
    ) -> Result<Option<RawFrame>, E> {
        loop {
            match &mut self.state {
                State::ExpectHeader { bytes, len } => {
                    let Some((first, rest)) = input.split_first() else {
                        return Ok(None);
                    };
                    bytes[*len] = *first;
                    *len += 1;
                    *input = rest;
                    let header = &bytes[..*len];
                    let Some((frame_type, payload_len)) = parse_header(header, &payload_len_max)?
                    else {
                        continue;
                    };
                    if let Some((payload, rest)) = input.split_at_checked(payload_len) {
                        let payload = Bytes::copy_from_slice(payload);
                        *input = rest;
                        self.state = State::default();
                        return Ok(Some(RawFrame {
                            frame_type,
                            payload,
                        }));
                    }
                    self.state = State::ExpectPayload {
                        frame_type,
                        payload: BytesMut::with_capacity(payload_len),
                        len: payload_len,
                    };
                }
                State::ExpectPayload {
                    frame_type,
                    payload,
                    len,
                } => {
                    let (part, rest) = input.split_at(input.len().min(*len - payload.len()));
                    payload.extend_from_slice(part);
                    *input = rest;
                    if payload.len() < *len {
                        return Ok(None);
                    }
                    let frame = RawFrame {
                        frame_type: *frame_type,
                        payload: payload.split().freeze(),
                    };
                    self.state = State::default();
                    return Ok(Some(frame));
                }
            }
        }
    }
}

/// Returns the type and the payload length once `header` is whole; the type is judged at once.
fn parse_header<E: From<Malformed>>(
    header: &[u8],
    payload_len_max: impl Fn(u8) -> Result<usize, E>,
) -> Result<Option<(u8, usize)>, E> {
    let (&frame_type, mut length) = header.split_first().expect("a byte was just added");
    let len_max = payload_len_max(frame_type)?;
    let oversized = |len| Malformed::Oversized {
        frame_type,
        len,
        len_max,
    };
    match length.first() {
        None => return Ok(None),
        // Eight-byte lengths do not fit the header, and mean more than 2^30 where they are shortest.
        Some(&first) if 1 + varint::len(first) > HEADER_LEN_MAX => {
            return Err(oversized(u64::from(first & 0x3f) << 56).into());
        }
        Some(&first) if length.len() < varint::len(first) => return Ok(None),
        Some(_) => {}
    }
    let len = varint::take(&mut length)?;
    match num::len(len) {
        Some(payload_len) if payload_len <= len_max => Ok(Some((frame_type, payload_len))),
        _ => Err(oversized(len).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(_: u8) -> Result<usize, Malformed> {
        Ok(100)
    }

    fn frames(input: &[u8], step: usize) -> Result<Vec<RawFrame>, Malformed> {
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        for mut part in input.chunks(step) {
            while let Some(frame) = reader.read(&mut part, any)? {
                frames.push(frame);
            }
            assert!(part.is_empty(), "input is left only when a frame came out");
        }
        Ok(frames)
    }

    #[test]
    fn frames_come_out_the_same_however_the_stream_is_cut() {
        let mut stream = vec![9, 3, 1, 2, 3, 8, 0, 7, 0x40, 100];
        stream.extend_from_slice(&[5; 100]);
        stream.extend_from_slice(&[6, 1, 1]);
        let whole = frames(&stream, stream.len()).unwrap();
        assert_eq!(whole.len(), 4);
        assert_eq!(
            (whole[0].frame_type, &whole[0].payload[..]),
            (9, &[1, 2, 3][..])
        );
        assert_eq!(whole[1].payload.len(), 0);
        for step in 1..stream.len() {
            assert_eq!(frames(&stream, step).unwrap(), whole, "step {step}");
        }
    }

    #[test]
    fn a_length_beyond_the_types_bound_is_refused_from_the_header_alone() {
        let oversized = |len| Malformed::Oversized {
            frame_type: 9,
            len,
            len_max: 100,
        };
        assert_eq!(frames(&[9, 0x40, 101], 1), Err(oversized(101)));
        assert_eq!(
            frames(&[9, 0xbf, 0xff, 0xff, 0xff], 1),
            Err(oversized((1 << 30) - 1))
        );
        assert_eq!(frames(&[9, 0xff], 1), Err(oversized(0x3f << 56)));
        assert_eq!(frames(&[9, 0x40, 63], 1), Err(Malformed::LongVarint));
    }

    // A stranger's type byte must not make the server wait for the length first.
    #[test]
    fn the_type_is_judged_before_the_length_has_arrived() {
        let refuse = |frame_type| Err(Malformed::FrameType(frame_type));
        let error = FrameReader::default().read(&mut &[0x47][..], refuse);
        assert_eq!(error, Err(Malformed::FrameType(0x47)));
    }

    #[test]
    fn part_of_a_frame_is_told_from_none() {
        let mut reader = FrameReader::default();
        assert!(!reader.is_inside_frame());
        for byte in [9, 2, 1] {
            assert_eq!(reader.read(&mut &[byte][..], any), Ok(None));
            assert!(reader.is_inside_frame());
        }
        assert!(reader.read(&mut &[1][..], any).unwrap().is_some());
        assert!(!reader.is_inside_frame());
        assert_eq!((reader.frames(), reader.bytes()), (1, 4));
    }
}
