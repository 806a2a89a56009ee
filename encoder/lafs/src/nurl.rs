//! The NURL: where a server is, which key it must show, and the swissnum that lets a client in.
//!
//! ```text
//! pb://HASH@HOST:PORT/SWISSNUM#v=1          a TCP address; without a port, 443
//! pb+tor://HASH@NAME.onion:PORT/SWISSNUM#v=1
//!
//! HASH      SHA-256 of the DER SubjectPublicKeyInfo, URL-safe base64 without padding: 43 characters
//! HOST      a name, an IPv4 address, or an IPv6 address in brackets
//! SWISSNUM  a secret, one URL path segment
//! ```
//!
//! The same text as Tahoe-LAFS 1.20 `storage/http_client.py` takes (reference: storage server,
//! section 2.1). A NURL holds a secret: `Display` prints it whole, `Debug` does not.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;

use crate::{Swissnum, SwissnumError};

/// A server's address, identity and swissnum.
#[derive(Clone, PartialEq, Eq)]
pub struct Nurl {
    network: Network,
    key_hash: KeyHash,
    host: Host,
    port: u16,
    swissnum: Swissnum,
}

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Directly (`pb://`).
    Tcp,
    /// As an onion service (`pb+tor://`).
    Tor,
}

impl Nurl {
    /// Longest NURL in bytes that [`str::parse`] looks at.
    pub const LEN_MAX: usize = 512;

    /// The NURL of a server at a TCP address.
    ///
    /// # Errors
    ///
    /// [`NurlError::Port`] for port 0, which names no service.
    pub fn new(
        key_hash: KeyHash,
        host: Host,
        port: u16,
        swissnum: Swissnum,
    ) -> Result<Self, NurlError> {
        if port == 0 {
            return Err(NurlError::Port);
        }
        Ok(Self {
            network: Network::Tcp,
            key_hash,
            host,
            port,
            swissnum,
        })
    }

    /// How the server is reached.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network
    }

    /// The hash of the public key that the server must show.
    #[must_use]
    pub fn key_hash(&self) -> &KeyHash {
        &self.key_hash
    }

    /// The server's host: a name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The server's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The secret that lets a client in.
    #[must_use]
    pub fn swissnum(&self) -> &Swissnum {
        &self.swissnum
    }
}

impl fmt::Display for Nurl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.network {
            Network::Tcp => "pb",
            Network::Tor => "pb+tor",
        };
        write!(f, "{scheme}://{}@", self.key_hash)?;
        match self.host.0.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => write!(f, "{}", self.host)?,
        }
        write!(f, ":{}/{}#v=1", self.port, self.swissnum.as_str())
    }
}

impl fmt::Debug for Nurl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nurl")
            .field("network", &self.network)
            .field("key_hash", &self.key_hash)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl FromStr for Nurl {
    type Err = NurlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::LEN_MAX {
            return Err(NurlError::TooLong);
        }
        let (network, rest) = if let Some(rest) = text.strip_prefix("pb://") {
            (Network::Tcp, rest)
        } else if let Some(rest) = text.strip_prefix("pb+tor://") {
            (Network::Tor, rest)
        } else {
            return Err(NurlError::Scheme);
        };
        let rest = rest.strip_suffix("#v=1").ok_or(NurlError::Version)?;
        let (key_hash, rest) = rest.split_once('@').ok_or(NurlError::KeyHash)?;
        let (authority, swissnum) = rest.split_once('/').ok_or(NurlError::Swissnum)?;
        let (host, port) = split_authority(authority)?;
        Ok(Self {
            network,
            key_hash: key_hash.parse()?,
            host,
            port,
            swissnum: Swissnum::new(swissnum)?,
        })
    }
}

/// Splits `host`, `host:port`, `[address]` or `[address]:port`.
fn split_authority(authority: &str) -> Result<(Host, u16), NurlError> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(NurlError::Host)?;
        let address: Ipv6Addr = address.parse().map_err(|_| NurlError::Host)?;
        (Host(address.to_string()), port)
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        let (host, port) = authority.split_at(end);
        (host.parse()?, port)
    };
    let port = match port.strip_prefix(':') {
        Some(digits) => parse_port(digits)?,
        None if port.is_empty() => PORT_DEFAULT,
        None => return Err(NurlError::Host),
    };
    Ok((host, port))
}

