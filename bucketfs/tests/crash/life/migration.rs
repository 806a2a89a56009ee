//! Buckets moved from one layout to another, and back, while everything else goes on.

use bucketfs::disk::sim::{Medium, Random};
use bucketfs::{
    Answer, BeginMigration, EndMigration, Layout, MigrateNext, Request, Store, WalkEnd,
};

use super::{Asked, Life};
use crate::ledger::{Verdict, Violation};

impl Life<'_> {
    pub(super) fn ask_migration(&mut self) {
        if self.asked.values().any(|it| matches!(it, Asked::Migrate)) {
            return;
        }
        let request = next_step(&mut self.store, &mut self.random);
        self.send(Asked::Migrate, request);
    }

    /// Moves everything, as somebody does who comes back to it after whatever has happened.
    pub(super) fn migrate(&mut self, to: Layout) -> Verdict {
        self.migrates = false;
        for begin in [to, to] {
            match self.ask_and_wait(BeginMigration { to: begin })? {
                // The other two layouts are first made to be one.
                Some(Answer::BeginMigration(Err(_))) => {
                    let now = self.store.status();
                    self.move_all(now.layout)?;
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
        self.move_all(to)
    }

    fn move_all(&mut self, to: Layout) -> Verdict {
        for round in 0.. {
            if round > 1000 {
                return Err(Violation(format!("never all in {to}")));
            }
            match self.ask_and_wait(MigrateNext { buckets: 2 })? {
                None => return Ok(()),
                Some(Answer::MigrateNext(Ok(migrated))) => match migrated.walk_end {
                    Some(WalkEnd::NothingLeft) => break,
                    _ if migrated.stayed.is_empty() || self.faulty => {}
                    _ => return Err(Violation(format!("{:?}", migrated.stayed))),
                },
                // Nothing is being moved: it lies there.
                Some(Answer::MigrateNext(Err(_))) => break,
                Some(answer) => return Err(Violation(format!("{answer:?}"))),
            }
        }
        match self.ask_and_wait(EndMigration)? {
            None => return Ok(()),
            Some(Answer::EndMigration(Ok(()))) => {}
            Some(_) if self.faulty => return Ok(()),
            Some(answer) => return Err(Violation(format!("{answer:?}"))),
        }
        self.sim.look(|medium| lies_in(medium, to))
    }

    /// What a request is answered, or nothing after a crash.
    fn ask_and_wait(&mut self, request: impl Into<Request>) -> Verdict<Option<Answer>> {
        self.migrated = None;
        self.send(Asked::Migrate, request);
        while self.migrated.is_none() && !self.sim.has_crashed() {
            if self.asked.len() < 4 && self.random.one_in(8) {
                self.ask();
            }
            self.turn()?;
        }
        Ok(self.migrated.take())
    }
}

/// The next step of a migration, the first one of another, or one that turns it round.
pub(crate) fn next_step(store: &mut Store, random: &mut Random) -> Request {
    let to = Layout::ALL[random.index(Layout::ALL.len())];
    match store.status().migrating_from {
        None => BeginMigration { to }.into(),
        Some(from) => match random.below(12) {
            0 => BeginMigration { to: from }.into(),
            1 => BeginMigration { to }.into(),
            2 | 3 => EndMigration.into(),
            _ => MigrateNext {
                buckets: 1 + random.index(2),
            }
            .into(),
        },
    }
}

/// Compares the place of every share with the layout.
fn lies_in(medium: &Medium, layout: Layout) -> Verdict {
    let files = medium.files();
    let expected = format!("bucketfs 1\nlayout {layout}\n");
    if files["version"] != expected.as_bytes() {
        return Err(Violation(format!("the version file is not of {layout}")));
    }
    let depth = match layout {
        Layout::Flat => 3,
        Layout::OneLevel => 4,
        Layout::TwoLevel => 5,
    };
    let mut shares = files.keys().filter(|path| path.starts_with("shares/"));
    let is_elsewhere =
        |path: &&String| !path.starts_with("shares/incoming/") && path.split('/').count() != depth;
    match shares.find(is_elsewhere) {
        Some(path) => Err(Violation(format!("{path} is not in its place of {layout}"))),
        None => Ok(()),
    }
}
