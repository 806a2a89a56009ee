//! What a walk counts of what it sees.

use bucketfs::view::ShareSeen;
use lafs::StorageIndex;
use protocol::control::{Pass, Progress, Task};

/// Counts a share that a pass has seen.
pub(crate) fn count(pass: &mut Pass, share: &ShareSeen, now: u64) {
    pass.shares += 1;
    pass.bytes = pass.bytes.saturating_add(share.file_size);
    let leases = &mut pass.leases;
    leases.leases = leases.leases.saturating_add(u64::from(share.leases));
    match share.lease_end {
        Some(end) if u64::from(end) >= now => leases.shares_live += 1,
        Some(_) => leases.shares_ended += 1,
        None => leases.shares_unleased += 1,
    }
}

/// How far a pass is that has done everything up to a storage index.
pub(crate) fn progress(task: Task, pass: &Pass, at: Option<StorageIndex>) -> Progress {
    Progress {
        task,
        millionths: at.map_or(0, millionths),
        buckets: pass.buckets,
        shares: pass.shares,
        bytes: pass.bytes,
    }
}

/// Where a storage index is among all of them, in the order of their text: storage indexes are
/// hashes, so this is how much of a store lies before it.
pub(crate) fn millionths(at: StorageIndex) -> u32 {
    let text = at.text();
    // Digits come before letters.
    let rank = |character: &u8| match character {
        b'2'..=b'7' => u64::from(character - b'2'),
        _ => u64::from(character.saturating_sub(b'a')) + 6,
    };
    let place = text[..CHARACTERS]
        .iter()
        .fold(0, |place, character| place * 32 + rank(character));
    let millionths = place * 1_000_000 / PLACES;
    u32::try_from(millionths).expect("a million fits")
}

/// Characters that are looked at: a million places.
const CHARACTERS: usize = 4;
const PLACES: u64 = 32 * 32 * 32 * 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_walk_is_follows_the_order_of_the_text() {
        let at = |text: &str| {
            let whole = format!("{text:a<26}");
            millionths(whole.parse().expect("a storage index"))
        };
        assert_eq!(at("2222"), 0);
        assert_eq!(at("a222"), 187_500);
        assert_eq!(at("k222"), 500_000);
        assert_eq!(at("zzzz"), 999_999);
        let mut texts: Vec<String> = (0..=255)
            .map(|byte| StorageIndex::new([byte; 16]).to_string())
            .collect();
        texts.sort();
        let places: Vec<u32> = texts.iter().map(|text| at(&text[..4])).collect();
        assert!(places.is_sorted());
    }
}
