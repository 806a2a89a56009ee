//! What one server did not do, and why.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use lafs::ShareNumber;
use protocol::{Farewell, Reason, Refusal, Violation};

/// Why one server did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its name has no address, or nothing answers at that address.
    #[error("cannot be reached: {0}")]
    Unreachable(io::Error),
    /// Nothing came back in time.
    #[error("{doing} took longer than {:.1} s", .limit.as_secs_f32())]
    TooSlow {
        /// What was being waited for.
        doing: Doing,
        /// How long.
        limit: Duration,
    },
    /// Its key is not the one in the NURL: another machine, or someone in between.
    #[error("another key than the NURL names")]
    WrongKey,
    /// TLS failed otherwise.
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    /// It speaks TLS, but not the pipeline.
    #[error("TLS, but not {}", String::from_utf8_lossy(protocol::ALPN))]
    OtherProtocol,
    /// It closed the connection and said why.
    #[error("closed the connection: {}", Farewelled(.0, .1))]
    Farewell(Farewell, String),
    /// The connection broke, and again when it was made anew.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// It broke the protocol.
    #[error("broke the protocol: {0}")]
    Misbehaved(#[from] Violation),
    /// It refused a share.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// It holds no share of the file.
    #[error("no share of this file")]
    NoShare,
    /// What it sent is not the share that it should be.
    #[error("sent a bad share: {0}")]
    BadShare(encoder::native::Damage),
}

impl ServerError {
    /// Whether the same server might do it if asked once more on a new connection.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Farewell(Farewell::Idle, _))
    }

    /// Whether the server had been reached, and then fell silent: for all we know, our own line did.
    #[must_use]
    pub fn is_stall(&self) -> bool {
        let doing = Doing::Answering;
        matches!(self, Self::TooSlow { doing: other, .. } if *other == doing)
    }

    /// What kind of trouble it is.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Unreachable(error) if error.kind() == io::ErrorKind::Unsupported => {
                Trouble::Foreign
            }
            Self::Unreachable(_) | Self::TooSlow { .. } | Self::Broken(_) => Trouble::Away,
            // The connection broke before there was TLS on it.
            Self::Tls(error) if error.kind() != io::ErrorKind::InvalidData => Trouble::Away,
            Self::WrongKey => Trouble::WrongKey,
            Self::Tls(_) | Self::OtherProtocol | Self::Misbehaved(_) => Trouble::Foreign,
            Self::Farewell(farewell, _) => match farewell {
                Farewell::WrongSwissnum => Trouble::WrongSwissnum,
                Farewell::TooManyConnections
                | Farewell::Idle
                | Farewell::TooSlow
                | Farewell::Stopping => Trouble::Busy,
                Farewell::Violation | Farewell::Internal | Farewell::Unlisted(_) => Trouble::Broken,
            },
            Self::Refused(refusal) => match refusal.reason {
                Reason::Full => Trouble::Full,
                Reason::ReadOnly => Trouble::ReadOnly,
                Reason::TooLarge => Trouble::TooLarge,
                Reason::InProgress
                | Reason::Expired
                | Reason::Stopping
                | Reason::TooManyUploads
                | Reason::Aborted => Trouble::Busy,
                Reason::Disk
                | Reason::OutOfOrder
                | Reason::WrongSize
                | Reason::Damaged
                | Reason::Unlisted(_) => Trouble::Broken,
            },
            Self::NoShare => Trouble::NoShare,
            Self::BadShare(_) => Trouble::BadShare,
        }
    }
}

/// What keeps a server from doing its part, by what a user can do about it. Of several, the last is
/// the most telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// It holds no share of the file, which is no fault of its own.
    NoShare,
    /// Down, cut off, or silent.
    Away,
    /// It has too much to do, or is stopping.
    Busy,
    /// It has no room.
    Full,
    /// It takes no new shares.
    ReadOnly,
    /// It takes no share of this size.
    TooLarge,
    /// Its disk, or the program itself, has failed.
    Broken,
    /// It does not let this client in.
    WrongSwissnum,
    /// It is not the server that the NURL names.
    WrongKey,
    /// It is no server that this client can speak to.
    Foreign,
    /// It sent what is no share of the file.
    BadShare,
}

impl Trouble {
    /// The name of it for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoShare => "no_share",
            Self::Away => "away",
            Self::Busy => "busy",
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::TooLarge => "too_large",
            Self::Broken => "broken",
            Self::WrongSwissnum => "wrong_swissnum",
            Self::WrongKey => "wrong_key",
            Self::Foreign => "foreign",
            Self::BadShare => "bad_share",
        }
    }
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// TCP and TLS.
    Connecting,
    /// An answer.
    Answering,
    /// Taking share bytes, which held the other servers back.
    TakingBytes,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Answering => "an answer",
            Self::TakingBytes => "taking share bytes",
        })
    }
}

struct Farewelled<'a>(&'a Farewell, &'a str);

impl fmt::Display for Farewelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        // The text is a stranger's and may be meant for the terminal.
        match self.1 {
            "" => Ok(()),
            text => write!(f, " ({})", text.escape_debug()),
        }
    }
}

/// What one server did not do, and why.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The server, as `host:port`.
    pub server: Arc<str>,
    /// Which share it was about, if about one.
    pub share: Option<ShareNumber>,
    /// Why.
    pub error: Arc<ServerError>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.share {
            Some(share) => write!(f, "{}: share {share}: {}", self.server, self.error),
            None => write!(f, "{}: {}", self.server, self.error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A server that is stopped during a handshake is a server, and may be back soon.
    #[test]
    fn only_what_is_no_tls_is_foreign_and_what_breaks_is_away() {
        let tls = |kind: io::ErrorKind| ServerError::Tls(kind.into()).trouble();
        assert_eq!(tls(io::ErrorKind::UnexpectedEof), Trouble::Away);
        assert_eq!(tls(io::ErrorKind::ConnectionReset), Trouble::Away);
        assert_eq!(tls(io::ErrorKind::InvalidData), Trouble::Foreign);
    }

    #[test]
    fn an_onion_service_is_foreign_and_a_server_that_is_down_is_away() {
        let unreachable = |kind: io::ErrorKind| ServerError::Unreachable(kind.into()).trouble();
        assert_eq!(unreachable(io::ErrorKind::Unsupported), Trouble::Foreign);
        assert_eq!(unreachable(io::ErrorKind::ConnectionRefused), Trouble::Away);
    }
}
