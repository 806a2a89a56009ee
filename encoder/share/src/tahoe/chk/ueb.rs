//! Tahoe's UEB (URI extension block): what the hash in a capability stands for.
//!
//! Entries one after the other, each `key ":" size ":" value ","`, where the size of the value is
//! decimal. Numbers are decimal, hashes are raw.
//!
//! ```text
//! codec_name           "crs"
//! codec_params         segment size "-" needed "-" total
//! crypttext_hash       hash of the whole ciphertext: nothing in a share to compare it with
//! crypttext_root_hash  root of the crypttext hash tree
//! needed_shares
//! num_segments
//! segment_size
//! share_root_hash      root of the share hash tree
//! size                 of the file
//! tail_codec_params    padded size of the last segment "-" needed "-" total
//! total_shares
//! plaintext_hash       only in very old files: nothing to compare it with
//! plaintext_root_hash  the same: root of the plaintext hash tree
//! ```
//!
//! All but the last two are always there. Other keys are skipped, as by Tahoe's clients.

use lafs::num;

use crate::tahoe::blocks::{Blocks, Shape};
use crate::tahoe::hash::Hash;
use crate::verdict::{Damage, Fact, What};

/// A UEB that does not contradict itself.
pub(crate) struct Ueb {
    pub(crate) shape: Shape,
    pub(crate) blocks: Blocks,
    pub(crate) crypttext_root: Hash,
    pub(crate) share_root: Hash,
    /// Of very old files.
    pub(crate) plaintext_root: Option<Hash>,
}

impl Ueb {
    /// Parses a UEB that is at `start` of a share of `share_size` bytes.
    pub(crate) fn parse(bytes: &[u8], start: u64, share_size: u64) -> Result<Self, Damage> {
        let entries = Entries::parse(bytes, start)?;
        let count = |key| {
            let (at, count) = entries.number(key)?;
            let narrow = u16::try_from(count).ok();
            narrow.ok_or_else(|| Damage::new(What::Parameters, at, "1 to 256", count))
        };
        let shape = Shape {
            needed: count("needed_shares")?,
            total: count("total_shares")?,
            segment_size: entries.number("segment_size")?.1,
            file_size: entries.number("size")?.1,
        };
        if !shape.has_possible_counts() {
            let (at, needed) = entries.number("needed_shares")?;
            return Err(Damage::new(
                What::Parameters,
                at,
                u64::from(shape.total),
                needed,
            ));
        }
        let blocks = shape.blocks(0, share_size);
        let blocks = blocks.filter(|blocks| blocks.count > 0).ok_or_else(|| {
            let at = entries.at("size");
            let expected = "a file that fits into its share";
            Damage::new(What::Parameters, at, expected, shape.file_size)
        })?;

        let (needed, total) = (shape.needed, shape.total);
        let parameters = |segment_size| format!("{segment_size}-{needed}-{total}");
        for (key, value) in [
            ("codec_name", "crs".to_owned()),
            ("codec_params", parameters(shape.segment_size)),
            ("num_segments", blocks.count.to_string()),
            ("tail_codec_params", parameters(shape.padded_tail())),
        ] {
            entries.is(key, value.as_bytes())?;
        }
        entries.hash("crypttext_hash")?;
        let is_old = |key| entries.find(key).is_some();
        if is_old("plaintext_hash") {
            entries.hash("plaintext_hash")?;
        }
        let plaintext_root = is_old("plaintext_root_hash")
            .then(|| entries.hash("plaintext_root_hash"))
            .transpose()?;
        Ok(Self {
            shape,
            blocks,
            crypttext_root: entries.hash("crypttext_root_hash")?,
            share_root: entries.hash("share_root_hash")?,
            plaintext_root,
        })
    }
}

/// The entries of a UEB, each key once.
struct Entries<'a> {
    start: u64,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    key: &'a [u8],
    /// Where the value is in the share.
    at: u64,
    value: &'a [u8],
}

impl<'a> Entries<'a> {
    fn parse(bytes: &'a [u8], start: u64) -> Result<Self, Damage> {
        let mut entries: Vec<Entry<'_>> = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = start + num::size(bytes.len() - rest.len());
            let entry = take_entry(rest, at).filter(|(entry, _)| {
                let is_new = entries.iter().all(|other| other.key != entry.key);
                is_new && !entry.key.is_empty()
            });
            let (entry, after) = entry.ok_or_else(|| {
                let found = &rest[..rest.len().min(16)];
                Damage::new(What::Ueb, at, "an entry: key, size, value", found)
            })?;
            entries.push(entry);
            rest = after;
        }
        Ok(Self { start, entries })
    }

    fn find(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries
            .iter()
            .find(|entry| entry.key == key.as_bytes())
    }

    /// Where the value of a key is, or where it would be.
    fn at(&self, key: &str) -> u64 {
        self.find(key).map_or(self.start, |entry| entry.at)
    }

    fn entry(&self, key: &'static str) -> Result<&Entry<'a>, Damage> {
        let missing = || Damage::new(What::Ueb, self.start, key, "no such entry");
        self.find(key).ok_or_else(missing)
    }

    /// The number of this key, and where it is.
    fn number(&self, key: &'static str) -> Result<(u64, u64), Damage> {
        let entry = self.entry(key)?;
        match decimal(entry.value) {
            Some(number) => Ok((entry.at, number)),
            None => Err(Damage::new(
                What::Ueb,
                entry.at,
                "a decimal number",
                entry.value,
            )),
        }
    }

    fn hash(&self, key: &'static str) -> Result<Hash, Damage> {
        let entry = self.entry(key)?;
        let wrong = |_| Damage::new(What::Ueb, entry.at, "32 bytes", entry.value);
        entry.value.try_into().map_err(wrong)
    }

    fn is(&self, key: &'static str, value: &[u8]) -> Result<(), Damage> {
        let entry = self.entry(key)?;
        if entry.value != value {
            return Err(Damage {
                what: What::Ueb,
                offset: entry.at,
                expected: Fact::from(value),
                found: entry.value.into(),
            });
        }
        Ok(())
    }
}

