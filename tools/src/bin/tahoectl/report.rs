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
        let mut stdout = io::stdout().lock();
        let written = if self.json {
            serde_json::to_writer(&mut stdout, object)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(stdout))
        } else if text.is_empty() {
            Ok(())
        } else {
            writeln!(stdout, "{text}")
        };
        written
            .and_then(|()| stdout.flush())
            .map_err(|source| Error::Output {
                target: "standard output".to_owned(),
                source,
            })
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

/// Writes a line to standard error; when that is closed too there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
