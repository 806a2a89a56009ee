//! What is made with a key, or makes one: the convergent read key, the cipher key, the leaves of
//! the plaintext hash tree. All other hashes are in `share::native::hash`.

use lafs::cap::native::{ReadKey, Version};
use lafs::{ConvergenceSecret, Parameters};
use share::native::hash::{self, Hash};
use zeroize::Zeroizing;

/// Computes the read key of a file whose second upload should find the first.
///
/// This is the first of two passes over the file. A random key needs one pass only, but then a
/// second upload stores the file again.
pub struct ConvergentKey(blake3::Hasher);

impl ConvergentKey {
    /// Begins with no plaintext, for the [current](Version::CURRENT) version.
    #[must_use]
    pub fn new(secret: &ConvergenceSecret, parameters: Parameters) -> Self {
        Self::of_version(Version::CURRENT, secret, parameters)
    }

    /// Begins with no plaintext. Versions have different keys of one file, and so storage indexes: a
    /// share of one version is never taken for one of another that is there already.
    #[must_use]
    pub fn of_version(
        version: Version,
        secret: &ConvergenceSecret,
        parameters: Parameters,
    ) -> Self {
        let context = match version {
            Version::V1 => "tahoe-native 2026-11 convergence v1",
            Version::V2 => "tahoe-native 2026-11 convergence v2",
        };
        let mut input = Zeroizing::new([0; 40]);
        input[..32].copy_from_slice(secret.as_bytes());
        let count = |count: usize| u16::try_from(count).expect("at most 256").to_be_bytes();
        input[32..34].copy_from_slice(&count(parameters.needed()));
        input[34..36].copy_from_slice(&count(parameters.total()));
        input[36..].copy_from_slice(&parameters.segment_size().to_be_bytes());
        let key = Zeroizing::new(blake3::derive_key(context, input.as_slice()));
        Self(blake3::Hasher::new_keyed(&key))
    }

    /// Takes the next bytes of the plaintext, any number; it is fastest with 64 KiB and more.
    pub fn update(&mut self, plaintext: &[u8]) {
        self.0.update(plaintext);
    }

    /// The read key of the plaintext so far.
    #[must_use]
    pub fn finish(&self) -> ReadKey {
        ReadKey::new(self.0.finalize().into())
    }
}

/// The key of the cipher.
pub(crate) fn cipher_key(read_key: &ReadKey) -> Zeroizing<Hash> {
    let context = "tahoe-native 2026-11 cipher key v1";
    blake3::derive_key(context, read_key.as_bytes()).into()
}

/// Makes leaves of the plaintext hash tree. Only holders of the read key can.
///
/// A server that could compute them would learn which files it keeps.
pub(crate) struct PlaintextLeaves(Zeroizing<Hash>);

impl PlaintextLeaves {
    pub(crate) fn new(read_key: &ReadKey) -> Self {
        let context = "tahoe-native 2026-11 plaintext leaf v1";
        Self(blake3::derive_key(context, read_key.as_bytes()).into())
    }

    /// Leaf of the plaintext hash tree: the plaintext of a segment, in pieces.
    pub(crate) fn leaf<'a>(
        &self,
        segment: u64,
        plaintext: impl IntoIterator<Item = &'a [u8]>,
    ) -> Hash {
        hash::leaf(&self.0, segment, plaintext)
    }
}
