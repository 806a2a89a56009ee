//! Fuzz entry point of the control protocol.

use crate::control::{LineReader, Reply, Request};

/// Reads bytes as lines of either side, and checks that what is understood means the same when it is
/// said again.
///
/// # Panics
///
/// If it does not.
pub fn lines(mut bytes: &[u8]) {
    let mut reader = LineReader::default();
    while let Ok(Some(line)) = reader.read(&mut bytes) {
        if let Ok(request) = Request::parse(&line) {
            let again = request.line();
            let again = again.strip_suffix(b"\n").expect("a line has an end");
            assert_eq!(Request::parse(again), Ok(request));
        }
        if let Ok(reply) = Reply::parse(&line) {
            let again = reply.line();
            let again = again.strip_suffix(b"\n").expect("a line has an end");
            assert_eq!(Reply::parse(again), Ok(reply));
        }
    }
}
