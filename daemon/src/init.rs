//! `tahoed init`: makes a daemon's directory.

use std::fs;
use std::path::Path;

use lafs::Swissnum;

use crate::config::{self, Choices, Names};
use crate::directory::{Directory, create_directory, create_file};
use crate::error::InitError;
use crate::identity::Identity;

/// Makes `directory` with a new identity, a new swissnum, and a configuration to edit.
///
/// The directory may exist as long as none of these do. The configuration is made last, so that a
/// directory with one is whole.
///
/// # Errors
///
/// [`InitError`]; what was made until then stays, and is named if it is in the way next time.
pub fn init(directory: &Directory, choices: &Choices) -> Result<(), InitError> {
    let config_path = directory.config_path();
    for path in [
        &config_path,
        &directory.identity_path(),
        &directory.swissnum_path(),
    ] {
        if fs::symlink_metadata(path).is_ok() {
            return Err(InitError::Exists { path: path.clone() });
        }
    }
    let parent = directory
        .path()
        .parent()
        .filter(|path| !path.as_os_str().is_empty());
    if !parent.unwrap_or(Path::new(".")).is_dir() {
        let path = directory.path().to_owned();
        return Err(InitError::NoParent { path });
    }
    let pem = Identity::generate()?;
    let names = Names::of(&Identity::from_pem(pem.as_bytes())?);
    let mut random = [0; 20];
    getrandom::fill(&mut random).map_err(|_| InitError::Random)?;
    let swissnum = Swissnum::from_random(&random);

    create_directory(directory.path())?;
    create_directory(&directory.private_path())?;
    create_file(&directory.identity_path(), pem.as_bytes())?;
    let swissnum = format!("{}\n", swissnum.as_str());
    create_file(&directory.swissnum_path(), swissnum.as_bytes())?;
    create_file(&config_path, config::render(choices, &names).as_bytes())?;
    Ok(())
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
        }
    }

    #[test]
    fn what_is_made_is_what_run_needs() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path().join("node"));
        init(&directory, &choices()).unwrap();
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
        assert_eq!(directory.exposed(), Vec::<std::path::PathBuf>::new());
    }

    // Another key under the same address would lock every client out for good.
    #[test]
    fn nothing_that_exists_is_replaced() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path().join("node"));
        init(&directory, &choices()).unwrap();
        let before = fs::read(directory.identity_path()).unwrap();
        for remaining in [directory.config_path(), directory.identity_path()] {
            let error = init(&directory, &choices()).unwrap_err();
            assert!(matches!(error, InitError::Exists { path } if path == remaining));
            assert_eq!(fs::read(directory.identity_path()).unwrap(), before);
            fs::remove_file(&remaining).unwrap();
        }
    }

    #[test]
    fn a_directory_whose_parent_is_missing_is_not_made() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::new(temporary.path().join("missing/node"));
        let error = init(&directory, &choices()).unwrap_err();
        assert!(matches!(error, InitError::NoParent { .. }), "{error}");
    }

    #[test]
    fn a_directory_that_was_not_made_is_named_with_what_to_do() {
        let error = Directory::new("/nonexistent/node").config().unwrap_err();
        let message = error.to_string();
        assert!(
            message.ends_with("tahoed init /nonexistent/node"),
            "{message}"
        );
    }
}
