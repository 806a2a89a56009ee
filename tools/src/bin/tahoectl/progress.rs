//! The progress bar, on a terminal.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tools::error::Failure;
use tools::{download, upload};

use crate::report::Report;

/// Draws how far an upload or download is, and says what goes wrong meanwhile.
pub(crate) struct Progress {
    bar: ProgressBar,
    is_chatty: bool,
    /// Servers that have been complained about: one line each will do.
    named: Mutex<Vec<String>>,
}

impl Progress {
    pub(crate) fn new(report: &Report, doing: &'static str) -> Self {
        let is_drawn = report.is_chatty() && std::io::stderr().is_terminal();
        let target = if is_drawn {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template(
            "{prefix} {bar:30} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left",
        )
        .expect("the template is well formed");
        let bar = ProgressBar::with_draw_target(Some(0), target)
            .with_style(style)
            .with_prefix(doing);
        if is_drawn {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self {
            bar,
            is_chatty: report.is_chatty(),
            named: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Prints a line without disturbing the bar.
    pub(crate) fn line(&self, text: &str) {
        if self.is_chatty {
            self.bar.suspend(|| crate::report::complain(text));
        }
    }

    /// Prints something else without disturbing the bar.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    fn complain(&self, failure: &Failure) {
        let line = format!("tahoectl: {}: {}", failure.server, failure.error);
        let mut named = self
            .named
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        if !named.contains(&line) && named.len() < NAMED_MAX {
            self.line(&line);
            named.push(line);
        }
    }
}

impl upload::Observer for Progress {
    fn expects(&self, bytes: u64) {
        self.bar.inc_length(bytes);
    }

    fn encoded(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn failed(&self, failure: &Failure) {
        self.complain(failure);
    }
}

impl download::Observer for Progress {
    fn expects(&self, bytes: u64) {
        self.bar.inc_length(bytes);
    }

    fn wrote(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn failed(&self, failure: &Failure) {
        match failure.share {
            // A bad share is news by itself: its server did answer.
            Some(_) => self.line(&format!("tahoectl: {failure}")),
            None => self.complain(failure),
        }
    }
}

/// Lines about servers, so that a thousand files on a broken grid do not print a thousand times.
const NAMED_MAX: usize = 256;
