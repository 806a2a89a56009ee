//! Requests and answers of HTTP/1.1 over TLS, as plain as a client can have them.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use data_encoding::BASE64;
use lafs::nurl::Nurl;
use protocol::gbs::Endpoint;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where a server is and what lets a client in.
pub(super) struct Server {
    address: String,
    authorization: String,
    tls: Arc<ClientConfig>,
}

impl Server {
    pub(super) fn new(nurl: &Nurl) -> io::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting(provider)))
            .with_no_client_auth();
        // As Tahoe's client.
        tls.enable_sni = false;
        tls.resumption = Resumption::disabled();
        let swissnum = BASE64.encode(nurl.swissnum().as_str().as_bytes());
        Ok(Self {
            address: format!("{}:{}", nurl.host(), nurl.port()),
            authorization: format!("Tahoe-LAFS {swissnum}"),
            tls: Arc::new(tls),
        })
    }
}

/// A request, but for what every request has.
pub(super) struct Request {
    endpoint: Endpoint,
    headers: String,
    body: Vec<u8>,
    /// The status of success.
    expected: u16,
}

impl Request {
    /// Without a body.
    pub(super) fn get(endpoint: Endpoint, expected: u16) -> Self {
        Self {
            endpoint,
            headers: String::new(),
            body: Vec::new(),
            expected,
        }
    }

    /// With a message as its body.
    pub(super) fn message(endpoint: Endpoint, body: Vec<u8>, expected: u16) -> Self {
        Self::bytes(endpoint, body, expected).header("Content-Type", protocol::gbs::CBOR)
    }

    /// With share bytes as its body.
    pub(super) fn bytes(endpoint: Endpoint, body: Vec<u8>, expected: u16) -> Self {
        let request = Self {
            body,
            ..Self::get(endpoint, expected)
        };
        let size = request.body.len().to_string();
        request.header("Content-Length", &size)
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.headers, "{name}: {value}\r\n").expect("a string takes everything");
        self
    }

    pub(super) fn secret(self, kind: &str, value: &str) -> Self {
        self.header("X-Tahoe-Authorization", &format!("{kind} {value}"))
    }
}

/// A connection, which stays open.
pub(super) struct Connection {
    server: Arc<Server>,
    index: u8,
    stream: BufReader<TlsStream<TcpStream>>,
    /// What a request was written to, or an answer read from; kept for its room.
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(server: Arc<Server>, index: u8) -> io::Result<Self> {
        let stream = TcpStream::connect(&server.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("server.invalid").expect("a DNS name");
        let connector = TlsConnector::from(server.tls.clone());
        let stream = BufReader::new(connector.connect(name, stream).await?);
        Ok(Self {
            server,
            index,
            stream,
            buffer: Vec::new(),
        })
    }

    /// Which of the connections it is.
    pub(super) fn index(&self) -> u8 {
        self.index
    }

    /// Makes a request and reads the answer to its end.
    ///
    /// # Errors
    ///
    /// When the answer has another status than that of success.
    pub(super) async fn ask(&mut self, request: &Request) -> io::Result<()> {
        let Server {
            address,
            authorization,
            ..
        } = &*self.server;
        let (method, path) = (request.endpoint.method(), request.endpoint);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nAuthorization: {authorization}\r\n{}\
             Accept: application/cbor\r\nAccept-Encoding: gzip\r\nHost: {address}\r\n\r\n",
            request.headers
        );
        self.buffer.clear();
        self.buffer.extend_from_slice(head.as_bytes());
        self.buffer.extend_from_slice(&request.body);
        self.stream.write_all(&self.buffer).await?;
        self.stream.flush().await?;

        let status = read_answer(&mut self.stream, &mut self.buffer).await?;
        if status == request.expected {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&self.buffer);
        Err(io::Error::other(format!(
            "{method} {path}: {status}: {said}"
        )))
    }
}

/// Reads an answer to its end and returns its status; `body` becomes its body.
async fn read_answer(
    stream: &mut (impl AsyncBufRead + Unpin),
    body: &mut Vec<u8>,
) -> io::Result<u16> {
    body.clear();
    let status_line = line(stream).await?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| malformed("status", &status_line))?;
    match read_headers(stream).await? {
        Framing::Size(size) => read_exactly(stream, size, body).await?,
        Framing::Chunked => loop {
            let size = line(stream).await?;
            let size = u32::from_str_radix(&size, 16).map_err(|_| malformed("chunk", &size))?;
            read_exactly(stream, size, body).await?;
            line(stream).await?;
            if size == 0 {
                break;
            }
        },
    }
    Ok(status)
}

async fn read_headers(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Framing> {
    let mut framing = Framing::Size(0);
    loop {
        let header = line(stream).await?;
        if header.is_empty() {
            return Ok(framing);
        }
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| malformed("header", &header))?;
        if name.eq_ignore_ascii_case("content-length") {
            let size = value.trim().parse();
            framing = Framing::Size(size.map_err(|_| malformed("length", value))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        }
    }
}

async fn read_exactly(
    stream: &mut (impl AsyncBufRead + Unpin),
    size: u32,
    body: &mut Vec<u8>,
) -> io::Result<()> {
    let read = stream.take(size.into()).read_to_end(body).await?;
    match u32::try_from(read).is_ok_and(|read| read == size) {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A line without its end.
async fn line(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    stream.take(LINE_LEN_MAX).read_line(&mut line).await?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// How the end of a body is known.
#[derive(Clone, Copy)]
enum Framing {
    Size(u32),
    Chunked,
}

fn malformed(part: &str, text: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("no {part} of HTTP: {text:?}"),
    )
}

/// Accepts any certificate. The one of Tahoe-LAFS shows a certificate of X.509 version 1, which
/// rustls can not even read.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Longest head of an answer.
const LINE_LEN_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut stream: &[u8]) -> io::Result<(u16, String, usize)> {
        let mut body = b"of the answer before".to_vec();
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let status = runtime.block_on(read_answer(&mut stream, &mut body))?;
        let body = String::from_utf8(body).expect("text");
        Ok((status, body, stream.len()))
    }

    #[test]
    fn an_answer_ends_where_its_framing_says() {
        let with_length = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP";
        assert_eq!(read(with_length).unwrap(), (200, "abc".to_owned(), 4));
        let chunked =
            b"HTTP/1.1 206 Partial\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\nHTTP";
        assert_eq!(read(chunked).unwrap(), (206, "0123456789!".to_owned(), 4));
        let without_body = b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\nHTTP";
        assert_eq!(read(without_body).unwrap(), (204, String::new(), 4));
    }

    #[test]
    fn an_answer_that_is_cut_short_or_none_is_an_error() {
        let whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        assert!(read(whole).is_ok());
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{len} bytes");
        }
        assert!(read(b"SSH-2.0\r\n\r\n").is_err());
        assert!(read(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n").is_err());
    }
}
