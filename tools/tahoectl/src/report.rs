//! What a user sees: results on standard output, everything else on standard error.

use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tools::wording::{printable, quoted_path};
use tools::{Error, Exit};

use crate::object::Object;

/// Where to report, and how.
pub(crate) struct Report {
    json: bool,
    quiet: bool,
    /// What the user gave as `--dir`, which commands that we name need as well.
    dir: Option<PathBuf>,
}

impl Report {
    pub(crate) fn new(json: bool, quiet: bool, dir: Option<PathBuf>) -> Self {
        Self { json, quiet, dir }
    }

    /// A report that says nothing but results and errors.
    pub(crate) fn silent() -> Self {
        Self::new(false, true, None)
    }

    /// Prints a result: text for a person or a shell, or an object for a program.
    pub(crate) fn result(&self, text: impl AsRef<[u8]>, object: &Object) -> Result<(), Error> {
        let mut line = if self.json {
            serde_json::to_vec(object).expect("names and numbers can be written as JSON")
        } else {
            text.as_ref().to_vec()
        };
        if line.is_empty() {
            return Ok(());
        }
        line.push(b'\n');
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(&line)
            .and_then(|()| stdout.flush())
            .map_err(|source| Error::Output {
                target: "standard output".to_owned(),
                source,
            })
    }

    /// Says something that is no result.
    pub(crate) fn note(&self, text: &str) {
        if self.is_chatty() {
            complain(&self.with_dir(text));
        }
    }

    /// Says what the user would want to know of a result that is fine otherwise.
    pub(crate) fn warn(&self, text: &str) {
        self.note(&format!("warning: {text}"));
    }

    /// Says why the command failed, and what to try.
    pub(crate) fn error(&self, error: &Error) {
        self.failed(error, None);
    }

    /// Says why the command, or the part of it that was about one file, failed, and what to try.
    pub(crate) fn failed(&self, error: &Error, file: Option<&Path>) {
        if error.is_broken_pipe() {
            return;
        }
        let hint = error.hint().map(|hint| self.with_dir(&hint));
        if self.json {
            self.object(&Object::error(error, hint, file));
            return;
        }
        match file {
            // Errors of the input name it.
            Some(file) if !matches!(error, Error::Input(_)) => {
                complain(&format!("tahoectl: {}: {error}", file.display()));
            }
            _ => complain(&format!("tahoectl: {error}")),
        }
        if let Some(hint) = hint {
            complain(&format!("hint: {hint}"));
        }
    }

    /// Says that this program is wrong.
    pub(crate) fn bug(&self) {
        let text = "this is a mistake in tahoectl; please report it with the lines above";
        if self.json {
            let object = Object::new("error")
                .with("kind", "bug")
                .with("error", text)
                .with("exit", Exit::Bug.code());
            self.object(&object);
        } else {
            complain(&format!("tahoectl: {text}"));
        }
    }

    /// Says something to a program that is no result.
    pub(crate) fn object(&self, object: &Object) {
        let text = serde_json::to_string(object).expect("names and numbers can be written as JSON");
        complain(&text);
    }

    /// Whether results are for a program.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether remarks are wanted, and progress may be drawn.
    pub(crate) fn is_chatty(&self) -> bool {
        !self.quiet && !self.json
    }

    /// Text in which our commands, which stand in backquotes, are about the same directory as this one.
    fn with_dir(&self, text: &str) -> String {
        let Some(dir) = &self.dir else {
            return text.to_owned();
        };
        let mut pieces = text.split(COMMAND);
        let mut all = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            all.push_str(COMMAND);
            // These name directories of their own.
            let is_apart = ["--dir ", "grid up ", "grid down "]
                .iter()
                .any(|start| piece.starts_with(start));
            if !is_apart {
                all.push_str(&format!("--dir {} ", quoted_path(dir)));
            }
            all.push_str(piece);
        }
        all
    }
}

/// How a command of ours begins in a message.
const COMMAND: &str = "`tahoectl ";

/// Writes a line to standard error; when that is closed too there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(text));
}

/// A name as a line of output ends with it, in the way of sha256sum: where it would break the line, it
/// is escaped, and the line begins with a backslash.
pub(crate) fn line_with_name(result: &str, name: &Path) -> Vec<u8> {
    let name = name.as_os_str().as_bytes();
    let escape = |byte: &u8| match byte {
        b'\\' => b"\\\\".to_vec(),
        b'\n' => b"\\n".to_vec(),
        b'\r' => b"\\r".to_vec(),
        _ => vec![*byte],
    };
    let escaped: Vec<u8> = name.iter().flat_map(escape).collect();
    let mut line = Vec::new();
    if escaped != name {
        line.push(b'\\');
    }
    line.extend_from_slice(result.as_bytes());
    line.extend_from_slice(b"  ");
    line.extend_from_slice(&escaped);
    if io::stdout().is_terminal() {
        return printable(&String::from_utf8_lossy(&line)).into_bytes();
    }
    line
}
