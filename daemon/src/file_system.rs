//! Kinds of file systems on which a store cannot keep what it promises, and what to expect of them.

use std::path::Path;

use rustix::fs::statfs;
use tracing::warn;

/// Warns if the store lies on such a file system.
pub(crate) fn warn_of(store: &Path) {
    // Whether the store can be used at all is for others to say.
    let Ok(found) = statfs(store) else {
        return;
    };
    if let Some((name, consequence)) = known(i128::from(found.f_type)) {
        let path = store.display();
        warn!(%path, file_system = name, "{consequence}");
    }
}

/// The name of a file system and what to expect of it, by the number that `statfs` gives it.
fn known(kind: i128) -> Option<(&'static str, &'static str)> {
    // The type of the number has a sign on some machines and none on others; 32 bits mean the same.
    let kind = kind & 0xffff_ffff;
    KINDS
        .iter()
        .find(|(number, ..)| *number == kind)
        .map(|(_, name, consequence)| (*name, *consequence))
}

/// Numbers from `linux/magic.h` and the file systems' own headers.
const KINDS: &[(i128, &str, &str)] = &[
    (0x0102_1994, "tmpfs", IN_MEMORY),
    (0x8584_58f6, "ramfs", IN_MEMORY),
    (0x794c_7630, "overlay", OF_CONTAINER),
    (0x6969, "nfs", NETWORK),
    (0xff53_4d42, "cifs", NETWORK),
    (0xfe53_4d42, "smb2", NETWORK),
    (0x517b, "smb", NETWORK),
    (0x00c3_6400, "ceph", NETWORK),
    (0x0102_1997, "9p", NETWORK),
    (0x6573_5546, "fuse", NETWORK),
];

const IN_MEMORY: &str = "the store lies in memory: every share is lost when this machine stops";

const OF_CONTAINER: &str = "the store lies in the layers of a container: every share is lost when \
                            the container is removed; mount a volume there";

const NETWORK: &str = "the store lies on a file system that others may carry out: whether a share \
                       survives a power cut is for them to keep";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_disks_are_not_warned_of() {
        let (ext4, xfs, btrfs) = (0xef53, 0x5846_5342, 0x9123_683e);
        for kind in [ext4, xfs, btrfs, 0] {
            assert_eq!(known(kind), None, "{kind:x}");
        }
    }

    #[test]
    fn a_number_means_the_same_with_and_without_a_sign() {
        let cifs = 0xff53_4d42_u32;
        let signed = i128::from(cifs) - (1 << 32);
        assert_eq!(known(signed), known(i128::from(cifs)));
        assert_eq!(known(signed).unwrap().0, "cifs");
        assert_eq!(known(0x0102_1994).unwrap().1, IN_MEMORY);
    }
}
