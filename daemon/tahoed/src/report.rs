//! What the commands print that ask a running server.

use std::error::Error;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use daemon::StatusText;

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
