//! TLS to a server whose public key is known: the NURL names its hash, and nothing else counts.
//!
//! No authority, name or date is looked at. The key must have the pinned hash, and the handshake
//! must be signed with it.

use std::io;
use std::sync::{Arc, LazyLock};

use lafs::nurl::KeyHash;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::failure::ServerError;

/// How to speak TLS to the server with this key.
pub(super) fn client_config(key_hash: &KeyHash) -> Arc<ClientConfig> {
    let provider = PROVIDER.clone();
    let verifier = Arc::new(Pin {
        key_hash: *key_hash.as_bytes(),
        provider: provider.clone(),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring has the cipher suites of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol::ALPN.to_vec()];
    // The key says who the server is: a name would only tell bystanders.
    config.enable_sni = false;
    // One connection a server for the life of the process: nothing to resume.
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// The name that TLS asks for and never sends.
pub(super) fn server_name() -> ServerName<'static> {
    ServerName::try_from("tahoed.invalid").expect("a DNS name")
}

/// Why a handshake failed.
pub(super) fn handshake_error(error: io::Error) -> ServerError {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsError>());
    match tls {
        Some(TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
            ServerError::WrongKey
        }
        Some(TlsError::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)) => {
            ServerError::OtherProtocol
        }
        _ => ServerError::Tls(error),
    }
}

/// Of all connections.
static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// Accepts one key.
#[derive(Debug)]
struct Pin {
    key_hash: [u8; KeyHash::LEN],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let certificate = webpki::EndEntityCert::try_from(end_entity)
            .map_err(|_| TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        let shown = Sha256::digest(certificate.subject_public_key_info());
        if shown.as_slice().ct_eq(&self.key_hash).into() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    // The hash proves which key it is; only the signature proves that the server has it.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
