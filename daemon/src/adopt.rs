//! `tahoed adopt`: takes over a Tahoe-LAFS storage node.
//!
//! What clients know the node by stays as it is: the key and with it the NURL, the swissnum, the
//! TubID, the server id and the place on the permuted ring. So do the shares, where they lie. All of
//! Tahoe's files stay unchanged, so that Tahoe can serve the node again after this program was
//! stopped. What is made is `tahoed.toml`, `private/swissnum`, and what the store keeps beside its
//! shares ([`bucketfs::adopt`]).

mod ini;
pub(crate) mod process;
mod settings;
mod taken;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bucketfs::{Layout, StoreId};
use lafs::Swissnum;
use rustix::process::geteuid;

use self::process::ProcessInTheWay;
use self::settings::Settings;
pub use self::taken::Taken;
use crate::config::{self, Choices, NameError, Names, NodeId, Store};
use crate::directory::{Directory, create_directory, create_file, read_small};
use crate::error::Failed;
use crate::identity::{Identity, IdentityError};
use crate::printable::Printable;

/// Takes over the node in `tahoe`, as `directory`, which is the same or a new one.
///
/// The configuration is made last: until then it may be tried again.
///
/// # Errors
///
/// [`AdoptError`]. Everything is looked at before anything is made.
pub fn adopt(tahoe: &Path, directory: &Directory) -> Result<Adopted, AdoptError> {
    let node = TahoeNode::read(tahoe)?;
    let config_path = directory.config_path();
    if fs::symlink_metadata(&config_path).is_ok() {
        return Err(AdoptError::Exists { path: config_path });
    }
    let in_place = is_same(tahoe, directory.path());
    if !in_place {
        ensure_fresh(&directory.identity_path(), &node.pem)?;
    }
    let swissnum = format!("{}\n", node.swissnum.as_str());
    ensure_fresh(&directory.swissnum_path(), &swissnum)?;
    let mut store = node.choices.store.clone();
    let store_path = tahoe.join(&store.path);
    if !in_place {
        let failed = |error| Failed::new("find", &store_path, error);
        store.path = fs::canonicalize(&store_path).map_err(failed)?;
    }
    if store.path.to_str().is_none() {
        return Err(AdoptError::PathNotText { path: store.path });
    }

    let (mut seed, mut id) = ([0; 32], [0; StoreId::LEN]);
    getrandom::fill(&mut seed).map_err(|_| AdoptError::Random)?;
    getrandom::fill(&mut id).map_err(|_| AdoptError::Random)?;
    let fault = |error| AdoptError::Store {
        path: store_path.clone(),
        error,
    };
    match bucketfs::adopt(&store_path, Layout::OneLevel, &bucketfs::Config::new(seed)) {
        // By an attempt that came no further.
        Ok(()) | Err(bucketfs::AdoptError::AlreadyAdopted) => {}
        Err(error) => return Err(fault(error)),
    }
    let id = bucketfs::identify(&store_path, StoreId::new(id));
    store.id = Some(id.map_err(|error| fault(error.into()))?);
    let mut choices = node.choices;
    choices.store = store;
    let text = config::render(&choices, &node.names).expect("the path of the store is text");
    if !in_place {
        create_directory(directory.path())?;
        create_directory(&directory.private_path())?;
        create_once(&directory.identity_path(), &node.pem)?;
    }
    create_once(&directory.swissnum_path(), &swissnum)?;
    create_file(&config_path, text.as_bytes())?;
    Ok(Adopted {
        store: store_path,
        taken: taken::over(&choices),
        warnings: node.warnings,
    })
}

/// What was taken over, and what was not.
#[derive(Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The store that is served as it lies.
    pub store: PathBuf,
    /// The settings that are as they were.
    pub taken: Vec<Taken>,
    /// What will not be as it was.
    pub warnings: Vec<Warning>,
}

/// A node as Tahoe left it.
#[derive(Debug)]
struct TahoeNode {
    pem: String,
    names: Names,
    swissnum: Swissnum,
    choices: Choices,
    warnings: Vec<Warning>,
}

