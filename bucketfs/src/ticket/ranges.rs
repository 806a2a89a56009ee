//! Which bytes of a share in progress are there.

/// Ranges of bytes: begin and end, ascending, none empty, none touching another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Takes ranges that must be as [`Ranges`] has them, and below `size`.
    pub(crate) fn checked(ranges: Vec<(u64, u64)>, size: u64) -> Option<Self> {
        let mut free = None;
        for (begin, end) in &ranges {
            if free.is_some_and(|free| *begin <= free) || begin >= end || *end > size {
                return None;
            }
            free = Some(*end);
        }
        Some(Self(ranges))
    }

    /// The ranges.
    pub(crate) fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// How many bytes there are.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|(begin, end)| end - begin).sum()
    }

    /// The same, and this range.
    pub(crate) fn with(&self, begin: u64, end: u64) -> Self {
        let first = self.0.partition_point(|range| range.1 < begin);
        let behind = self.0.partition_point(|range| range.0 <= end);
        let joined = &self.0[first..behind];
        let begin = joined.first().map_or(begin, |range| range.0.min(begin));
        let end = joined.last().map_or(end, |range| range.1.max(end));
        let mut ranges = self.0[..first].to_vec();
        ranges.extend((begin < end).then_some((begin, end)));
        ranges.extend_from_slice(&self.0[behind..]);
        Self(ranges)
    }

    /// What of a range is there.
    pub(crate) fn within(&self, begin: u64, end: u64) -> Vec<(u64, u64)> {
        let first = self.0.partition_point(|range| range.1 <= begin);
        let overlapping = self.0[first..].iter().take_while(|range| range.0 < end);
        overlapping
            .map(|range| (range.0.max(begin), range.1.min(end)))
            .filter(|(begin, end)| begin < end)
            .collect()
    }

    /// What of a range is not there.
    pub(crate) fn missing(&self, begin: u64, end: u64) -> Vec<(u64, u64)> {
        let mut missing = Vec::new();
        let mut free = begin;
        for (from, to) in self.within(begin, end) {
            missing.extend((free < from).then_some((free, from)));
            free = to;
        }
        missing.extend((free < end).then_some((free, end)));
        missing
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The runs of `true` in a map of bytes.
    fn runs(map: &[bool], wanted: bool) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (at, _) in (0..).zip(map).filter(|(_, is)| **is == wanted) {
            match runs.last_mut() {
                Some(last) if last.1 == at => last.1 = at + 1,
                _ => runs.push((at, at + 1)),
            }
        }
        runs
    }

    /// As if the bytes before and behind were not there.
    fn cut(map: &[bool], begin: usize, end: usize, wanted: bool) -> Vec<(u64, u64)> {
        let mut map = map.to_vec();
        for (at, is) in map.iter_mut().enumerate() {
            if at < begin || at >= end {
                *is = !wanted;
            }
        }
        runs(&map, wanted)
    }

    proptest! {
        // The oracle is a map of every byte.
        #[test]
        fn ranges_are_those_of_a_map_of_bytes(
            writes in prop::collection::vec((0_usize..60, 0_usize..12), 0..20),
            (begin, len) in (0_usize..60, 0_usize..30),
        ) {
            let mut map = [false; 100];
            let mut ranges = Ranges::default();
            let size = |len: usize| lafs::num::size(len);
            for (begin, len) in writes {
                map[begin..begin + len].fill(true);
                ranges = ranges.with(size(begin), size(begin + len));
            }
            prop_assert_eq!(ranges.as_slice(), runs(&map, true));
            let end = begin + len;
            prop_assert_eq!(ranges.within(size(begin), size(end)), cut(&map, begin, end, true));
            prop_assert_eq!(ranges.missing(size(begin), size(end)), cut(&map, begin, end, false));
            let total = map.iter().filter(|is| **is).count();
            prop_assert_eq!(ranges.total(), size(total));
            let checked = Ranges::checked(ranges.as_slice().to_vec(), 100);
            prop_assert_eq!(checked, Some(ranges));
        }
    }

    #[test]
    fn ranges_out_of_order_touching_empty_or_beyond_the_end_are_not_taken() {
        for ranges in [
            vec![(5, 6), (1, 2)],
            vec![(1, 2), (2, 3)],
            vec![(1, 3), (2, 4)],
            vec![(1, 1)],
            vec![(2, 1)],
            vec![(0, 11)],
            vec![(0, u64::MAX)],
        ] {
            assert_eq!(Ranges::checked(ranges.clone(), 10), None, "{ranges:?}");
        }
        assert!(Ranges::checked(vec![(0, 1), (2, 10)], 10).is_some());
    }
}
