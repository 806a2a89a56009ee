//! The line of progress, on a terminal.

use std::collections::HashSet;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tools::error::Failure;
use tools::{download, upload};

use crate::report::Report;

mod line;

use line::Snapshot;

/// Draws how far an upload or download is, and says what goes wrong meanwhile.
pub(crate) struct Progress {
    /// Where somebody sees it.
    bar: Option<ProgressBar>,
    is_chatty: bool,
    counts: Arc<Counts>,
    /// What has been complained about: one line each will do.
    said: Mutex<HashSet<String>>,
}

/// What the bar does not count itself.
struct Counts {
    files_done: AtomicUsize,
    looked_at: AtomicU64,
}

/// What there is to do.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub(crate) doing: &'static str,
    pub(crate) files: usize,
    /// Whether every file has a size before it is read.
    pub(crate) is_size_known: bool,
}

impl Work {
    pub(crate) const UPLOAD: Self = Self {
        doing: "uploading",
        files: 1,
        is_size_known: true,
    };
    pub(crate) const DOWNLOAD: Self = Self {
        doing: "downloading",
        ..Self::UPLOAD
    };
}

impl Progress {
    pub(crate) fn new(report: &Report, work: Work) -> Self {
        let counts = Arc::new(Counts {
            files_done: AtomicUsize::new(0),
            looked_at: AtomicU64::new(0),
        });
        let is_drawn = report.is_chatty() && io::stderr().is_terminal();
        Self {
            bar: is_drawn.then(|| bar(work, counts.clone())),
            is_chatty: report.is_chatty(),
            counts,
            said: Mutex::new(HashSet::new()),
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// A file is done, one way or the other.
    pub(crate) fn file_done(&self) {
        self.counts.files_done.fetch_add(1, Ordering::Relaxed);
    }

    /// Prints something without disturbing the line.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Says a thing once.
    fn complain(&self, text: String) {
        let mut said = self
            .said
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        if self.is_chatty && said.len() < SAID_MAX && !said.contains(&text) {
            self.suspend(|| crate::report::complain(&text));
            said.insert(text);
        }
    }
}

impl Counts {
    fn snapshot(&self, work: Work, state: &ProgressState) -> Snapshot {
        Snapshot {
            doing: work.doing,
            files: (self.files_done.load(Ordering::Relaxed), work.files),
            looked_at: self.looked_at.load(Ordering::Relaxed),
            done: state.pos(),
            total: state.len().filter(|_| work.is_size_known),
            per_second: whole(state.per_sec()),
        }
    }
}

impl upload::Observer for Progress {
    fn expects(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc_length(bytes);
        }
    }

    fn hashed(&self, bytes: u64) {
        self.counts.looked_at.fetch_add(bytes, Ordering::Relaxed);
    }

    fn encoded(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn failed(&self, failure: &Failure) {
        self.complain(format!("tahoectl: {}: {}", failure.server, failure.error));
    }
}

impl download::Observer for Progress {
    fn expects(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc_length(bytes);
        }
    }

    fn wrote(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn failed(&self, failure: &Failure) {
        match failure.share {
            // A bad share is news by itself: its server did answer.
            Some(_) => self.complain(format!("tahoectl: {failure}")),
            None => self.complain(format!("tahoectl: {}: {}", failure.server, failure.error)),
        }
    }
}

/// A line that draws itself.
fn bar(work: Work, counts: Arc<Counts>) -> ProgressBar {
    let draw = move |state: &ProgressState, to: &mut dyn std::fmt::Write| {
        let snapshot = counts.snapshot(work, state);
        // The line is drawn again a moment later.
        let _ = to.write_str(&snapshot.line(width()));
    };
    let style = ProgressStyle::with_template("{line}")
        .expect("the template is well formed")
        .with_key("line", draw);
    let target = ProgressDrawTarget::stderr();
    let bar = ProgressBar::with_draw_target(Some(0), target).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Columns of the terminal that the line is drawn on; one is left free for the cursor.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    let columns = if columns == 0 { WIDTH_DEFAULT } else { columns };
    columns - 1
}

/// A speed without its fraction. Of nothing, the bar makes no number.
fn whole(speed: f64) -> u64 {
    let speed = Duration::try_from_secs_f64(speed).unwrap_or_default();
    speed.as_secs()
}

const WIDTH_DEFAULT: usize = 80;

/// Lines about servers, so that a thousand files on a broken grid do not print a thousand times.
const SAID_MAX: usize = 256;
