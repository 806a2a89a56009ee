//! What lies in incoming: uploads under way, and what no upload will go on with.
//!
//! Which files are whose only the store knows while it is open. So they are looked at while it is not;
//! beside a daemon only names that are nobody's are told.

use std::collections::BTreeMap;
use std::fs;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::View;
use super::finding::{Finding, Kind, Repair, join, path_of};
use super::look::unreadable;
use super::names;
use super::status::Status;
use super::words;
use crate::disk::StorePath;
use crate::keys::KeySet;
use crate::layout::{INCOMING, Incoming, incoming_note, incoming_ranged, parse_incoming};
use crate::ticket::{BootId, TICKETS_LEN, TICKETS_SIZE, Ticket};

/// Looks at incoming. `serials` are of files that the journal speaks of; `None` if the store is open.
pub(super) fn check(view: &View, serials: Option<&KeySet<u64>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let path = StorePath::new(INCOMING);
    let directory = match view.open_directory(&path) {
        Ok(directory) => directory,
        // It is made when the store is opened.
        Err(Errno::NOENT) => return findings,
        Err(errno) => {
            let at = path_of(INCOMING.as_bytes());
            findings.push(unreadable(at, None, errno));
            return findings;
        }
    };
    let mut left = Left::default();
    let listed = names::each(&directory, |name, kind| {
        if findings.len() == FINDINGS_MAX {
            return;
        }
        let at = join(INCOMING, name);
        let serial = std::str::from_utf8(name).ok().and_then(parse_incoming);
        match (kind, serial) {
            (FileType::RegularFile, Some((serial, of))) => left.add(serial, of),
            (FileType::Directory, _) if is_tahoes(name) => {
                if serials.is_some() && has_files(view, &format!("{INCOMING}/{}", text(name)), 2) {
                    let found = "uploads of Tahoe-LAFS".to_owned();
                    findings.push(abandoned(at, found));
                }
            }
            (kind, serial) => findings.push(Finding {
                at,
                share: None,
                kind: match serial {
                    Some(_) => Kind::WrongType,
                    None => Kind::ForeignName,
                },
                expected: match serial {
                    Some(_) => words::FILE.to_owned(),
                    None => "no such name".to_owned(),
                },
                found: words::of(kind).to_owned(),
                repair: match serial {
                    Some(_) => Repair::ByHand,
                    None => Repair::Quarantine,
                },
            }),
        }
    });
    if let Err(errno) = listed {
        let at = path_of(INCOMING.as_bytes());
        findings.push(unreadable(at, None, errno));
    }
    if let Some(serials) = serials {
        findings.extend(left.judge(view, serials));
    }
    findings.sort_by(|one, other| one.at.cmp(&other.at));
    findings.truncate(FINDINGS_MAX);
    findings
}

/// The store's own files, by their serial numbers.
#[derive(Debug, Default)]
struct Left {
    plain: Vec<u64>,
    /// Whether each has the file, and the note.
    ranged: BTreeMap<u64, (bool, bool)>,
}

impl Left {
    fn add(&mut self, serial: u64, of: Incoming) {
        if self.plain.len() + self.ranged.len() == FINDINGS_MAX {
            return;
        }
        match of {
            Incoming::Upload => self.plain.push(serial),
            Incoming::Ranged => self.ranged.entry(serial).or_default().0 = true,
            Incoming::Note => self.ranged.entry(serial).or_default().1 = true,
        }
    }

