//! How a store is, whether a daemon serves it or not.

use std::path::Path;

use bucketfs::Found;
use bucketfs::view::View;
use protocol::control::{Journal, Reply, Request, Space, State, Status, Store};

use super::place::{Place, StatusError};
use super::{disk, journal_size, program};
use crate::control::ask;
use crate::keeper;

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
    let view = View::open(&place.store)?;
    let config = place.config.as_ref();
    let (free, size) = disk(&place.store);
    let reserved = config.map_or(0, |config| config.store.reserved_space.0);
    let remembered = keeper::remembered(&place.store, config);
    Ok(Status {
        state: State::Stopped,
        program: program(),
        process: None,
        since: None,
        store: Store {
            path: place.store.display().to_string(),
            identifier,
            layout: view.layout().name().to_owned(),
            migrating_from: view.from().map(|from| from.name().to_owned()),
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
        leases: remembered.leases,
        journal: Journal {
            size: journal_size(&place.store),
            ..Journal::default()
        },
        engine: None,
        connections: None,
        scrub: remembered.scrub,
        expiry: remembered.expiry,
        work: None,
    })
}
