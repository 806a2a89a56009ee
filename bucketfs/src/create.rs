//! How a store comes to be: made once, and given its identifier when the rest of it is there.

use std::path::Path;
use std::sync::Arc;

use crate::disk::{EngineChoice, Root, start_engine};
use crate::driver::{Clock, StartError};
use crate::error::OpenError;
use crate::identifier::{Found, StoreId, identify, look};
use crate::store::{Config, Store};

/// Makes a store in a directory, which may be missing but for those above it.
///
/// One that an interrupted attempt has begun is finished. One that is there stays as it is; if it has
/// lost its whole journal it is given a new one, and what only the old one held is lost. Returns the
/// store's identifier: `id`, or the one that it had.
///
/// # Errors
///
/// [`StartError`]; trying again makes the rest.
pub fn create(path: &Path, config: &Config, id: StoreId) -> Result<StoreId, StartError> {
    let found = look(path)?;
    let root = Arc::new(Root::open(path).map_err(OpenError::from)?);
    if !matches!(found, Found::Store(_)) {
        let mut engine = start_engine(&root, EngineChoice::Pool)?;
        Store::create(engine.as_mut(), config, Clock::start().now())?;
    }
    Ok(identify(path, id)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: StoreId = StoreId::new([7; 16]);

    fn config() -> Config {
        let mut config = Config::new([1; 32]);
        config.journal_size = Config::JOURNAL_SIZE_MIN;
        config
    }

    // What an unmounted disk looks like: only the mount point is there.
    #[test]
    fn opening_makes_no_store_and_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        let open = |path: &Path| {
            let error = crate::open(path, EngineChoice::Pool, &config())
                .err()
                .unwrap();
            assert!(
                matches!(error, StartError::Store(OpenError::Missing { .. })),
                "{error}"
            );
        };
        open(directory.path());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let missing = directory.path().join("missing");
        open(&missing);
        assert!(!missing.exists());
    }

    #[test]
    fn a_store_is_made_once_and_then_only_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        assert_eq!(create(&path, &config(), ID).unwrap(), ID);
        let other = StoreId::new([8; 16]);
        assert_eq!(create(&path, &config(), other).unwrap(), ID);
        crate::open(&path, EngineChoice::Pool, &config()).unwrap();
        fs::remove_dir_all(path.join("shares")).unwrap();
        assert_eq!(look(&path).unwrap(), Found::Part { missing: "shares" });
        assert_eq!(create(&path, &config(), other).unwrap(), ID);
    }

    // Whoever has moved a damaged journal away has given up what only it held.
    #[test]
    fn a_store_without_any_journal_is_given_a_new_one_and_keeps_its_shares() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        create(path, &config(), ID).unwrap();
        let share = path.join("shares/ae/aq/aeaqcaibaeaqcaibaeaqcaibae/0");
        fs::create_dir_all(share.parent().unwrap()).unwrap();
        fs::write(&share, b"share").unwrap();
        fs::remove_dir_all(path.join("journal")).unwrap();
        let error = crate::open(path, EngineChoice::Pool, &config())
            .err()
            .unwrap();
        let lost = matches!(error, StartError::Store(OpenError::JournalMissing { .. }));
        assert!(lost, "{error}");
        assert_eq!(create(path, &config(), ID).unwrap(), ID);
        crate::open(path, EngineChoice::Pool, &config()).unwrap();
        assert_eq!(fs::read(&share).unwrap(), b"share");
    }
}
