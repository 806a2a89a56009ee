//! A plain client: the protocol's own state machine over TLS, with the key pinned.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use lafs::nurl::Nurl;
use lafs::{ConnectionSecret, ShareNumber, StorageIndex, Swissnum};
use protocol::client::{Connection, Event};
use protocol::server::Outcome;
use protocol::{Farewell, HeldShare, ReadRequest, Reason, RequestNumber};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Nothing here takes this long unless it never ends.
pub(crate) const FOREVER: Duration = Duration::from_secs(30);

/// A connection to a server.
pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    pub(crate) connection: Connection,
}

/// What came for a READ or LEASE.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) bytes: Vec<(ShareNumber, u64, Bytes)>,
    pub(crate) failure: Option<Reason>,
    pub(crate) held: Vec<HeldShare>,
}

impl Client {
    /// Connects as the client that has this secret.
    pub(crate) async fn connect(nurl: &Nurl, secret: u8) -> io::Result<Self> {
        Self::connect_with(nurl, secret, nurl.swissnum()).await
    }

    pub(crate) async fn connect_with(
        nurl: &Nurl,
        secret: u8,
        swissnum: &Swissnum,
    ) -> io::Result<Self> {
        let stream = tls(nurl, &[protocol::ALPN]).await?;
        let secret = ConnectionSecret::new([secret; 32]);
        Ok(Self {
            stream,
            connection: Connection::new(&secret, swissnum),
        })
    }

