//! Takes the body of a read-test-write in whatever pieces it comes.
//!
//! Always holds:
//! * the result does not depend on how the body is cut, nor on the order of its keys;
//! * write data is given on and never kept; what is kept is bounded by `limits` and grows with what
//!   has arrived, not with what a length or count claims;
//! * maps and arrays are open only where the message has them, so that depth is bounded;
//! * whatever follows the message is taken and ignored.

use bytes::Bytes;
use lafs::{ShareNumber, num};

use super::super::limits::{
    MUTABLE_SHARE_SIZE_MAX, READ_TEST_WRITE_SIZE_MAX, READS_MAX, SHARES_MAX, SPECIMENS_LEN_MAX,
    TESTS_MAX, WRITES_MAX,
};
use super::super::rejection::{Malformed, Rejection};
use super::head::{Head, HeadReader};
use super::string::{KeyBuffer, Kind, Progress, StringReader};
use super::{Extent, ReadTestWrite, ShareChange, Test, Write};

/// Decodes one body.
#[derive(Debug)]
pub struct ReadTestWriteDecoder {
    state: State,
    head: HeadReader,
    /// The maps and arrays that are open, the innermost last.
    open: Vec<Open>,
    key: KeyBuffer,
    item: Item,
    body_size: u64,
    specimens_len: usize,
    writes_count: usize,
    request: ReadTestWrite,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The map that is the message.
    ExpectMessage,
    /// The next key or item of the innermost map or array, or its end.
    ExpectItem,
    /// More of a key.
    ExpectKey(StringReader),
    /// The value of a key.
    ExpectValue(Field),
    /// More of a specimen.
    ExpectSpecimen(StringReader),
    /// More of the data of a write.
    ExpectData(StringReader),
    /// Nothing: the message is whole.
    Ended,
}

/// A map or an array that has begun and not ended.
#[derive(Clone, Copy, Debug)]
struct Open {
    container: Container,
    /// How many items it still has, unless a break ends it.
    left: Option<u64>,
    /// One bit for each of its fields that was there.
    seen: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Message,
    Shares,
    Share,
    Tests,
    Test,
    Writes,
    Write,
    Reads,
    Read,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Shares,
    /// The value of a share number.
    Share,
    Tests,
    Writes,
    NewLength,
    Reads,
    Offset,
    Size,
    Specimen,
    Data,
}

impl Container {
    /// The keys of a map with named fields, all of which must be there.
    fn fields(self) -> &'static [(&'static str, Field)] {
        match self {
            Self::Message => &[
                ("test-write-vectors", Field::Shares),
                ("read-vector", Field::Reads),
            ],
            Self::Share => &[
                ("test", Field::Tests),
                ("write", Field::Writes),
                ("new-length", Field::NewLength),
            ],
            Self::Test => &[
                ("offset", Field::Offset),
                ("size", Field::Size),
                ("specimen", Field::Specimen),
            ],
            Self::Write => &[("offset", Field::Offset), ("data", Field::Data)],
            Self::Read => &[("offset", Field::Offset), ("size", Field::Size)],
            Self::Shares | Self::Tests | Self::Writes | Self::Reads => &[],
        }
    }
}

/// What is known of the test, write or read that is open.
#[derive(Debug, Default)]
struct Item {
    offset: u64,
    size: u64,
    specimen: Vec<u8>,
    data_offset: u64,
}

impl Default for ReadTestWriteDecoder {
    fn default() -> Self {
        Self {
            state: State::ExpectMessage,
            head: HeadReader::default(),
            open: Vec::new(),
            key: KeyBuffer::default(),
            item: Item::default(),
            body_size: 0,
            specimens_len: 0,
            writes_count: 0,
            request: ReadTestWrite::default(),
        }
    }
}

impl ReadTestWriteDecoder {
    /// Takes bytes off the front of `input` until there is write data, or `input` is empty.
    ///
    /// What is returned are the next bytes of the data of all writes behind one another, at least
    /// one. Nothing may be done with them before [`Self::finish`] has found the message whole.
    ///
    /// # Errors
    ///
    /// The rule that the body breaks. It cannot be read on after an error.
    pub fn read<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Rejection> {
        let before = input.len();
        let data = self.advance(input)?;
        self.body_size += num::size(before - input.len());
        match self.body_size <= READ_TEST_WRITE_SIZE_MAX {
            true => Ok(data),
            false => Err(Rejection::BodyTooLong {
                size_max: READ_TEST_WRITE_SIZE_MAX,
            }),
        }
    }

    /// How many bytes of write data were given on so far.
    #[must_use]
    pub fn data_size(&self) -> u64 {
        self.request.data_size
    }

