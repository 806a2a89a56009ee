//! Where clients are told to connect: a host, and a port if it is not the one listened on.

use std::fmt;
use std::str::FromStr;

use lafs::nurl::Host;

/// A place that goes into a NURL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The host.
    pub host: Host,
    /// The port, or `None` for the one that is listened on.
    pub port: Option<u16>,
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or(LocationError)?;
                match port {
                    "" => (address, None),
                    port => (address, Some(port.strip_prefix(':').ok_or(LocationError)?)),
                }
            }
            None => match text.split_once(':') {
                // More than one colon: an IPv6 address without brackets, so without a port.
                Some((_, rest)) if rest.contains(':') => (text, None),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(digits) if digits.starts_with(['0', '+']) => return Err(LocationError),
            Some(digits) => Some(digits.parse().map_err(|_| LocationError)?),
            None => None,
        };
        Ok(Self {
            host: host.parse().map_err(|_| LocationError)?,
            port,
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = self.host.as_str().contains(':');
        match (bracketed, self.port) {
            (false, None) => write!(f, "{}", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (true, None) => write!(f, "[{}]", self.host),
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
        }
    }
}

/// The text names no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a location is a host name or address, and a port if it is not the one listened on: HOST or HOST:PORT"
)]
pub struct LocationError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_with_and_without_port_print_as_they_are_read() {
        for text in [
            "a.example",
            "a.example:99",
            "192.0.2.1:1",
            "[::1]",
            "[2001:db8::1]:443",
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        assert_eq!("::1".parse::<Location>().unwrap().to_string(), "[::1]");
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for text in [
            "", ":1", "a:", "a:0", "a:65536", "a b", "[::1", "[::1]1", "tcp:a:1", "a/b",
        ] {
            assert_eq!(text.parse::<Location>(), Err(LocationError), "{text:?}");
        }
    }
}