fn parse_port(digits: &str) -> Result<u16, NurlError> {
    if digits.starts_with(['0', '+']) {
        return Err(NurlError::Port);
    }
    digits.parse().map_err(|_| NurlError::Port)
}

/// The host of a NURL: a DNS name, an IPv4 address, or an IPv6 address (kept without brackets).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(String);

impl Host {
    /// Longest DNS name in characters (RFC 1035, section 2.3.4).
    pub const LEN_MAX: usize = 253;

    /// The text, as a resolver or a socket takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Host {
    type Err = NurlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self(address.to_string()));
        }
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        // A leading hyphen would be an option to a program that is given the name.
        if text.is_empty()
            || text.len() > Self::LEN_MAX
            || text.starts_with('-')
            || !text.bytes().all(name)
        {
            return Err(NurlError::Host);
        }
        Ok(Self(text.to_owned()))
    }
}

/// SHA-256 of a server's DER SubjectPublicKeyInfo: what a client pins, and the server's identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash([u8; Self::LEN]);

impl KeyHash {
    /// Length of the hash in bytes.
    pub const LEN: usize = 32;

    /// Makes a key hash of its bytes; every value is one.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyHash {
    type Err = NurlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Compared as text by Tahoe, so it must be the one spelling.
        let mut bytes = [0; Self::LEN];
        if text.len() != BASE64URL_NOPAD.encode_len(Self::LEN) {
            return Err(NurlError::KeyHash);
        }
        match BASE64URL_NOPAD.decode_mut(text.as_bytes(), &mut bytes) {
            Ok(Self::LEN) => Ok(Self(bytes)),
            _ => Err(NurlError::KeyHash),
        }
    }
}

/// The text is not a NURL; the message never repeats the text, which may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NurlError {
    /// Longer than any NURL.
    #[error("a NURL is at most {} characters long", Nurl::LEN_MAX)]
    TooLong,
    /// Another scheme.
    #[error("a NURL starts with pb:// or pb+tor://")]
    Scheme,
    /// No `#v=1`.
    #[error("a NURL ends with #v=1 (a Foolscap fURL does not; ask for the server's NURL)")]
    Version,
    /// No hash before an `@`, or not 43 characters of URL-safe base64.
    #[error("a NURL names the server's key as 43 characters of URL-safe base64 before an @")]
    KeyHash,
    /// The host is not a name or an address.
    #[error("the host of a NURL is a DNS name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port of a NURL is a number from 1 to 65535")]
    Port,
    /// No swissnum, or text that cannot be one.
    #[error("a NURL holds a swissnum between / and #: {SwissnumError}")]
    Swissnum,
}

impl From<SwissnumError> for NurlError {
    fn from(SwissnumError: SwissnumError) -> Self {
        Self::Swissnum
    }
}

