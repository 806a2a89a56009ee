//! The shares that a decoder knows of, and which of them it uses.

use lafs::ShareNumber;
use share::native::Damage;

use super::request::Holder;
use crate::native::proof::KnownNodes;

/// Names a share that the decoder knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShareIndex(usize);

/// A share that must not be used, as the decoder reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("share {share_number}: {damage}")]
pub struct BadShare {
    /// Who sent it.
    pub holder: Holder,
    /// The number under which it was sent.
    pub share_number: ShareNumber,
    /// What is wrong with it.
    pub damage: Damage,
}

/// A share, and who claims to hold it.
pub(super) struct Share {
    pub(super) holder: Holder,
    pub(super) number: ShareNumber,
    /// The nodes that its proofs have verified.
    pub(super) known: KnownNodes,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Usable,
    /// Its holder was lost; it may come back.
    Lost,
    /// It failed a check, and is never used again.
    Bad,
}

/// All shares that a decoder knows of.
pub(super) struct Shares {
    needed: usize,
    shares: Vec<Share>,
    /// The shares to request: usable, with distinct numbers, at most `needed`.
    chosen: Vec<ShareIndex>,
}

impl Shares {
    pub(super) fn new(needed: usize) -> Self {
        Self {
            needed,
            shares: Vec::new(),
            chosen: Vec::new(),
        }
    }

    /// Adds a share, or finds it; returns it unless it is known to be bad.
    pub(super) fn admit(&mut self, holder: Holder, number: ShareNumber) -> Option<ShareIndex> {
        let same = |share: &Share| share.holder == holder && share.number == number;
        let index = match self.shares.iter().position(same) {
            Some(index) => index,
            None => {
                self.shares.push(Share {
                    holder,
                    number,
                    known: KnownNodes::default(),
                    state: State::Usable,
                });
                self.shares.len() - 1
            }
        };
        let share = &mut self.shares[index];
        if share.state == State::Bad {
            return None;
        }
        share.state = State::Usable;
        Some(ShareIndex(index))
    }

    /// The shares of a lost holder are not usable until it comes back.
    pub(super) fn lose(&mut self, holder: Holder) {
        for share in &mut self.shares {
            if share.holder == holder && share.state == State::Usable {
                share.state = State::Lost;
            }
        }
    }

    /// A share failed a check; returns what to report.
    pub(super) fn condemn(&mut self, index: ShareIndex, damage: Damage) -> BadShare {
        let share = &mut self.shares[index.0];
        share.state = State::Bad;
        BadShare {
            holder: share.holder,
            share_number: share.number,
            damage,
        }
    }

    pub(super) fn is_usable(&self, index: ShareIndex) -> bool {
        self.shares[index.0].state == State::Usable
    }

    pub(super) fn share(&self, index: ShareIndex) -> &Share {
        &self.shares[index.0]
    }

    pub(super) fn known_mut(&mut self, index: ShareIndex) -> &mut KnownNodes {
        &mut self.shares[index.0].known
    }

    /// How many shares bring the file back.
    pub(super) fn needed(&self) -> usize {
        self.needed
    }

    /// The numbers of all usable shares, some perhaps more than once.
    pub(super) fn numbers(&self) -> impl Iterator<Item = ShareNumber> {
        let usable = self.shares.iter().filter(|s| s.state == State::Usable);
        usable.map(|share| share.number)
    }

    /// Chooses the shares to request: `needed` with distinct numbers, or fewer if there are not as
    /// many.
    ///
    /// A chosen share stays chosen while it is usable. One that must be replaced is replaced by a
    /// share that has proved something, rather than one that is only claimed; then by a primary
    /// share, which needs no decoding, rather than a secondary one.
    pub(super) fn choose(&mut self) -> &[ShareIndex] {
        let Self {
            needed,
            shares,
            chosen,
        } = self;
        chosen.retain(|index| shares[index.0].state == State::Usable);
        let mut taken = [false; ShareNumber::COUNT];
        for index in chosen.iter() {
            taken[shares[index.0].number.index()] = true;
        }
        while chosen.len() < *needed {
            let next = shares
                .iter()
                .enumerate()
                .filter(|(_, s)| s.state == State::Usable && !taken[s.number.index()])
                .min_by_key(|(index, share)| {
                    let secondary = share.number.index() >= *needed;
                    (share.known.is_empty(), secondary, *index)
                });
            let Some((index, share)) = next else { break };
            taken[share.number.index()] = true;
            chosen.push(ShareIndex(index));
        }
        chosen
    }
}
