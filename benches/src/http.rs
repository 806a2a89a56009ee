//! One HTTP request to a gateway on this machine, as plain as it gets: HTTP/1.0, so that the answer ends
//! with the connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Sends a request with a body of a known size, and writes the answer's body to `answer`.
///
/// # Errors
///
/// When the connection fails, or the server's answer is not 200 or 201.
pub fn request(
    server: SocketAddr,
    method: &str,
    path: &str,
    body: impl Read,
    size: u64,
    answer: &mut impl Write,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {server}\r\nContent-Length: {size}\r\n\r\n"
    )?;
    io::copy(&mut body.take(size), &mut stream)?;

    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let mut status = String::new();
    reader.read_line(&mut status)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    if status
        .split_whitespace()
        .nth(1)
        .is_some_and(|code| code == "200" || code == "201")
    {
        io::copy(&mut reader, answer)?;
        return Ok(());
    }
    let mut message = String::new();
    reader.take(2000).read_to_string(&mut message)?;
    Err(io::Error::other(format!(
        "{method} {path}: {}: {}",
        status.trim(),
        message.trim()
    )))
}

/// How long a gateway may do nothing. Tahoe encodes a whole file before it answers.
const PATIENCE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answered(answer: &'static str) -> (io::Result<()>, Vec<u8>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = listener.local_addr().expect("it is bound");
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut asked = vec![0; 1000];
            let mut len = 0;
            while !asked[..len].ends_with(b"body") {
                len += stream.read(&mut asked[len..]).expect("the request");
            }
            stream
                .write_all(answer.as_bytes())
                .expect("the client listens");
            String::from_utf8(asked[..len].to_vec()).expect("text")
        });
        let mut got = Vec::new();
        let result = request(server, "PUT", "/uri", &b"body and more"[..], 4, &mut got);
        (result, got, serving.join().expect("the server ends"))
    }

    #[test]
    fn the_answer_is_everything_after_the_headers() {
        let (result, got, asked) = answered("HTTP/1.0 201 Created\r\nA: b\r\n\r\nURI:CHK\r\n");
        result.expect("201 is good");
        assert_eq!(got, b"URI:CHK\r\n");
        assert!(
            asked.starts_with("PUT /uri HTTP/1.0\r\n") && asked.contains("Content-Length: 4\r\n")
        );
    }

    #[test]
    fn a_refusal_is_an_error_with_its_text() {
        let (result, got, _) = answered("HTTP/1.0 500 Oops\r\n\r\nno servers");
        let error = result.expect_err("500 is not good").to_string();
        assert!(
            error.contains("500 Oops") && error.contains("no servers"),
            "{error}"
        );
        assert!(got.is_empty());
    }
}
