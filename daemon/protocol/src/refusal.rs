//! Refusals: of one request, which leaves the connection whole, and of the connection itself.
//!
//! Codes unknown here are kept as numbers rather than refused, so that a later server may name a
//! finer reason; a client treats them as a refusal all the same.

use std::fmt;

use bytes::Bytes;

use crate::error::Malformed;
use crate::limits::TEXT_LEN_MAX;

/// Makes an enum of codes from 1 with an `Unlisted` rest.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$code_doc:meta])* $code:literal $variant:ident $words:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$code_doc])* $variant,)*
            /// A code that this version has no name for.
            Unlisted(UnlistedCode),
        }

        impl $name {
            pub(crate) fn from_code(code: u8) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    _ => Self::Unlisted(UnlistedCode(code)),
                }
            }

            pub(crate) fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Unlisted(code) => code.0,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($words),)*
                    Self::Unlisted(code) => write!(f, "refused with code {}", code.0),
                }
            }
        }
    };
}

/// A code without a name; only received, never made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnlistedCode(u8);

codes! {
    /// Why a server refuses one request. The connection goes on.
    Reason {
        /// No room for new shares: disk full, or down to the reserved space.
        1 Full "the server is full",
        /// The server takes no new shares.
        2 ReadOnly "the server takes no new shares",
        /// The share is larger than the server takes.
        3 TooLarge "the share is larger than the server takes",
        /// Another client is uploading this share.
        4 InProgress "another client is uploading this share",
        /// The server's disk failed at this share.
        5 Disk "the server's disk failed",
        /// DATA left a gap or repeated bytes.
        6 OutOfOrder "share bytes were sent out of order",
        /// The size at CLOSE is not what was sent or announced.
        7 WrongSize "the share has another size than was announced",
        /// The upload was idle for too long and has been dropped.
        8 Expired "the upload was idle for too long",
        /// The server is stopping.
        9 Stopping "the server is stopping",
        /// Too many uploads are open on this connection or server.
        10 TooManyUploads "too many uploads are open",
        /// The client gave the upload up.
        11 Aborted "the client gave the upload up",
        /// What is in the bucket is not a share.
        12 Damaged "the share on the server's disk is damaged",
    }
}

codes! {
    /// Why a server closes a connection.
    Farewell {
        /// The swissnum is not this server's.
        1 WrongSwissnum "the swissnum is wrong",
        /// The client sent what is no frame, or a frame out of place.
        2 Violation "the client broke the protocol",
        /// The server has as many connections as it takes.
        3 TooManyConnections "the server has too many connections",
        /// Nothing was asked for too long.
        4 Idle "the connection was idle for too long",
        /// The client was too slow to send or to take bytes.
        5 TooSlow "the client was too slow",
        /// The server is stopping.
        6 Stopping "the server is stopping",
        /// The server failed.
        7 Internal "the server failed",
    }
}

/// A refusal of one request: the reason, and a text for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, for a program.
    pub reason: Reason,
    /// Why, for a person; may be empty. From a peer: print it escaped.
    pub text: String,
}

impl Refusal {
    /// A refusal whose reason says it all.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self {
            reason,
            text: String::new(),
        }
    }

    /// A refusal with a text, of which at most [`TEXT_LEN_MAX`] bytes are sent.
    #[must_use]
    pub fn with_text(reason: Reason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.is_empty() {
            true => write!(f, "{}", self.reason),
            false => write!(f, "{} ({})", self.reason, self.text.escape_debug()),
        }
    }
}

/// The part of `text` that a frame carries: whole characters, at most [`TEXT_LEN_MAX`] bytes.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Reads the text at the end of a frame.
pub(crate) fn text(bytes: &Bytes) -> Result<String, Malformed> {
    match std::str::from_utf8(bytes) {
        // The frame's own bound allows a little more where the fields before it are short.
        Ok(text) if text.len() <= TEXT_LEN_MAX => Ok(text.to_owned()),
        Ok(_) => Err(Malformed::TrailingBytes),
        Err(_) => Err(Malformed::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_as_itself() {
        for code in 0..=255 {
            assert_eq!(Reason::from_code(code).code(), code);
            assert_eq!(Farewell::from_code(code).code(), code);
        }
        assert_eq!(Reason::from_code(1), Reason::Full);
    }

    // Cutting inside a character would make our own frame malformed.
    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "\u{20ac}".repeat(80);
        assert_eq!(cut(&text).len(), 198);
        assert_eq!(cut("short"), "short");
    }

    // The text comes from a stranger and is shown on terminals.
    #[test]
    fn a_peers_text_is_shown_escaped() {
        let refusal = Refusal::with_text(Reason::Full, "\u{1b}[2J");
        assert_eq!(refusal.to_string(), "the server is full (\\u{1b}[2J)");
    }
}
