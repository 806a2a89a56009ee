//! Parts of a store: buckets from one name to another, by the order of their text.

use lafs::StorageIndex;

/// The text of a storage index, by which buckets are ordered.
pub(super) type Text = [u8; StorageIndex::TEXT_LEN];

/// Which buckets: those behind the one, and not behind the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    pub(super) after: Option<Text>,
    pub(super) until: Option<Text>,
}

impl Range {
    /// Those that begin so.
    pub(super) fn within(prefix: &str) -> Self {
        Self {
            after: Some(padded(prefix, 0)),
            until: Some(padded(prefix, 0x7f)),
        }
    }

    /// The same, without those up to this one.
    pub(super) fn behind(self, after: Option<StorageIndex>) -> Self {
        let after = after.map(|index| index.text()).max(self.after);
        Self { after, ..self }
    }

    pub(super) fn has(&self, text: &Text) -> bool {
        self.after.is_none_or(|after| *text > after) && self.until.is_none_or(|last| *text <= last)
    }

    /// Whether any text that begins so may be in it.
    pub(super) fn meets(&self, prefix: &str) -> bool {
        let ends_behind = |after| after < padded(prefix, 0x7f);
        let begins_before = |last| padded(prefix, 0) <= last;
        self.after.is_none_or(ends_behind) && self.until.is_none_or(begins_before)
    }

    /// Whether it takes in the first of all texts that begin so: each is taken in by one range.
    pub(super) fn begins(&self, prefix: &str) -> bool {
        self.after.is_none_or(|after| after <= padded(prefix, 0))
    }
}

/// A text that begins so, and is the first or the last of these by its other bytes.
fn padded(prefix: &str, byte: u8) -> Text {
    let mut text = [byte; StorageIndex::TEXT_LEN];
    text[..prefix.len()].copy_from_slice(prefix.as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(first: u8, second: u8) -> StorageIndex {
        let mut bytes = [0xff; 16];
        bytes[..2].copy_from_slice(&[first, second]);
        StorageIndex::new(bytes)
    }

    // A directory that two ranges take in would tell its foreign files twice.
    #[test]
    fn of_two_ranges_that_follow_each_other_one_begins_a_prefix() {
        let cut = index(0x88, 0x00);
        let before = Range {
            after: None,
            until: Some(cut.text()),
        };
        let behind = Range::default().behind(Some(cut));
        let text = String::from_utf8(cut.text().to_vec()).unwrap();
        for prefix in ["", &text[..2], &text[..4]] {
            assert!(before.begins(prefix) && before.meets(prefix));
            assert!(!behind.begins(prefix) && behind.meets(prefix));
        }
        for prefix in ["zz", "zzzz"] {
            assert!(!before.meets(prefix));
            assert!(behind.begins(prefix) && behind.meets(prefix));
        }
        assert!(!behind.meets("aa"));
    }

    #[test]
    fn a_prefix_is_the_range_of_what_begins_so() {
        let text = String::from_utf8(index(0x88, 0x44).text().to_vec()).unwrap();
        let range = Range::within(&text[..2]);
        assert!(range.has(&index(0x88, 0x44).text()));
        assert!(!range.has(&index(0x80, 0x44).text()));
        assert!(!range.has(&index(0x90, 0x44).text()));
        assert!(range.begins(&text[..2]) && !range.begins(""));
        let rest = range.behind(Some(index(0x88, 0x44)));
        assert!(!rest.has(&index(0x88, 0x44).text()));
        assert_eq!(rest.until, range.until);
    }
}