impl TahoeNode {
    fn read(path: &Path) -> Result<Self, AdoptError> {
        let config_path = path.join("tahoe.cfg");
        let settings = Settings::parse(&read(path, "tahoe.cfg")?, &config_path)?;
        if let Some(found) = process::find(path) {
            return Err(AdoptError::Running(found));
        }
        let pem = read(path, "private/node.pem")?;
        let identity =
            Identity::from_pem(pem.as_bytes()).map_err(|error| AdoptError::Identity {
                path: path.join("private/node.pem"),
                error,
            })?;
        let furl_path = path.join("private/storage.furl");
        let furl = Furl::parse(read(path, "private/storage.furl")?.trim())
            .ok_or(AdoptError::Furl { path: furl_path })?;
        let names = names(path, &identity)?;
        if furl.node_id != names.node_id {
            return Err(AdoptError::OtherTub {
                path: path.to_owned(),
            });
        }
        let Settings {
            nickname,
            mut listen,
            mut location,
            storage_dir,
            reserved_space,
            read_only,
            expire,
            mut warnings,
        } = settings;
        if listen.is_empty() {
            listen.extend(settings::listen_address(read(path, "client.port")?.trim()));
        }
        if location.is_empty() {
            // What Tahoe found out the last time it ran.
            location = settings::locations(&furl.hints, &mut warnings).unwrap_or_default();
        }
        if listen.is_empty() {
            return Err(AdoptError::NoPort {
                path: path.join("client.port"),
            });
        }
        if location.is_empty() {
            warnings.push(Warning::NoLocation);
        }
        if introducers(path)? {
            warnings.push(Warning::Introducer { place: INTRODUCERS });
        }
        let (ours, owner) = (geteuid().as_raw(), owner(path)?);
        if ours != owner {
            warnings.push(Warning::OtherUser { ours, owner });
        }
        Ok(Self {
            pem,
            names,
            swissnum: furl.swissnum,
            choices: Choices {
                nickname,
                listen,
                location,
                store: Store {
                    path: storage_dir,
                    reserved_space,
                    read_only,
                    ..Store::default()
                },
                expire,
            },
            warnings,
        })
    }
}

/// What clients were told by Tahoe.
fn names(path: &Path, identity: &Identity) -> Result<Names, AdoptError> {
    let fault = |name: &'static str| {
        let path = path.join(name);
        move |error| AdoptError::Name { path, error }
    };
    let mut names = Names::of(identity);
    if let Some(text) = read_if_there(path, "node.pubkey")? {
        let id = text.trim().strip_prefix("pub-").unwrap_or(text.trim());
        names.server_id = id.parse().map_err(fault("node.pubkey"))?;
    }
    names.permutation_seed = match read_if_there(path, "permutation-seed")? {
        Some(text) => text.trim().parse().map_err(fault("permutation-seed"))?,
        // A node from before there was such a file has its place by its TubID.
        None => names
            .node_id
            .to_string()
            .parse()
            .map_err(fault("my_nodeid"))?,
    };
    Ok(names)
}

/// The parts of a Foolscap fURL: `pb://TUBID@HINTS/SWISSNUM`.
#[derive(Debug, PartialEq, Eq)]
struct Furl {
    node_id: NodeId,
    hints: String,
    swissnum: Swissnum,
}

impl Furl {
    fn parse(text: &str) -> Option<Self> {
        let (node_id, rest) = text.strip_prefix("pb://")?.split_once('@')?;
        let (hints, swissnum) = rest.split_once('/')?;
        Some(Self {
            node_id: node_id.to_ascii_lowercase().parse().ok()?,
            hints: hints.to_owned(),
            swissnum: Swissnum::new(swissnum).ok()?,
        })
    }
}

/// Whether the node's list of introducers has any.
fn introducers(path: &Path) -> Result<bool, Failed> {
    let text = read_if_there(path, INTRODUCERS)?.unwrap_or_default();
    let has_furl = |line: &str| {
        let content = line.split('#').next().unwrap_or("").trim_start();
        let content = content.trim_start_matches(['-', '{', ' ']);
        content
            .split_once("furl:")
            .is_some_and(|(_, furl)| !furl.trim().is_empty())
    };
    Ok(text.lines().any(has_furl))
}

/// The user whose node it is.
fn owner(path: &Path) -> Result<u32, Failed> {
    let path = path.join("private/node.pem");
    let metadata = fs::metadata(&path).map_err(|error| Failed::new("look at", &path, error))?;
    Ok(metadata.uid())
}

/// Whether both are the same directory.
fn is_same(one: &Path, two: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(two)) {
        (Ok(one), Ok(two)) => one == two,
        _ => false,
    }
}

/// That a file is not there yet, or there already with these contents from an earlier attempt.
fn ensure_fresh(path: &Path, contents: &str) -> Result<(), AdoptError> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(_) if fs::read_to_string(path).is_ok_and(|found| found == contents) => Ok(()),
        Ok(_) => Err(AdoptError::Exists {
            path: path.to_owned(),
        }),
    }
}

/// Creates a file that [`ensure_fresh`] has looked at.
fn create_once(path: &Path, contents: &str) -> Result<(), Failed> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(_) => create_file(path, contents.as_bytes()),
    }
}

fn read(directory: &Path, name: &'static str) -> Result<String, AdoptError> {
    read_if_there(directory, name)?.ok_or_else(|| AdoptError::NotANode {
        directory: directory.to_owned(),
        name,
    })
}

