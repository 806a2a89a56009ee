//! What `--json` prints: an object a line, its shape versioned and written down in `docs/tahoectl.md`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use data_encoding::BASE64;
use protocol::{Farewell, Reason};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tools::Error;
use tools::error::{Failure, InputError, Lack, ServerError};
use tools::fsck::FsckError;

/// Counts changes that a reader of the objects would stumble over; new fields are none.
const VERSION: u32 = 1;

/// An object that grows field by field.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Object(Map<String, Value>);

impl Object {
    /// Begins an object of this type.
    pub(crate) fn new(kind: &str) -> Self {
        Self(Map::new()).with("version", VERSION).with("type", kind)
    }

    /// Adds a field.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// Adds the name of a file: as text, and in base64 beside it where text cannot carry it.
    pub(crate) fn path(self, key: &str, path: &Path) -> Self {
        let object = self.with(key, path.to_string_lossy());
        match path.to_str() {
            Some(_) => object,
            None => {
                let bytes = BASE64.encode(path.as_os_str().as_bytes());
                object.with(&format!("{key}_b64"), bytes)
            }
        }
    }

    /// Adds what went wrong at single servers.
    pub(crate) fn failures(self, failures: &[Failure]) -> Self {
        let failures: Vec<_> = failures.iter().map(failure).collect();
        self.with("failures", failures)
    }

    /// Describes an error, of one file if it is about one.
    pub(crate) fn error(error: &Error, hint: Option<String>, file: Option<&Path>) -> Self {
        let text = error.to_string();
        // What follows is the list of servers, which has a field of its own.
        let sentence = text.lines().next().unwrap_or_default();
        let mut object = Self::new("error")
            .with("kind", kind(error))
            .with("error", sentence)
            .with("hint", hint)
            .with("exit", error.exit().code());
        if let Some(file) = file {
            object = object.path("file", file);
        }
        match error {
            Error::Unhappy(unhappy) => object.failures(&unhappy.failures),
            Error::NotEnoughShares(missing) => object.failures(&missing.failures),
            _ => object,
        }
    }
}

fn failure(failure: &Failure) -> Value {
    let mut object = json!({
        "server": &*failure.server,
        "kind": server_kind(&failure.error),
        "reason": failure.error.to_string(),
    });
    if let Some(share) = failure.share {
        object["share"] = share.as_u8().into();
    }
    // Why, as far as the server said it in words that are fixed.
    match &*failure.error {
        ServerError::Refused(refusal) => object["why"] = refusal_kind(refusal.reason).into(),
        ServerError::Farewell(farewell, _) => object["why"] = farewell_kind(*farewell).into(),
        _ => {}
    }
    object
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Home(_) => "configuration",
        Error::Settings(_) | Error::Parameters(_) => "encoding",
        Error::Runtime(_) | Error::Random(_) => "system",
        Error::Capability(_) => "capability",
        Error::Nurl(_) => "nurl",
        Error::Input(InputError::Changed { .. }) => "input_changed",
        Error::Input(_) => "input",
        Error::Output { .. } => "output",
        Error::OutputExists { .. } => "output_exists",
        Error::NotWritable { .. } => "output_not_a_file",
        Error::BinaryToTerminal => "binary_to_terminal",
        Error::Span { .. } => "range",
        Error::VerifyOnly => "verify_only",
        Error::Inconsistent(_) => "inconsistent",
        Error::NoServers { .. } => "no_servers",
        Error::Unhappy(unhappy) => match unhappy.lack() {
            Lack::Servers => "too_few_servers",
            Lack::Shares => "too_few_shares_stored",
        },
        Error::NotEnoughShares(_) => "too_few_shares",
        Error::Stats(_) => "store",
        Error::LocalGrid(_) => "local_grid",
        Error::Fsck(FsckError::InUse { .. }) => "store_in_use",
        Error::Fsck(_) => "store",
        Error::Migrate(error) => migrate_kind(error),
        Error::Interrupted => "interrupted",
    }
}

fn migrate_kind(error: &tools::migrate::Error) -> &'static str {
    use tools::migrate::Error;
    match error {
        Error::Survey { .. } => "store_unreadable",
        Error::InUse { .. } => "store_in_use",
        Error::Open { .. } => "store_does_not_open",
        Error::Limit { .. } => "too_many_directories",
        Error::Taken { .. } => "place_taken",
        Error::Broken(_) | Error::Stopped => "not_all_moved",
        Error::Refused(_) | Error::Daemon(_) => "daemon",
        Error::Driver(_) | Error::Random(_) => "system",
    }
}

fn server_kind(error: &ServerError) -> &'static str {
    match error {
        ServerError::Unreachable(_) => "unreachable",
        ServerError::TooSlow { .. } => "too_slow",
        ServerError::WrongKey => "wrong_key",
        ServerError::Tls(_) => "tls",
        ServerError::OtherProtocol => "other_protocol",
        ServerError::Farewell(..) => "farewell",
        ServerError::Broken(_) => "broken",
        ServerError::Misbehaved(_) => "misbehaved",
        ServerError::Refused(_) => "refused",
        ServerError::NoShare => "no_share",
        ServerError::BadShare(_) => "bad_share",
    }
}

fn refusal_kind(reason: Reason) -> &'static str {
    match reason {
        Reason::Full => "full",
        Reason::ReadOnly => "read_only",
        Reason::TooLarge => "too_large",
        Reason::TooManyUploads => "too_many_uploads",
        Reason::InProgress => "in_progress",
        Reason::OutOfOrder => "out_of_order",
        Reason::WrongSize => "wrong_size",
        Reason::Expired => "expired",
        Reason::Aborted => "aborted",
        Reason::Damaged => "damaged",
        Reason::Disk => "disk",
        Reason::Stopping => "stopping",
        Reason::Unlisted(_) => "unlisted",
    }
}

fn farewell_kind(farewell: Farewell) -> &'static str {
    match farewell {
        Farewell::WrongSwissnum => "wrong_swissnum",
        Farewell::Violation => "violation",
        Farewell::TooManyConnections => "too_many_connections",
        Farewell::Idle => "idle",
        Farewell::TooSlow => "too_slow",
        Farewell::Stopping => "stopping",
        Farewell::Internal => "internal",
        Farewell::Unlisted(_) => "unlisted",
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use tools::error::Unhappy;

    use super::*;

    // A program that lowers `happy` and tries again must know when that is no help.
    #[test]
    fn an_upload_that_could_not_be_read_has_a_kind_of_its_own() {
        let kind_of = |happiness, stored| {
            let unhappy = Unhappy {
                happiness,
                happy: 2,
                stored,
                needed: 3,
                servers: 2,
                failures: Vec::new(),
            };
            kind(&unhappy.into())
        };
        assert_eq!(kind_of(2, 2), "too_few_shares_stored");
        assert_eq!(kind_of(1, 3), "too_few_servers");
        assert_eq!(kind_of(1, 1), "too_few_servers");
    }

    // A name that lost bytes names another file, or none.
    #[test]
    fn a_name_that_is_no_text_comes_whole() {
        let name = Path::new(OsStr::from_bytes(b"caf\xe9"));
        let Value::Object(object) = json!(Object::new("test").path("file", name)) else {
            panic!("it is an object");
        };
        assert_eq!(object["file"], "caf\u{fffd}");
        assert_eq!(object["file_b64"], BASE64.encode(b"caf\xe9"));
        let Value::Object(object) = json!(Object::new("test").path("file", Path::new("a"))) else {
            panic!("it is an object");
        };
        assert_eq!(object["file"], "a");
        assert!(!object.contains_key("file_b64"));
    }
}
