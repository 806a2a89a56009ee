//! What each signal does.
//!
//! | signal | |
//! |---|---|
//! | TERM, INT, QUIT; PWR, XCPU | stop in order; a second one stops at once |
//! | HUP | read the configuration again |
//! | USR1 | log the status |
//! | USR2, ALRM, VTALRM, PROF, IO, XFSZ | nothing, but for a line in the log |
//! | PIPE | nothing |
//!
//! The others are the kernel's, or end the process as everywhere.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What an operator asks for by a signal, beside stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Read the configuration again.
    Reload,
    /// Log the status.
    Status,
    /// Nothing.
    Nothing,
}

/// Signals that are watched, with what each means.
pub(crate) struct Signals<T>(Vec<(Signal, T)>);

impl<T: Copy> Signals<T> {
    /// The next one that comes.
    pub(crate) async fn next(&mut self) -> T {
        poll_fn(|context| {
            for (signal, meaning) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*meaning);
                }
            }
            Poll::Pending
        })
        .await
    }

    fn watch(signals: impl IntoIterator<Item = (libc::c_int, T)>) -> io::Result<Self> {
        let watched = signals.into_iter().map(|(number, meaning)| {
            signal(SignalKind::from_raw(number)).map(|signal| (signal, meaning))
        });
        watched.collect::<io::Result<_>>().map(Self)
    }
}

/// Watches for everything but stopping: the name of a signal, and what it asks for.
///
/// # Errors
///
/// If the system does not let signals be watched.
///
/// # Panics
///
/// Outside of a runtime.
pub(crate) fn watch_asked() -> io::Result<Signals<(&'static str, Asked)>> {
    Signals::watch([
        (libc::SIGHUP, ("HUP", Asked::Reload)),
        (libc::SIGUSR1, ("USR1", Asked::Status)),
        (libc::SIGUSR2, ("USR2", Asked::Nothing)),
        (libc::SIGALRM, ("ALRM", Asked::Nothing)),
        (libc::SIGVTALRM, ("VTALRM", Asked::Nothing)),
        (libc::SIGPROF, ("PROF", Asked::Nothing)),
        (libc::SIGIO, ("IO", Asked::Nothing)),
        // Without this a write beyond `ulimit -f` would end the process instead of failing.
        (libc::SIGXFSZ, ("XFSZ", Asked::Nothing)),
    ])
}

/// Watches for what stops the process: the name of a signal.
///
/// # Errors
///
/// If the system does not let signals be watched.
///
/// # Panics
///
/// Outside of a runtime.
pub(crate) fn watch_stop() -> io::Result<Signals<&'static str>> {
    Signals::watch([
        (libc::SIGTERM, "TERM"),
        (libc::SIGINT, "INT"),
        (libc::SIGQUIT, "QUIT"),
        (libc::SIGPWR, "PWR"),
        (libc::SIGXCPU, "XCPU"),
    ])
}