    /// Returns the request once the body has ended.
    ///
    /// # Errors
    ///
    /// [`Malformed::Truncated`] if it ended inside the message.
    pub fn finish(self) -> Result<ReadTestWrite, Rejection> {
        match self.state {
            State::Ended => Ok(self.request),
            _ => Err(Malformed::Truncated.into()),
        }
    }

    fn advance<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        loop {
            match self.state {
                State::ExpectMessage => match self.head.read(input)? {
                    None => return Ok(None),
                    Some(Head::Map(count)) => self.begin(Container::Message, count),
                    Some(_) => return Err(Malformed::Type),
                },
                State::ExpectItem => {
                    let open = self.open.last().expect("the message is open");
                    if open.left == Some(0) {
                        self.end()?;
                        continue;
                    }
                    let Some(head) = self.head.read(input)? else {
                        return Ok(None);
                    };
                    self.handle_item(head)?;
                }
                State::ExpectKey(mut reader) => match reader.read(&mut self.head, input)? {
                    Progress::Bytes(bytes) => {
                        self.key.push(bytes)?;
                        self.state = State::ExpectKey(reader);
                    }
                    Progress::End => self.handle_key()?,
                    Progress::Pending => {
                        self.state = State::ExpectKey(reader);
                        return Ok(None);
                    }
                },
                State::ExpectValue(field) => {
                    let Some(head) = self.head.read(input)? else {
                        return Ok(None);
                    };
                    self.handle_value(field, head)?;
                }
                State::ExpectSpecimen(mut reader) => match reader.read(&mut self.head, input)? {
                    Progress::Bytes(bytes) => {
                        self.handle_specimen(bytes)?;
                        self.state = State::ExpectSpecimen(reader);
                    }
                    Progress::End => self.state = State::ExpectItem,
                    Progress::Pending => {
                        self.state = State::ExpectSpecimen(reader);
                        return Ok(None);
                    }
                },
                State::ExpectData(mut reader) => match reader.read(&mut self.head, input)? {
                    Progress::Bytes(bytes) => {
                        self.request.data_size += num::size(bytes.len());
                        self.state = State::ExpectData(reader);
                        return Ok(Some(bytes));
                    }
                    Progress::End => self.state = State::ExpectItem,
                    Progress::Pending => {
                        self.state = State::ExpectData(reader);
                        return Ok(None);
                    }
                },
                State::Ended => {
                    *input = &[];
                    return Ok(None);
                }
            }
        }
    }

    /// The head of the next key or item of what is open, or its end.
    fn handle_item(&mut self, head: Head) -> Result<(), Malformed> {
        let open = self.open.last_mut().expect("the message is open");
        match (&mut open.left, head) {
            (None, Head::Break) => return self.end(),
            (None, _) => {}
            (Some(left), _) => *left -= 1,
        }
        match (open.container, head) {
            (Container::Shares, Head::Unsigned(number)) => self.begin_share(number),
            (Container::Tests, Head::Map(count)) => {
                check_count(self.share().tests.len(), 1, TESTS_MAX, Malformed::Tests)?;
                self.begin_item(Container::Test, count)
            }
            (Container::Writes, Head::Map(count)) => {
                check_count(self.writes_count, 1, WRITES_MAX, Malformed::Writes)?;
                self.writes_count += 1;
                self.begin_item(Container::Write, count)
            }
            (Container::Reads, Head::Map(count)) => {
                check_count(self.request.reads.len(), 1, READS_MAX, Malformed::Reads)?;
                self.begin_item(Container::Read, count)
            }
            (container, Head::Text(length)) if !container.fields().is_empty() => {
                self.key = KeyBuffer::default();
                self.state = State::ExpectKey(StringReader::new(Kind::Text, length));
                Ok(())
            }
            _ => Err(Malformed::Type),
        }
    }

    fn handle_key(&mut self) -> Result<(), Malformed> {
        let open = self.open.last_mut().expect("a key is of something open");
        let key = self.key.as_bytes();
        let mut fields = open.container.fields().iter().enumerate();
        let (index, (_, field)) = fields
            .find(|(_, (name, _))| name.as_bytes() == key)
            .ok_or(Malformed::UnknownKey)?;
        if open.seen & 1 << index != 0 {
            return Err(Malformed::RepeatedKey);
        }
        open.seen |= 1 << index;
        self.state = State::ExpectValue(*field);
        Ok(())
    }

    fn handle_value(&mut self, field: Field, head: Head) -> Result<(), Malformed> {
        self.state = State::ExpectItem;
        match (field, head) {
            (Field::Shares, Head::Map(count)) => {
                check_count(0, count.unwrap_or(0), SHARES_MAX, Malformed::Shares)?;
                self.begin(Container::Shares, count);
            }
            (Field::Share, Head::Map(count)) => self.begin(Container::Share, count),
            (Field::Tests, Head::Array(count)) => {
                check_count(0, count.unwrap_or(0), TESTS_MAX, Malformed::Tests)?;
                self.begin(Container::Tests, count);
            }
            (Field::Writes, Head::Array(count)) => {
                let more = count.unwrap_or(0);
                check_count(self.writes_count, more, WRITES_MAX, Malformed::Writes)?;
                self.begin(Container::Writes, count);
            }
            (Field::Reads, Head::Array(count)) => {
                check_count(0, count.unwrap_or(0), READS_MAX, Malformed::Reads)?;
                self.begin(Container::Reads, count);
            }
            (Field::NewLength, Head::Null) => {}
            (Field::NewLength, Head::Unsigned(length)) => self.share().new_length = Some(length),
            (Field::Offset, Head::Unsigned(offset)) => self.item.offset = offset,
            (Field::Size, Head::Unsigned(size)) => self.item.size = size,
            (Field::Specimen, Head::Bytes(length)) => {
                self.state = State::ExpectSpecimen(StringReader::new(Kind::Bytes, length));
            }
            (Field::Data, Head::Bytes(length)) => {
                self.item.data_offset = self.request.data_size;
                self.state = State::ExpectData(StringReader::new(Kind::Bytes, length));
            }
            _ => return Err(Malformed::Type),
        }
        Ok(())
    }

    fn handle_specimen(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        if bytes.len() > SPECIMENS_LEN_MAX - self.specimens_len {
            return Err(Malformed::Specimens);
        }
        self.specimens_len += bytes.len();
        self.item.specimen.extend_from_slice(bytes);
        Ok(())
    }

    fn begin(&mut self, container: Container, left: Option<u64>) {
        self.open.push(Open {
            container,
            left,
            seen: 0,
        });
        self.state = State::ExpectItem;
    }

    fn begin_item(&mut self, container: Container, left: Option<u64>) -> Result<(), Malformed> {
        self.item = Item::default();
        self.begin(container, left);
        Ok(())
    }

    fn begin_share(&mut self, number: u64) -> Result<(), Malformed> {
        let number = u8::try_from(number).map_err(|_| Malformed::ShareNumber)?;
        let number = ShareNumber::new(number);
        let shares = &mut self.request.shares;
        // There are 256 numbers, so that this also bounds how many shares there are.
        if shares.iter().any(|(other, _)| *other == number) {
            return Err(Malformed::RepeatedKey);
        }
        shares.push((number, ShareChange::default()));
        self.state = State::ExpectValue(Field::Share);
        Ok(())
    }

    /// Ends what is innermost.
    fn end(&mut self) -> Result<(), Malformed> {
        let open = self.open.pop().expect("only what is open ends");
        let fields = open.container.fields().len();
        if usize::try_from(open.seen.count_ones()).ok() != Some(fields) {
            return Err(Malformed::MissingKey);
        }
        self.state = match open.container {
            Container::Message => State::Ended,
            _ => State::ExpectItem,
        };
        let item = std::mem::take(&mut self.item);
        let extent = Extent {
            offset: item.offset,
            size: item.size,
        };
        match open.container {
            Container::Test => self.share().tests.push(Test {
                extent,
                specimen: Bytes::from(item.specimen),
            }),
            Container::Write => {
                let write = Write {
                    offset: item.offset,
                    data_offset: item.data_offset,
                    data_size: self.request.data_size - item.data_offset,
                };
                match write.offset.checked_add(write.data_size) {
                    Some(end) if end <= MUTABLE_SHARE_SIZE_MAX => self.share().writes.push(write),
                    _ => return Err(Malformed::WritePastEnd),
                }
            }
            Container::Read => self.request.reads.push(extent),
            _ => {}
        }
        Ok(())
    }

    /// The share whose tests and writes are being read.
    fn share(&mut self) -> &mut ShareChange {
        let (_, change) = self.request.shares.last_mut().expect("a share is open");
        change
    }
}

/// Checks that `more` on top of `count` stay within a bound.
fn check_count(
    count: usize,
    more: u64,
    count_max: usize,
    too_many: Malformed,
) -> Result<(), Malformed> {
    match num::size(count).checked_add(more) {
        Some(count) if count <= num::size(count_max) => Ok(()),
        _ => Err(too_many),
    }
}
