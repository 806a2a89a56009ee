//! A grid of unmodified Tahoe-LAFS 1.20: an introducer, servers, and a client with its web gateway.

pub mod alone;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::hosts::Hosts;
use crate::http;
use crate::line::Side;
use crate::process;

/// A running grid. Dropping it ends its processes.
#[derive(Debug)]
pub struct Tahoe<'a> {
    hosts: &'a Hosts,
    nodes: Vec<Child>,
    server_pids: Vec<u32>,
    gateway: SocketAddrV4,
}

/// How a file is cut into shares.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// Shares that bring the file back.
    pub needed: u8,
    /// Shares altogether, and servers.
    pub total: u8,
}

impl<'a> Tahoe<'a> {
    /// Makes and starts a grid in an empty directory, and waits until its client reaches every server.
    ///
    /// `environment` is a Python environment with Tahoe-LAFS (see `ci/tahoe-venv`).
    ///
    /// # Errors
    ///
    /// When a node does not start.
    pub fn start(
        hosts: &'a Hosts,
        environment: &Path,
        directory: &Path,
        encoding: Encoding,
    ) -> io::Result<Self> {
        let mut sockets = hosts.server_sockets(encoding.total + 1)?;
        let gateway = hosts.client_socket()?;
        let mut grid = Self {
            hosts,
            nodes: Vec::new(),
            server_pids: Vec::new(),
            gateway,
        };
        let maker = Maker::new(environment, directory);

        maker.create(
            "create-introducer",
            "introducer",
            &listening(sockets.remove(0)),
        )?;
        grid.run(&maker, Side::Server, "introducer")?;
        let furl_file = directory.join("introducer/private/introducer.furl");
        let furl = wait_for("the introducer", || fs::read_to_string(&furl_file).ok())?;
        let introducer = format!("--introducer={}", furl.trim());

        // Each takes a second of processor time to make: two at a time.
        let names: Vec<_> = (0..sockets.len())
            .map(|index| format!("server{index}"))
            .collect();
        for pair in names.iter().zip(&sockets).collect::<Vec<_>>().chunks(2) {
            let make = |&(name, socket): &(&String, &SocketAddrV4)| {
                let mut options = listening(*socket);
                options.extend([introducer.clone(), "--webport=none".to_owned()]);
                maker.create("create-node", name, &options)
            };
            thread::scope(|scope| {
                let making: Vec<_> = pair.iter().map(|node| scope.spawn(|| make(node))).collect();
                making
                    .into_iter()
                    .try_for_each(|made| made.join().expect("it does not panic"))
            })?;
        }
        let Encoding { needed, total } = encoding;
        maker.create(
            "create-client",
            "client",
            &[
                introducer,
                format!(
                    "--webport=tcp:{}:interface={}",
                    gateway.port(),
                    gateway.ip()
                ),
                format!("--shares-needed={needed}"),
                format!("--shares-happy={total}"),
                format!("--shares-total={total}"),
            ],
        )?;
        for name in &names {
            grid.run(&maker, Side::Server, name)?;
        }
        grid.server_pids = grid.nodes[1..].iter().map(Child::id).collect();
        grid.run(&maker, Side::Client, "client")?;
        // A server that it calls connected may not answer yet: a first upload to all of them tells, and
        // opens the connections.
        let first = directory.join("first");
        fs::write(&first, [0x55; 1000])?;
        wait_for("the Tahoe grid", || grid.upload(&first).ok())?;
        Ok(grid)
    }

    /// Uploads a file and returns its capability.
    ///
    /// # Errors
    ///
    /// When the gateway refuses.
    pub fn upload(&self, path: &Path) -> io::Result<String> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut answer = Vec::new();
        self.request("PUT", "/uri?format=chk", file, size, &mut answer)?;
        String::from_utf8(answer).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Downloads a file.
    ///
    /// # Errors
    ///
    /// When the gateway refuses.
    pub fn download(&self, capability: &str, target: &mut (impl Write + Send)) -> io::Result<()> {
        let path = format!("/uri/{}", capability.replace(':', "%3A"));
        self.request("GET", &path, io::empty(), 0, target)
    }

    /// The process that clients of Tahoe talk to, and that encrypts and encodes.
    ///
    /// # Panics
    ///
    /// Never: a grid has one.
    #[must_use]
    pub fn client_pid(&self) -> u32 {
        self.nodes.last().expect("the client was started last").id()
    }

    /// The servers' processes.
    #[must_use]
    pub fn server_pids(&self) -> &[u32] {
        &self.server_pids
    }

    fn run(&mut self, maker: &Maker<'_>, side: Side, name: &str) -> io::Result<()> {
        let log = File::create(maker.directory.join(format!("{name}.log")))?;
        let mut command = Command::new(&maker.tahoe);
        command
            .args(["run", "--allow-stdin-close", name])
            .current_dir(maker.directory);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.nodes.push(self.hosts.spawn(side, &mut command)?);
        Ok(())
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        body: impl Read + Send,
        size: u64,
        answer: &mut (impl Write + Send),
    ) -> io::Result<()> {
        self.hosts.within(Side::Client, || {
            http::request(self.gateway.into(), method, path, body, size, answer)
        })?
    }
}

impl Drop for Tahoe<'_> {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Err(error) = process::stop(node) {
                eprintln!("Tahoe: {error}");
            }
        }
    }
}

struct Maker<'a> {
    tahoe: PathBuf,
    directory: &'a Path,
}

impl<'a> Maker<'a> {
    fn new(environment: &Path, directory: &'a Path) -> Self {
        Self {
            tahoe: environment.join("bin/tahoe"),
            directory,
        }
    }

    fn create(&self, what: &str, name: &str, options: &[String]) -> io::Result<()> {
        let output = Command::new(&self.tahoe)
            .arg(what)
            .args(options)
            .arg(name)
            .current_dir(self.directory)
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!(
            "tahoe {what}: {}",
            message.trim()
        )))
    }
}

fn listening(socket: SocketAddrV4) -> Vec<String> {
    let (address, port) = (socket.ip(), socket.port());
    vec![
        format!("--port=tcp:{port}:interface={address}"),
        format!("--location=tcp:{address}:{port}"),
    ]
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> io::Result<T> {
    let began = Instant::now();
    while began.elapsed() < START_LIMIT {
        if let Some(found) = look() {
            return Ok(found);
        }
        thread::sleep(Duration::from_millis(200));
    }
    Err(io::Error::other(format!(
        "{what} is not there after {} s",
        START_LIMIT.as_secs()
    )))
}

/// Twelve Python programs on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(120);