/// The first entry of these bytes, which are at `at`, and what is behind it.
fn take_entry(bytes: &[u8], at: u64) -> Option<(Entry<'_>, &[u8])> {
    let (key, rest) = split_at_colon(bytes)?;
    let (size, rest) = split_at_colon(rest)?;
    let len = num::len(decimal(size)?)?;
    let before = bytes.len() - rest.len();
    let value = rest.get(..len)?;
    let after = rest[len..].strip_prefix(b",")?;
    let at = at + num::size(before);
    Some((Entry { key, at, value }, after))
}

fn split_at_colon(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    Some((&bytes[..colon], &bytes[colon + 1..]))
}

/// A decimal number without sign or zeros in front.
fn decimal(text: &[u8]) -> Option<u64> {
    let is_plain = text == b"0" || matches!(text.first(), Some(b'1'..=b'9'));
    if !is_plain || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in entries {
            bytes.extend_from_slice(format!("{key}:{}:", value.len()).as_bytes());
            bytes.extend_from_slice(value);
            bytes.push(b',');
        }
        bytes
    }

    const GOOD: [(&str, &[u8]); 11] = [
        ("codec_name", b"crs"),
        ("codec_params", b"105-7-10"),
        ("crypttext_hash", &[1; 32]),
        ("crypttext_root_hash", &[2; 32]),
        ("needed_shares", b"7"),
        ("num_segments", b"10"),
        ("segment_size", b"105"),
        ("share_root_hash", &[3; 32]),
        ("size", b"1000"),
        ("tail_codec_params", b"56-7-10"),
        ("total_shares", b"10"),
    ];

    fn parse(entries: &[(&str, &[u8])]) -> Result<Ueb, Damage> {
        Ueb::parse(&written(entries), 500, 10_000)
    }

    #[test]
    fn a_ueb_says_all_sizes_and_roots() {
        let ueb = parse(&GOOD).unwrap();
        assert_eq!((ueb.shape.needed, ueb.shape.total), (7, 10));
        assert_eq!((ueb.shape.segment_size, ueb.shape.file_size), (105, 1000));
        assert_eq!(ueb.blocks.count, 10);
        assert_eq!(ueb.crypttext_root, [2; 32]);
        assert_eq!(ueb.share_root, [3; 32]);
        assert_eq!(ueb.plaintext_root, None);
    }

    #[test]
    fn other_keys_are_skipped_and_those_of_old_files_read() {
        let mut entries = GOOD.to_vec();
        entries.push(("later", b"anything"));
        entries.push(("plaintext_hash", &[4; 32]));
        entries.push(("plaintext_root_hash", &[5; 32]));
        assert_eq!(parse(&entries).unwrap().plaintext_root, Some([5; 32]));
    }

    #[test]
    fn an_entry_that_is_missing_or_comes_twice_is_named() {
        for (index, (key, value)) in GOOD.into_iter().enumerate() {
            let mut entries = GOOD.to_vec();
            entries.remove(index);
            let damage = parse(&entries).err().unwrap();
            assert_eq!(damage, Damage::new(What::Ueb, 500, key, "no such entry"));
            let mut entries = GOOD.to_vec();
            entries.push((key, value));
            assert_eq!(parse(&entries).err().unwrap().what, What::Ueb);
        }
    }

    #[test]
    fn values_that_contradict_each_other_are_named() {
        for (key, value, what) in [
            ("codec_name", "cry", What::Ueb),
            ("codec_params", "104-7-10", What::Ueb),
            ("tail_codec_params", "55-7-10", What::Ueb),
            ("num_segments", "11", What::Ueb),
            ("num_segments", "010", What::Ueb),
            ("size", "+1000", What::Ueb),
            ("size", "", What::Ueb),
            ("size", "99999999999999999999", What::Ueb),
            ("crypttext_hash", "short", What::Ueb),
            ("crypttext_root_hash", "short", What::Ueb),
            ("share_root_hash", "short", What::Ueb),
            ("size", "0", What::Parameters),
            ("size", "18446744073709551615", What::Parameters),
            ("segment_size", "0", What::Parameters),
            ("segment_size", "104", What::Parameters),
            ("needed_shares", "0", What::Parameters),
            ("needed_shares", "11", What::Parameters),
            ("total_shares", "257", What::Parameters),
            ("total_shares", "65537", What::Parameters),
        ] {
            let mut entries = GOOD.to_vec();
            for entry in &mut entries {
                if entry.0 == key {
                    entry.1 = value.as_bytes();
                }
            }
            let damage = parse(&entries).err().unwrap();
            assert_eq!(damage.what, what, "{key} = {value}");
        }
    }

    #[test]
    fn every_cut_is_found() {
        let bytes = written(&GOOD);
        for len in 0..bytes.len() {
            assert!(Ueb::parse(&bytes[..len], 0, 10_000).is_err(), "{len}");
        }
    }
}
