//! How many subdirectories the file system under a store lets a directory have.
//!
//! Each subdirectory is a link of the directory above it, and some file systems have few links: ext2
//! and ext3 32 000 (an ext3 driver of today takes more, one of the days of ext3 did not), ext4 65 000
//! unless it was made with `dir_nlink`, as `mke2fs` does by default. XFS and btrfs do not count them.
//! The name of the file system is in `/proc/self/mountinfo` (proc(5)), found by the device number; what
//! ext4 was made with is in its superblock, which only root may read. (Where nobody can tell, there is
//! no limit here: a bucket that the disk then refuses stays where it is and is served.)

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{major, minor};

/// The file system, as the kernel names it, and the most subdirectories of a directory, if it has a
/// limit.
pub(super) fn of(path: &Path) -> (String, Option<u64>) {
    let unknown = || ("unknown".to_owned(), None);
    let Ok(status) = fs::metadata(path) else {
        return unknown();
    };
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else {
        return unknown();
    };
    let device = format!("{}:{}", major(status.dev()), minor(status.dev()));
    let Some(mount) = mounted(&mounts, &device) else {
        return unknown();
    };
    let has_nlink = |source: &str| has_dir_nlink(source).unwrap_or(true);
    let links = match mount.kind {
        "ext2" | "ext3" | "nilfs2" => Some(32_000),
        "ext4" if !has_nlink(mount.source) => Some(65_000),
        "jfs" => Some(65_535),
        _ => None,
    };
    // Its own name, and `.` in it.
    let limit = links.map(|links: u64| links - 2);
    (mount.kind.to_owned(), limit)
}

/// A line of `/proc/self/mountinfo`.
struct Mount<'a> {
    kind: &'a str,
    source: &'a str,
}

/// The last mount of a device.
fn mounted<'a>(mounts: &'a str, device: &str) -> Option<Mount<'a>> {
    let of_device = |line: &&str| line.split(' ').nth(2) == Some(device);
    let line = mounts.lines().rfind(of_device)?;
    let (_, behind) = line.split_once(" - ")?;
    let mut fields = behind.split(' ');
    let (kind, source) = (fields.next()?, fields.next()?);
    Some(Mount { kind, source })
}

/// Whether an ext4 file system counts subdirectories beyond its links; `None` if that cannot be read.
///
/// The superblock begins at byte 1024; at 0x64 it has the features without which it may not be
/// written, in little-endian order, of which 0x20 is `dir_nlink` (`fs/ext4/ext4.h`).
fn has_dir_nlink(device: &str) -> Option<bool> {
    let mut features = [0; 4];
    let file = File::open(device).ok()?;
    file.read_exact_at(&mut features, 1024 + 0x64).ok()?;
    Some(u32::from_le_bytes(features) & 0x20 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_of_a_device_counts() {
        let mounts = "\
            22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
            30 22 8:17 / /srv rw shared:9 master:2 - ext3 /dev/sdb1 rw\n\
            31 30 8:17 / /srv/again rw - xfs /dev/sdc1 rw\n";
        let mount = mounted(mounts, "8:17").unwrap();
        assert_eq!((mount.kind, mount.source), ("xfs", "/dev/sdc1"));
        assert_eq!(mounted(mounts, "8:1").unwrap().kind, "ext4");
        assert!(mounted(mounts, "8:2").is_none());
        assert!(mounted("8:2 8:2 8:2\n\n", "8:2").is_none());
    }

    #[test]
    fn the_file_system_of_a_directory_that_is_there_has_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let (kind, _) = of(directory.path());
        assert!(!kind.is_empty());
        assert_eq!(of(Path::new("/nowhere")).0, "unknown");
    }

    #[test]
    fn a_superblock_says_what_ext4_was_made_with() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device");
        let mut bytes = vec![0; 2048];
        for (features, expected) in [(0x20, true), (0x1f, false)] {
            bytes[1024 + 0x64] = features;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(has_dir_nlink(path.to_str().unwrap()), Some(expected));
        }
        fs::write(&path, b"short").unwrap();
        assert_eq!(has_dir_nlink(path.to_str().unwrap()), None);
    }
}
