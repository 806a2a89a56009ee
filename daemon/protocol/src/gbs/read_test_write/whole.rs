//! The same message read in one piece, with another decoder: what the streaming decoder is
//! held to by the tests and the fuzzer.

use lafs::{ShareNumber, num};
use minicbor::Decoder;
use minicbor::data::Type;

use super::super::cbor::{self, Keys};
use super::super::limits::{
    MUTABLE_SHARE_SIZE_MAX, READS_MAX, SHARES_MAX, SPECIMENS_LEN_MAX, TESTS_MAX, WRITES_MAX,
};
use super::super::rejection::Malformed;
use super::{Extent, ReadTestWrite, ShareChange, Test, Write};

/// Reads a whole body: the request, and the data of its writes.
///
/// # Errors
///
/// A rule of the message that it breaks; of several not always the one that the other decoder says.
pub(crate) fn decode(body: &[u8]) -> Result<(ReadTestWrite, Vec<u8>), Malformed> {
    let mut whole = Whole::default();
    let names = ["test-write-vectors", "read-vector"];
    cbor::fields(
        &mut Decoder::new(body),
        Keys::Text,
        &names,
        |decoder, index| match index {
            0 => cbor::entries(decoder, (SHARES_MAX, Malformed::Shares), |decoder| {
                whole.share(decoder)
            }),
            _ => cbor::items(decoder, (READS_MAX, Malformed::Reads), |decoder| {
                let mut read = Extent::default();
                cbor::fields(
                    decoder,
                    Keys::Text,
                    &["offset", "size"],
                    |decoder, index| {
                        match index {
                            0 => read.offset = decoder.u64()?,
                            _ => read.size = decoder.u64()?,
                        }
                        Ok(())
                    },
                )?;
                whole.request.reads.push(read);
                Ok(())
            }),
        },
    )?;
    whole.request.data_size = num::size(whole.data.len());
    Ok((whole.request, whole.data))
}

#[derive(Default)]
struct Whole {
    request: ReadTestWrite,
    data: Vec<u8>,
    specimens_len: usize,
    writes_count: usize,
}

impl Whole {
    fn share(&mut self, decoder: &mut Decoder<'_>) -> Result<(), Malformed> {
        let number: ShareNumber = cbor::share_number(decoder)?;
        if self
            .request
            .shares
            .iter()
            .any(|(other, _)| *other == number)
        {
            return Err(Malformed::RepeatedKey);
        }
        let mut change = ShareChange::default();
        let names = ["test", "write", "new-length"];
        cbor::fields(decoder, Keys::Text, &names, |decoder, index| match index {
            0 => cbor::items(decoder, (TESTS_MAX, Malformed::Tests), |decoder| {
                change.tests.push(self.test(decoder)?);
                Ok(())
            }),
            1 => cbor::items(decoder, (WRITES_MAX, Malformed::Writes), |decoder| {
                change.writes.push(self.write(decoder)?);
                Ok(())
            }),
            _ if decoder.datatype()? == Type::Null => Ok(decoder.null()?),
            _ => {
                change.new_length = Some(decoder.u64()?);
                Ok(())
            }
        })?;
        self.request.shares.push((number, change));
        Ok(())
    }

    fn test(&mut self, decoder: &mut Decoder<'_>) -> Result<Test, Malformed> {
        let mut test = Test::default();
        let names = ["offset", "size", "specimen"];
        cbor::fields(decoder, Keys::Text, &names, |decoder, index| {
            match index {
                0 => test.extent.offset = decoder.u64()?,
                1 => test.extent.size = decoder.u64()?,
                _ => test.specimen = cbor::bytes(decoder)?.into(),
            }
            Ok(())
        })?;
        self.specimens_len += test.specimen.len();
        match self.specimens_len <= SPECIMENS_LEN_MAX {
            true => Ok(test),
            false => Err(Malformed::Specimens),
        }
    }

    fn write(&mut self, decoder: &mut Decoder<'_>) -> Result<Write, Malformed> {
        let data_offset = num::size(self.data.len());
        let mut offset = 0;
        cbor::fields(
            decoder,
            Keys::Text,
            &["offset", "data"],
            |decoder, index| {
                match index {
                    0 => offset = decoder.u64()?,
                    _ => self.data.extend_from_slice(&cbor::bytes(decoder)?),
                }
                Ok(())
            },
        )?;
        self.writes_count += 1;
        if self.writes_count > WRITES_MAX {
            return Err(Malformed::Writes);
        }
        let data_size = num::size(self.data.len()) - data_offset;
        match offset.checked_add(data_size) {
            Some(end) if end <= MUTABLE_SHARE_SIZE_MAX => Ok(Write {
                offset,
                data_offset,
                data_size,
            }),
            _ => Err(Malformed::WritePastEnd),
        }
    }
}
