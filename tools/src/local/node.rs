//! The directory of one daemon of a local grid.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use daemon::Directory;
use daemon::config::Choices;
use lafs::nurl::Nurl;

use super::error::LocalGridError;
use crate::durable;

/// The directory of one daemon.
#[derive(Clone, Debug)]
pub(super) struct Node {
    directory: Directory,
}

impl Node {
    /// Takes a directory that is there; `path` is absolute.
    pub(super) fn at(path: PathBuf) -> Self {
        Self {
            directory: Directory::new(path),
        }
    }

    /// Makes the directory `servers/number`, whole or not at all, for any free port.
    pub(super) fn make(servers: &Path, number: u16) -> Result<Self, LocalGridError> {
        let path = servers.join(number.to_string());
        let new = servers.join(format!(".{number}.new"));
        match fs::remove_dir_all(&new) {
            // Left by an attempt that was cut short; nothing refers to it.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LocalGridError::file(&new)(error)),
        }
        let node = Self::at(new.clone());
        let address = address(0);
        let choices = Choices {
            nickname: format!("local {number}"),
            listen: vec![address],
            location: Vec::new(),
            store: daemon::config::Store {
                journal_size: JOURNAL_SIZE,
                ..daemon::config::Store::default()
            },
            expire: daemon::config::Expire::default(),
        };
        daemon::init(&node.directory, &choices)?;
        node.configure(number, address)?;
        fs::rename(&new, &path).map_err(LocalGridError::file(&path))?;
        Ok(Self::at(path))
    }

    /// The nodes below `servers`, by number.
    pub(super) fn all(servers: &Path) -> Result<Vec<(u16, Self)>, LocalGridError> {
        let mut nodes = Vec::new();
        let entries = match fs::read_dir(servers) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nodes),
            Err(error) => return Err(LocalGridError::file(servers)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(LocalGridError::file(servers))?;
            let name = entry.file_name();
            if let Some(number) = name.to_str().and_then(|name| name.parse().ok()) {
                nodes.push((number, Self::at(entry.path())));
            }
        }
        nodes.sort_unstable_by_key(|(number, _)| *number);
        Ok(nodes)
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn log_path(&self) -> PathBuf {
        self.path().join("log")
    }

    pub(super) fn process_path(&self) -> PathBuf {
        self.path().join("pid")
    }

    /// The port that the daemon was told to take; `None` while that is any free one.
    pub(super) fn port(&self) -> Result<Option<u16>, LocalGridError> {
        let config = self.directory.config()?;
        let port = config.listen.first().map(SocketAddr::port);
        Ok(port.filter(|port| *port != 0))
    }

    /// Has the daemon take this port from now on, so that its NURL stays right.
    pub(super) fn keep_port(&self, number: u16, port: u16) -> Result<(), LocalGridError> {
        if self.port()?.is_none() {
            self.configure(number, address(port))?;
        }
        Ok(())
    }

    /// What lets a client in, while the daemon listens on `port`.
    pub(super) fn nurl(&self, port: u16) -> Result<Nurl, LocalGridError> {
        let config = self.directory.config()?;
        let nurls = self.directory.nurls(&config, Some(port))?;
        Ok(nurls.into_iter().next().expect("the node has a location"))
    }

    /// The first few containers of the store, relative to the node, with their sizes.
    pub(super) fn containers(&self, most: usize) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        collect(&self.path().join("storage/shares"), 0, most, &mut found);
        for (path, _) in &mut found {
            if let Ok(relative) = path.strip_prefix(self.path()) {
                *path = relative.to_owned();
            }
        }
        found
    }

    /// Replaces the configuration. A disk that is nearly full is no reason not to try things, and ten
    /// journals of the usual size would fill a small one.
    fn configure(&self, number: u16, listen: SocketAddr) -> Result<(), LocalGridError> {
        // A node made before stores had identifiers is given one when it starts.
        let id = self.directory.config()?.store.id;
        let id = id.map_or_else(String::new, |id| format!("id = \"{id}\"\n"));
        let text = format!(
            "\
# A server of a grid on one machine; `tahoed init` writes a file in which every key is explained.
nickname = \"local {number}\"
listen = [\"{listen}\"]
location = [\"{host}\"]

[store]
{id}reserved_space = 0
",
            host = listen.ip()
        );
        let path = self.directory.config_path();
        durable::replace_private(&path, text.as_bytes()).map_err(LocalGridError::file(&path))
    }
}

/// Walks the tree in the order of names. Directories that vanish meanwhile are no matter.
fn collect(directory: &Path, depth: usize, most: usize, found: &mut Vec<(PathBuf, u64)>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_unstable_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if found.len() >= most {
            return;
        }
        if entry.file_name() == "incoming" {
            continue;
        }
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => found.push((entry.path(), metadata.len())),
            Ok(metadata) if metadata.is_dir() && depth < DEPTH_MAX => {
                collect(&entry.path(), depth + 1, most, found);
            }
            _ => {}
        }
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Two levels of two characters, then the bucket.
const DEPTH_MAX: usize = 3;

/// Of each store of a local grid.
const JOURNAL_SIZE: daemon::config::ByteSize = daemon::config::ByteSize(8 << 20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_made_for_a_free_port_and_keeps_the_first_one() {
        let temporary = tempfile::tempdir().unwrap();
        let servers = temporary.path();
        fs::create_dir(servers.join(".3.new")).unwrap();
        let node = Node::make(servers, 3).unwrap();
        assert_eq!(node.port().unwrap(), None);
        node.keep_port(3, 4001).unwrap();
        node.keep_port(3, 4002).unwrap();
        assert_eq!(node.port().unwrap(), Some(4001));
        assert_eq!(node.nurl(4001).unwrap().port(), 4001);
        let all = Node::all(servers).unwrap();
        assert_eq!(all.len(), 1, "nothing else is left behind");
        assert_eq!((all[0].0, all[0].1.path()), (3, node.path()));
    }
}
