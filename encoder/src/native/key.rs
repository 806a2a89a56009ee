//! The convergent read key: the same file, the same secret and parameters, the same key.

use lafs::cap::native::{ReadKey, Version};
use lafs::{ConvergenceSecret, Parameters};

use super::hash;

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

    /// Begins with no plaintext. Versions have different keys of one file.
    #[must_use]
    pub fn of_version(
        version: Version,
        secret: &ConvergenceSecret,
        parameters: Parameters,
    ) -> Self {
        Self(hash::convergent(version, secret, parameters))
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
