//! What a user sees: results on standard output, everything else on standard error.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;
use tools::Error;

/// Where to report, and how.
pub(crate) struct Report {
    json: bool,
    quiet: bool,
}

impl Report {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Prints a result: text for a person or a shell, or an object for a program.
    pub(crate) fn result(&self, text: &str, object: &impl Serialize) -> Result<(), Error> {
        if self.json {
            let object = serde_json::to_string(object).map_err(|error| output(error.into()))?;
            print(&object)
        } else if text.is_empty() {
            Ok(())
        } else {
            print(text)
        }
    }

    /// Prints what surrounds results where they are told as a story, to a person.
    pub(crate) fn tell(&self, text: &str) -> Result<(), Error> {
        if self.is_chatty() {
            print(text)
        } else {
            Ok(())
        }
    }

    /// Says something that is no result.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            complain(text);
        }
    }

    /// Says why the command, or a part of it, failed, and what to try.
    pub(crate) fn error(&self, error: &Error) {
        if error.is_broken_pipe() {
            return;
        }
        if self.json {
            let object = json!({
                "error": error.to_string(),
                "hint": error.hint(),
                "exit": error.exit().code(),
            });
            complain(&object.to_string());
            return;
        }
        complain(&format!("tahoectl: {error}"));
        if let Some(hint) = error.hint() {
            complain(&format!("hint: {hint}"));
        }
    }

    /// Whether results are for a program.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress may be drawn.
    pub(crate) fn is_chatty(&self) -> bool {
        !self.quiet && !self.json
    }
}

fn print(line: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(output)
}

fn output(source: io::Error) -> Error {
    Error::Output {
        target: "standard output".to_owned(),
        source,
    }
}

/// Writes a line to standard error; when that is closed too there is nobody left to tell.
fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
