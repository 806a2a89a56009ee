//! Which endpoint a method and a path name.
//!
//! ```text
//! GET   /storage/v1/version                           PATCH /storage/v1/immutable/SI/N
//! PUT   /storage/v1/lease/SI                          PUT   /storage/v1/immutable/SI/N/abort
//! POST  /storage/v1/immutable/SI                      GET   /storage/v1/KIND/SI/shares
//! POST  /storage/v1/mutable/SI/read-test-write        GET   /storage/v1/KIND/SI/N
//!                                                     POST  /storage/v1/KIND/SI/N/corrupt
//! ```
//!
//! `KIND` is `immutable` or `mutable`, `SI` a storage index in its one spelling, `N` decimal digits
//! of a share number, leading zeros allowed. HEAD goes where GET goes.
//!
//! A query is ignored, then escapes are decoded, then the path is compared, so that `%2F` is a
//! slash; one more leading slash is ignored, and nothing else is: no trailing or inner slash, no
//! dot segments. Nothing of a path is ever a file name: it becomes a [`StorageIndex`] and a
//! [`ShareNumber`] or is refused.

use std::fmt;

use lafs::{ShareNumber, StorageIndex};

use super::limits::PATH_LEN_MAX;
use super::rejection::Rejection;

/// What a request is for: one of Tahoe's handlers, and what its path says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// What the server is, and how much space it has.
    Version,
    /// Renews or adds a lease on every share of a bucket or slot.
    AddOrRenewLease {
        /// The bucket or slot.
        storage_index: StorageIndex,
    },
    /// Begins uploads of shares.
    AllocateBuckets {
        /// The bucket.
        storage_index: StorageIndex,
    },
    /// Writes part of a share that is being uploaded.
    WriteShareData {
        /// The bucket.
        storage_index: StorageIndex,
        /// The share.
        share_number: ShareNumber,
    },
    /// Gives an upload up.
    AbortShareUpload {
        /// The bucket.
        storage_index: StorageIndex,
        /// The share.
        share_number: ShareNumber,
    },
    /// Which shares are held.
    ListShares {
        /// As what they are asked for.
        kind: Kind,
        /// The bucket or slot.
        storage_index: StorageIndex,
    },
    /// Reads a share, or a range of it.
    ReadShareChunk {
        /// As what it is asked for.
        kind: Kind,
        /// The bucket or slot.
        storage_index: StorageIndex,
        /// The share.
        share_number: ShareNumber,
    },
    /// Takes a client's word that a share is damaged.
    AdviseCorruptShare {
        /// As what it is reported.
        kind: Kind,
        /// The bucket or slot.
        storage_index: StorageIndex,
        /// The share.
        share_number: ShareNumber,
    },
    /// Reads, tests and writes shares of a slot as one.
    ReadTestWrite {
        /// The slot.
        storage_index: StorageIndex,
    },
}

/// As what a path speaks of a share; what it is, the store knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A share of a bucket.
    Immutable,
    /// A share of a slot.
    Mutable,
}

impl Kind {
    /// The word, as in the path and in a corruption advisory.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Immutable => "immutable",
            Self::Mutable => "mutable",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Endpoint {
    /// Returns the endpoint that `method` and `target` name.
    ///
    /// `target` is the path of a request, with or without a query; methods are case-sensitive.
    ///
    /// # Errors
    ///
    /// [`Rejection::NoSuchPath`], or [`Rejection::MethodNotAllowed`] where another method would do.
    pub fn route(method: &str, target: &str) -> Result<Self, Rejection> {
        let path = target.split('?').next().unwrap_or_default();
        if path.len() > PATH_LEN_MAX {
            return Err(Rejection::NoSuchPath);
        }
        let path = percent_decoded(path).ok_or(Rejection::NoSuchPath)?;
        let (endpoints, allow) = with_path(&path).ok_or(Rejection::NoSuchPath)?;
        let method = match method {
            "HEAD" => "GET",
            other => other,
        };
        endpoints
            .into_iter()
            .flatten()
            .find(|endpoint| endpoint.method() == method)
            .ok_or(Rejection::MethodNotAllowed { allow })
    }

    /// The method, GET where HEAD would do as well.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::Version | Self::ListShares { .. } | Self::ReadShareChunk { .. } => "GET",
            Self::AddOrRenewLease { .. } | Self::AbortShareUpload { .. } => "PUT",
            Self::WriteShareData { .. } => "PATCH",
            Self::AllocateBuckets { .. }
            | Self::AdviseCorruptShare { .. }
            | Self::ReadTestWrite { .. } => "POST",
        }
    }
}

