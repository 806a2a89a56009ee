//! What clients of Tahoe-LAFS know a server by, besides its key.
//!
//! They mix the node id into every lease secret and write enabler, and order servers by the
//! permutation seed (reference: storage server, sections 6 and 7). A server that changed them would
//! have slots that nobody can write and shares that nobody looks for. So they are constants of the
//! configuration; what it does not give is derived from the certificate and its key.

use std::fmt;
use std::str::FromStr;

use lafs::base32;
use sha1::Sha1;
use sha2::Digest;

use crate::identity::Identity;

/// The names of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The TubID.
    pub node_id: NodeId,
    /// Under which clients list it.
    pub server_id: ServerId,
    /// Its place on the permuted ring.
    pub permutation_seed: PermutationSeed,
}

impl Names {
    /// The names of a server that was given none.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        let key_hash = identity.key_hash().as_bytes();
        Self {
            node_id: NodeId::of_certificate(identity.certificate()),
            server_id: ServerId(format!("{SERVER_ID_PREFIX}{}", base32::encode(key_hash))),
            // What clients take for a server id of this form when they are told no seed.
            permutation_seed: PermutationSeed(key_hash.to_vec()),
        }
    }
}

/// The names as the configuration gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenNames {
    /// The TubID.
    pub node_id: Option<NodeId>,
    /// Under which clients list it.
    pub server_id: Option<ServerId>,
    /// Its place on the permuted ring.
    pub permutation_seed: Option<PermutationSeed>,
}

impl GivenNames {
    /// Fills in what is not given.
    #[must_use]
    pub fn or(&self, names: Names) -> Names {
        let given = self.clone();
        Names {
            node_id: given.node_id.unwrap_or(names.node_id),
            server_id: given.server_id.unwrap_or(names.server_id),
            permutation_seed: given.permutation_seed.unwrap_or(names.permutation_seed),
        }
    }
}

/// A TubID: SHA-1 of the first certificate that the server had, 32 characters of base32.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NodeId([u8; Self::LEN]);

impl NodeId {
    /// Length in bytes.
    pub const LEN: usize = 20;

    /// The TubID of a server with this certificate, in DER.
    #[must_use]
    pub fn of_certificate(certificate: &[u8]) -> Self {
        Self(Sha1::digest(certificate).into())
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        base32::decode_array(text)
            .map(Self)
            .ok_or(NameError::NodeId)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32::encode(&self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text under which clients list a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerId(String);

impl FromStr for ServerId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if text.is_empty() || text.len() > SERVER_ID_LEN_MAX || !text.bytes().all(plain) {
            return Err(NameError::ServerId);
        }
        // A client takes what follows for a key, and only in lower case.
        let key = text.strip_prefix(SERVER_ID_PREFIX);
        if key.is_some_and(|key| base32::decode_array::<32>(key).is_none()) {
            return Err(NameError::ServerId);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What clients hash with a storage index to order servers, in base32.
#[derive(Clone, PartialEq, Eq)]
pub struct PermutationSeed(Vec<u8>);

impl FromStr for PermutationSeed {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match base32::decode(text) {
            Some(seed) if (1..=SEED_LEN_MAX).contains(&seed.len()) => Ok(Self(seed)),
            _ => Err(NameError::PermutationSeed),
        }
    }
}

impl fmt::Display for PermutationSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32::encode(&self.0))
    }
}

impl fmt::Debug for PermutationSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a name of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a TubID.
    #[error("a node id (TubID) is 32 characters of lower-case base32")]
    NodeId,
    /// Not a server id.
    #[error(
        "a server id is up to 100 letters, digits, dots, hyphens and underscores; after v0- it is \
         52 characters of lower-case base32"
    )]
    ServerId,
    /// Not a permutation seed.
    #[error("a permutation seed is lower-case base32 of at most 64 bytes")]
    PermutationSeed,
}

/// What begins a server id that is a public key.
const SERVER_ID_PREFIX: &str = "v0-";

/// Tahoe's have 55 characters.
const SERVER_ID_LEN_MAX: usize = 100;

/// Tahoe's seeds have 20, 32 or 52 bytes.
const SEED_LEN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// From the reference's fixture `identity.json`, written by Tahoe-LAFS 1.20.
    const TUB_ID: &str = "i7g4bv3qe7blsysbucejb26pjsobzm3j";
    const SERVER_ID: &str = "v0-pfqnasafeepcutykr4ztgnyfjad7xugk2l7fapcmnxix3qwv43dq";
    const SEED: &str = "obthc3tbonqwmzlfobrxk5dznnzdi6tum5xhsztkmfsdo6dvm5vte3bxmzqxay3nnz4gs6bt\
                        of3xmnbtmryq";

    #[test]
    fn names_of_tahoe_parse_and_print_as_themselves() {
        let node_id: NodeId = TUB_ID.parse().unwrap();
        assert_eq!(node_id.as_bytes()[..4], [0x47, 0xcd, 0xc0, 0xd7]);
        assert_eq!(node_id.to_string(), TUB_ID);
        assert_eq!(
            SERVER_ID.parse::<ServerId>().unwrap().to_string(),
            SERVER_ID
        );
        let seed: PermutationSeed = SEED.parse().unwrap();
        assert_eq!(seed.to_string(), SEED);
        // The trap of section 6: the seed is the text of the key, not the key.
        assert_eq!(seed.0, &SERVER_ID.as_bytes()[3..]);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            &TUB_ID[1..],
            &TUB_ID.to_uppercase(),
            "i7g4bv3qe7blsysbucejb26pjsobzm31",
        ] {
            assert_eq!(text.parse::<NodeId>(), Err(NameError::NodeId), "{text}");
        }
        let long = "a".repeat(101);
        for text in [
            "",
            "a b",
            "v0-short",
            &SERVER_ID.to_uppercase().replace("V0", "v0"),
            &long,
        ] {
            assert_eq!(text.parse::<ServerId>(), Err(NameError::ServerId), "{text}");
        }
        let long = base32::encode(&[7; 65]);
        for text in ["", "ab", "A", &long] {
            let error = text.parse::<PermutationSeed>().unwrap_err();
            assert_eq!(error, NameError::PermutationSeed, "{text}");
        }
    }

    // A lazy entry of `servers.yaml` has no seed; the client must find the same place without it.
    #[test]
    fn the_seed_of_a_new_server_is_the_one_that_clients_derive_from_its_id() {
        let pem = Identity::generate().unwrap();
        let names = Names::of(&Identity::from_pem(pem.as_bytes()).unwrap());
        let server_id: ServerId = names.server_id.to_string().parse().unwrap();
        assert_eq!(server_id.0[3..], names.permutation_seed.to_string());
        let again = Names::of(&Identity::from_pem(pem.as_bytes()).unwrap());
        assert_eq!(again, names);
    }

    #[test]
    fn what_is_given_replaces_what_is_derived() {
        let pem = Identity::generate().unwrap();
        let derived = Names::of(&Identity::from_pem(pem.as_bytes()).unwrap());
        let given = GivenNames {
            node_id: Some(TUB_ID.parse().unwrap()),
            ..GivenNames::default()
        };
        let names = given.or(derived.clone());
        assert_eq!(names.node_id.to_string(), TUB_ID);
        assert_eq!(names.permutation_seed, derived.permutation_seed);
        assert_eq!(names.server_id, derived.server_id);
    }
}