/// The port of a NURL that names none.
const PORT_DEFAULT: u16 = 443;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From the reference's fixture `identity.json`, written by Tahoe-LAFS 1.20.
    const GOLDEN: &str = "pb://Y0BWnrf5v6T7gvmXz1UhSCA7s-DfPqPrN6S1tqkz4t0@localhost:27331/\
                          gbsfixtureswissnum234567abcdefgh#v=1";

    #[test]
    fn a_nurl_of_tahoe_parses_and_prints_as_itself() {
        let nurl: Nurl = GOLDEN.parse().unwrap();
        assert_eq!(nurl.host().as_str(), "localhost");
        assert_eq!(nurl.port(), 27331);
        assert_eq!(nurl.key_hash().as_bytes()[..2], [0x63, 0x40]);
        assert_eq!(nurl.swissnum().as_str(), "gbsfixtureswissnum234567abcdefgh");
        assert_eq!(nurl.network(), Network::Tcp);
        assert_eq!(nurl.to_string(), GOLDEN);
    }

    #[test]
    fn addresses_in_brackets_onion_names_and_a_missing_port_are_understood() {
        let hash = KeyHash::new([7; 32]);
        let nurl: Nurl = format!("pb://{hash}@[2001:db8::1]:99/x#v=1")
            .parse()
            .unwrap();
        assert_eq!(nurl.host().as_str(), "2001:db8::1");
        assert_eq!(
            nurl.to_string(),
            format!("pb://{hash}@[2001:db8::1]:99/x#v=1")
        );
        let nurl: Nurl = format!("pb+tor://{hash}@abc.onion/x#v=1").parse().unwrap();
        assert_eq!((nurl.network(), nurl.port()), (Network::Tor, 443));
    }

    #[test]
    fn the_swissnum_is_not_in_the_debug_form() {
        let nurl: Nurl = GOLDEN.parse().unwrap();
        assert!(!format!("{nurl:?}").contains("swissnum234567"));
    }

    // Each variant is provoked: the message tells a person which part to look at.
    #[test]
    fn each_broken_part_is_named() {
        let hash = KeyHash::new([7; 32]).to_string();
        let cases = [
            ("http://x".to_owned(), NurlError::Scheme),
            (format!("PB://{hash}@h:1/s#v=1"), NurlError::Scheme),
            (format!("pb://{hash}@h:1/s"), NurlError::Version),
            (format!("pb://{hash}@h:1/s#v=2"), NurlError::Version),
            (format!("pb://{hash}h:1/s#v=1"), NurlError::KeyHash),
            (format!("pb://{hash}=@h:1/s#v=1"), NurlError::KeyHash),
            (format!("pb://{}@h:1/s#v=1", &hash[1..]), NurlError::KeyHash),
            (
                format!("pb://{}_@h:1/s#v=1", &hash[1..]),
                NurlError::KeyHash,
            ),
            (format!("pb://{hash}@:1/s#v=1"), NurlError::Host),
            (format!("pb://{hash}@-h:1/s#v=1"), NurlError::Host),
            (format!("pb://{hash}@h h:1/s#v=1"), NurlError::Host),
            (format!("pb://{hash}@tcp:h:1/s#v=1"), NurlError::Port),
            (format!("pb://{hash}@[::1/s#v=1"), NurlError::Host),
            (format!("pb://{hash}@[::1]1/s#v=1"), NurlError::Host),
            (format!("pb://{hash}@[::g]:1/s#v=1"), NurlError::Host),
            (format!("pb://{hash}@h:0/s#v=1"), NurlError::Port),
            (format!("pb://{hash}@h:01/s#v=1"), NurlError::Port),
            (format!("pb://{hash}@h:+1/s#v=1"), NurlError::Port),
            (format!("pb://{hash}@h:65536/s#v=1"), NurlError::Port),
            (format!("pb://{hash}@h:/s#v=1"), NurlError::Port),
            (format!("pb://{hash}@h:1#v=1"), NurlError::Swissnum),
            (format!("pb://{hash}@h:1/#v=1"), NurlError::Swissnum),
            (format!("pb://{hash}@h:1/a/b#v=1"), NurlError::Swissnum),
            (
                format!("pb://{hash}@h:1/{}#v=1", "s".repeat(500)),
                NurlError::TooLong,
            ),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Nurl>(), Err(error), "{text}");
        }
    }

    // A NURL with one bit flipped must never parse to the same server under another spelling.
    #[test]
    fn a_flipped_bit_or_a_cut_end_is_refused_or_means_another_server() {
        let golden: Nurl = GOLDEN.parse().unwrap();
        for index in 0..GOLDEN.len() {
            assert!(GOLDEN[..index].parse::<Nurl>().is_err(), "cut at {index}");
            for bit in 0..8 {
                let mut bytes = GOLDEN.as_bytes().to_vec();
                bytes[index] ^= 1 << bit;
                crate::fuzz::nurl(&bytes);
                let parsed = std::str::from_utf8(&bytes).map(str::parse::<Nurl>);
                assert_ne!(parsed, Ok(Ok(golden.clone())), "bit {bit} of byte {index}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_without_panic(text in "(pb://)?[ -~]{0,120}(#v=1)?") {
            crate::fuzz::nurl(text.as_bytes());
        }
    }
}
