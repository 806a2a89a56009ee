//! `tahoed init`: makes a daemon's directory and its store.

use std::fs;
use std::path::{Path, PathBuf};

use bucketfs::StoreId;
use lafs::Swissnum;

use crate::config::{self, Choices, Names};
use crate::directory::{Directory, create_directory, create_file};
use crate::error::InitError;
use crate::identity::Identity;
use crate::store;
use crate::store_fault::StoreFault;

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The store's directory.
    pub store: PathBuf,
    /// The store's identifier.
    pub id: StoreId,
    /// Whether the store was there before.
    pub store_was_there: bool,
    /// The files that were there before and were kept.
    pub kept: Vec<PathBuf>,
}

/// Makes `directory` with a key, a swissnum, a store, and a configuration to edit.
///
/// Key, swissnum and store that are there are kept: those of an attempt that was interrupted, or of
/// a server that has lost its configuration. The configuration is made last, so that a directory
/// with one is whole.
///
/// # Errors
///
/// [`InitError`]; what was made until then stays, and the next attempt uses it.
pub fn init(directory: &Directory, choices: &Choices) -> Result<Made, InitError> {
    let config_path = directory.config_path();
    if exists(&config_path) {
        return Err(InitError::exists(directory.path()));
    }
    if exists(&directory.path().join("tahoe.cfg")) {
        return Err(InitError::tahoe(directory.path()));
    }
    let parent = directory
        .path()
        .parent()
        .filter(|path| !path.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        return Err(InitError::no_parent(parent));
    }
    let knows_port = choices.listen.iter().any(|address| address.port() != 0);
    if !knows_port && choices.location.iter().any(|place| place.port.is_none()) {
        return Err(InitError::NoPort);
    }
    let mut kept = Vec::new();
    let (identity_path, swissnum_path) = (directory.identity_path(), directory.swissnum_path());
    let (pem, names) = match exists(&identity_path) {
        true => {
            kept.push(identity_path.clone());
            (None, Names::of(&directory.identity()?))
        }
        false => {
            let pem = Identity::generate()?;
            let names = Names::of(&Identity::from_pem(pem.as_bytes())?);
            (Some(pem), names)
        }
    };
    let swissnum = match exists(&swissnum_path) {
        true => {
            kept.push(swissnum_path.clone());
            directory.swissnum()?;
            None
        }
        false => Some(Swissnum::from_random(&random()?)),
    };
    if choices.store.path.to_str().is_none() {
        let path = choices.store.path.clone();
        return Err(InitError::PathNotText { path });
    }

    create_directory(directory.path())?;
    create_directory(&directory.private_path())?;
    if let Some(pem) = pem {
        create_file(&identity_path, pem.as_bytes())?;
    }
    if let Some(swissnum) = swissnum {
        create_file(
            &swissnum_path,
            format!("{}\n", swissnum.as_str()).as_bytes(),
        )?;
    }
    let mut made = make_store(directory, &choices.store.path, &choices.store)?;
    made.kept = kept;
    let mut choices = choices.clone();
    choices.store.id = Some(made.id);
    let text = config::render(&choices, &names).expect("the path of the store is text");
    create_file(&config_path, text.as_bytes())?;
    Ok(made)
}

/// Gives a server that exists another store: the one in `path`, which is made if there is none.
///
/// Key, swissnum and all settings stay; the configuration refers to that store from now on.
///
/// # Errors
///
/// [`InitError`]; the configuration is as it was.
pub fn set_store(directory: &Directory, path: &Path) -> Result<Made, InitError> {
    let config = directory.config()?;
    let path = in_directory(directory.path(), path);
    let made = make_store(directory, &path, &config.store)?;
    directory.record_store(&path, made.id)?;
    Ok(made)
}

/// A path as it stands in the configuration: relative if it is in the server's directory.
#[must_use]
pub fn in_directory(directory: &Path, path: &Path) -> PathBuf {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let path = absolute(path);
    match path.strip_prefix(absolute(directory)) {
        Ok(inside) if !inside.as_os_str().is_empty() => inside.to_owned(),
        _ => path,
    }
}

fn make_store(
    directory: &Directory,
    path: &Path,
    configured: &config::Store,
) -> Result<Made, InitError> {
    let path = directory.path().join(path);
    let fault = |error| StoreFault::new(directory.path(), &path, error);
    let found = bucketfs::look(&path).map_err(|error| fault(error.into()))?;
    let config = store::config(configured, random()?);
    let id = bucketfs::create(&path, &config, StoreId::new(random()?)).map_err(fault)?;
    Ok(Made {
        id,
        store_was_there: matches!(found, bucketfs::Found::Store(_)),
        store: path,
        kept: Vec::new(),
    })
}

