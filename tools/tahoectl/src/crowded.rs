//! Several shares of a file on one server, whose loss takes them all.

use std::collections::{BTreeMap, BTreeSet};

use lafs::ShareNumber;
use serde_json::{Value, json};
use tools::upload::Placed;
use tools::wording::counted;

/// A server that holds more of a file than one share.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Crowded {
    server: String,
    shares: usize,
    total: usize,
    /// Without this server, the file does not come back.
    is_vital: bool,
}

impl Crowded {
    /// The server of an upload that holds the most shares, if more than one of them; first of all one
    /// without which the file does not come back.
    pub(crate) fn of(placed: &[Placed], needed: usize) -> Option<Self> {
        let mut holdings = BTreeMap::<&str, BTreeSet<ShareNumber>>::new();
        for placed in placed {
            let shares = holdings.entry(&placed.server).or_default();
            shares.insert(placed.share);
        }
        let all: BTreeSet<_> = holdings.values().flatten().collect();
        let is_vital = |server: &str| {
            let elsewhere = holdings.iter().filter(|(other, _)| **other != server);
            let elsewhere: BTreeSet<_> = elsewhere.flat_map(|(_, shares)| shares).collect();
            elsewhere.len() < needed
        };
        let crowded = holdings.iter().filter(|(_, shares)| shares.len() > 1);
        crowded
            .map(|(server, shares)| Self {
                server: (*server).to_owned(),
                shares: shares.len(),
                total: all.len(),
                is_vital: is_vital(server),
            })
            .max_by_key(|crowded| (crowded.is_vital, crowded.shares))
    }

    /// Says what that means, of `files` files of which this is one.
    pub(crate) fn sentence(&self, files: usize) -> String {
        let Self {
            server,
            shares,
            total,
            is_vital,
        } = self;
        let loss = match is_vital {
            true => "if that server is lost, so is the file",
            false => "if that server is lost, so are all of these",
        };
        let others = match files {
            0 | 1 => String::new(),
            files => format!(" (likewise {})", counted(files - 1, "more file")),
        };
        format!("{shares} of {total} shares are on one server, {server}: {loss}{others}")
    }

    /// The same for a program.
    pub(crate) fn value(&self) -> Value {
        json!({
            "kind": "several_shares_on_one_server",
            "server": self.server,
            "shares": self.shares,
            "file_lost_with_server": self.is_vital,
        })
    }
}

#[cfg(test)]
mod tests {
    use tools::grid::Stored;

    use super::*;

    fn placed(shares: &[(u8, &str)]) -> Vec<Placed> {
        let place = |&(share, server): &(u8, &str)| Placed {
            share: ShareNumber::new(share),
            server: server.into(),
            stored: Stored::Now,
        };
        shares.iter().map(place).collect()
    }

    // `--happy 1` on one server stored ten shares there, without a remark.
    #[test]
    fn several_shares_on_one_server_are_noticed() {
        assert_eq!(
            Crowded::of(&placed(&[(0, "a"), (1, "b"), (2, "c")]), 1),
            None
        );
        assert_eq!(Crowded::of(&[], 1), None);
        let all = placed(&[(0, "a"), (1, "a"), (2, "a")]);
        let crowded = Crowded::of(&all, 2).unwrap();
        assert_eq!(
            crowded.sentence(1),
            "3 of 3 shares are on one server, a: if that server is lost, so is the file"
        );
        let some = placed(&[(0, "a"), (1, "b"), (2, "c"), (3, "b")]);
        let crowded = Crowded::of(&some, 2).unwrap();
        assert_eq!(
            crowded.sentence(3),
            "2 of 4 shares are on one server, b: if that server is lost, so are all of these \
             (likewise 2 more files)"
        );
    }

    // Its loss was called harmless: another server, with more shares, can be done without.
    #[test]
    fn the_server_that_is_told_of_is_the_one_that_the_file_is_lost_with() {
        let all = placed(&[
            (0, "a"),
            (1, "a"),
            (2, "a"),
            (0, "b"),
            (1, "b"),
            (3, "c"),
            (4, "c"),
        ]);
        assert_eq!(
            Crowded::of(&all, 4).unwrap().sentence(1),
            "2 of 5 shares are on one server, c: if that server is lost, so is the file"
        );
    }
}
