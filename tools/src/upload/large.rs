//! A large file or a stream: encoded segment by segment, each segment sent to all servers in step.
//!
//! Memory is bounded by the queue of each connection and one segment ahead. A server that takes
//! bytes much more slowly than the others holds them all back, and is given up. A share that was
//! lost on the way goes to another server, or is resumed at the same one, in a further pass over the
//! file; a stream has one pass only.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use encoder::native::{Encoded, Geometry};
use lafs::cap::Cap;
use lafs::cap::native::{ReadCap, ReadKey};
use lafs::{Parameters, ShareNumber, num};
use tokio::time::{Instant, sleep};

use super::encoding::{self, EncodeAhead, Step};
use super::share_uploads::{Reply, ShareUploads, note};
use super::{Phase, Uploaded, Uploader};
use crate::error::Error;
use crate::grid::{Awaited, Brake, Upload, until};
use crate::input::InputFile;
use crate::placement::Assignment;

/// Up to this size the bytes are sent without a question. Above it a round trip costs little, and
/// saves sending what is refused, is there already, or was sent before a crash.
const UNASKED_SIZE_MAX: u64 = 4 << 20;

/// Passes over a file at most.
const PASSES_MAX: usize = 4;

impl Uploader {
    pub(super) async fn upload_large_file(
        &self,
        file: InputFile,
        geometry: Geometry,
    ) -> Result<Uploaded, Error> {
        let file = Arc::new(file);
        let parameters = geometry.parameters();
        let begun = Instant::now();
        let key = if self.options.random_key {
            super::random_key()?
        } else {
            let observer = self.observer.clone();
            encoding::convergent_key(file.clone(), &self.convergence, parameters, observer).await?
        };
        let mut phases = vec![(Phase::Key, begun.elapsed())];

        let mut uploads = self.share_uploads(key.storage_index());
        let begun = Instant::now();
        let mut cap = self.remembered(&mut uploads, &key, geometry).await;
        if cap.is_some() {
            phases.push((Phase::Ask, begun.elapsed()));
        }
        uploads.ensure_feasible()?;
        let mut is_changed = false;
        for pass in 0..PASSES_MAX {
            let is_cap_known = cap.is_some();
            let assignments = uploads.assign();
            if assignments.is_empty() && is_cap_known {
                break;
            }
            is_changed = true;
            let is_asked = pass > 0 || geometry.file_size() > UNASKED_SIZE_MAX;
            let share_size = Some(geometry.share_size());
            let begun = Instant::now();
            let sinks = open(&mut uploads, assignments, share_size, is_asked).await;
            uploads.ensure_feasible()?;
            let (file, key) = (file.clone(), key.clone());
            let encoding = EncodeAhead::of_file(file, key, parameters, shares(&sinks));
            cap = Some(self.stream(&mut uploads, sinks, encoding).await?);
            phases.push((Phase::Stream, begun.elapsed()));
            let begun = Instant::now();
            await_ends(&mut uploads).await;
            phases.push((Phase::Acknowledge, begun.elapsed()));
        }
        let cap = cap.expect("the first pass makes it");
        if is_changed {
            self.remember(&uploads, cap.storage_index(), cap.ueb_hash());
        } else {
            self.observer.encoded(geometry.file_size());
        }
        uploads.outcome()?;
        Ok(uploads.into_uploaded(Cap::NativeRead(cap), geometry.file_size(), phases))
    }

    pub(super) async fn upload_large_stream(
        &self,
        name: String,
        stream: Box<dyn Read + Send>,
        key: ReadKey,
        parameters: Parameters,
    ) -> Result<Uploaded, Error> {
        let mut uploads = self.share_uploads(key.storage_index());
        uploads.ensure_feasible()?;
        let begun = Instant::now();
        let assignments = uploads.assign();
        let sinks = open(&mut uploads, assignments, None, true).await;
        uploads.ensure_feasible()?;
        // What is lost from here on cannot be made again.
        uploads.plan.freeze();
        let encoding = EncodeAhead::of_stream(name, stream, key, parameters, shares(&sinks));
        let cap = self.stream(&mut uploads, sinks, encoding).await?;
        let mut phases = vec![(Phase::Stream, begun.elapsed())];
        let begun = Instant::now();
        await_ends(&mut uploads).await;
        phases.push((Phase::Acknowledge, begun.elapsed()));
        uploads.outcome()?;
        let size = cap.size();
        Ok(uploads.into_uploaded(Cap::NativeRead(cap), size, phases))
    }

