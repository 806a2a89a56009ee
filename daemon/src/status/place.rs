//! Which store is meant by a directory that an operator names, and whoever serves it.

use std::fs;
use std::path::{Path, PathBuf};

use bucketfs::{Found, OpenError};
use protocol::control::{Progress, Reply, Request};

use crate::command::CommandLine;
use crate::config::Config;
use crate::control::{ControlError, ask};
use crate::directory::Directory;
use crate::error::DirectoryError;

/// A store, and what the configuration says of it, if it is known of which server it is.
pub(crate) struct Place {
    pub(crate) store: PathBuf,
    pub(crate) config: Option<Config>,
}

impl Place {
    /// Finds the store that is meant by a directory: that of a server, or a store itself.
    pub(crate) fn find(directory: &Path) -> Result<Self, StatusError> {
        let node = Directory::new(directory);
        let is_node = fs::symlink_metadata(node.config_path()).is_ok();
        if !is_node && matches!(bucketfs::look(directory), Ok(Found::Store(_))) {
            return Ok(Self {
                store: directory.to_owned(),
                config: None,
            });
        }
        let config = node.config()?;
        Ok(Self {
            store: node.store_path(&config),
            config: Some(config),
        })
    }
}

/// Asks the daemon that serves the store of a server, of which this is the directory, or which lies in
/// it itself.
///
/// # Errors
///
/// [`StatusError`]; [`StatusError::NotRunning`] if there is no daemon.
pub fn ask_server(
    directory: &Path,
    request: &Request,
    progress: impl FnMut(&Progress),
) -> Result<Reply, StatusError> {
    let store = Place::find(directory)?.store;
    match ask(&store, request, progress)? {
        Some(reply) => Ok(reply),
        None => Err(StatusError::NotRunning {
            run: CommandLine::new("tahoed", &[Path::new("run"), directory]),
        }),
    }
}

/// Nothing can be said of a store.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// There is no server.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The daemon does not answer.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The daemon answers something else.
    #[error("the daemon answers something else than its status; it is of another version")]
    OtherAnswer,
    /// No daemon runs.
    #[error("no server runs there, and this is done by a running one: {run}")]
    NotRunning {
        /// What runs it.
        run: CommandLine,
    },
    /// There is no store.
    #[error("there is no store in {}; perhaps its disk is not mounted", path.display())]
    NoStore {
        /// Where it should be.
        path: PathBuf,
    },
    /// Part of the store is missing.
    #[error("of the store in {} `{missing}` is missing", path.display())]
    Part {
        /// Where it is.
        path: PathBuf,
        /// What is missing.
        missing: &'static str,
    },
    /// The store cannot be looked at.
    #[error(transparent)]
    Store(#[from] OpenError),
}
