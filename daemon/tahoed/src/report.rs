//! What the commands print that ask a running server.

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use daemon::StatusText;
use protocol::control::{Expired, Kinds, Progress, Reply, Request, Walked};

/// Prints how a server and its store are.
pub(crate) fn status(directory: &Path, json: bool) -> Result<(), Box<dyn Error>> {
    let status = daemon::status(directory)?;
    if json {
        println!("{}", daemon::json(&status));
        return Ok(());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    print!("{}", StatusText::new(&status, now));
    Ok(())
}

/// Has a server walk over its store, and prints what came of it.
pub(crate) fn walk(directory: &Path, request: &Request, json: bool) -> Result<(), Box<dyn Error>> {
    let mut line = Line::new();
    let reply = daemon::ask_server(directory, request, |progress| line.show(progress));
    line.clear();
    let reply = reply?;
    if json {
        let line = reply.line();
        std::io::stdout().write_all(&line)?;
        return Ok(());
    }
    match reply {
        Reply::Walked(walked) => print_walked(request, &walked),
        Reply::Expired(expired) => print_expired(&expired),
        _ => {}
    }
    Ok(())
}

fn print_walked(request: &Request, walked: &Walked) {
    let Walked {
        buckets,
        shares,
        bytes,
        damaged,
        foreign,
        ..
    } = walked;
    if !walked.whole {
        println!("Stopped before the end of the store; it goes on there.");
    }
    println!("{shares} shares in {buckets} buckets, {bytes} bytes");
    if let Request::Scrub {} = request {
        println!("{damaged} shares are damaged; {foreign} other things are not as they should be");
    }
}

fn print_expired(expired: &Expired) {
    if !expired.whole {
        println!("Stopped before the end of the store; it goes on there.");
    }
    let did = match expired.dry_run {
        true => "Would remove",
        false => "Removed",
    };
    let Kinds { immutable, mutable } = expired.removed;
    println!("Looked at {} shares", expired.shares);
    println!(
        "{did} {} immutable ones, {} bytes",
        immutable.shares, immutable.bytes
    );
    println!(
        "{did} {} mutable ones, {} bytes",
        mutable.shares, mutable.bytes
    );
    if expired.failed > 0 {
        println!(
            "{} could not be judged or removed, and stay; the log has the first",
            expired.failed
        );
    }
}

/// How far it is, on a terminal.
struct Line {
    is_terminal: bool,
    is_shown: bool,
}

impl Line {
    fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            is_shown: false,
        }
    }

    fn show(&mut self, progress: &Progress) {
        if self.is_terminal {
            let (percent, shares) = (progress.millionths / 10_000, progress.shares);
            eprint!("\r{percent:3} %, {shares} shares");
            self.is_shown = true;
        }
    }

    fn clear(&mut self) {
        if self.is_shown {
            // To the end of the line.
            eprint!("\r\u{1b}[K");
        }
    }
}
