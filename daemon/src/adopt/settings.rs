//! What `tahoe.cfg` says of a storage server (reference: storage server, section 5).
//!
//! Everything that would make an adopted server behave otherwise than the operator has written is
//! either taken over, or refused, or told in a [`Warning`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::ini::Ini;
use super::{AdoptError, Warning};
use crate::config::{ByteSize, Date, Expire, ExpireMode, Location, Span};
use crate::printable::Printable;

/// The settings that are taken over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) nickname: String,
    /// Empty if `tub.port` is not set; Tahoe keeps the port in a file then.
    pub(super) listen: Vec<SocketAddr>,
    /// Empty if `tub.location` is not set or `AUTO`: Tahoe finds out by itself then.
    pub(super) location: Vec<Location>,
    pub(super) storage_dir: PathBuf,
    pub(super) reserved_space: ByteSize,
    pub(super) read_only: bool,
    pub(super) expire: Expire,
    pub(super) warnings: Vec<Warning>,
}

impl Settings {
    /// Reads the text of a `tahoe.cfg`; `path` is for the messages.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, AdoptError> {
        let ini = Ini::parse(text).map_err(|error| AdoptError::Syntax {
            path: path.to_owned(),
            line: error.line,
        })?;
        let keys = Keys { ini, path };
        if !keys.flag("storage", "enabled", true)? {
            return Err(keys.fault("storage", "enabled", "the node offers no storage"));
        }
        if !keys.flag("storage", "anonymous", true)? {
            let rule = "the node lets no client in that only knows its swissnum, which is all that \
                        tahoed asks for";
            return Err(keys.fault("storage", "anonymous", rule));
        }
        let mut warnings = Vec::new();
        let listen = match keys.text("node", "tub.port")? {
            Some(text) => keys.listen(&text, &mut warnings)?,
            None => Vec::new(),
        };
        let location = match keys.text("node", "tub.location")? {
            Some(text) => locations(&text, &mut warnings)
                .map_err(|rule| keys.fault("node", "tub.location", rule))?,
            None => Vec::new(),
        };
        let storage_dir = keys.text("storage", "storage_dir")?;
        let storage_dir = storage_dir.unwrap_or_else(|| "storage".to_owned());
        if storage_dir.is_empty() || storage_dir.starts_with('~') {
            let rule = "it has to be an absolute path, or one relative to the node directory";
            return Err(keys.fault("storage", "storage_dir", rule));
        }
        let reserved_space = match keys.text("storage", "reserved_space")?.as_deref() {
            None | Some("") => ByteSize(0),
            Some(text) => text.parse().map_err(|_| {
                keys.fault(
                    "storage",
                    "reserved_space",
                    "sizes look like 500M, 1G or 2GiB",
                )
            })?,
        };
        for (key, warning) in [
            ("force_foolscap", Warning::Foolscap),
            ("grid_management", Warning::GridManager),
            ("debug_discard", Warning::Discard),
        ] {
            if keys.flag("storage", key, false)? {
                warnings.push(warning);
            }
        }
        if keys
            .text("storage", "plugins")?
            .is_some_and(|text| !text.is_empty())
        {
            warnings.push(Warning::Plugins);
        }
        if keys
            .text("client", "introducer.furl")?
            .is_some_and(|text| !text.is_empty())
        {
            let place = "[client] introducer.furl";
            warnings.push(Warning::Introducer { place });
        }
        let expire = keys.expire(&mut warnings)?;
        Ok(Self {
            nickname: keys.text("node", "nickname")?.unwrap_or_default(),
            listen,
            location,
            storage_dir: PathBuf::from(storage_dir),
            reserved_space,
            read_only: keys.flag("storage", "readonly", false)?,
            expire,
            warnings,
        })
    }
}

/// A file whose faults are told by key.
struct Keys<'a> {
    ini: Ini,
    path: &'a Path,
}

