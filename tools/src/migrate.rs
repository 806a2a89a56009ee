//! A store that is moved to another layout, where no daemon has it open: this process opens it.
//!
//! [`survey()`] says what there is to do and what is in the way, and changes nothing; [`migrate()`] does
//! it. What a migration is, and what happens when it is broken off, is in `docs/migration.md`.

use std::io;
use std::path::{Path, PathBuf};

use bucketfs::disk::{EngineChoice, RootError};
use bucketfs::migrate::{MigrateError, Progress, Survey};
use bucketfs::{BootId, Config, Layout, OpenError, StartError};

/// The layouts that there are, by their names.
pub const LAYOUTS: [(&str, Layout); 3] = [
    ("two-level", Layout::TwoLevel),
    ("one-level", Layout::OneLevel),
    ("flat", Layout::Flat),
];

/// Why a store was not moved. What was moved of it is moved, and all of it can be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be looked at.
    #[error("{}: {error}", store.display())]
    Survey {
        /// The store.
        store: PathBuf,
        /// Why.
        error: OpenError,
    },
    /// A daemon, or another program, has it open.
    #[error("the store {} is in use by another process", store.display())]
    InUse {
        /// The store.
        store: PathBuf,
    },
    /// It cannot be opened.
    #[error("{}: {error}", store.display())]
    Open {
        /// The store.
        store: PathBuf,
        /// Why.
        error: StartError,
    },
    /// The file system has no room for so many directories in one.
    #[error(
        "the fullest directory would have {} others in it, and {} lets it have {}",
        survey.fullest, survey.file_system, survey.limit.unwrap_or(u64::MAX)
    )]
    Limit {
        /// What was found.
        survey: Box<Survey>,
    },
    /// Buckets are where others are to go.
    #[error(
        "{} buckets have something in their new place, the first is {}",
        survey.taken, survey.taken_names.first().map(ToString::to_string).unwrap_or_default()
    )]
    Taken {
        /// What was found.
        survey: Box<Survey>,
    },
    /// It has begun, and has not come to its end.
    #[error(transparent)]
    Broken(#[from] MigrateError),
    /// The disk's engine has ended.
    #[error("cannot wait for the disk: {0}")]
    Driver(io::Error),
    /// The system has no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(io::Error),
}

impl Error {
    /// What to try, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::InUse { .. } => "stop `tahoed`, move the store, and start it again",
            Self::Limit { .. } => {
                "choose a layout with more levels, or move the store to another file system first"
            }
            Self::Taken { .. } => {
                "look at both directories of such a bucket, and take the wrong one away"
            }
            Self::Broken(MigrateError::BrokenOff) => {
                "the store can be served as it is; the same command goes on"
            }
            Self::Broken(error) if error.is_for_want_of_space() => {
                "the store can be served as it is; make room, and the same command goes on"
            }
            Self::Broken(_) => {
                "the store can be served as it is; the same command goes on, and one with the \
                 layout that it had turns it round"
            }
            Self::Survey { .. } | Self::Open { .. } | Self::Driver(_) | Self::Random(_) => {
                return None;
            }
        };
        Some(hint.to_owned())
    }
}

/// Looks at what there is to do. Blocks while it reads directories.
///
/// # Errors
///
/// [`Error::Survey`].
pub fn survey(store: &Path, to: Layout) -> Result<Survey, Error> {
    let found = bucketfs::migrate::survey(store, to);
    found.map_err(|error| Error::Survey {
        store: store.to_path_buf(),
        error,
    })
}

/// Refuses what cannot come to its end.
///
/// # Errors
///
/// [`Error::Limit`] and [`Error::Taken`].
pub fn check(survey: &Survey) -> Result<(), Error> {
    let found = || Box::new(survey.clone());
    if survey.is_beyond_limit() {
        return Err(Error::Limit { survey: found() });
    }
    if survey.taken > 0 {
        return Err(Error::Taken { survey: found() });
    }
    Ok(())
}

/// Moves all buckets of a store. `told` is told how far it is, and says whether to go on.
///
/// Runs on a thread of its own runtime, with tokio's local tasks.
///
/// # Errors
///
/// [`Error`]; the store is closed in order, whatever has happened.
pub async fn migrate(
    store: &Path,
    to: Layout,
    rate: Option<u32>,
    told: impl FnMut(&Progress) -> bool,
) -> Result<Progress, Error> {
    let in_store = |error| {
        let store = store.to_path_buf();
        match error {
            StartError::Store(OpenError::Root(RootError::Locked { .. })) => Error::InUse { store },
            error => Error::Open { store, error },
        }
    };
    let config = config().map_err(Error::Random)?;
    let opened = bucketfs::open(store, EngineChoice::Pool, &config);
    let (handle, driver) = opened.map_err(in_store)?;
    let driving = tokio::task::spawn_local(driver.run());
    let moved = bucketfs::migrate(&handle, to, rate, told).await;
    handle.shut_down().await;
    let driven = driving.await;
    driven
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        .map_err(Error::Driver)?;
    Ok(moved?)
}

/// As a daemon would open it, so that the uploads that it has left are there for it.
fn config() -> io::Result<Config> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let mut config = Config::new(seed);
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    if let Some(boot_id) = boot_id
        .ok()
        .and_then(|text| text.trim().parse::<BootId>().ok())
    {
        config.boot_id = boot_id;
    }
    Ok(config)
}
