//! Being told to stop: Ctrl-C, SIGTERM, or a terminal that is gone.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tools::Exit;

/// Whether we were told to stop.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens from now on, on a thread of its own.
    ///
    /// A command that is told to stop winds down by itself. Where it cannot, because some read or write
    /// keeps its thread, the process ends all the same: after [`WIND_DOWN`], or at a second signal.
    ///
    /// # Errors
    ///
    /// The system's, if it gives no thread or no event queue.
    pub(crate) fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut signals = {
            let _context = runtime.enter();
            [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ]
        };
        let (sender, receiver) = watch::channel(false);
        let watching = move || {
            runtime.block_on(async {
                any(&mut signals).await;
                // Nobody listens once the command is over.
                let _ = sender.send(true);
                let _ = tokio::time::timeout(WIND_DOWN, any(&mut signals)).await;
            });
            std::process::exit(Exit::CouldNot.code().into());
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(watching)?;
        Ok(Self(receiver))
    }

    /// Tells a thread of ours that is not told otherwise.
    pub(crate) fn tell(mut self, then: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let wait = move || {
            runtime.block_on(self.wanted());
            then();
        };
        let thread = std::thread::Builder::new().name("stop".to_owned());
        // It waits for as long as the process lives.
        thread.spawn(wait).map(drop)
    }

    /// Whether we were told to stop already.
    pub(crate) fn is_wanted(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when we are told to stop.
    pub(crate) async fn wanted(&mut self) {
        if self.0.wait_for(|is_wanted| *is_wanted).await.is_err() {
            // The thread ends only with the process.
            std::future::pending().await
        }
    }
}

async fn any(signals: &mut [Signal]) {
    poll_fn(|context| {
        let mut received = signals.iter_mut().map(|signal| signal.poll_recv(context));
        received.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await;
}

/// Time for a command to remove its temporary files and stop its servers.
const WIND_DOWN: Duration = Duration::from_secs(5);