    /// Sends everything that `encoding` makes to where it belongs.
    async fn stream(
        &self,
        uploads: &mut ShareUploads<'_>,
        mut sinks: Vec<Sink>,
        mut encoding: EncodeAhead,
    ) -> Result<ReadCap, Error> {
        let mut brake = Brake::new(uploads.grid.patience(), Instant::now());
        loop {
            let step = tokio::select! {
                step = encoding.next() => step?,
                (assignment, _) = uploads.next_reply() => {
                    lose(uploads, &mut sinks, &encoding, assignment)?;
                    continue;
                }
            };
            match step {
                Step::Segments { len, pieces } => {
                    for (share, bytes) in pieces {
                        for sink in sinks.iter_mut().filter(|sink| sink.is_of(share)) {
                            sink.hold(bytes.clone());
                        }
                    }
                    deliver(uploads, &mut sinks, &encoding, &mut brake).await?;
                    self.observer.encoded(len);
                    uploads.tell_outlived();
                }
                Step::End(encoded) => {
                    end(&encoded, sinks);
                    return Ok(encoded.cap().clone());
                }
            }
        }
    }
}

/// Where one share goes.
struct Sink {
    assignment: Assignment,
    upload: Upload,
    /// Bytes that the server has from an earlier upload.
    skip: u64,
    /// What waits for room.
    held: Bytes,
}

impl Sink {
    fn is_of(&self, share: ShareNumber) -> bool {
        self.assignment.share == share
    }