    /// The next event; `None` when the server has hung up.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Event>> {
        let event = poll_fn(|context| {
            loop {
                while self.connection.output_len() > 0 {
                    let output = self.connection.output();
                    let mut slices = [IoSlice::new(&[]); 16];
                    let count = output.chunks_vectored(&mut slices);
                    let stream = Pin::new(&mut self.stream);
                    match stream.poll_write_vectored(context, &slices[..count]) {
                        Poll::Ready(Ok(len)) => output.advance(len),
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => break,
                    }
                }
                let _pending = Pin::new(&mut self.stream).poll_flush(context)?;
                let input = match Pin::new(&mut self.stream).poll_fill_buf(context) {
                    Poll::Ready(input) => input?,
                    Poll::Pending => return Poll::Pending,
                };
                let (len, mut rest) = (input.len(), input);
                let event = self.connection.read(&mut rest).expect("an honest server");
                let taken = len - rest.len();
                Pin::new(&mut self.stream).consume(taken);
                if event.is_some() || len == 0 {
                    return Poll::Ready(Ok(event));
                }
            }
        });
        tokio::time::timeout(FOREVER, event)
            .await
            .expect("an answer within reason")
    }

    /// Writes what is queued, whatever comes.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        use tokio::io::AsyncWriteExt;
        while self.connection.output_len() > 0 {
            let len = self.connection.output_len();
            let bytes = self.connection.output().copy_to_bytes(len);
            self.stream.write_all(&bytes).await?;
        }
        self.stream.flush().await
    }

    /// The outcome of a PUT or an upload; other events are dropped.
    pub(crate) async fn outcome(&mut self, asked: RequestNumber) -> Outcome {
        loop {
            match self.next().await.unwrap() {
                Some(Event::Answered { request, outcome }) if request == asked => return outcome,
                Some(Event::Refused { farewell, text }) => panic!("refused: {farewell} {text}"),
                Some(_) => {}
                None => panic!("the server hung up"),
            }
        }
    }

    /// What a READ or LEASE comes to; other events are dropped.
    pub(crate) async fn heard(&mut self, asked: RequestNumber) -> Heard {
        let mut heard = Heard::default();
        loop {
            match self.next().await.unwrap() {
                Some(Event::Share {
                    request,
                    share_number,
                    offset,
                    bytes,
                }) if request == asked => heard.bytes.push((share_number, offset, bytes)),
                Some(Event::Held {
                    request,
                    failure,
                    shares,
                }) if request == asked => {
                    (heard.failure, heard.held) = (failure, shares);
                    return heard;
                }
                Some(Event::Refused { farewell, text }) => panic!("refused: {farewell} {text}"),
                Some(_) => {}
                None => panic!("the server hung up"),
            }
        }
    }

    /// Stores a small share.
    pub(crate) async fn put(&mut self, bucket: StorageIndex, number: u8, share: &[u8]) -> Outcome {
        let share = Bytes::copy_from_slice(share);
        let request = self.connection.put(bucket, ShareNumber::new(number), share);
        self.outcome(request).await
    }

    /// Uploads a share of any size.
    pub(crate) async fn upload(
        &mut self,
        bucket: StorageIndex,
        number: u8,
        share: &[u8],
    ) -> Outcome {
        let size = lafs::num::size(share.len());
        let number = ShareNumber::new(number);
        let upload = self.connection.open(bucket, number, Some(size), false);
        self.connection.write(upload, Bytes::copy_from_slice(share));
        self.connection.close(upload);
        self.outcome(upload).await
    }

    /// One share, whole.
    pub(crate) async fn share(&mut self, bucket: StorageIndex, number: u8) -> Option<Vec<u8>> {
        let number = ShareNumber::new(number);
        let whole = vec![protocol::ByteRange::WHOLE];
        let read = ReadRequest::new(bucket, 1, vec![number], whole).unwrap();
        let request = self.connection.read_shares(read);
        let heard = self.heard(request).await;
        assert_eq!(heard.failure, None);
        heard.held.first()?;
        Some(
            heard
                .bytes
                .into_iter()
                .flat_map(|(_, _, bytes)| bytes)
                .collect(),
        )
    }

    /// Why the server ends the connection, or `None` if it answers something.
    pub(crate) async fn farewell_or_answer(&mut self) -> Option<Farewell> {
        match self.next().await {
            Ok(Some(Event::Refused { farewell, .. })) => Some(farewell),
            _ => None,
        }
    }

    /// Why the server ends the connection; everything else is dropped.
    pub(crate) async fn farewell(&mut self) -> Option<Farewell> {
        loop {
            match self.next().await {
                Ok(Some(Event::Refused { farewell, .. })) => return Some(farewell),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

/// TLS to a server, offering these protocols.
pub(crate) async fn tls(nurl: &Nurl, alpn: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
    tls_of(&rustls::version::TLS13, nurl, alpn).await
}

/// TLS of one version.
pub(crate) async fn tls_of(
    version: &'static SupportedProtocolVersion,
    nurl: &Nurl,
    alpn: &[&[u8]],
) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect((nurl.host().as_str(), nurl.port())).await?;
    socket.set_nodelay(true)?;
    tls_over(socket, version, nurl, alpn).await
}

/// Likewise over a connection that is there.
pub(crate) async fn tls_over<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    version: &'static SupportedProtocolVersion,
    nurl: &Nurl,
    alpn: &[&[u8]],
) -> io::Result<TlsStream<S>> {
    let provider = Arc::new(ring::default_provider());
    let verifier = PinnedKey {
        key_hash: *nurl.key_hash().as_bytes(),
        provider: Arc::clone(&provider),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("tahoed.invalid").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

/// Looks at nothing but the key, as the real client does.
#[derive(Debug)]
struct PinnedKey {
    key_hash: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = webpki::EndEntityCert::try_from(end_entity).unwrap();
        let public = certificate.subject_public_key_info();
        match Sha256::digest(public.as_ref())[..] == self.key_hash {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A storage index for each number.
pub(crate) fn bucket(number: u32) -> StorageIndex {
    let mut index = [0x3c; 16];
    index[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    index[12..].copy_from_slice(&number.to_be_bytes());
    StorageIndex::new(index)
}

/// Bytes that differ everywhere, and from those of another salt.
pub(crate) fn pattern(len: usize, salt: u32) -> Vec<u8> {
    let mut state = salt.wrapping_add(1).wrapping_mul(0x9e37_79b1);
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_be_bytes()[0]
        })
        .collect()
}
