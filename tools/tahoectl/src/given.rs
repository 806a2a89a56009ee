//! What is given in a file or on standard input, where no other process sees it among the arguments.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use tools::Error;
use tools::input::standard_input;

use crate::report::Report;

/// Where a short text comes from.
pub(crate) enum Given {
    /// Standard input; the text says to a person what is waited for.
    Input(&'static str),
    /// A file.
    File(PathBuf),
}

impl Given {
    /// Reads the text, at most [`SIZE_MAX`] bytes of it: a wrong file is not read to its end.
    ///
    /// This may wait for as long as nobody writes, so a command that has connections, or signals to
    /// listen to, does it on another thread.
    pub(crate) fn read(&self) -> Result<String, Error> {
        let bytes = match self {
            Self::Input(_) if io::stdin().is_terminal() => line(standard_input()?),
            Self::Input(_) => all(standard_input()?),
            Self::File(path) => File::open(path).and_then(all),
        };
        let bytes = bytes.map_err(|source| Error::input(&self.name(), source))?;
        // What is no text is no capability and no NURL either, and is refused as such.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Says to a person at a terminal what is waited for.
    pub(crate) fn prompt(&self, report: &Report) {
        if let Self::Input(prompt) = self {
            if io::stdin().is_terminal() {
                report.note(prompt);
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Input(_) => "standard input".to_owned(),
            Self::File(path) => Path::display(path).to_string(),
        }
    }
}

fn all(source: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(SIZE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a person typed before Enter.
fn line(source: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    BufReader::new(source.take(SIZE_MAX)).read_until(b'\n', &mut bytes)?;
    Ok(bytes)
}

/// More than the NURLs of any grid.
const SIZE_MAX: u64 = 1 << 20;