    /// Takes the next bytes of the share, of which some may be where they belong already.
    fn hold(&mut self, mut bytes: Bytes) {
        debug_assert!(self.held.is_empty(), "segments are delivered in step");
        let skipped = num::len(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        bytes.advance(skipped);
        self.skip -= num::size(skipped);
        self.held = bytes;
    }

    /// Queues what is held if there is room; false if not.
    fn release(&mut self) -> bool {
        let is_free = self.held.is_empty() || self.upload.has_room();
        if is_free {
            self.upload.write(std::mem::take(&mut self.held));
        }
        is_free
    }
}

fn shares(sinks: &[Sink]) -> Vec<ShareNumber> {
    sinks.iter().map(|sink| sink.assignment.share).collect()
}

/// Opens uploads; where it `is_asked`, waits until the servers have said from where on to send.
async fn open(
    uploads: &mut ShareUploads<'_>,
    assignments: Vec<Assignment>,
    share_size: Option<u64>,
    is_asked: bool,
) -> Vec<Sink> {
    let mut ready: Vec<Sink> = Vec::new();
    let mut opening = BTreeMap::new();
    let mut awaited = Awaited::quick(uploads.grid.patience());
    let mut assignments = assignments;
    loop {
        for assignment in assignments {
            let upload = uploads.server(assignment).open(
                &uploads.trips,
                uploads.storage_index,
                assignment.share,
                share_size,
                is_asked.then(|| uploads.resumed(assignment)),
                uploads.ended(assignment),
            );
            if is_asked {
                opening.insert(assignment, upload);
                awaited.ask(assignment, Instant::now());
            } else {
                ready.push(Sink::new(assignment, upload, 0));
            }
        }
        let is_enough = uploads
            .plan
            .would_succeed_with(ready.iter().map(|sink| sink.assignment));
        if opening.is_empty() || (is_enough && awaited.is_all_late()) {
            break;
        }
        let late_at = awaited.next_late(|late| uploads.sight(late));
        tokio::select! {
            biased;
            (assignment, reply) = uploads.next_reply() => {
                note(&mut awaited, assignment, &reply);
                let upload = opening.remove(&assignment);
                match (upload, reply) {
                    (Some(upload), Reply::ResumeAt(offset)) => {
                        if ready.iter().any(|sink| sink.is_of(assignment.share)) {
                            // Another server was asked meanwhile, and was quicker.
                            drop(upload);
                            uploads.withdraw(assignment);
                        } else {
                            ready.push(Sink::new(assignment, upload, offset));
                        }
                    }
                    (_, Reply::Ended(_)) => ready.retain(|sink| sink.assignment != assignment),
                    (None, Reply::ResumeAt(_)) => {}
                }
            }
            () = until(late_at), if is_enough => drop(uploads.hedge_late(&mut awaited)),
        }
        assignments = uploads.assign();
    }
    // The upload begins without them.
    for (assignment, upload) in opening {
        drop(upload);
        uploads.give_up_late(assignment, &awaited);
    }
    ready
}

/// Queues what all sinks hold, waiting for room where there is none.
async fn deliver(
    uploads: &mut ShareUploads<'_>,
    sinks: &mut Vec<Sink>,
    encoding: &EncodeAhead,
    brake: &mut Brake,
) -> Result<(), Error> {
    loop {
        let late: BTreeSet<_> = sinks
            .iter_mut()
            .filter_map(|sink| (!sink.release()).then_some(sink.assignment.server))
            .collect();
        if late.is_empty() {
            return Ok(());
        }
        let drained = sinks.iter().filter(|sink| sink.upload.is_drained()).count();
        let is_braked = drained * 2 >= sinks.len();
        let begun = Instant::now();
        let lost = tokio::select! {
            () = uploads.grid.room() => None,
            (assignment, _) = uploads.next_reply() => Some(assignment),
            () = sleep(Brake::STEP) => None,
        };
        let now = Instant::now();
        for sink in sinks
            .iter()
            .filter(|sink| !late.contains(&sink.assignment.server))
        {
            brake.release(sink.assignment.server);
        }
        let braking = if is_braked { late } else { BTreeSet::new() };
        for (server, held_back) in brake.add(now, &braking, now - begun) {
            // Each that is given up may make the next one indispensable.
            if uploads.plan.may_spare(server) {
                for assignment in uploads.give_up_server(server, held_back) {
                    lose(uploads, sinks, encoding, assignment)?;
                }
            }
        }
        if let Some(assignment) = lost {
            lose(uploads, sinks, encoding, assignment)?;
        }
    }
}

/// A server is done with its share: it has it, refuses it, or is gone.
fn lose(
    uploads: &mut ShareUploads<'_>,
    sinks: &mut Vec<Sink>,
    encoding: &EncodeAhead,
    assignment: Assignment,
) -> Result<(), Error> {
    sinks.retain(|sink| sink.assignment != assignment);
    if !sinks.iter().any(|sink| sink.is_of(assignment.share)) {
        encoding.drop_share(assignment.share);
    }
    uploads.ensure_feasible()
}

/// Sends the ends of all shares.
fn end(encoded: &Encoded, sinks: Vec<Sink>) {
    for mut sink in sinks {
        sink.hold(Bytes::copy_from_slice(encoded.share(sink.assignment.share)));
        sink.upload.write(std::mem::take(&mut sink.held));
        sink.upload.close();
    }
}

/// Waits for the acknowledgements. Once enough are there, what is late goes to other servers.
async fn await_ends(uploads: &mut ShareUploads<'_>) {
    let mut awaited = Awaited::weighty(uploads.grid.patience());
    for &assignment in uploads.outstanding() {
        awaited.ask(assignment, Instant::now());
    }
    let asked = uploads.outstanding().len();
    while !uploads.outstanding().is_empty() {
        let is_measured = uploads.outstanding().len() * 2 <= asked;
        let late_at = awaited.next_late(|late| uploads.sight(late));
        tokio::select! {
            biased;
            (assignment, reply) = uploads.next_reply() => note(&mut awaited, assignment, &reply),
            () = until(late_at), if is_measured && uploads.plan.is_success() => {
                for assignment in uploads.hedge_late(&mut awaited) {
                    uploads.give_up_late(assignment, &awaited);
                }
            }
        }
    }
}

impl Sink {
    fn new(assignment: Assignment, upload: Upload, skip: u64) -> Self {
        Self {
            assignment,
            upload,
            skip,
            held: Bytes::new(),
        }
    }
}
