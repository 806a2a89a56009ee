//! Repairs of the tree: what is bad goes into the quarantine, what lies astray into its place.
//!
//! ```text
//! lock -> look -> syncfs -> fences -> second name -> its directories synced
//!      -> first name taken away -> its directory synced -> acknowledged
//! ```
//!
//! So whatever is moved has a durable name at every moment. A directory cannot have two: it is renamed,
//! which the disk does wholly or not at all.
//!
//! Each step waits for the one before. What the journal says of the shares that are moved is done
//! before, and made void by fences: replayed after the move it would make a share anew that was moved
//! away, or remove one that was moved to its place. Before it may be made void it must have reached the
//! disk, hence the `syncfs`; where no share of the journal's can be concerned, there is none. A crash
//! leaves the thing where it was or where it goes, and asking again does the rest. Nothing is deleted
//! but directories with nothing in them, which the disk itself refuses of others.

use lafs::StorageIndex;
use rustix::io::Errno;
use slab::Slab;

use super::context::{Context, Machinery, unwritable};
use super::event::{Machine, Waiter};
use super::locks::{Owned, SlotOwned};
use super::reply::{Asker, Emptied};
use super::{advise, listing};
use crate::disk::{Completion, EntryKind, Operation, Outcome, StorePath};
use crate::durable::Durable;
use crate::error::DiskError;
use crate::journal::account::Entry;
use crate::journal::format::Record;
use crate::journal::log::{Group, Hold};
use crate::layout::{self, Located, ShareKey};
use crate::refusal::{MendRefusal, Unwritable};
use crate::request::{Mend, Mended, Mending};

/// All repairs under way.
#[derive(Debug, Default)]
pub(super) struct Mendings {
    /// For the lock of their share or slot.
    waiting: Slab<Job>,
    /// For the disk.
    steps: Slab<(Step, Job)>,
    /// For the journal to have their fences.
    fencing: Slab<Job>,
    /// Of the directory in the quarantine that was used last.
    serial: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// What is there.
    Look,
    /// What the journal says reaches the disk.
    Sync,
    /// The second name; so often it was tried.
    Link { attempts: u32 },
    /// It is made durable.
    Linked,
    /// The first name is taken away.
    Unlink,
    /// The rename; so often it was tried.
    Rename { attempts: u32 },
    /// The removal of an empty directory.
    Remove,
    /// The names that were made and taken away are made durable.
    Directories,
    /// The directory that it was in goes, if nothing else is in it.
    Prune,
}

/// A repair.
#[derive(Debug)]
struct Job {
    asker: Asker<Mend>,
    how: Mending,
    path: StorePath,
    looks: bool,
    lock: Lock,
    /// Of the shares that are moved.
    fences: Vec<Record>,
    /// Where it is moved to, once that is known.
    target: Option<StorePath>,
    durable: Option<Durable>,
}

#[derive(Debug)]
enum Lock {
    None,
    Share(Owned),
    Slot(SlotOwned),
}

/// Whom a repair must have to itself, and whether it has to look first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    scope: Scope,
    looks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Nobody,
    Share(ShareKey),
    Slot(StorageIndex),
}

impl Mendings {
    pub(super) fn mend(&mut self, cx: &mut Context, asker: Asker<Mend>, mend: &Mend) {
        let Some(path) = StorePath::parse(&mend.path) else {
            return cx.refuse(asker, MendRefusal::NotInTree);
        };
        let plan = match plan(cx.places.locate(&path), &path, mend.how) {
            Ok(plan) => plan,
            Err(refusal) => return cx.refuse(asker, refusal),
        };
        let job = Job {
            asker,
            how: mend.how,
            path,
            looks: plan.looks,
            lock: Lock::None,
            fences: Vec::new(),
            target: None,
            durable: None,
        };
        match plan.scope {
            Scope::Nobody => self.begin(cx, job, None),
            Scope::Share(key) => cx.acquire(key, waiter(self.waiting.insert(job))),
            Scope::Slot(index) => cx.acquire_slot(index, waiter(self.waiting.insert(job))),
        }
    }

    fn begin(&mut self, cx: &mut Context, job: Job, refusal: Option<Unwritable>) {
        if let Some(refusal) = cx.write_refusal().or(refusal) {
            return refuse(cx, job, refusal.into());
        }
        match job.looks {
            true => {
                let path = job.path.clone();
                self.start(cx, Step::Look, job, Operation::List { path });
            }
            false => self.looked(cx, job),
        }
    }

