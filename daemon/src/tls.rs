//! TLS as this server speaks it, and which protocol a client means.
//!
//! One self-signed certificate, whose key clients pin. No tickets and no session store: a connection
//! serves a whole command, so resumption would save little and cost memory per client.

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, NoServerSessionStorage, ServerConfig};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};

use crate::config::TlsVersion;
use crate::identity::Identity;

/// HTTP by its name in ALPN.
const HTTP: &[u8] = b"http/1.1";

/// Which protocol a client's TLS hello asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `tahoe-pipeline/1`.
    Pipeline,
    /// No ALPN, or `http/1.1`: GBS, the protocol of Tahoe-LAFS clients.
    Gbs,
}

impl Protocol {
    /// For the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Gbs => "gbs",
        }
    }

    /// Chooses among what the client offers, preferring the pipeline; `None` if it offers neither.
    pub(crate) fn of(hello: &ClientHello<'_>) -> Option<Self> {
        let Some(offered) = hello.alpn() else {
            return Some(Self::Gbs);
        };
        let (mut gbs, mut any) = (false, false);
        for name in offered {
            if name == protocol::ALPN {
                return Some(Self::Pipeline);
            }
            gbs |= name == HTTP;
            any = true;
        }
        (gbs || !any).then_some(Self::Gbs)
    }
}

/// The TLS configuration for the pipeline: TLS 1.3 only, since only our own client speaks it.
pub(crate) fn pipeline(identity: &Identity) -> Arc<ServerConfig> {
    let mut config = server_config(identity, &[&TLS13]);
    config.alpn_protocols = vec![protocol::ALPN.to_vec()];
    Arc::new(config)
}

/// The TLS configuration for GBS. Tahoe's client names no protocol; others may name HTTP.
pub(crate) fn gbs(identity: &Identity, version_min: TlsVersion) -> Arc<ServerConfig> {
    let versions: &[_] = match version_min {
        TlsVersion::OneTwo => &[&TLS13, &TLS12],
        TlsVersion::OneThree => &[&TLS13],
    };
    let mut config = server_config(identity, versions);
    config.alpn_protocols = vec![HTTP.to_vec()];
    Arc::new(config)
}

fn server_config(
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)
        .expect("ring has cipher suites for both versions of TLS")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(
            identity.certified(),
        ))));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    // Our order begins with what this machine computes fastest.
    config.ignore_client_order = true;
    config
}

/// Ring, with the cipher first that is fastest here: shares are ciphertext already, so 128 bits do.
fn provider() -> CryptoProvider {
    use ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256};

    let mut provider = ring::default_provider();
    let first = match has_aes_instructions() {
        true => TLS13_AES_128_GCM_SHA256,
        false => TLS13_CHACHA20_POLY1305_SHA256,
    };
    provider.cipher_suites.sort_by_key(|suite| *suite != first);
    provider
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_aes_instructions() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes_instructions() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes_instructions() -> bool {
    false
}
