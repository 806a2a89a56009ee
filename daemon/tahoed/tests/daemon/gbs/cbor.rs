//! Any CBOR, in a form that can be compared: sets and maps without their order.

use minicbor::Decoder;
use minicbor::data::{Tag, Type};

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Unsigned(u64),
    Bool(bool),
    Null,
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Value>),
    /// Sorted.
    Set(Vec<Value>),
    /// Sorted.
    Map(Vec<(Value, Value)>),
}

/// Reads a message that is one value and nothing else.
pub(crate) fn read(bytes: &[u8]) -> Value {
    let mut decoder = Decoder::new(bytes);
    let value = next(&mut decoder);
    assert_eq!(decoder.position(), bytes.len(), "bytes after the message");
    value
}

fn next(decoder: &mut Decoder<'_>) -> Value {
    match decoder.datatype().unwrap() {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Value::Unsigned(decoder.u64().unwrap()),
        Type::Bool => Value::Bool(decoder.bool().unwrap()),
        Type::Null => {
            decoder.null().unwrap();
            Value::Null
        }
        Type::Bytes => Value::Bytes(decoder.bytes().unwrap().to_vec()),
        Type::String => Value::Text(decoder.str().unwrap().to_owned()),
        Type::Array => {
            let len = decoder.array().unwrap().unwrap();
            Value::Array((0..len).map(|_| next(decoder)).collect())
        }
        Type::Tag => {
            assert_eq!(decoder.tag().unwrap(), Tag::new(258));
            let Value::Array(mut members) = next(decoder) else {
                panic!("a set is an array");
            };
            members.sort();
            Value::Set(members)
        }
        Type::Map => {
            let len = decoder.map().unwrap().unwrap();
            let mut entries: Vec<_> = (0..len).map(|_| (next(decoder), next(decoder))).collect();
            entries.sort();
            Value::Map(entries)
        }
        other => panic!("{other:?} in an answer"),
    }
}