impl Keys<'_> {
    fn text(&self, section: &'static str, key: &'static str) -> Result<Option<String>, AdoptError> {
        self.ini
            .value(section, key)
            .map_err(|_| self.fault(section, key, "it refers to another key with %"))
    }

    /// A boolean as `configparser` reads it.
    fn flag(
        &self,
        section: &'static str,
        key: &'static str,
        default: bool,
    ) -> Result<bool, AdoptError> {
        let Some(text) = self.text(section, key)? else {
            return Ok(default);
        };
        match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(self.fault(section, key, "it has to be true or false")),
        }
    }

    /// The rule by which shares are removed. Of a node that removes none only the rule is taken over.
    fn expire(&self, warnings: &mut Vec<Warning>) -> Result<Expire, AdoptError> {
        let fault = |key, rule| self.fault("storage", key, rule);
        let default = Expire::default();
        let enabled = self.flag("storage", "expire.enabled", false)?;
        let text = |key| -> Result<_, AdoptError> {
            let text = self.text("storage", key)?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        if !enabled {
            // Tahoe reads none of the rest then, and it may say anything.
            return Ok(default);
        }
        let mode = match text("expire.mode")?.as_deref() {
            Some("age") => {
                let key = "expire.override_lease_duration";
                let rule = "a duration looks like 60 days, 2 months or 1 year";
                let span = text(key)?.map(|text| text.parse::<Span>());
                ExpireMode::Age {
                    override_lease_duration: span.transpose().map_err(|_| fault(key, rule))?,
                }
            }
            Some("cutoff-date") => {
                let key = "expire.cutoff_date";
                let rule = "it has to be a day, such as 2026-01-31";
                let date = text(key)?.and_then(|text| text.parse::<Date>().ok());
                ExpireMode::CutoffDate(date.ok_or_else(|| fault(key, rule))?)
            }
            _ => return Err(fault("expire.mode", "it has to be age or cutoff-date")),
        };
        let never_removed = mode == default.mode;
        if never_removed {
            warnings.push(Warning::NeverExpired);
        }
        Ok(Expire {
            enabled,
            dry_run: never_removed,
            mode,
            immutable: self.flag("storage", "expire.immutable", true)?,
            mutable: self.flag("storage", "expire.mutable", true)?,
            ..default
        })
    }

    fn listen(
        &self,
        text: &str,
        warnings: &mut Vec<Warning>,
    ) -> Result<Vec<SocketAddr>, AdoptError> {
        let fault = |rule| self.fault("node", "tub.port", rule);
        if text.trim() == "disabled" {
            return Err(fault("the node listens nowhere"));
        }
        let mut addresses = Vec::new();
        for endpoint in text.split(',').map(str::trim) {
            match listen_address(endpoint) {
                Some(address) => addresses.push(address),
                None => warnings.push(Warning::Endpoint(Printable::new(endpoint))),
            }
        }
        match addresses.is_empty() {
            true => Err(fault("tahoed listens on TCP ports, and none is named")),
            false => Ok(addresses),
        }
    }

    fn fault(&self, section: &'static str, key: &'static str, rule: &'static str) -> AdoptError {
        AdoptError::Setting {
            path: self.path.to_owned(),
            section,
            key,
            rule,
        }
    }
}