    fn looked(&mut self, cx: &mut Context, job: Job) {
        if job.fences.is_empty() {
            return self.move_it(cx, job, 0);
        }
        match cx.waiver() {
            None => self.start(cx, Step::Sync, job, Operation::SyncFileSystem),
            Some(_) => self.fence(cx, job),
        }
    }

    fn fence(&mut self, cx: &mut Context, mut job: Job) {
        let group = Group {
            records: std::mem::take(&mut job.fences),
            // Whether it has moved, a crash does not tell; what the journal has is gone with it.
            entries: vec![Entry::Unsure],
            is_done: false,
        };
        let waiter = waiter(self.fencing.insert(job));
        cx.record(group, waiter);
    }

    fn move_it(&mut self, cx: &mut Context, mut job: Job, attempts: u32) {
        let source = job.path.clone();
        match job.how {
            Mending::RemoveEmpty => {
                let prune = levels(&source).saturating_sub(1);
                let operation = Operation::RemoveDirectory {
                    path: source,
                    prune,
                };
                self.start(cx, Step::Remove, job, operation);
            }
            Mending::PutInPlace => {
                let index = index_of(&source).expect("the plan looked");
                job.target = Some(cx.bucket(index));
                self.rename(cx, job, attempts);
            }
            Mending::Quarantine => {
                let target = self.quarantine(cx, &source);
                job.target = Some(target.clone());
                let operation = Operation::Link { source, target };
                self.start(cx, Step::Link { attempts }, job, operation);
            }
        }
    }

    fn rename(&mut self, cx: &mut Context, job: Job, attempts: u32) {
        let source = job.path.clone();
        let target = job.target.clone().expect("it was chosen");
        let operation = Operation::Publish { source, target };
        self.start(cx, Step::Rename { attempts }, job, operation);
    }

    /// The next place in the quarantine.
    fn quarantine(&self, cx: &Context, path: &StorePath) -> StorePath {
        let time = advise::time(cx.unix(), 0);
        let day = time.get(..DAY_LEN).unwrap_or(&time);
        layout::quarantine(day, self.serial, path)
    }

    fn linked(&mut self, cx: &mut Context, job: Job, attempts: u32, error: Option<DiskError>) {
        match error {
            None if cx.waiver().is_some() => self.unlink(cx, job),
            None => {
                let target = job.target.as_ref().expect("it was chosen");
                let paths = above(target).collect();
                let operation = Operation::SyncDirectories { paths };
                self.start(cx, Step::Linked, job, operation);
            }
            // A directory, or a file to which no second name may be given.
            Some(error) if error.errno == Errno::PERM => self.rename(cx, job, attempts),
            Some(error) => self.not_moved(cx, job, attempts, error),
        }
    }

    fn unlink(&mut self, cx: &mut Context, job: Job) {
        let path = job.path.clone();
        self.start(cx, Step::Unlink, job, Operation::Remove { path, prune: 0 });
    }

    fn not_moved(&mut self, cx: &mut Context, job: Job, attempts: u32, error: DiskError) {
        let is_taken = matches!(
            error.errno,
            Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::NOTDIR | Errno::NXIO
        );
        let refusal = match (job.how, error.errno) {
            (_, Errno::NOENT) => MendRefusal::NotThere,
            (Mending::Quarantine, _) if is_taken && attempts < ATTEMPTS_MAX => {
                self.serial = self.serial.wrapping_add(1);
                return self.move_it(cx, job, attempts + 1);
            }
            (Mending::PutInPlace, _) if is_taken => MendRefusal::Taken,
            (Mending::RemoveEmpty, Errno::EXIST | Errno::NOTEMPTY) => MendRefusal::NotEmpty,
            (Mending::RemoveEmpty, Errno::NOTDIR | Errno::LOOP) => MendRefusal::NotFitting,
            _ => unwritable(error).into(),
        };
        refuse(cx, job, refusal);
    }

    /// It has its new name and not its old one any more; the new one is durable, or nothing is.
    fn moved(&mut self, cx: &mut Context, mut job: Job, is_new_durable: bool) {
        let target = job.target.as_ref().expect("it was chosen");
        tracing::info!(path = %job.path, %target, "moved");
        if let Some(waiver) = cx.waiver() {
            job.durable = Some(Durable::waived(waiver));
            return self.prune(cx, job);
        }
        let new = above(target).filter(|_| !is_new_durable);
        let paths = new.chain(job.path.parent()).collect();
        let operation = Operation::SyncDirectories { paths };
        self.start(cx, Step::Directories, job, operation);
    }

