//! Gives back memory that only starting needed: pages of program code.
//!
//! The kernel maps 64 KiB of a program around every byte that it runs, and counts it as the
//! process's memory for good. Starting runs through nearly all of the program, serving through a
//! fifth of it. What is given back and run again comes from the page cache, in a few microseconds.
//! `memory.release_code_pages = false` turns it off; `docs/operations.md` has the figures.

use std::fs;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use rustix::mm::{Advice, madvise};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::trace;

/// When pages are given back: at once, and each time that nothing has happened for a moment.
pub(crate) struct CodePages {
    is_on: bool,
    /// Set while something has happened since pages were last given back.
    quiet: Option<Pin<Box<Sleep>>>,
}

impl CodePages {
    /// Begins after the start. `is_on`: as configured.
    pub(crate) fn new(is_on: bool) -> Self {
        if is_on {
            give_back();
        }
        let mut pages = Self { is_on, quiet: None };
        pages.postpone();
        pages
    }

    /// Something has happened.
    pub(crate) fn postpone(&mut self) {
        let at = Instant::now() + QUIET;
        match &mut self.quiet {
            Some(quiet) => quiet.as_mut().reset(at),
            None if self.is_on => self.quiet = Some(Box::pin(sleep_until(at))),
            None => {}
        }
    }

    /// Waits until nothing has happened for a moment, and gives pages back.
    pub(crate) async fn release(&mut self) {
        match &mut self.quiet {
            Some(quiet) => quiet.await,
            None => std::future::pending().await,
        }
        self.quiet = None;
        give_back();
    }
}

/// How long no connection has begun or ended when pages are given back.
const QUIET: Duration = Duration::from_secs(2);

/// Gives back all pages of program code, and of other files that are mapped to be read.
fn give_back() {
    match mappings() {
        Ok(mappings) => mappings.into_iter().for_each(Mapping::give_back),
        // Without /proc the memory stays where it is, which harms nobody.
        Err(error) => trace!(%error, "cannot look at our own memory"),
    }
}

/// A mapped part of a file, of which we have changed nothing.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    start: usize,
    len: usize,
}

impl Mapping {
    #[expect(
        unsafe_code,
        reason = "there is no safe way to say which memory is not needed now"
    )]
    fn give_back(self) {
        let start = std::ptr::without_provenance_mut(self.start);
        // SAFETY: the mapping is of a file, and none of its pages is a copy of our own: it is not
        // writable, and the kernel has just said so. What is given back is therefore a view of the
        // page cache, and the next access has the same view. Nothing here changes such mappings.
        let given = unsafe { madvise(start, self.len, Advice::LinuxDontNeed) };
        if let Err(error) = given {
            trace!(%error, "a mapping stays in memory");
        }
    }
}

fn mappings() -> io::Result<Vec<Mapping>> {
    let text = fs::read_to_string("/proc/self/smaps")?;
    Ok(parse(&text))
}

/// Finds the mappings that can be given back in the text of `/proc/self/smaps`.
fn parse(text: &str) -> Vec<Mapping> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("Anonymous:"), Some("0")) => found.extend(candidate.take()),
            (Some(field), _) if field.ends_with(':') => {}
            (Some(range), Some(permissions)) => {
                let inode = words.nth(2);
                candidate = candidate_in(range, permissions, inode);
            }
            _ => {}
        }
    }
    found
}

/// The mapping of a header line, if it is of a file, private and not writable.
fn candidate_in(range: &str, permissions: &str, inode: Option<&str>) -> Option<Mapping> {
    let is_of_file = inode.is_some_and(|inode| inode != "0");
    if !is_of_file || !matches!(permissions, "r-xp" | "r--p") {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some(Mapping {
        start,
        len: end.checked_sub(start)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
56500000-56566000 r--p 00000000 fe:00 131 /usr/bin/tahoed
Rss:                 400 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
56566000-56873000 r-xp 00066000 fe:00 131 /usr/bin/tahoed
Anonymous:             0 kB
56873000-56888000 r--p 00373000 fe:00 131 /usr/bin/tahoed
Anonymous:            84 kB
56888000-5688a000 rw-p 00388000 fe:00 131 /usr/bin/tahoed
Anonymous:             0 kB
f7200000-f7221000 r--p 00000000 00:00 0
Anonymous:             0 kB
f7300000-f7321000 r--s 00000000 fe:00 999 /var/lib/shared
Anonymous:             0 kB
ffdf0000-ffe11000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
";

    // Relocated constants differ from the file: given back, they would read as they lie on disk.
    #[test]
    fn only_private_unwritable_unchanged_files_are_given_back() {
        let mapping = |start, len| Mapping { start, len };
        let expected = [
            mapping(0x5650_0000, 0x66000),
            mapping(0x5656_6000, 0x30d000),
        ];
        assert_eq!(parse(SMAPS), expected);
        assert_eq!(parse(""), []);
        assert_eq!(parse("zz-yy r-xp 0 0 7 x\nAnonymous: 0 kB"), []);
        assert_eq!(parse("9-8 r-xp 0 0 7 x\nAnonymous: 0 kB"), []);
    }

    #[tokio::test(start_paused = true)]
    async fn pages_are_given_back_after_a_quiet_moment_and_not_at_all_when_turned_off() {
        let mut pages = CodePages::new(true);
        let start = Instant::now();
        tokio::time::sleep(QUIET / 2).await;
        pages.postpone();
        pages.release().await;
        assert_eq!(start.elapsed(), QUIET + QUIET / 2);
        let again = tokio::time::timeout(100 * QUIET, pages.release());
        assert!(again.await.is_err(), "once, until something happens");
        let mut off = CodePages::new(false);
        off.postpone();
        let never = tokio::time::timeout(100 * QUIET, off.release());
        assert!(never.await.is_err());
    }

    #[test]
    fn everything_reads_and_runs_as_before() {
        let before: Vec<u8> = include_bytes!("code_pages.rs").to_vec();
        assert!(!mappings().unwrap().is_empty());
        give_back();
        assert_eq!(before, include_bytes!("code_pages.rs"));
    }
}
