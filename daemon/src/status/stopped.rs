//! How a store is, whether a daemon serves it or not.

use std::fs;
use std::path::Path;

use bucketfs::{Found, OpenError};
use protocol::control::{Expiry, Journal, Reply, Request, Scrub, Space, State, Status, Store};

use super::place::{Place, StatusError};
use super::{disk, journal_size, program};
use crate::control::ask;

/// Says how the store of a server is, of which this is the directory, or which lies in it itself.
///
/// Asks the daemon if one runs. Otherwise the store is looked at, and nothing is changed.
///
/// # Errors
///
/// [`StatusError`].
pub fn status(directory: &Path) -> Result<Status, StatusError> {
    let place = Place::find(directory)?;
    match ask(&place.store, &Request::Status {}, |_| {})? {
        Some(Reply::Status(status)) => Ok(*status),
        Some(_) => Err(StatusError::OtherAnswer),
        None => look(&place),
    }
}

fn look(place: &Place) -> Result<Status, StatusError> {
    let path = place.store.clone();
    let identifier = match bucketfs::look(&place.store)? {
        Found::Store(id) => id.map(|id| id.to_string()),
        Found::NoDirectory | Found::NoStore => return Err(StatusError::NoStore { path }),
        Found::Part { missing } => return Err(StatusError::Part { path, missing }),
    };
    let layout = layout(&place.store).ok_or(OpenError::MalformedVersion)?;
    let config = place.config.as_ref();
    let (free, size) = disk(&place.store);
    let reserved = config.map_or(0, |config| config.store.reserved_space.0);
    Ok(Status {
        state: State::Stopped,
        program: program(),
        process: None,
        since: None,
        store: Store {
            path: place.store.display().to_string(),
            identifier,
            layout,
            migrating_from: None,
            durability: config
                .map_or("unknown", |config| config.store.durability.name())
                .to_owned(),
            read_only: config.is_some_and(|config| config.store.read_only),
            failed: false,
            uploads: 0,
            pending: 0,
            unplaced: 0,
        },
        space: Space {
            available: free.saturating_sub(reserved),
            reserved,
            promised: 0,
            size_max: None,
            free,
            size,
        },
        shares: None,
        leases: None,
        journal: Journal {
            size: journal_size(&place.store),
            ..Journal::default()
        },
        engine: None,
        connections: None,
        scrub: Scrub::default(),
        expiry: Expiry::default(),
        work: None,
    })
}

fn layout(store: &Path) -> Option<String> {
    let text = fs::read_to_string(store.join("version")).ok()?;
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix("layout ").map(str::to_owned))
}
