//! What is asked of a daemon.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::VERSION;
use super::reply::{Reason, Refused};

/// What is asked, in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How the daemon and its store are.
    Status {},
    /// Read every share and prove its bytes, beginning now or where the last pass stopped.
    Scrub {},
    /// Remove shares whose leases have ended, by the rule of the configuration.
    Expire {
        /// Remove nothing; say what would be.
        dry_run: bool,
    },
    /// Count all shares anew.
    Count {},
    /// Put something in the store right.
    Mend {
        /// Where it is, below the store directory.
        path: String,
        /// What is to be done.
        how: Mending,
    },
    /// End a walk that is under way; it goes on where it stopped when it is next due.
    Stop {
        /// Which.
        task: Task,
    },
}

/// What can be done about something in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mending {
    /// It is moved into the quarantine.
    Quarantine,
    /// A bucket is moved to where it is looked for.
    PutInPlace,
    /// A directory with nothing in it is removed.
    RemoveEmpty,
}

/// A walk over the whole store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Proving all bytes.
    Scrub,
    /// Removing shares whose leases have ended.
    Expire,
    /// Counting shares and bytes.
    Count,
    /// Moving buckets to where another layout has them.
    Migrate,
}

impl Task {
    /// Its name, as on the line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scrub => "scrub",
            Self::Expire => "expire",
            Self::Count => "count",
            Self::Migrate => "migrate",
        }
    }
}

impl Request {
    /// Every name of a request.
    pub const NAMES: [&'static str; 6] = ["status", "scrub", "expire", "count", "mend", "stop"];

    /// Reads one line.
    ///
    /// # Errors
    ///
    /// The answer to a line that is none, or of another version.
    pub fn parse(line: &[u8]) -> Result<Self, Refused> {
        let malformed = |what: String| Refused::new(Reason::Malformed, what);
        let mut fields: Map<String, Value> =
            serde_json::from_slice(line).map_err(|error| malformed(error.to_string()))?;
        match fields
            .remove("version")
            .and_then(|version| version.as_u64())
        {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => {
                let what = format!("version {version} is not spoken here, but {VERSION}");
                return Err(Refused::new(Reason::Version, what));
            }
            None => return Err(malformed("`version` must be a number".to_owned())),
        }
        let name = match fields.get("ask") {
            Some(Value::String(name)) => name.as_str(),
            _ => return Err(malformed("`ask` must be the name of a request".to_owned())),
        };
        if !Self::NAMES.contains(&name) {
            let what = format!("the requests are {}", Self::NAMES.join(", "));
            return Err(Refused::new(Reason::Unknown, what));
        }
        serde_json::from_value(Value::Object(fields)).map_err(|error| malformed(error.to_string()))
    }

    /// The line that asks, with its end.
    ///
    /// # Panics
    ///
    /// Never: each of its fields has a form in JSON.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        super::reply::line(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_what_is_understood() {
        for (request, expected) in [
            (Request::Status {}, r#"{"version":1,"ask":"status"}"#),
            (Request::Scrub {}, r#"{"version":1,"ask":"scrub"}"#),
            (
                Request::Expire { dry_run: true },
                r#"{"version":1,"ask":"expire","dry_run":true}"#,
            ),
            (Request::Count {}, r#"{"version":1,"ask":"count"}"#),
            (
                Request::Mend {
                    path: "shares/x".to_owned(),
                    how: Mending::PutInPlace,
                },
                r#"{"version":1,"ask":"mend","path":"shares/x","how":"put-in-place"}"#,
            ),
            (
                Request::Stop { task: Task::Scrub },
                r#"{"version":1,"ask":"stop","task":"scrub"}"#,
            ),
        ] {
            let line = request.line();
            let (end, text) = line.split_last().expect("a line");
            assert_eq!((*end, text), (b'\n', expected.as_bytes()));
            assert_eq!(Request::parse(text), Ok(request));
        }
    }

    // A request that is half understood would do something else than what was asked.
    #[test]
    fn what_is_not_understood_is_refused_by_reason() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for (line, reason) in [
            ("", Reason::Malformed),
            ("status", Reason::Malformed),
            ("[]", Reason::Malformed),
            ("{}", Reason::Malformed),
            (&deep, Reason::Malformed),
            (r#"{"version":1}"#, Reason::Malformed),
            (r#"{"version":1,"ask":5}"#, Reason::Malformed),
            (r#"{"version":"1","ask":"status"}"#, Reason::Malformed),
            (r#"{"version":1,"ask":"status"} x"#, Reason::Malformed),
            (r#"{"version":1,"ask":"status","now":1}"#, Reason::Malformed),
            (r#"{"version":1,"ask":"expire"}"#, Reason::Malformed),
            (
                r#"{"version":1,"ask":"expire","dry_run":1}"#,
                Reason::Malformed,
            ),
            (
                r#"{"version":1,"ask":"stop","task":"all"}"#,
                Reason::Malformed,
            ),
            (r#"{"version":2,"ask":"status"}"#, Reason::Version),
            (r#"{"version":1,"ask":"remove"}"#, Reason::Unknown),
        ] {
            let refused = Request::parse(line.as_bytes()).expect_err(line);
            assert_eq!(refused.reason, reason, "{line}: {refused}");
        }
        assert!(Request::parse(b"{\"version\":1,\"ask\":\"status\xff\"}").is_err());
    }
}
