//! `tahoed run`: a whole process that serves one directory until it is told to stop.

use std::io::Write;
use std::net::SocketAddr;

use tracing::{info, warn};

use crate::crew::runtime;
use crate::daemon::Daemon;
use crate::directory::Directory;
use crate::error::RunError;
use crate::operator::Operator;
use crate::{log, signals};

/// Serves `directory` until SIGTERM, SIGINT or SIGQUIT, then finishes what is in flight.
///
/// Once it serves, standard output has a line `listening on ADDRESS` for each address. The log goes
/// to standard error.
///
/// # Errors
///
/// [`RunError`]: it could not start, or not keep running.
pub fn serve(directory: &Directory) -> Result<(), RunError> {
    // The log's own settings are in the configuration; until it is read, mistakes are printed.
    let config = directory.config()?;
    let level = log::start(config.log);
    let system = |action| move |error| RunError::System { action, error };
    let runtime = runtime().map_err(system("make an event queue"))?;
    // Before the journal is replayed, which takes a moment: a signal that asks for something must
    // not end the process. One that stops it may, until there is something to finish.
    let signals = {
        let _context = runtime.enter();
        signals::watch_asked().map_err(system("watch for signals"))?
    };
    let operator = Operator {
        signals,
        directory: directory.clone(),
        config: config.clone(),
        level,
    };
    let daemon = Daemon::start(directory, config)?;
    let addresses = daemon.addresses().to_vec();
    daemon.run(&runtime, operator, stop_signal(&addresses))
}

/// Says that it serves; is done when told to stop. When told again, the process ends.
async fn stop_signal(addresses: &[SocketAddr]) {
    let signals = signals::watch_stop();
    // Only now: whoever has read it may send a signal that stops us.
    announce(addresses);
    let mut signals = match signals {
        Ok(signals) => signals,
        Err(error) => {
            warn!(%error, "cannot watch for signals: SIGTERM will stop at once");
            return std::future::pending().await;
        }
    };
    let signal = signals.next().await;
    info!(signal, "told to stop");
    notify(&sd_notify::NotifyState::Stopping);
    tokio::spawn(async move {
        signals.next().await;
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