fn read_if_there(directory: &Path, name: &'static str) -> Result<Option<String>, Failed> {
    let path = directory.join(name);
    match read_small(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failed::new("read", &path, error)),
    }
}

/// What of the old node will not be as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// `expire.mode` is `age` without `expire.override_lease_duration`.
    #[error(
        "expire.mode = age: Tahoe-LAFS removes nothing by it without a lease duration, by a fault of \
         its own; tahoed would, so it is taken over with dry_run: see what `tahoed expire DIRECTORY \
         --dry-run` says, then remove dry_run below [expire] in tahoed.toml"
    )]
    NeverExpired,
    /// `force_foolscap` is set.
    #[error(
        "force_foolscap: clients used Foolscap, which tahoed does not speak; give them the output \
         of `tahoed servers-yaml`"
    )]
    Foolscap,
    /// `grid_management` is set.
    #[error("grid_management: tahoed announces no certificates of a grid manager")]
    GridManager,
    /// `plugins` is set.
    #[error("plugins: tahoed has no storage plugins")]
    Plugins,
    /// `debug_discard` is set.
    #[error("debug_discard: tahoed keeps what clients store")]
    Discard,
    /// An introducer announced the node.
    #[error(
        "{place}: tahoed tells no introducer of itself; give clients the output of \
         `tahoed servers-yaml`"
    )]
    Introducer {
        /// Where the introducer is named.
        place: &'static str,
    },
    /// The files that were made belong to another user than the node's.
    #[error(
        "the node belongs to user {owner}, and what was made now to user {ours}: change the owner \
         of it, or run tahoed as user {ours}"
    )]
    OtherUser {
        /// Who adopted it.
        ours: u32,
        /// Whose it is.
        owner: u32,
    },
    /// Part of `tub.port` is not TCP.
    #[error("tub.port: not listening on `{0}`")]
    Endpoint(Printable),
    /// Part of `tub.location` is not TCP.
    #[error("tub.location: clients are not told of `{0}`")]
    Hint(Printable),
    /// No location is left.
    #[error("tub.location: no place to tell clients was found; set `location` in tahoed.toml")]
    NoLocation,
}

/// A node cannot be taken over; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// A file of Tahoe's is missing.
    #[error(
        "{} has no {name}: not the directory of a Tahoe-LAFS node that has stored anything for \
         others; name one that `tahoe run` has served from", directory.display()
    )]
    NotANode {
        /// The directory given.
        directory: PathBuf,
        /// What is missing.
        name: &'static str,
    },
    /// The Tahoe node runs.
    #[error(
        "process {} works there, as {} says: stop the Tahoe node first; if it is another program, \
         remove that file", .0.process, .0.path.display()
    )]
    Running(ProcessInTheWay),
    /// It was done before, or is in the way.
    #[error(
        "{0} exists already, and is not replaced; to adopt the node anew, move it away first: mv {0} \
         {0}.old", path.display()
    )]
    Exists {
        /// What exists.
        path: PathBuf,
    },
    /// The configuration is none.
    #[error("{}: line {line} is neither section nor key nor comment", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Which line.
        line: usize,
    },
    /// A setting that is wrong, or that cannot be kept.
    #[error("{}: [{section}] {key}: {rule}", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// Where.
        section: &'static str,
        /// Which.
        key: &'static str,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// Key and certificate cannot be used.
    #[error("{}: {error}; restore it from a backup", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: IdentityError,
    },
    /// The fURL is none.
    #[error(
        "{} holds no fURL with a TubID and a swissnum (pb://TUBID@HOST:PORT/SWISSNUM); restore it \
         from a backup", path.display()
    )]
    Furl {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and fURL are of two nodes.
    #[error(
        "the certificate in {0}/private/node.pem is not the one that private/storage.furl names; \
         restore both from one backup", path.display()
    )]
    OtherTub {
        /// The directory.
        path: PathBuf,
    },
    /// A name cannot be used.
    #[error("{}: {error}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: NameError,
    },
    /// There is nothing to listen on.
    #[error("{} names no TCP port; set tub.port in tahoe.cfg", path.display())]
    NoPort {
        /// The file.
        path: PathBuf,
    },
    /// The path of the store cannot stand in a configuration.
    #[error("the path {} is not text; name the store by another path", path.display())]
    PathNotText {
        /// The path.
        path: PathBuf,
    },
    /// The store cannot be taken over.
    #[error("{}: {error}", path.display())]
    Store {
        /// Its directory.
        path: PathBuf,
        /// Why.
        error: bucketfs::AdoptError,
    },
    /// The system gave no randomness.
    #[error("no journal could be made: the system gave no randomness")]
    Random,
    /// A file could not be read or made.
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// Where a node of Tahoe-LAFS keeps the introducers that it knows.
const INTRODUCERS: &str = "private/introducers.yaml";

#[cfg(test)]
mod tests;
