//! A store that cannot be made or opened, in words that say what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use bucketfs::OpenError;

use crate::command::CommandLine;

/// Why a store cannot be made or opened, with what an operator can do.
#[derive(Debug)]
pub struct StoreFault {
    /// The server's.
    directory: PathBuf,
    /// The store's.
    path: PathBuf,
    error: bucketfs::StartError,
}

impl StoreFault {
    pub(crate) fn new(directory: &Path, path: &Path, error: bucketfs::StartError) -> Box<Self> {
        Box::new(Self {
            directory: directory.to_owned(),
            path: path.to_owned(),
            error,
        })
    }
}

impl std::error::Error for StoreFault {}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            directory,
            path,
            error,
        } = self;
        let store = path.display();
        match error {
            bucketfs::StartError::Store(error) => match error {
                // They name the path themselves.
                OpenError::Root(_) => write!(f, "{error}"),
                OpenError::MalformedIdentifier { path: file } => write!(
                    f,
                    "{error}; without one, give the store a new identifier: {}",
                    CommandLine::new("rm", &[file]).and(&CommandLine::init_store(directory, path))
                ),
                OpenError::NotAStore { found } => {
                    let node = path.parent().filter(|node| node.join("tahoe.cfg").exists());
                    let node = node.unwrap_or(Path::new("NODE"));
                    write!(
                        f,
                        "{store} has `{found}` and no file `version`. If it is a store of tahoed, \
                         restore the file, which is the same in all stores of one layout. If it is the \
                         store of a Tahoe-LAFS node, take the node over: {}",
                        CommandLine::new("tahoed", &[Path::new("adopt"), node])
                    )
                }
                OpenError::MalformedVersion => write!(
                    f,
                    "{}: not the file of a store that this program knows; restore it, it is the same \
                     in all stores of one layout",
                    path.join("version").display()
                ),
                OpenError::JournalMissing { .. } | OpenError::JournalDamaged { .. } => {
                    let journal = path.join("journal");
                    let aside = path.join("journal.damaged");
                    let (journal, aside) = (journal.as_path(), aside.as_path());
                    write!(
                        f,
                        "{store}: {error}. To give up what only the journal holds, which is what was \
                         stored in the last moments before the store was closed or crashed, and to \
                         keep all other shares: {}",
                        CommandLine::new("mv", &[journal, aside])
                            .and(&CommandLine::init_store(directory, path))
                    )
                }
                other => write!(f, "{store}: {other}"),
            },
            bucketfs::StartError::Engine(error) => {
                write!(f, "{store}: {error}; the key is store.io_engine")
            }
        }
    }
}
