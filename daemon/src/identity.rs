//! The server's identity: a private key, and one self-signed certificate for it.
//!
//! Clients pin the hash of the public key and look at nothing else, so the certificate is whatever
//! Tahoe's client accepts (reference: storage server, section 2.2) and may be as old as it likes.
//!
//! Tahoe's own certificates are of X.509 version 1, which its client takes and ours cannot read. In
//! place of such a one, a certificate of version 3 is made at start, of the same key: the NURL stays
//! as it is. The old one stays in the file, where the TubID comes from and Tahoe would look for it.

use std::fmt;
use std::sync::Arc;

use lafs::nurl::KeyHash;
use rcgen::{Certificate, CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

/// Key and certificate, ready to serve.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    key_hash: KeyHash,
    /// As it is in the file.
    certificate: CertificateDer<'static>,
}

impl Identity {
    /// Makes a new P-256 key and its certificate, as the PEM text of a `node.pem`.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Generate`] if the system gives no randomness.
    pub fn generate() -> Result<String, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
        let key = key.map_err(|_| IdentityError::Generate)?;
        let certificate = self_signed(&key)?;
        // The order that Tahoe keeps: certificate, then key.
        Ok(certificate.pem() + &key.serialize_pem())
    }

    /// Reads the text of a `node.pem`.
    ///
    /// # Errors
    ///
    /// [`IdentityError`], which says which part is missing or wrong.
    pub fn from_pem(pem: &[u8]) -> Result<Self, IdentityError> {
        let certificate =
            CertificateDer::from_pem_slice(pem).map_err(|_| IdentityError::NoCertificate)?;
        let private = PrivateKeyDer::from_pem_slice(pem).map_err(|_| IdentityError::NoKey)?;
        let key = any_supported_type(&private).map_err(|_| IdentityError::UnusableKey)?;
        let public = key.public_key().ok_or(IdentityError::UnusableKey)?;
        // Another key's certificate would be served and refused by every client. Every certificate
        // has its key in it as one piece, also those that cannot be read here.
        let public = public.as_ref();
        if !certificate.windows(public.len()).any(|part| part == public) {
            return Err(IdentityError::Mismatch);
        }
        let key_hash = KeyHash::new(Sha256::digest(public).into());
        let served = match ParsedCertificate::try_from(&certificate) {
            Ok(_) => certificate.clone(),
            Err(_) => {
                let key = KeyPair::try_from(&private).map_err(|_| IdentityError::UnusableKey)?;
                self_signed(&key)?.der().clone()
            }
        };
        Ok(Self {
            certified: Arc::new(CertifiedKey::new(vec![served], key)),
            key_hash,
            certificate,
        })
    }

    /// The hash of the public key, which clients pin.
    #[must_use]
    pub fn key_hash(&self) -> &KeyHash {
        &self.key_hash
    }

    /// The certificate in the file, in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

/// A certificate that every client takes, of this key.
fn self_signed(key: &KeyPair) -> Result<Certificate, IdentityError> {
    let generate = |_| IdentityError::Generate;
    let mut parameters = CertificateParams::new(Vec::new()).map_err(generate)?;
    parameters
        .distinguished_name
        .push(DnType::CommonName, "tahoed");
    parameters.self_signed(key).map_err(generate)
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.key_hash)
    }
}

/// Key and certificate cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No key could be made.
    #[error("no key could be made: the system gave no randomness")]
    Generate,
    /// No certificate in the file.
    #[error("it holds no certificate in PEM")]
    NoCertificate,
    /// No private key in the file.
    #[error("it holds no private key in PEM")]
    NoKey,
    /// A key of a kind that TLS here cannot use.
    #[error("its private key is not one of P-256, P-384, Ed25519, or RSA of 2048 bits or more")]
    UnusableKey,
    /// The certificate is of another key.
    #[error("its certificate is not of its private key")]
    Mismatch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_identity_reads_back_and_its_hash_is_of_the_certificates_key() {
        let pem = Identity::generate().unwrap();
        let identity = Identity::from_pem(pem.as_bytes()).unwrap();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let end_entity = webpki::EndEntityCert::try_from(&certificate).unwrap();
        let public = end_entity.subject_public_key_info();
        let hash: [u8; 32] = Sha256::digest(public.as_ref()).into();
        assert_eq!(identity.key_hash().as_bytes(), &hash);
    }

    #[test]
    fn each_part_that_is_missing_or_wrong_is_named() {
        let (one, two) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let split = one.find("-----BEGIN PRIVATE KEY").unwrap();
        let (certificate, key) = one.split_at(split);
        let other_key = &two[two.find("-----BEGIN PRIVATE KEY").unwrap()..];
        for (pem, error) in [
            (String::new(), IdentityError::NoCertificate),
            (key.to_owned(), IdentityError::NoCertificate),
            (certificate.to_owned(), IdentityError::NoKey),
            (format!("{certificate}{other_key}"), IdentityError::Mismatch),
        ] {
            assert_eq!(Identity::from_pem(pem.as_bytes()).unwrap_err(), error);
        }
    }
}
