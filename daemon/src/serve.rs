//! `tahoed run`: a whole process that serves one directory until it is told to stop.

use std::io::Write;
use std::net::SocketAddr;

use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

use crate::daemon::Daemon;
use crate::directory::Directory;
use crate::error::RunError;
use crate::log;

/// Serves `directory` until SIGTERM or SIGINT, then finishes what is in flight.
///
/// Once it serves, standard output has a line `listening on ADDRESS` for each address. The log goes
/// to standard error.
///
/// # Errors
///
/// [`RunError`]: it could not start, or could not go on.
pub fn serve(directory: &Directory) -> Result<(), RunError> {
    // The log's own settings are in the configuration; until it is read, mistakes are printed.
    log::start(directory.config()?.log);
    let daemon = Daemon::start(directory)?;
    let addresses = daemon.addresses().to_vec();
    daemon.run(stop_signal(&addresses))
}

/// Says that it serves; is done on SIGTERM or SIGINT. On a second one the process ends.
async fn stop_signal(addresses: &[SocketAddr]) {
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    // Only now, so that whoever has read it may stop us.
    announce(addresses);
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            warn!(%error, "cannot watch for signals: SIGTERM will stop at once");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    notify(&sd_notify::NotifyState::Stopping);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        warn!("told twice: stopping at once; what was acknowledged is safe");
        std::process::exit(TOLD_TWICE);
    });
}

fn announce(addresses: &[SocketAddr]) {
    let mut stdout = std::io::stdout().lock();
    for address in addresses {
        // Nobody may be listening to standard output, which is no reason not to serve.
        let _ = writeln!(stdout, "listening on {address}");
    }
    let _ = stdout.flush();
    notify(&sd_notify::NotifyState::Ready);
}

/// Tells systemd, if it started us.
fn notify(state: &sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(false, std::slice::from_ref(state)) {
        warn!(%error, "cannot tell systemd");
    }
}

/// Exit code of a process that did not finish what was in flight.
const TOLD_TWICE: i32 = 3;
