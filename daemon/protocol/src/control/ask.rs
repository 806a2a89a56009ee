//! The asking end, over whatever connection the caller has opened.

use std::io::{self, Read, Write};

use super::line::{LineReader, LineTooLong};
use super::reply::{Progress, Reply, ReplyError};
use super::request::Request;

/// Asks, and takes the answer to its last line.
///
/// # Errors
///
/// [`AskError`]; whether it was done is not known then.
pub fn ask(
    connection: &mut (impl Read + Write),
    request: &Request,
    mut progress: impl FnMut(&Progress),
) -> Result<Reply, AskError> {
    connection.write_all(&request.line())?;
    connection.flush()?;
    let mut reader = LineReader::default();
    let mut buffer = [0; BUFFER_LEN];
    loop {
        let len = match connection.read(&mut buffer) {
            Ok(0) => return Err(AskError::HungUp),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let mut input = &buffer[..len];
        while let Some(line) = reader.read(&mut input)? {
            match Reply::parse(&line)? {
                Reply::Progress(so_far) => progress(&so_far),
                reply => return Ok(reply),
            }
        }
    }
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The connection broke.
    #[error("the connection to the daemon broke: {0}")]
    Connection(#[from] io::Error),
    /// The daemon has ended the connection.
    #[error("the daemon ended the connection without an answer")]
    HungUp,
    /// The answer is not understood.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// The answer never ends.
    #[error("the daemon's answer is not understood: {0}")]
    TooLong(#[from] LineTooLong),
}

const BUFFER_LEN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::{Reason, Refused, Task};
    use super::*;

    /// A daemon that says this, whatever it is asked, some bytes at a time.
    struct Says {
        bytes: Vec<u8>,
        asked: Vec<u8>,
    }

    impl Read for Says {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = buffer.len().min(self.bytes.len()).min(7);
            buffer[..len].copy_from_slice(&self.bytes[..len]);
            self.bytes.drain(..len);
            Ok(len)
        }
    }

    impl Write for Says {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.asked.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn asked(bytes: Vec<u8>) -> (Vec<u32>, Result<Reply, AskError>) {
        let asked = Vec::new();
        let mut says = Says { bytes, asked };
        let mut heard = Vec::new();
        let request = Request::Scrub {};
        let reply = ask(&mut says, &request, |so_far| heard.push(so_far.millionths));
        assert_eq!(says.asked, request.line());
        (heard, reply)
    }

    #[test]
    fn progress_is_heard_until_the_answer_comes() {
        let progress = |millionths| {
            let progress = Progress {
                task: Task::Scrub,
                millionths,
                buckets: 0,
                shares: 0,
                bytes: 0,
            };
            Reply::Progress(progress).line()
        };
        let done = Reply::Done {};
        let said = [progress(1), progress(2), done.line()].concat();
        let (heard, reply) = asked(said);
        assert_eq!((heard, reply.expect("an answer")), (vec![1, 2], done));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let (_, reply) = asked(Vec::new());
        assert!(matches!(reply, Err(AskError::HungUp)));
        let (_, reply) = asked(b"hello\n".to_vec());
        assert!(matches!(reply, Err(AskError::Reply(_))));
        let (_, reply) = asked(vec![b'x'; 1 << 17]);
        assert!(matches!(reply, Err(AskError::TooLong(_))));
        let refused = Reply::Refused(Refused::new(Reason::Unknown, "no"));
        let (_, reply) = asked(refused.line());
        assert_eq!(reply.expect("an answer"), refused);
    }
}