/// Prints the path in the form that a client sends.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        match self {
            Self::Version => f.write_str("version"),
            Self::AddOrRenewLease { storage_index } => write!(f, "lease/{storage_index}"),
            Self::AllocateBuckets { storage_index } => write!(f, "immutable/{storage_index}"),
            Self::WriteShareData {
                storage_index,
                share_number,
            } => write!(f, "immutable/{storage_index}/{share_number}"),
            Self::AbortShareUpload {
                storage_index,
                share_number,
            } => write!(f, "immutable/{storage_index}/{share_number}/abort"),
            Self::ListShares {
                kind,
                storage_index,
            } => write!(f, "{kind}/{storage_index}/shares"),
            Self::ReadShareChunk {
                kind,
                storage_index,
                share_number,
            } => write!(f, "{kind}/{storage_index}/{share_number}"),
            Self::AdviseCorruptShare {
                kind,
                storage_index,
                share_number,
            } => write!(f, "{kind}/{storage_index}/{share_number}/corrupt"),
            Self::ReadTestWrite { storage_index } => {
                write!(f, "mutable/{storage_index}/read-test-write")
            }
        }
    }
}

/// The endpoints that share a decoded path, at most two, and their `Allow` header.
fn with_path(path: &str) -> Option<([Option<Endpoint>; 2], &'static str)> {
    let one = |endpoint, allow| Some(([Some(endpoint), None], allow));
    let path = path
        .strip_prefix(PREFIX)
        .or_else(|| path.strip_prefix('/')?.strip_prefix(PREFIX))?;
    let mut segments = path.split('/');
    let family = segments.next()?;
    if family == "version" {
        return match segments.next() {
            None => one(Endpoint::Version, "GET, HEAD"),
            Some(_) => None,
        };
    }
    let storage_index = segments.next()?.parse().ok()?;
    let rest = (segments.next(), segments.next(), segments.next());
    let kind = match (family, rest) {
        ("lease", (None, ..)) => return one(Endpoint::AddOrRenewLease { storage_index }, "PUT"),
        ("immutable", _) => Kind::Immutable,
        ("mutable", _) => Kind::Mutable,
        _ => return None,
    };
    match (kind, rest) {
        (Kind::Immutable, (None, ..)) => one(Endpoint::AllocateBuckets { storage_index }, "POST"),
        (Kind::Mutable, (Some("read-test-write"), None, _)) => {
            one(Endpoint::ReadTestWrite { storage_index }, "POST")
        }
        (_, (Some("shares"), None, _)) => one(
            Endpoint::ListShares {
                kind,
                storage_index,
            },
            "GET, HEAD",
        ),
        (_, (Some(number), None, _)) => {
            let share_number = parse_share_number(number)?;
            let read = Endpoint::ReadShareChunk {
                kind,
                storage_index,
                share_number,
            };
            let write = Endpoint::WriteShareData {
                storage_index,
                share_number,
            };
            match kind {
                Kind::Immutable => Some(([Some(read), Some(write)], "GET, HEAD, PATCH")),
                Kind::Mutable => one(read, "GET, HEAD"),
            }
        }
        (_, (Some(number), Some("corrupt"), None)) => one(
            Endpoint::AdviseCorruptShare {
                kind,
                storage_index,
                share_number: parse_share_number(number)?,
            },
            "POST",
        ),
        (Kind::Immutable, (Some(number), Some("abort"), None)) => one(
            Endpoint::AbortShareUpload {
                storage_index,
                share_number: parse_share_number(number)?,
            },
            "PUT",
        ),
        _ => None,
    }
}

/// Parses digits with any number of leading zeros; a number beyond 255 is no share of anything.
fn parse_share_number(digits: &str) -> Option<ShareNumber> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match digits.trim_start_matches('0') {
        "" => Some(ShareNumber::new(0)),
        number => number.parse().ok(),
    }
}

