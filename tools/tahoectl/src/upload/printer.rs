//! What an upload prints: a line or an object a file, in order, and then what is to be said of all.

use std::path::{Path, PathBuf};

use tools::grid::Stored;
use tools::upload::Uploaded;
use tools::wording::counted;
use tools::{Error, Exit};

use crate::crowded::Crowded;
use crate::object::Object;
use crate::report::{Report, line_with_name};

/// Prints results in the order of the arguments, as soon as that is possible.
pub(super) struct Printer<'a> {
    files: &'a [PathBuf],
    needed: usize,
    report: &'a Report,
    results: Vec<Option<Result<Uploaded, Error>>>,
    printed: usize,
    uploaded: usize,
    /// The first file of which a server holds several shares, and how many such files there are.
    crowded: Option<(PathBuf, Crowded)>,
    crowded_files: usize,
    exit: Exit,
}

impl<'a> Printer<'a> {
    pub(super) fn new(files: &'a [PathBuf], needed: usize, report: &'a Report) -> Self {
        Self {
            files,
            needed,
            report,
            results: files.iter().map(|_| None).collect(),
            printed: 0,
            uploaded: 0,
            crowded: None,
            crowded_files: 0,
            exit: Exit::Done,
        }
    }

    pub(super) fn take(&mut self, index: usize, result: Result<Uploaded, Error>) {
        self.results[index] = Some(result);
    }

    /// Prints what is next in order.
    pub(super) fn print_in_order(&mut self) -> Result<(), Error> {
        while let Some(result) = self.results.get_mut(self.printed).and_then(Option::take) {
            let index = self.printed;
            self.printed += 1;
            self.print(index, result)?;
        }
        Ok(())
    }

    /// Prints whatever there is: nothing more will come.
    pub(super) fn print_all(&mut self) -> Result<(), Error> {
        for index in 0..self.results.len() {
            if let Some(result) = self.results[index].take() {
                self.print(index, result)?;
            }
        }
        Ok(())
    }

    fn print(&mut self, index: usize, result: Result<Uploaded, Error>) -> Result<(), Error> {
        let path = &self.files[index];
        let is_one_of_several = self.files.len() > 1;
        match result {
            Ok(uploaded) => {
                self.uploaded += 1;
                let crowded = Crowded::of(&uploaded.shares, self.needed);
                let cap = uploaded.cap.to_string();
                let line = match is_one_of_several {
                    true => line_with_name(&cap, path),
                    false => cap.into_bytes(),
                };
                let object = object(path, &uploaded, crowded.as_ref());
                self.report.result(line, &object)?;
                if let Some(crowded) = crowded {
                    self.crowded_files += 1;
                    self.crowded.get_or_insert_with(|| (path.clone(), crowded));
                }
            }
            Err(error) => {
                let is_named = is_one_of_several || self.report.is_json();
                self.report.failed(&error, is_named.then_some(path));
                self.exit = self.exit.worse(error.exit());
            }
        }
        Ok(())
    }

    /// Says what is to be said of all files together.
    pub(super) fn finish(self, is_interrupted: bool) -> Result<Exit, Error> {
        if let Some((path, crowded)) = &self.crowded {
            let sentence = crowded.sentence(self.crowded_files);
            self.report.warn(&format!("{}: {sentence}", path.display()));
        }
        if !is_interrupted {
            return Ok(self.exit);
        }
        if self.files.len() > 1 {
            self.report.note(&format!(
                "{} of {} uploaded; if you run it again, they are not sent again",
                self.uploaded,
                counted(self.files.len(), "file")
            ));
        }
        Err(Error::Interrupted)
    }
}

fn object(path: &Path, uploaded: &Uploaded, crowded: Option<&Crowded>) -> Object {
    let shares: Vec<_> = uploaded
        .shares
        .iter()
        .map(|placed| {
            serde_json::json!({
                "share": placed.share.as_u8(),
                "server": &*placed.server,
                "sent": placed.stored == Stored::Now,
            })
        })
        .collect();
    let warnings: Vec<_> = crowded.map(Crowded::value).into_iter().collect();
    Object::new("upload")
        .path("file", path)
        .with("cap", uploaded.cap.to_string())
        .with("size", uploaded.size)
        .with("happiness", uploaded.happiness)
        .with("shares", shares)
        .with("warnings", warnings)
        .with("round_trips", uploaded.round_trips)
        .failures(&uploaded.failures)
}
