//! The end of a share: what ties its block hash tree to the cap.
//!
//! ```text
//! 0     16 c  share hash chain: c = log2 of total, rounded up
//! 16 c  114   UEB
//! ```

use lafs::cap::UebHash;
use lafs::cap::native::VerifyCap;
use lafs::{ShareNumber, StorageIndex};

use super::damage::Damage;
use super::geometry::Geometry;
use super::hash::{self, Hash};
use super::node::Top;
use super::share_tree;
use super::ueb::Ueb;

/// Which share it is meant to be.
#[derive(Clone, Debug)]
pub(crate) struct ShareName {
    pub(crate) geometry: Geometry,
    pub(crate) storage_index: StorageIndex,
    pub(crate) number: ShareNumber,
    /// What the UEB must hash to; none without a cap.
    pub(crate) ueb_hash: Option<UebHash>,
}

impl ShareName {
    /// The share of this number of the file that the cap names.
    pub(crate) fn of_cap(cap: &VerifyCap, number: ShareNumber) -> Result<Self, Damage> {
        Self {
            geometry: cap.into(),
            storage_index: cap.storage_index(),
            number,
            ueb_hash: Some(*cap.ueb_hash()),
        }
        .exists()
    }

    /// Checks that the file has a share of this number.
    pub(crate) fn exists(self) -> Result<Self, Damage> {
        let total = self.geometry.parameters().total();
        if self.number.index() < total {
            Ok(self)
        } else {
            Err(Damage::NoSuchShare { total })
        }
    }
}

/// A trailer whose UEB has been checked.
pub(crate) struct Trailer<'a> {
    pub(crate) ueb: Ueb,
    chain: &'a [u8],
}

impl<'a> Trailer<'a> {
    /// Checks the UEB of a trailer against the name of the share.
    pub(crate) fn check(name: &ShareName, trailer: &'a [u8]) -> Result<Self, Damage> {
        let (chain, ueb_bytes) = trailer
            .split_last_chunk()
            .expect("a trailer is longer than a UEB");
        let ueb = Ueb::parse(ueb_bytes)?;
        let right = name
            .ueb_hash
            .is_none_or(|expected| hash::ueb_hash(ueb_bytes) == expected);
        if !right {
            return Err(Damage::OtherFile);
        }
        if Geometry::from(&ueb) != name.geometry {
            return Err(Damage::Parameters);
        }
        Ok(Self { ueb, chain })
    }

    /// Checks that the trees of the share have the roots that the UEB promises.
    ///
    /// `segment` is for the report: near which segment the damage is.
    pub(crate) fn check_roots(
        &self,
        name: &ShareName,
        top: &Top,
        segment: u64,
    ) -> Result<(), Damage> {
        if top.crypttext != self.ueb.crypttext_root {
            return Err(Damage::Crypttext { segment });
        }
        if top.plaintext != self.ueb.plaintext_root {
            return Err(Damage::Plaintext { segment });
        }
        if self.leads_to_root(name, name.number, &top.block) {
            return Ok(());
        }
        let total = self.ueb.parameters().total();
        let other = (0..total)
            .filter_map(ShareNumber::from_index)
            .find(|other| self.leads_to_root(name, *other, &top.block));
        Err(match other {
            Some(actual) => Damage::OtherNumber { actual },
            None => Damage::ShareRoot,
        })
    }

    fn leads_to_root(&self, name: &ShareName, number: ShareNumber, block_root: &Hash) -> bool {
        let leaf = hash::share_leaf(name.storage_index, number, &self.ueb.head(), block_root);
        share_tree::root_of(number, leaf, self.chain) == self.ueb.share_root
    }
}
