//! What a daemon answers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::request::Task;
use super::status::{Kinds, Status};
use super::{LINE_LEN_MAX, TEXT_LEN_MAX, VERSION};

/// What a daemon says to a request, in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// How far it is. More lines follow.
    Progress(Progress),
    /// To [`super::Request::Status`].
    Status(Box<Status>),
    /// A walk has come to its end.
    Walked(Walked),
    /// Likewise of expiry.
    Expired(Expired),
    /// Something was put right.
    Mended(Mended),
    /// It was done, and there is nothing to say of it.
    Done {},
    /// It was not done.
    Refused(Refused),
}

/// How far a walk is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which walk.
    pub task: Task,
    /// Parts of a million of the store that are done, reckoned by storage index.
    pub millionths: u32,
    /// Buckets and slots seen.
    pub buckets: u64,
    /// Shares seen.
    pub shares: u64,
    /// Bytes read of them.
    pub bytes: u64,
}

/// What a walk has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walked {
    /// Whether it saw the whole store; if not it was told to stop.
    pub whole: bool,
    /// Buckets and slots.
    pub buckets: u64,
    /// Shares.
    pub shares: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Shares that are damaged.
    pub damaged: u64,
    /// Files that are nobody's.
    pub foreign: u64,
}

/// What expiry has done, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// Whether it saw the whole store; if not it was told to stop.
    pub whole: bool,
    /// Whether nothing was removed, but only reckoned.
    pub dry_run: bool,
    /// Shares that were looked at.
    pub shares: u64,
    /// Shares that were removed, or would be, and the bytes of their files.
    pub removed: Kinds,
    /// Shares that could not be judged or removed; they stay.
    pub failed: u64,
}

/// Something was put right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// Where it is now, below the store directory, if it is anywhere.
    pub to: Option<String>,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// For programs.
    pub reason: Reason,
    /// For people, at most [`TEXT_LEN_MAX`] bytes.
    pub message: String,
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The line is not a request.
    Malformed,
    /// The line is of another version of this protocol.
    Version,
    /// There is no such request.
    Unknown,
    /// There are as many connections as may be.
    TooMany,
    /// Another walk is under way, or the configuration does not allow it.
    NotNow,
    /// The daemon stops, or its store does not take it.
    Unavailable,
    /// It was tried and failed.
    Failed,
    /// A reason that only a later version knows.
    #[serde(other)]
    Other,
}

/// A line is no answer that this program knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// It is of another version.
    #[error("the daemon speaks version {0} of the control protocol, this program {VERSION}")]
    Version(u64),
    /// It is not what the protocol says.
    #[error("the daemon's answer is not understood: {0}")]
    Malformed(String),
}

impl Refused {
    /// A reason, and what to tell people.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let message = cut(message.into(), TEXT_LEN_MAX);
        Self { reason, message }
    }
}

impl Reply {
    /// Whether another line follows to the same request.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Progress(_))
    }

    /// Reads one line.
    ///
    /// # Errors
    ///
    /// [`ReplyError`].
    pub fn parse(line: &[u8]) -> Result<Self, ReplyError> {
        let malformed = |error: serde_json::Error| ReplyError::Malformed(error.to_string());
        let mut fields: Map<String, Value> = serde_json::from_slice(line).map_err(malformed)?;
        match fields
            .remove("version")
            .and_then(|version| version.as_u64())
        {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => return Err(ReplyError::Version(version)),
            None => return Err(ReplyError::Malformed("it has no version".to_owned())),
        }
        serde_json::from_value(Value::Object(fields)).map_err(malformed)
    }

    /// The line that says it, with its end.
    ///
    /// # Panics
    ///
    /// Never: each of its fields has a form in JSON.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        line(self)
    }
}

/// A line of JSON, with the version in front.
pub(super) fn line(says: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a, T> {
        version: u32,
        #[serde(flatten)]
        says: &'a T,
    }
    let version = VERSION;
    let mut line = serde_json::to_vec(&Line { version, says }).expect("every field has a form");
    debug_assert!(line.len() <= LINE_LEN_MAX, "what is said is bounded");
    line.push(b'\n');
    line
}

/// A text of so many bytes at most.
pub(super) fn cut(mut text: String, len_max: usize) -> String {
    if text.len() > len_max {
        let end = (0..=len_max).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_understood() {
        let replies = [
            Reply::Progress(Progress {
                task: Task::Scrub,
                millionths: 500_000,
                buckets: 7,
                shares: 8,
                bytes: 1 << 60,
            }),
            Reply::Walked(Walked::default()),
            Reply::Expired(Expired {
                dry_run: true,
                ..Expired::default()
            }),
            Reply::Mended(Mended { to: None }),
            Reply::Mended(Mended {
                to: Some("quarantine/x".to_owned()),
            }),
            Reply::Done {},
            Reply::Refused(Refused::new(Reason::NotNow, "no")),
        ];
        for reply in replies {
            let line = reply.line();
            let text = line.strip_suffix(b"\n").expect("a line");
            assert_eq!(Reply::parse(text), Ok(reply));
        }
        let line = Reply::Refused(Refused::new(Reason::TooMany, "no")).line();
        let expected = br#"{"version":1,"reply":"refused","reason":"too-many","message":"no"}"#;
        assert_eq!(line.strip_suffix(b"\n"), Some(&expected[..]));
    }

    // An asker of today must understand what a daemon of tomorrow says beside what it knows.
    #[test]
    fn what_a_later_daemon_says_more_is_left_out() {
        let line = br#"{"version":1,"reply":"done","more":{"a":[1]}}"#;
        assert_eq!(Reply::parse(line), Ok(Reply::Done {}));
        let line = br#"{"version":1,"reply":"refused","reason":"new","message":"m"}"#;
        let refused = Reply::parse(line).expect("a reply");
        assert_eq!(refused, Reply::Refused(Refused::new(Reason::Other, "m")));
        let line = br#"{"version":2,"reply":"done"}"#;
        assert_eq!(Reply::parse(line), Err(ReplyError::Version(2)));
        for line in ["", "5", "{}", r#"{"version":1,"reply":"x"}"#] {
            let error = Reply::parse(line.as_bytes()).expect_err(line);
            assert!(matches!(error, ReplyError::Malformed(_)), "{line}");
        }
    }

    // The same as the fuzzer does, on what is nearly right.
    #[test]
    fn each_changed_byte_is_refused_or_understood() {
        let replies = [
            Reply::Refused(Refused::new(Reason::Failed, "why \u{e9}")),
            Reply::Expired(Expired::default()),
        ];
        for reply in replies {
            let line = reply.line();
            for at in 0..line.len() {
                for bit in 0..8 {
                    let mut changed = line.clone();
                    changed[at] ^= 1 << bit;
                    crate::fuzz::control::lines(&changed);
                }
                crate::fuzz::control::lines(&line[..at]);
            }
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let refused = Refused::new(Reason::Failed, "\u{e9}".repeat(TEXT_LEN_MAX));
        assert_eq!(refused.message, "\u{e9}".repeat(TEXT_LEN_MAX / 2));
        assert_eq!(cut("\u{e9}\u{e9}".to_owned(), 3), "\u{e9}");
    }
}
