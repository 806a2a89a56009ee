//! A plain HTTP client over TLS, with the key pinned; what it sends is as wrong as a test wants it.

use std::io;

use data_encoding::BASE64;
use lafs::nurl::Nurl;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::client::{FOREVER, tls};

type Stream = TlsStream<TcpStream>;

/// A connection that speaks HTTP.
pub(crate) struct Http<S = Stream> {
    pub(crate) stream: S,
    swissnum: String,
    /// What came and was not looked at yet.
    buffer: Vec<u8>,
}

/// A request that is made piece by piece.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl<S> Http<S> {
    pub(crate) fn over(nurl: &Nurl, stream: S) -> Self {
        Self {
            stream,
            swissnum: nurl.swissnum().as_str().to_owned(),
            buffer: Vec::new(),
        }
    }

    /// A request by somebody who may come in.
    pub(crate) fn ask(&self, method: &str, target: &str) -> Ask {
        Ask::new(method, target).header("Authorization", authorization(&self.swissnum))
    }
}

impl Http {
    /// What hears, and what writes meanwhile.
    pub(crate) fn split(self) -> (Http<ReadHalf<Stream>>, WriteHalf<Stream>) {
        let (reading, writing) = tokio::io::split(self.stream);
        let heard = Http {
            stream: reading,
            swissnum: self.swissnum,
            buffer: self.buffer,
        };
        (heard, writing)
    }

    pub(crate) async fn connect(nurl: &Nurl) -> io::Result<Self> {
        Ok(Self::over(nurl, tls(nurl, &[]).await?))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http<S> {
    pub(crate) async fn send(&mut self, ask: &Ask) -> io::Result<()> {
        self.write(&ask.bytes()).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Asks and hears.
    pub(crate) async fn answer(&mut self, ask: &Ask) -> Heard {
        self.send(ask).await.unwrap();
        let heard = self.heard(&ask.method).await;
        heard.expect("the server answers before it hangs up")
    }
}

impl<S: AsyncRead + Unpin> Http<S> {
    /// The answer to a request; `None` if the server hangs up without one.
    pub(crate) async fn heard(&mut self, method: &str) -> Option<Heard> {
        loop {
            let heard = self.whole_heard(method).await?;
            // 100 Continue is no answer.
            if heard.status >= 200 {
                return Some(heard);
            }
        }
    }

    /// That the server hangs up, after whatever it has still to say.
    pub(crate) async fn hangs_up(&mut self) {
        while self.fill().await {}
    }

    async fn whole_heard(&mut self, method: &str) -> Option<Heard> {
        let end = loop {
            match self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end,
                None if self.fill().await => {}
                None => return None,
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap();
        let status = status.strip_prefix("HTTP/1.1 ").unwrap()[..3]
            .parse()
            .unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut heard = Heard {
            status,
            headers,
            body: Vec::new(),
        };
        if method != "HEAD" && status >= 200 && status != 204 {
            let size = heard
                .header("content-length")
                .expect("a size")
                .parse()
                .unwrap();
            while self.buffer.len() < size {
                assert!(self.fill().await, "the answer is cut off");
            }
            heard.body = self.buffer.drain(..size).collect();
        }
        Some(heard)
    }

    /// Waits for more bytes; whether there were any.
    async fn fill(&mut self) -> bool {
        let mut bytes = [0; 16_384];
        let read = tokio::time::timeout(FOREVER, self.stream.read(&mut bytes));
        match read.await.expect("an answer, or an end, within reason") {
            Ok(0) | Err(_) => false,
            Ok(len) => {
                self.buffer.extend_from_slice(&bytes[..len]);
                true
            }
        }
    }
}

impl Ask {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![("Host".to_owned(), b"localhost".to_vec())],
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn secret(self, kind: &str, secret: &[u8]) -> Self {
        let value = format!("{kind} {}", BASE64.encode(secret));
        self.header("X-Tahoe-Authorization", value)
    }

    pub(crate) fn lease(self, salt: u8) -> Self {
        self.secret("lease-renew-secret", &[salt; 32])
            .secret("lease-cancel-secret", &[salt ^ 0xff; 32])
    }

    pub(crate) fn upload_secret(self, salt: u8) -> Self {
        self.secret("upload-secret", &[salt; 20])
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// The bytes of the request; its length is announced unless it is said otherwise.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let mut headers = self.headers.clone();
        let is_sized = |(name, _): &(String, Vec<u8>)| {
            ["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str())
        };
        if !headers.iter().any(is_sized) && (!self.body.is_empty() || self.method != "GET") {
            let len = self.body.len().to_string();
            headers.push(("Content-Length".to_owned(), len.into_bytes()));
        }
        for (name, value) in &headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The value of an `Authorization` header.
pub(crate) fn authorization(swissnum: &str) -> String {
    format!("Tahoe-LAFS {}", BASE64.encode(swissnum.as_bytes()))
}