fn random<const LEN: usize>() -> Result<[u8; LEN], InitError> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).map_err(|_| InitError::Random)?;
    Ok(bytes)
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices() -> Choices {
        Choices {
            nickname: "test".to_owned(),
            listen: vec!["127.0.0.1:4001".parse().unwrap()],
            location: vec![
                "127.0.0.1".parse().unwrap(),
                "a.example:99".parse().unwrap(),
            ],
            store: config::Store {
                journal_size: config::ByteSize(1 << 20),
                ..config::Store::default()
            },
            expire: config::Expire::default(),
        }
    }

    #[test]
    fn what_is_made_is_what_run_needs() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path().join("node"));
        let made = init(&directory, &choices()).unwrap();
        let config = directory.config().unwrap();
        let nurls = directory.nurls(&config, None).unwrap();
        let identity = directory.identity().unwrap();
        assert_eq!(nurls.len(), 2);
        assert_eq!((nurls[0].port(), nurls[1].port()), (4001, 99));
        assert_eq!(nurls[0].key_hash(), identity.key_hash());
        let names = Names::of(&identity);
        assert_eq!(config.names.node_id, Some(names.node_id));
        assert_eq!(directory.names(&config).unwrap(), names);
        assert_eq!(nurls[0].swissnum(), &directory.swissnum().unwrap());
        assert_eq!(config.store.id, Some(made.id));
        let found = bucketfs::look(&directory.store_path(&config)).unwrap();
        assert_eq!(found, bucketfs::Found::Store(Some(made.id)));
        assert!(!made.store_was_there && made.kept.is_empty());
    }

    // Another key under the same address would lock every client out for good.
    #[test]
    fn nothing_that_exists_is_replaced() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path().join("node"));
        let first = init(&directory, &choices()).unwrap();
        let error = init(&directory, &choices()).unwrap_err();
        assert!(matches!(error, InitError::Exists { .. }), "{error}");
        let kept = [directory.identity_path(), directory.swissnum_path()];
        let before = kept.clone().map(|path| fs::read(path).unwrap());
        fs::remove_file(directory.config_path()).unwrap();
        let again = init(&directory, &choices()).unwrap();
        assert_eq!((again.id, &again.store), (first.id, &first.store));
        assert!(again.store_was_there);
        assert_eq!(again.kept, kept);
        assert_eq!(kept.map(|path| fs::read(path).unwrap()), before);
    }

    #[test]
    fn a_directory_whose_parent_is_missing_or_that_is_tahoes_is_not_made() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path().join("missing/node"));
        let error = init(&directory, &choices()).unwrap_err();
        assert!(matches!(error, InitError::NoParent { .. }), "{error}");
        fs::write(temporary.path().join("tahoe.cfg"), "").unwrap();
        let error = init(&Directory::new(temporary.path()), &choices()).unwrap_err();
        assert!(matches!(error, InitError::Tahoe { .. }), "{error}");
    }

    // It would make a configuration of which no NURL can be made.
    #[test]
    fn a_location_without_a_port_needs_a_port_that_is_listened_on() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path().join("node"));
        let mut choices = choices();
        choices.listen = vec!["127.0.0.1:0".parse().unwrap()];
        let error = init(&directory, &choices).unwrap_err();
        assert!(matches!(error, InitError::NoPort), "{error}");
        assert!(!directory.path().exists());
        choices.location.remove(0);
        init(&directory, &choices).unwrap();
        let nurls = directory.nurls(&directory.config().unwrap(), None).unwrap();
        assert_eq!(nurls[0].port(), 99);
    }

    #[test]
    fn a_server_can_be_given_another_store() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path().join("node"));
        let first = init(&directory, &choices()).unwrap();
        let elsewhere = temporary.path().join("disk");
        let second = set_store(&directory, &elsewhere).unwrap();
        assert_ne!(second.id, first.id);
        let config = directory.config().unwrap();
        assert_eq!(config.store.id, Some(second.id));
        assert_eq!(directory.store_path(&config), elsewhere);
        // And back, to the one that is there.
        let third = set_store(&directory, &first.store).unwrap();
        assert!(third.store_was_there);
        assert_eq!(third.id, first.id);
        let config = directory.config().unwrap();
        assert_eq!(config.store.path, Path::new("storage"));
    }
}
