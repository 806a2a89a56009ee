//! A connection over loopback, watched from the server's end of it.
//!
//! The kernel tells of a socket whether it acknowledges at once or waits for an answer to do it with.

use std::future::Future;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bucketfs::disk::EngineChoice;
use bucketfs::{AskStatus, StoreId};
use lafs::Swissnum;
use rustix::net::sockopt::{set_tcp_quickack, tcp_quickack};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::Config;
use crate::identity::Identity;

/// A client and the server's socket.
struct Pair {
    client: TcpStream,
    tls: ClientConnection,
    server: OwnedFd,
}

impl Pair {
    /// Connects to a server that runs on this thread.
    async fn connect(shared: Arc<Shared>, stop: StopSignal) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(connecting, listener.accept());
        let (socket, _) = accepted.unwrap();
        let server = rustix::io::dup(&socket).unwrap();
        tokio::spawn(serve(socket, shared, stop, false));
        let config = ClientConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        let name = ServerName::try_from("server.invalid").unwrap();
        Self {
            client: client.unwrap(),
            tls: ClientConnection::new(Arc::new(config), name).unwrap(),
            server,
        }
    }

    /// Has the kernel wait with acknowledgements, as it does once something was answered.
    fn wait_for_answers(&self) {
        set_tcp_quickack(&self.server, false).unwrap();
    }

    fn is_quick(&self) -> bool {
        tcp_quickack(&self.server).unwrap()
    }

    async fn until_quick(&self) {
        while !self.is_quick() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn write(&mut self) {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        self.client.write_all(&bytes).await.unwrap();
    }

    async fn read(&mut self) {
        let mut bytes = [0; 16_384];
        let len = self.client.read(&mut bytes).await.unwrap();
        assert!(len > 0, "the server hung up");
        let mut rest = &bytes[..len];
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest).unwrap();
            self.tls.process_new_packets().unwrap();
        }
    }

    async fn send(&mut self, text: &str) {
        std::io::Write::write_all(&mut self.tls.writer(), text.as_bytes()).unwrap();
        self.write().await;
    }

    /// Reads some of an answer.
    async fn heard(&mut self) -> String {
        let mut answer = [0; 16_384];
        loop {
            self.read().await;
            match std::io::Read::read(&mut self.tls.reader(), &mut answer) {
                Ok(len) => return String::from_utf8_lossy(&answer[..len]).into_owned(),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }
}

/// It cost a client that leaves Nagle's algorithm on 40 ms: its request waited for the
/// acknowledgement of its last word of the handshake, and the kernel kept that back, to send it with
/// an answer that was not to come.
#[tokio::test(flavor = "current_thread")]
async fn what_has_no_answer_is_acknowledged_at_once() {
    let directory = TempDir::new().unwrap();
    let (shared, driver) = open(&directory).await;
    let (_stop, signal) = StopSignal::new();
    let client = async {
        let mut pair = Pair::connect(Arc::clone(&shared), signal).await;
        pair.write().await;
        while pair.tls.is_handshaking() {
            pair.read().await;
        }
        pair.wait_for_answers();
        pair.write().await;
        // The client's last word of the handshake.
        pair.until_quick().await;

        // Half a head, and half a body.
        let authorization = format!("Authorization: Tahoe-LAFS {}YWE=", "YWFh".repeat(10));
        let lease = ["renew", "cancel"].map(|secret| {
            let value = format!("{}=", "A".repeat(43));
            format!("X-Tahoe-Authorization: lease-{secret}-secret {value}\r\n")
        });
        let put = format!(
            "PUT /storage/v1/lease/aeaqcaibaeaqcaibaeaqcaibae HTTP/1.1\r\nContent-Length: 2\r\n\
             {authorization}\r\n{}\r\nx",
            lease.concat()
        );
        for (half, rest) in [
            ("GET /storage/v1/version HTT", "P/1.1\r\n\r\n"),
            (&put, "x"),
        ] {
            pair.wait_for_answers();
            pair.send(half).await;
            pair.until_quick().await;
            pair.send(rest).await;
            let heard = pair.heard().await;
            assert!(heard.starts_with("HTTP/1.1 4"), "{heard}");
        }

        // What comes whole is acknowledged by its answer, without a call.
        pair.wait_for_answers();
        pair.send("GET /storage/v1/version HTTP/1.1\r\n\r\n").await;
        pair.heard().await;
        assert!(!pair.is_quick());
    };
    let client = tokio::time::timeout(FOREVER, client);
    tokio::select! {
        done = client => done.expect("an acknowledgement within reason"),
        _ = driver => unreachable!("the store is open"),
    }
}

/// What connections share, of a server with a store of its own, and what drives the store.
async fn open(directory: &TempDir) -> (Arc<Shared>, Pin<Box<dyn Future<Output = io::Result<()>>>>) {
    let text = "listen = ['127.0.0.1:0']\nstore.journal_size = '1MiB'";
    let config = Config::parse(text, Path::new("tahoed.toml")).unwrap();
    let store = crate::store::config(&config.store, [1; 32]);
    bucketfs::create(directory.path(), &store, StoreId::new([1; 16])).unwrap();
    let (handle, driver) = bucketfs::open(directory.path(), EngineChoice::Pool, &store).unwrap();
    let mut driver: Pin<Box<dyn Future<Output = _>>> = Box::pin(driver.run());
    let status = tokio::select! {
        status = handle.ask(AskStatus) => status.unwrap(),
        _ = &mut driver => unreachable!("nobody closes the store"),
    };
    let pem = Identity::generate().unwrap();
    let identity = Identity::from_pem(pem.as_bytes()).unwrap();
    let swissnum = Swissnum::from_random(&[0; 20]);
    let (tls, limits) = (config.tls, config.limits);
    let shared = Shared::new(handle, swissnum, &identity, tls, limits, &status);
    (Arc::new(shared), driver)
}

/// Believes that a server is who it says.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Nothing here takes this long unless it never ends.
const FOREVER: Duration = Duration::from_secs(30);