    fn directories_synced(&mut self, cx: &mut Context, mut job: Job, completion: &Completion) {
        match Durable::named(completion) {
            Ok(durable) => {
                job.durable = Some(durable);
                self.prune(cx, job);
            }
            Err(error) => refuse(cx, job, Unwritable::Disk(error).into()),
        }
    }

    fn prune(&mut self, cx: &mut Context, job: Job) {
        let parent = job.path.parent();
        let above = parent.filter(|path| layout::below_shares(path).is_some());
        match above {
            Some(path) => {
                let prune = levels(&path).saturating_sub(1);
                let operation = Operation::RemoveDirectory { path, prune };
                self.start(cx, Step::Prune, job, operation);
            }
            None => acknowledge(cx, job),
        }
    }

    fn start(&mut self, cx: &mut Context, step: Step, job: Job, operation: Operation) {
        cx.start(waiter(self.steps.insert((step, job))), operation);
    }
}

impl Machinery for Mendings {
    fn granted(&mut self, cx: &mut Context, index: usize, owned: Owned) {
        let mut job = self.waiting.remove(index);
        let key = owned.key();
        job.lock = Lock::Share(owned);
        job.fences = vec![Record::Fence { key }];
        let refusal = cx.share_refusal(key);
        self.begin(cx, job, refusal);
    }

    fn slot_granted(&mut self, cx: &mut Context, index: usize, owned: SlotOwned) {
        let mut job = self.waiting.remove(index);
        let refusal = cx.bucket_refusal(owned.index());
        job.lock = Lock::Slot(owned);
        self.begin(cx, job, refusal);
    }

    fn completed(&mut self, cx: &mut Context, index: usize, completion: Completion) {
        let (step, mut job) = self.steps.remove(index);
        match step {
            Step::Look => match found(&job, &completion) {
                Ok(fences) => {
                    job.fences = fences;
                    self.looked(cx, job);
                }
                Err(refusal) => refuse(cx, job, refusal),
            },
            Step::Sync => match completion.result {
                Ok(_) => self.fence(cx, job),
                Err(error) => {
                    // It was told of pages that were lost, whosever they were.
                    cx.give_up(&job.path, error);
                    refuse(cx, job, Unwritable::Disk(error).into());
                }
            },
            Step::Link { attempts } => self.linked(cx, job, attempts, completion.result.err()),
            Step::Linked => match completion.result {
                Ok(_) => self.unlink(cx, job),
                Err(error) => refuse(cx, job, Unwritable::Disk(error).into()),
            },
            Step::Unlink => match completion.result {
                Ok(_) => self.moved(cx, job, true),
                Err(error) => refuse(cx, job, unwritable(error).into()),
            },
            Step::Rename { attempts } => match completion.result {
                Ok(_) => self.moved(cx, job, false),
                Err(error) => self.not_moved(cx, job, attempts, error),
            },
            Step::Remove => match completion.result {
                Ok(_) => {
                    // Should it come back, it is as empty as before.
                    cx.tell(job.asker, Emptied);
                    release(cx, job.lock);
                }
                Err(error) => self.not_moved(cx, job, 0, error),
            },
            Step::Directories => self.directories_synced(cx, job, &completion),
            // That something is in it is what is expected.
            Step::Prune => acknowledge(cx, job),
        }
    }

    fn recorded(&mut self, cx: &mut Context, index: usize, _: Durable, hold: Hold) {
        // The tree has what the fences say already.
        cx.release_hold(hold);
        let job = self.fencing.remove(index);
        self.move_it(cx, job, 0);
    }

    fn unrecorded(&mut self, cx: &mut Context, index: usize) {
        let job = self.fencing.remove(index);
        let refusal = cx.record_refusal();
        refuse(cx, job, refusal.into());
    }
}