/// The address of an endpoint of Twisted: `3457`, `tcp:3457`, `tcp:port=3457:interface=127.0.0.1`,
/// `tcp6:3457`. A colon in an argument is written `\:`.
pub(super) fn listen_address(endpoint: &str) -> Option<SocketAddr> {
    let plain = endpoint.replace("\\:", "\u{0}");
    let mut parts = plain.split(':');
    let mut first = parts.next()?;
    let any = match first {
        "tcp6" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    if matches!(first, "tcp" | "tcp6") {
        first = parts.next()?;
    }
    let port = first.strip_prefix("port=").unwrap_or(first);
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    let mut address = SocketAddr::new(any, port);
    for argument in parts {
        match argument.split_once('=')? {
            ("interface", "") | ("backlog", _) => {}
            ("interface", host) => {
                let host = host.replace('\u{0}', ":");
                address.set_ip(host.trim_matches(['[', ']']).parse().ok()?);
            }
            _ => return None,
        }
    }
    Some(address)
}

/// The places in a list of connection hints: `tcp:HOST:PORT`, or `HOST:PORT` of old.
pub(super) fn locations(
    text: &str,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Location>, &'static str> {
    if text.trim() == "disabled" {
        return Err("the node tells nobody where it is");
    }
    let mut locations = Vec::new();
    for hint in text.split(',').map(str::trim) {
        if hint == "AUTO" {
            continue;
        }
        let place = hint.strip_prefix("tcp:").unwrap_or(hint);
        match place.parse::<Location>() {
            Ok(location) if location.port.is_some() => locations.push(location),
            _ => warnings.push(Warning::Hint(Printable::new(hint))),
        }
    }
    Ok(locations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, AdoptError> {
        Settings::parse(text, Path::new("tahoe.cfg"))
    }

    #[test]
    fn everything_that_tahoed_has_as_well_is_taken_over() {
        let settings = parse(
            "[node]\nnickname = n\u{e4}me 100%%\ntub.port = tcp:3457:interface=127.0.0.1\n\
             tub.location = tcp:a.example:3457,tcp:[::1]:99\n[storage]\nenabled = Yes\n\
             readonly = ON\nreserved_space = 5GiB\nstorage_dir = /srv/shares\n[client]\nx = y\n",
        )
        .unwrap();
        assert_eq!(settings.nickname, "n\u{e4}me 100%");
        assert_eq!(settings.listen, ["127.0.0.1:3457".parse().unwrap()]);
        let places: Vec<String> = settings.location.iter().map(Location::to_string).collect();
        assert_eq!(places, ["a.example:3457", "[::1]:99"]);
        assert_eq!(settings.storage_dir, Path::new("/srv/shares"));
        assert_eq!(settings.reserved_space, ByteSize(5 << 30));
        assert!(settings.read_only);
        assert_eq!(settings.warnings, []);
    }

    #[test]
    fn what_is_not_set_is_as_tahoe_has_it() {
        let settings = parse("[node]\n[storage]\n#readonly =\nreserved_space =").unwrap();
        assert_eq!(settings.nickname, "");
        assert_eq!((settings.listen, settings.location), (vec![], vec![]));
        assert_eq!(settings.storage_dir, Path::new("storage"));
        assert_eq!(settings.reserved_space, ByteSize(0));
        assert!(!settings.read_only);
    }

    #[test]
    fn endpoints_of_twisted_are_understood() {
        for (endpoint, address) in [
            ("3457", Some("0.0.0.0:3457")),
            ("tcp:3457", Some("0.0.0.0:3457")),
            ("tcp:port=3457", Some("0.0.0.0:3457")),
            ("tcp:3457:interface=192.0.2.1", Some("192.0.2.1:3457")),
            ("tcp:3457:backlog=5:interface=", Some("0.0.0.0:3457")),
            ("tcp6:3457", Some("[::]:3457")),
            ("tcp:3457:interface=\\:\\:1", Some("[::1]:3457")),
            ("tcp:0", None),
            ("tcp:65536", None),
            ("tcp:3457:interface=eth0", None),
            ("listen:tor", None),
            ("unix:/run/x", None),
            ("", None),
        ] {
            let expected = address.map(|address| address.parse().unwrap());
            assert_eq!(listen_address(endpoint), expected, "{endpoint}");
        }
    }

    #[test]
    fn what_tahoed_does_not_do_is_warned_of() {
        let settings = parse(
            "[node]\ntub.port = tcp:1,listen:tor\ntub.location = AUTO,tor:x.onion:1,a.example:2\n\
             [storage]\nforce_foolscap = 1\ngrid_management = on\n\
             debug_discard = yes\nplugins = p\n",
        )
        .unwrap();
        let expected = [
            Warning::Endpoint(Printable::new("listen:tor")),
            Warning::Hint(Printable::new("tor:x.onion:1")),
            Warning::Foolscap,
            Warning::GridManager,
            Warning::Discard,
            Warning::Plugins,
        ];
        assert_eq!(settings.warnings, expected);
        assert_eq!(settings.location.len(), 1);
    }

    // Reference: storage server, section 5.
    #[test]
    fn expiry_is_taken_over_by_tahoes_own_words() {
        for (text, mode, immutable, mutable) in [
            (
                "expire.mode = age\nexpire.override_lease_duration = 60 days\nexpire.mutable = no",
                ExpireMode::Age {
                    override_lease_duration: Some(Span::days(60)),
                },
                true,
                false,
            ),
            (
                "expire.mode = cutoff-date\nexpire.cutoff_date = 2026-01-31\nexpire.immutable = 0",
                ExpireMode::CutoffDate("2026-01-31".parse().unwrap()),
                false,
                true,
            ),
        ] {
            let text = format!("[storage]\nexpire.enabled = true\n{text}\n");
            let settings = parse(&text).unwrap();
            let expected = Expire {
                enabled: true,
                mode,
                immutable,
                mutable,
                ..Expire::default()
            };
            assert_eq!(settings.expire, expected);
            assert_eq!(settings.warnings, []);
        }
        let settings = parse("[storage]\nexpire.mode = nonsense\n").unwrap();
        assert_eq!(settings.expire, Expire::default());
    }

    // A fault of Tahoe's: a node of these settings has never removed a share. Taken at their word
    // they would remove years of shares in the first night.
    #[test]
    fn expiry_that_never_removed_anything_is_taken_over_as_a_dry_run() {
        let settings = parse("[storage]\nexpire.enabled = true\nexpire.mode = age\n").unwrap();
        let expected = Expire {
            enabled: true,
            dry_run: true,
            ..Expire::default()
        };
        assert_eq!(settings.expire, expected);
        assert_eq!(settings.warnings, [Warning::NeverExpired]);
    }

    #[test]
    fn what_makes_no_sense_or_cannot_be_kept_is_refused_by_key() {
        for (text, key) in [
            ("[storage]\nenabled = false", "enabled"),
            ("[storage]\nanonymous = no", "anonymous"),
            ("[storage]\nreadonly =", "readonly"),
            ("[storage]\nreserved_space = 100 M", "reserved_space"),
            ("[storage]\nreserved_space = 1.5G", "reserved_space"),
            ("[storage]\nstorage_dir =", "storage_dir"),
            ("[storage]\nexpire.enabled = maybe", "expire.enabled"),
            ("[storage]\nexpire.enabled = yes", "expire.mode"),
            (
                "[storage]\nexpire.enabled = yes\nexpire.mode = x",
                "expire.mode",
            ),
            (
                "[storage]\nexpire.enabled = yes\nexpire.mode = cutoff-date",
                "expire.cutoff_date",
            ),
            (
                "[storage]\nexpire.enabled = yes\nexpire.mode = age\n\
                 expire.override_lease_duration = 2 weeks",
                "expire.override_lease_duration",
            ),
            ("[storage]\nstorage_dir = ~/x", "storage_dir"),
            ("[storage]\nstorage_dir = %(x)s", "storage_dir"),
            ("[node]\ntub.port = disabled", "tub.port"),
            ("[node]\ntub.port = listen:tor", "tub.port"),
            ("[node]\ntub.location = disabled", "tub.location"),
        ] {
            match parse(text).unwrap_err() {
                AdoptError::Setting { key: found, .. } => assert_eq!(found, key),
                other => panic!("{text}: {other}"),
            }
        }
        let error = parse("[storage]\nnonsense").unwrap_err().to_string();
        assert!(error.starts_with("tahoe.cfg: line 2"), "{error}");
    }
}
