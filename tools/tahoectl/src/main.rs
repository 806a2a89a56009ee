//! `tahoectl`: the client of a storage grid.
//!
//! A command is its arguments, one call of the library, and a report. Standard output carries what
//! was asked for and nothing else; everything else goes to standard error.

#[cfg(feature = "jemalloc")]
mod allocator;
mod arguments;
mod crowded;
mod download;
mod fsck;
mod given;
mod grid;
mod init;
#[cfg(test)]
mod manual;
mod migrate;
mod object;
mod progress;
mod report;
mod signals;
mod spread;
mod store;
mod try_out;
mod upload;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;
use tools::home::Home;
use tools::local::Life;
use tools::{Error, Exit};

use arguments::{Arguments, Command};
use object::Object;
use report::Report;
use signals::Stop;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error).into(),
    };
    let report = Report::new(arguments.json, arguments.quiet, arguments.dir.clone());
    let ended = catch_unwind(AssertUnwindSafe(|| run(arguments, &report)));
    let exit = match ended {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            report.error(&error);
            error.exit()
        }
        // The panic has printed where.
        Err(_) => {
            report.bug();
            Exit::Bug
        }
    };
    exit.into()
}

/// Answers a command line that makes no sense, or asks for help.
fn misused(error: &clap::Error) -> Exit {
    let is_help = !error.use_stderr();
    let usage = match Arguments::name_fsck(std::env::args_os().skip(1)) {
        true => Exit::Fsck(tools::fsck::USAGE),
        false => Exit::Usage,
    };
    if is_help || !Arguments::ask_for_json(std::env::args_os().skip(1)) {
        // Where nobody reads it, nobody needs it.
        let _ = error.print();
        return if is_help { Exit::Done } else { usage };
    }
    let text = error.to_string();
    let (what, _) = text.split_once("\n\n").unwrap_or((&text, ""));
    let what = what.trim_start_matches("error: ").trim_end();
    let object = Object::new("error")
        .with("kind", "usage")
        .with("error", what)
        .with(
            "hint",
            "`tahoectl help` lists the commands, `tahoectl COMMAND --help` explains one",
        )
        .with("exit", usage.code());
    Report::new(true, false, None).object(&object);
    usage
}

fn run(arguments: Arguments, report: &Report) -> Result<Exit, Error> {
    let home = || Home::locate(arguments.dir.clone()).map_err(Error::from);
    match arguments.command {
        Command::Init(options) => init::run(&home()?, options, report),
        Command::Grid(command) => grid::run(home, command, report),
        Command::Upload(options) => {
            let home = home()?;
            until_done(|stop| upload::run(&home, options, report, stop))
        }
        Command::Download(options) => client(download::run(&home()?, options, report)),
        Command::Fsck(options) => fsck::run(&options, report),
        Command::Store(command) => store::run(&command, report),
        Command::Try(options) => client(try_out::run(options, report)),
        Command::Migrate(options) => until_done(|stop| migrate::run(options, report, stop)),
        Command::Daemon { directory, with } => {
            let life = with.map_or(Life::Alone, Life::With);
            tools::local::launch(&directory, life)?;
            Ok(Exit::Done)
        }
    }
}

/// Runs the client's side of a command, until it is done or the user has enough of it.
fn client(work: impl Future<Output = Result<Exit, Error>>) -> Result<Exit, Error> {
    until_done(|mut stop| async move {
        tokio::select! {
            // First the signals: nothing is begun that a signal would leave behind.
            biased;
            () = stop.wanted() => Err(Error::Interrupted),
            result = work => result,
        }
    })
}

/// Runs the client's side of a command, which winds down by itself when it is told to stop, on one
/// thread.
fn until_done<Work>(work: impl FnOnce(Stop) -> Work) -> Result<Exit, Error>
where
    Work: Future<Output = Result<Exit, Error>>,
{
    let stop = Stop::listen().map_err(Error::Runtime)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, work(stop));
    // What was under way is dropped with its temporary files; a thread that reads is not waited for.
    drop(local);
    runtime.shutdown_background();
    result
}
