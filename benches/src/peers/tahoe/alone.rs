//! Single nodes of Tahoe-LAFS 1.20 that speak GBS: a storage node, and clients that know their servers
//! from a file. There is no introducer, so nothing else goes over the line.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use daemon::Identity;
use lafs::nurl::Nurl;

use super::{Maker, listening, wait_for};
use crate::hosts::Hosts;
use crate::http;
use crate::process;

/// A node. Dropping it ends it.
#[derive(Debug)]
struct Node {
    process: Child,
    directory: PathBuf,
}

impl Node {
    fn run(maker: &Maker<'_>, name: &str) -> io::Result<Self> {
        let log = File::create(maker.directory.join(format!("{name}.log")))?;
        let process = Command::new(&maker.tahoe)
            .args(["run", "--allow-stdin-close", name])
            .current_dir(maker.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self {
            process,
            directory: maker.directory.join(name),
        })
    }

    /// What the node wrote into one of its files when it started.
    fn file(&self, name: &str) -> io::Result<String> {
        let path = self.directory.join(name);
        wait_for(name, || {
            let text = fs::read_to_string(&path).ok()?.trim().to_owned();
            (!text.is_empty()).then_some(text)
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = process::stop(&mut self.process) {
            eprintln!("Tahoe: {error}");
        }
    }
}

/// A storage node.
#[derive(Debug)]
pub struct StorageNode {
    node: Node,
    nurl: Nurl,
}

impl StorageNode {
    /// Makes and starts one in an empty directory, and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start(environment: &Path, directory: &Path) -> io::Result<Self> {
        let socket = Hosts::Loopback.server_sockets(1)?.remove(0);
        let maker = Maker::new(environment, directory);
        let mut options = listening(socket);
        options.push("--webport=none".to_owned());
        maker.create("create-node", "storage", &options)?;
        let node = Node::run(&maker, "storage")?;
        let nurl = nurl(&node, socket)?;
        wait_for("the storage node", || {
            std::net::TcpStream::connect(socket).ok()
        })?;
        Ok(Self { node, nurl })
    }

    /// What lets a client in.
    #[must_use]
    pub fn nurl(&self) -> &Nurl {
        &self.nurl
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.node.process.id()
    }

    /// What a client's `servers.yaml` says of it, from the node's files: it tells nobody but an
    /// introducer.
    ///
    /// # Errors
    ///
    /// When the files are not there.
    pub fn servers_yaml(&self) -> io::Result<String> {
        let id = self.node.file("node.pubkey")?;
        let id = id.trim_start_matches("pub-");
        let tub_id = self.node.file("my_nodeid")?;
        let seed = self.node.file("permutation-seed")?;
        Ok(format!(
            "storage:\n  {id}:\n    ann:\n      anonymous-storage-FURL: pb://{tub_id}@unused/unused\n      \
             anonymous-storage-NURLs: [\"{}\"]\n      permutation-seed-base32: {seed}\n",
            self.nurl
        ))
    }
}

/// The swissnum is that of the node's fURL, the key that of its certificate.
fn nurl(node: &Node, socket: SocketAddrV4) -> io::Result<Nurl> {
    let furl = node.file("private/storage.furl")?;
    let swissnum = furl.rsplit('/').next().unwrap_or_default();
    let pem = node.file("private/node.pem")?;
    let identity = Identity::from_pem(pem.as_bytes()).map_err(io::Error::other)?;
    let nurl = format!("pb://{}@{socket}/{swissnum}#v=1", identity.key_hash());
    nurl.parse().map_err(io::Error::other)
}

/// A client node with its web gateway.
#[derive(Debug)]
pub struct Gateway {
    _node: Node,
    socket: SocketAddrV4,
}

impl Gateway {
    /// Makes and starts one in an empty directory, for one server that takes all ten shares of a file,
    /// and waits until it has stored one there.
    ///
    /// # Errors
    ///
    /// When it does not start or reach the server.
    pub fn start(environment: &Path, directory: &Path, servers_yaml: &str) -> io::Result<Self> {
        let socket = Hosts::Loopback.client_socket()?;
        let maker = Maker::new(environment, directory);
        let options = [
            format!("--webport=tcp:{}:interface={}", socket.port(), socket.ip()),
            "--shares-happy=1".to_owned(),
        ];
        maker.create("create-client", "client", &options)?;
        let servers = directory.join("client/private/servers.yaml");
        fs::write(servers, servers_yaml)?;
        let gateway = Self {
            _node: Node::run(&maker, "client")?,
            socket,
        };
        wait_for("the server of a client", || {
            gateway.upload(&[0x55; 1000]).ok()
        })?;
        Ok(gateway)
    }

    /// Uploads a file and returns its capability.
    ///
    /// # Errors
    ///
    /// When the gateway refuses.
    pub fn upload(&self, content: &[u8]) -> io::Result<String> {
        let size = u64::try_from(content.len()).expect("it is in memory");
        let mut answer = Vec::new();
        let path = "/uri?format=chk";
        http::request(self.socket.into(), "PUT", path, content, size, &mut answer)?;
        String::from_utf8(answer).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Downloads a file.
    ///
    /// # Errors
    ///
    /// When the gateway refuses.
    pub fn download(&self, capability: &str) -> io::Result<Vec<u8>> {
        let path = format!("/uri/{}", capability.replace(':', "%3A"));
        let mut answer = Vec::new();
        http::request(
            self.socket.into(),
            "GET",
            &path,
            io::empty(),
            0,
            &mut answer,
        )?;
        Ok(answer)
    }
}
