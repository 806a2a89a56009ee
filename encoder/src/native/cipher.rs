//! The cipher: ChaCha20 of RFC 8439, with the segment as the nonce.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use lafs::cap::native::ReadKey;
use share::native::hash::Hash;
use zeroize::Zeroizing;

use super::key;

/// Encrypts and decrypts the segments of one file.
///
/// Each segment is a stream of its own, so that any of them can be read without the others. A
/// segment is far below the 256 GiB that a nonce is good for.
pub(crate) struct Cipher(Zeroizing<Hash>);

impl Cipher {
    pub(crate) fn new(read_key: &ReadKey) -> Self {
        Self(key::cipher_key(read_key))
    }

    /// The key stream of a segment, from its beginning.
    pub(crate) fn segment(&self, segment: u64) -> KeyStream {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&segment.to_be_bytes());
        KeyStream(ChaCha20::new((&*self.0).into(), &nonce.into()))
    }
}

/// The key stream of a segment.
pub(crate) struct KeyStream(ChaCha20);

impl KeyStream {
    /// Encrypts the next bytes of the segment into a buffer of the same length.
    pub(crate) fn apply_to(&mut self, input: &[u8], output: &mut [u8]) {
        self.0.apply_keystream_b2b(input, output);
    }

    /// Encrypts or decrypts the next bytes of the segment in place.
    pub(crate) fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply_keystream(bytes);
    }
}