/// What a repair needs, or why there is none of that kind for a path.
fn plan(located: Located, path: &StorePath, how: Mending) -> Result<Plan, MendRefusal> {
    if is_foreign_in_incoming(path) {
        return match how {
            Mending::Quarantine => Ok(Plan {
                scope: Scope::Nobody,
                looks: false,
            }),
            _ => Err(MendRefusal::NotFitting),
        };
    }
    if layout::below_shares(path).is_none() {
        return Err(MendRefusal::NotInTree);
    }
    let (scope, looks) = match (how, located) {
        (Mending::Quarantine, Located::Share(key)) => (Scope::Share(key), false),
        (Mending::Quarantine, Located::Bucket(index)) => (Scope::Slot(index), true),
        (Mending::Quarantine, Located::Above) => (Scope::Nobody, true),
        (Mending::Quarantine, Located::Foreign) => (owner(path), false),
        (Mending::PutInPlace, Located::Foreign) => match index_of(path) {
            Some(index) => (Scope::Slot(index), true),
            None => return Err(MendRefusal::NotFitting),
        },
        (Mending::RemoveEmpty, Located::Bucket(index)) => (Scope::Slot(index), false),
        (Mending::RemoveEmpty, Located::Above | Located::Foreign) => (owner(path), false),
        _ => return Err(MendRefusal::NotFitting),
    };
    Ok(Plan { scope, looks })
}

/// The bucket that a path leads into, if it does: nobody else may be at work there.
fn owner(path: &StorePath) -> Scope {
    let index = layout::bucket_in(path.as_str());
    index.map_or(Scope::Nobody, Scope::Slot)
}

/// The bucket whose name the path ends with.
fn index_of(path: &StorePath) -> Option<StorageIndex> {
    path.name().parse().ok()
}

/// Whether a path is of a name in incoming that is not the store's.
fn is_foreign_in_incoming(path: &StorePath) -> bool {
    let name = path.as_str().strip_prefix(layout::INCOMING);
    let name = name.and_then(|rest| rest.strip_prefix('/'));
    name.is_some_and(|name| !name.contains('/') && layout::parse_incoming(name).is_none())
}

/// The directories above a path, the nearest first, and the store directory last.
fn above(path: &StorePath) -> impl Iterator<Item = StorePath> {
    std::iter::successors(path.parent(), StorePath::parent)
}

/// How many directories below `shares` a path is.
fn levels(path: &StorePath) -> u8 {
    let names = layout::below_shares(path).map_or(0, |below| below.split('/').count());
    u8::try_from(names).unwrap_or(u8::MAX)
}

/// Judges what is there; gives the fences of the shares in it.
fn found(job: &Job, completion: &Completion) -> Result<Vec<Record>, MendRefusal> {
    let error = match &completion.result {
        Ok(Outcome::Listed(entries)) if job.how == Mending::PutInPlace => {
            let index = index_of(&job.path).ok_or(MendRefusal::NotFitting)?;
            let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
            let numbers = files.filter_map(|entry| listing::share_number(&entry.name));
            let fence = |share_number| Record::Fence {
                key: ShareKey {
                    storage_index: index,
                    share_number,
                },
            };
            return Ok(numbers.map(fence).collect());
        }
        // A directory of the store's, in its place.
        Ok(_) => return Err(MendRefusal::NotFitting),
        Err(error) => *error,
    };
    match error.errno {
        Errno::NOENT => Err(MendRefusal::NotThere),
        Errno::OVERFLOW => Err(MendRefusal::NotFitting),
        _ if error.is_foreign() && job.how == Mending::Quarantine => Ok(Vec::new()),
        _ if error.is_foreign() => Err(MendRefusal::NotFitting),
        _ => Err(Unwritable::Disk(error).into()),
    }
}

fn acknowledge(cx: &mut Context, job: Job) {
    let to = job.target.map(|target| target.to_string());
    let durable = job.durable.expect("the names were synced");
    cx.acknowledge(job.asker, Mended { to }, durable);
    release(cx, job.lock);
}

fn refuse(cx: &mut Context, job: Job, refusal: MendRefusal) {
    cx.refuse(job.asker, refusal);
    release(cx, job.lock);
}

fn release(cx: &mut Context, lock: Lock) {
    match lock {
        Lock::None => {}
        Lock::Share(owned) => cx.release(owned),
        Lock::Slot(owned) => cx.release_slot(owned),
    }
}

fn waiter(index: usize) -> Waiter {
    Waiter {
        machine: Machine::Mend,
        index,
    }
}

/// `2026-11-28`.
const DAY_LEN: usize = 10;

/// How many directories of the quarantine are tried in which the name is taken.
const ATTEMPTS_MAX: u32 = 256;
