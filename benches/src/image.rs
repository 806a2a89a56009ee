//! A file system of its own for a measurement: an image in a file, mounted by way of a loop device.
//!
//! What is made in it goes with the file, so nobody waits for a million files to be removed; and taking
//! it away and mounting it again is how to find a cold cache, for this file system alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::statvfs;

/// A mounted image. Dropped, it is unmounted; the files stay for the caller's temporary directory.
#[derive(Debug)]
pub struct Image {
    file: PathBuf,
    device: String,
    directory: PathBuf,
}

/// What a file system has in use.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Bytes of its blocks.
    pub bytes: u64,
    /// Its files and directories; btrfs does not say.
    pub files: u64,
}

impl Image {
    /// Makes a file system for so many files and directories, and mounts it below `directory`.
    ///
    /// `kind` is what `mkfs.KIND` makes: ext4, xfs or btrfs. `size` is in bytes; the file takes room as it
    /// fills.
    ///
    /// # Errors
    ///
    /// When a program is missing or fails. Mounting needs root.
    pub fn make(directory: &Path, kind: &str, size: u64, files: u64) -> io::Result<Self> {
        let file = directory.join("image");
        fs::File::create(&file)?.set_len(size)?;
        let mut command = Command::new(format!("mkfs.{kind}"));
        match kind {
            // Inodes are made with the file system, and by default too few.
            "ext4" => {
                command.args(["-q", "-F", "-m", "0", "-N", &files.to_string()]);
            }
            _ => {
                command.arg("-q");
            }
        }
        run(command.arg(&file))?;
        let mounted = directory.join("mounted");
        fs::create_dir(&mounted)?;
        // Past the cache of the file system that the image lies on: else nothing would be cold.
        let device = run(Command::new("losetup")
            .args(["--find", "--show", "--direct-io=on"])
            .arg(&file))?;
        let image = Self {
            file,
            device: device.trim().to_owned(),
            directory: mounted,
        };
        image.mount()?;
        Ok(image)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Unmounts and mounts it: nothing of it is in memory then.
    ///
    /// # Errors
    ///
    /// When a file of it is open.
    pub fn cool(&self) -> io::Result<()> {
        run(Command::new("umount").arg(&self.directory))?;
        self.mount()
    }

    /// What is in use.
    ///
    /// # Errors
    ///
    /// When the file system does not say.
    pub fn used(&self) -> io::Result<Used> {
        // What is allocated at the next write-back counts only then.
        run(Command::new("sync").arg("-f").arg(&self.directory))?;
        let status = statvfs(&self.directory)?;
        Ok(Used {
            bytes: (status.f_blocks - status.f_bfree) * status.f_frsize,
            files: status.f_files - status.f_ffree,
        })
    }

    /// How often the device was read since it was made.
    ///
    /// # Errors
    ///
    /// When the kernel does not say.
    pub fn reads(&self) -> io::Result<u64> {
        let name = self.device.rsplit('/').next().unwrap_or_default();
        let text = fs::read_to_string(format!("/sys/block/{name}/stat"))?;
        let reads = text.split_whitespace().next();
        reads
            .and_then(|reads| reads.parse().ok())
            .ok_or_else(|| io::Error::other(format!("{name}: no count of reads")))
    }

    fn mount(&self) -> io::Result<()> {
        run(Command::new("mount")
            .args(["-o", "noatime", &self.device])
            .arg(&self.directory))
        .map(drop)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let unmounted = run(Command::new("umount").arg(&self.directory));
        let freed = run(Command::new("losetup").args(["--detach", &self.device]));
        for error in [unmounted.err(), freed.err()].into_iter().flatten() {
            eprintln!("{}: {error}", self.file.display());
        }
    }
}

/// Runs a program to its end, and returns what it printed.
fn run(command: &mut Command) -> io::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{name}: {}", said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
