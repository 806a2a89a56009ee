//! `tahoectl`: the client of a storage grid.
//!
//! A command is its arguments, one call of the library, and a report. Standard output carries what
//! was asked for and nothing else; everything else goes to standard error.

#[cfg(feature = "jemalloc")]
mod allocator;
mod arguments;
mod download;
mod grid;
mod init;
#[cfg(test)]
mod manual;
mod progress;
mod report;
mod try_out;
mod upload;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::task::Poll;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tools::home::Home;
use tools::local::Life;
use tools::{Error, Exit};

use arguments::{Arguments, Command};
use report::Report;

fn main() -> ExitCode {
    // Clap ends with 2 by itself on arguments that cannot be meant.
    let arguments = Arguments::parse();
    let report = Report::new(arguments.json, arguments.quiet);
    let ended = catch_unwind(AssertUnwindSafe(|| run(arguments, &report)));
    let exit = match ended {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            report.error(&error);
            error.exit()
        }
        // The panic has printed where.
        Err(_) => {
            report.note("this is a mistake in tahoectl; please report it with the lines above");
            Exit::Bug
        }
    };
    exit.into()
}

fn run(arguments: Arguments, report: &Report) -> Result<Exit, Error> {
    let home = || Home::locate(arguments.dir.clone()).map_err(Error::from);
    match arguments.command {
        Command::Init(options) => init::run(&home()?, options, report),
        Command::Grid(command) => grid::run(home, command, report),
        Command::Upload(options) => client(upload::run(&home()?, options, report)),
        Command::Download(options) => client(download::run(&home()?, options, report)),
        Command::Try(options) => client(try_out::run(options, report)),
        Command::Daemon { directory, with } => {
            let life = with.map_or(Life::Alone, Life::With);
            tools::local::launch(&directory, life)?;
            Ok(Exit::Done)
        }
    }
}

/// Runs the client's side of a command on one thread, until it is done or the user has enough.
fn client(work: impl Future<Output = Result<Exit, Error>>) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, async {
        tokio::select! {
            // First the signals: nothing is begun that a signal would leave behind.
            biased;
            () = stopped() => Err(Error::Interrupted),
            result = work => result,
        }
    });
    // What was under way is dropped with its temporary files; a thread that reads is not waited for.
    drop(local);
    runtime.shutdown_background();
    result
}

/// Ends when the user has enough, the terminal is gone, or the system asks to stop.
async fn stopped() {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let signals: std::io::Result<Vec<_>> = kinds.into_iter().map(signal).collect();
    match signals {
        Ok(mut signals) => {
            poll_fn(|context| {
                let mut received = signals.iter_mut().map(|signal| signal.poll_recv(context));
                received.find(Poll::is_ready).unwrap_or(Poll::Pending)
            })
            .await;
        }
        // The signals then have their default action.
        Err(_) => std::future::pending().await,
    }
}