/// Decodes escapes; `None` if one is not two hexadecimal digits, or the result is not UTF-8.
fn percent_decoded(path: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// What every path begins with.
const PREFIX: &str = "/storage/v1/";

#[cfg(test)]
mod tests {
    use super::*;

    const SI: &str = "aeaqcaibaeaqcaibaeaqcaibae";
    const BUCKET: StorageIndex = StorageIndex::new([1; 16]);

    fn share(number: u8) -> Endpoint {
        Endpoint::ReadShareChunk {
            kind: Kind::Immutable,
            storage_index: BUCKET,
            share_number: ShareNumber::new(number),
        }
    }

    #[test]
    fn each_endpoint_routes_to_itself_by_its_method_and_no_other() {
        let (storage_index, share_number) = (BUCKET, ShareNumber::new(7));
        let mut endpoints = vec![
            Endpoint::Version,
            Endpoint::AddOrRenewLease { storage_index },
            Endpoint::AllocateBuckets { storage_index },
            Endpoint::WriteShareData {
                storage_index,
                share_number,
            },
            Endpoint::AbortShareUpload {
                storage_index,
                share_number,
            },
            Endpoint::ReadTestWrite { storage_index },
        ];
        for kind in [Kind::Immutable, Kind::Mutable] {
            endpoints.extend([
                Endpoint::ListShares {
                    kind,
                    storage_index,
                },
                Endpoint::ReadShareChunk {
                    kind,
                    storage_index,
                    share_number,
                },
                Endpoint::AdviseCorruptShare {
                    kind,
                    storage_index,
                    share_number,
                },
            ]);
        }
        for endpoint in endpoints {
            let path = endpoint.to_string();
            assert_eq!(Endpoint::route(endpoint.method(), &path), Ok(endpoint));
            for method in [
                "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "get",
            ] {
                let routed = Endpoint::route(method, &path);
                match routed {
                    Ok(other) => assert_eq!(other.to_string(), path),
                    Err(Rejection::MethodNotAllowed { allow }) => {
                        assert!(!allow.split(", ").any(|allowed| allowed == method));
                        assert!(allow.contains(endpoint.method()));
                    }
                    Err(other) => panic!("{method} {path}: {other}"),
                }
            }
        }
    }

    #[test]
    fn spellings_that_tahoe_takes_name_the_same_share() {
        for target in [
            format!("/storage/v1/immutable/{SI}/3"),
            format!("//storage/v1/immutable/{SI}/3"),
            format!("/storage/v1/immutable/{SI}/0003"),
            format!("/storage/v1/immutable/{SI}/3?x=/y&%zz"),
            format!("/storage/v1/immutable/{SI}/{:0>600}", 3),
            format!("/st%6Frage/v1%2fimmutable%2F{SI}/%33"),
        ] {
            for method in ["GET", "HEAD"] {
                assert_eq!(Endpoint::route(method, &target), Ok(share(3)), "{target}");
            }
        }
        assert_eq!(
            Endpoint::route("GET", &format!("/storage/v1/immutable/{SI}/255")),
            Ok(share(255))
        );
    }

    // A path that is taken for another one would reach files that no share number names.
    #[test]
    fn path_tricks_lead_nowhere() {
        let upper = SI.to_uppercase();
        let spare_bits = format!("{}b", &SI[..25]);
        for path in [
            String::new(),
            "/".into(),
            "*".into(),
            "/storage/v1".into(),
            "/storage/v1/".into(),
            "/storage/v1/version/".into(),
            "/storage/v1/version/x".into(),
            "/storage/v2/version".into(),
            "storage/v1/version".into(),
            "///storage/v1/version".into(),
            "/storage//v1/version".into(),
            "/storage/v1//version".into(),
            "/storage/v1/./version".into(),
            "/storage/v1/../v1/version".into(),
            "/storage/v1/version%00".into(),
            "/storage/v1/version%3Fx".into(),
            "/storage/v1/version%".into(),
            "/storage/v1/version%4".into(),
            "/storage/v1/versio%6".into(),
            "/storage/v1/versio%+6e".into(),
            "/storage/v1/versio%256e".into(),
            "/storage/v1/version%ff".into(),
            "/storage/v1/Version".into(),
            "http://host/storage/v1/version".into(),
            format!("/storage/v1/lease/{upper}"),
            format!("/storage/v1/lease/{}", &SI[..25]),
            format!("/storage/v1/lease/{SI}a"),
            format!("/storage/v1/lease/{spare_bits}"),
            format!("/storage/v1/lease/{SI}/"),
            format!("/storage/v1/lease/{SI}/0"),
            format!("/storage/v1/lease//{SI}"),
            "/storage/v1/lease/..".into(),
            "/storage/v1/lease/..%2f..%2f..%2f..%2f..%2f..%2fetc".into(),
            format!("/storage/v1/immutable/{SI}/"),
            format!("/storage/v1/immutable/{SI}//0"),
            format!("/storage/v1/immutable/{SI}/-1"),
            format!("/storage/v1/immutable/{SI}/+1"),
            format!("/storage/v1/immutable/{SI}/1_0"),
            format!("/storage/v1/immutable/{SI}/%201"),
            format!("/storage/v1/immutable/{SI}/\u{661}"),
            format!("/storage/v1/immutable/{SI}/256"),
            format!("/storage/v1/immutable/{SI}/4294967296"),
            format!("/storage/v1/immutable/{SI}/{:9>300}", 9),
            format!("/storage/v1/immutable/{SI}/0/"),
            format!("/storage/v1/immutable/{SI}/0/corrupt/"),
            format!("/storage/v1/immutable/{SI}/0/lease"),
            format!("/storage/v1/immutable/{SI}/shares/0"),
            format!("/storage/v1/immutable/{SI}/read-test-write"),
            format!("/storage/v1/mutable/{SI}"),
            format!("/storage/v1/mutable/{SI}/0/abort"),
            format!("/storage/v1/incoming/{SI}/0"),
            format!("/storage/v1/version?{}", "").replace("version", &"x/".repeat(PATH_LEN_MAX)),
        ] {
            for method in ["GET", "POST", "PUT", "DELETE"] {
                let routed = Endpoint::route(method, &path);
                assert_eq!(routed, Err(Rejection::NoSuchPath), "{method} {path:?}");
            }
        }
    }
}
