//! A store that is not the configured one, in words that say what to do about it.

use std::fmt;
use std::path::PathBuf;

use bucketfs::StoreId;

use crate::command::CommandLine;

/// What lies at the configured path is not the configured store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongStore {
    pub(crate) path: PathBuf,
    pub(crate) fault: Fault,
    /// Where the file system is mounted that the path lies on.
    pub(crate) mount: Option<PathBuf>,
    pub(crate) remedy: CommandLine,
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NoDirectory,
    NoStore,
    Part {
        missing: &'static str,
    },
    Other {
        found: Option<StoreId>,
        configured: StoreId,
    },
}

impl fmt::Display for WrongStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let makes = match self.fault {
            Fault::NoDirectory => {
                write!(f, "the store {path} does not exist")?;
                "to make a new, empty store there"
            }
            Fault::NoStore => {
                write!(f, "{path} holds no store")?;
                "to make a new, empty store there"
            }
            Fault::Part { missing } => {
                write!(f, "the store {path} has lost its `{missing}`")?;
                "to make it anew without what was in there"
            }
            Fault::Other { found, configured } => {
                match found {
                    Some(found) => write!(f, "{path} is another store: its identifier is {found}")?,
                    None => write!(f, "the store {path} has no identifier")?,
                }
                write!(f, ", and tahoed.toml says {configured}")?;
                "to serve this one from now on"
            }
        };
        if let Some(mount) = &self.mount {
            let mount = mount.display();
            write!(f, "; it lies on the file system mounted at {mount}")?;
        }
        write!(
            f,
            ". If another disk belongs there, mount it and start again; {makes}: {}",
            self.remedy
        )
    }
}

impl std::error::Error for WrongStore {}