    fn judge(self, view: &View, serials: &KeySet<u64>) -> Vec<Finding> {
        let boot = fs::read_to_string(BOOT_ID).ok();
        let boot = boot.and_then(|text| text.trim().parse().ok());
        // A second name has the number of the first, and one bit.
        let is_spoken_of = |serial: &u64| serials.contains(&(serial & !(1 << 63)));
        let plain = self
            .plain
            .into_iter()
            .filter(|serial| !is_spoken_of(serial));
        let plain = plain.map(|serial| {
            let at = path_of(crate::layout::incoming(serial).as_str().as_bytes());
            abandoned(at, "an upload that ended".to_owned())
        });
        let mut findings: Vec<_> = plain.collect();
        for (serial, (has_file, has_note)) in self.ranged {
            if !has_file {
                let at = path_of(incoming_note(serial).as_str().as_bytes());
                findings.push(abandoned(at, "a note of no upload".to_owned()));
                continue;
            }
            let path = incoming_ranged(serial);
            let at = path_of(path.as_str().as_bytes());
            match ticket(view, &path, serial, has_note, boot) {
                Ok(Found::Resumable) => {}
                Ok(Found::OfAnotherBoot) => {
                    findings.push(abandoned(at, "an upload of another boot".to_owned()));
                }
                Ok(Found::None) => findings.push(Finding {
                    at,
                    share: None,
                    kind: Kind::Ticket,
                    expected: "a ticket at the end of the file, or in its note".to_owned(),
                    found: "none that is whole".to_owned(),
                    repair: Repair::Open,
                }),
                Err(errno) => findings.push(unreadable(at, None, errno)),
            }
        }
        findings
    }
}

/// What a ranged upload has.
enum Found {
    Resumable,
    OfAnotherBoot,
    None,
}

fn ticket(
    view: &View,
    path: &StorePath,
    serial: u64,
    has_note: bool,
    boot: Option<BootId>,
) -> Result<Found, Errno> {
    let file = view.open_file(path)?;
    let size = Status::of(&file)?.size;
    let mut slots = vec![0; TICKETS_LEN];
    let mut has_any = false;
    if let Some(offset) = size.checked_sub(TICKETS_SIZE) {
        let len = rustix::io::pread(&file, &mut slots, offset)?;
        slots.truncate(len);
        let ticket = boot.and_then(|boot| Ticket::parse(&slots, boot));
        if ticket.is_some_and(|ticket| ticket.ends(size)) {
            return Ok(Found::Resumable);
        }
        has_any |= Ticket::is_there(&slots);
    }
    if has_note {
        let note = view.open_file(&incoming_note(serial))?;
        let mut slots = vec![0; TICKETS_LEN];
        let len = rustix::io::pread(&note, &mut slots, 0)?;
        slots.truncate(len);
        let ticket = boot.and_then(|boot| Ticket::parse(&slots, boot));
        if ticket.is_some_and(|ticket| ticket.is_cut_off(size)) {
            return Ok(Found::Resumable);
        }
        has_any |= Ticket::is_there(&slots);
    }
    Ok(match has_any {
        true => Found::OfAnotherBoot,
        false => Found::None,
    })
}

fn abandoned(at: std::path::PathBuf, found: String) -> Finding {
    Finding {
        at,
        share: None,
        kind: Kind::AbandonedUpload,
        expected: "uploads that somebody goes on with".to_owned(),
        found,
        repair: Repair::Open,
    }
}

/// Whether Tahoe-LAFS gives a directory of uploads such a name.
fn is_tahoes(name: &[u8]) -> bool {
    names::prefix(name).is_some() || names::bucket(name).is_some()
}

/// Whether there is a file so many levels down.
fn has_files(view: &View, path: &str, levels: u8) -> bool {
    let Ok(directory) = view.open_directory(&StorePath::new(path)) else {
        return false;
    };
    let mut directories = Vec::new();
    let mut has = false;
    let _ = names::each(&directory, |name, kind| match kind {
        FileType::Directory if names::bucket(name).is_some() => {
            directories.push(format!("{path}/{}", text(name)));
        }
        FileType::RegularFile => has = true,
        _ => {}
    });
    let below = || {
        directories
            .iter()
            .any(|path| has_files(view, path, levels - 1))
    };
    has || levels > 1 && below()
}

fn text(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}

/// Where the kernel says which boot it is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Most findings, and most files that are looked at.
const FINDINGS_MAX: usize = 65_536;
