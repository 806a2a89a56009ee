//! A grid of this project's own programs, as a user would run them.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lafs::nurl::Nurl;

use crate::hosts::Hosts;
use crate::line::Side;
use crate::process::{self, Cost};
use crate::results::repository;

/// The programs, built.
#[derive(Clone, Debug)]
pub struct Programs(PathBuf);

impl Programs {
    /// Builds `tahoed` and `tahoectl` as the calling program was built.
    ///
    /// # Errors
    ///
    /// When they do not build.
    pub fn build() -> io::Result<Self> {
        let directory = std::env::current_exe()?
            .ancestors()
            .find(|path| path.ends_with("release") || path.ends_with("debug"))
            .ok_or_else(|| io::Error::other("not run by cargo"))?
            .to_owned();
        let mut cargo = Command::new("cargo");
        cargo.args([
            "build", "--quiet", "--locked", "--bin", "tahoed", "--bin", "tahoectl",
        ]);
        if directory.ends_with("release") {
            cargo.arg("--release");
        }
        let status = cargo
            .current_dir(repository())
            .stdin(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(io::Error::other(format!("cargo build: {status}")));
        }
        Ok(Self(directory))
    }

    /// Those that `cargo test` has built beside the calling test.
    ///
    /// # Errors
    ///
    /// When it has not: without `-p` it does.
    pub fn beside_the_test() -> io::Result<Self> {
        let test = std::env::current_exe()?;
        let found = test.ancestors().nth(2).map(|path| Self(path.to_owned()));
        found
            .filter(|programs| programs.tahoed().exists())
            .ok_or_else(|| io::Error::other("cargo build --bin tahoed, or cargo test without -p"))
    }

    /// Builds both for 32-bit x86.
    ///
    /// # Errors
    ///
    /// When they do not build.
    pub fn build_i686() -> io::Result<Self> {
        let built = Command::new(repository().join("ci/i686"))
            .arg("programs")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        if !built.status.success() {
            return Err(io::Error::other(format!("ci/i686: {}", built.status)));
        }
        let path = String::from_utf8(built.stdout).map_err(io::Error::other)?;
        Ok(Self(PathBuf::from(path.trim_end())))
    }

    /// The storage server.
    #[must_use]
    pub fn tahoed(&self) -> PathBuf {
        self.0.join("tahoed")
    }

    /// The client.
    #[must_use]
    pub fn tahoectl(&self) -> PathBuf {
        self.0.join("tahoectl")
    }
}

/// Running storage servers. Dropping them ends them.
#[derive(Debug)]
pub struct Daemons {
    children: Vec<Child>,
    nurls: Vec<String>,
    servers_yaml: Vec<String>,
}

impl Daemons {
    /// Makes and starts so many servers in an empty directory.
    ///
    /// # Errors
    ///
    /// When one does not start; its log says why.
    pub fn start(
        hosts: &Hosts,
        programs: &Programs,
        directory: &Path,
        count: u8,
    ) -> io::Result<Self> {
        let mut daemons = Self {
            children: Vec::new(),
            nurls: Vec::new(),
            servers_yaml: Vec::new(),
        };
        for (index, socket) in hosts.server_sockets(count)?.into_iter().enumerate() {
            let node = directory.join(format!("server{index}"));
            daemons.start_one(hosts, programs, &node, socket)?;
        }
        Ok(daemons)
    }

    fn start_one(
        &mut self,
        hosts: &Hosts,
        programs: &Programs,
        node: &Path,
        socket: SocketAddrV4,
    ) -> io::Result<()> {
        let (listen, location) = (socket.to_string(), socket.to_string());
        output(Command::new(programs.tahoed()).arg("init").arg(node).args([
            "--listen",
            &listen,
            "--location",
            &location,
        ]))?;
        self.nurls.push(output(
            Command::new(programs.tahoed()).arg("nurl").arg(node),
        )?);
        self.servers_yaml.push(output(
            Command::new(programs.tahoed())
                .arg("servers-yaml")
                .arg(node),
        )?);
        let log = node.with_extension("log");
        let mut command = Command::new(programs.tahoed());
        command
            .arg("run")
            .arg(node)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command.stderr(File::create(&log)?);
        let mut child = hosts.spawn(Side::Server, &mut command)?;
        let stdout = child.stdout.take().expect("it is piped");
        self.children.push(child);
        let mut line = String::new();
        if BufReader::new(stdout).read_line(&mut line)? == 0 {
            let log = fs::read_to_string(&log)?;
            return Err(io::Error::other(format!(
                "tahoed does not start: {}",
                log.trim()
            )));
        }
        Ok(())
    }

    /// Where they are, each a line of text.
    #[must_use]
    pub fn nurls(&self) -> &[String] {
        &self.nurls
    }

    /// The same, as a client reads them.
    ///
    /// # Panics
    ///
    /// Never: `tahoed nurl` prints what reads.
    #[must_use]
    pub fn parsed_nurls(&self) -> Vec<Nurl> {
        self.nurls
            .iter()
            .map(|nurl| nurl.parse().expect("tahoed printed it"))
            .collect()
    }

    /// What the `servers.yaml` of a client of Tahoe-LAFS says of each.
    #[must_use]
    pub fn servers_yaml(&self) -> &[String] {
        &self.servers_yaml
    }

    /// Their processes.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for child in &mut self.children {
            if let Err(error) = process::stop(child) {
                eprintln!("tahoed: {error}");
            }
        }
    }
}

/// `tahoectl` with a configuration of its own.
#[derive(Debug)]
pub struct Client<'a> {
    hosts: &'a Hosts,
    program: PathBuf,
    home: PathBuf,
}

impl<'a> Client<'a> {
    /// Makes a configuration in an empty directory, for a grid of these servers.
    ///
    /// # Errors
    ///
    /// When `tahoectl` fails.
    pub fn new(
        hosts: &'a Hosts,
        programs: &Programs,
        home: &Path,
        daemons: &Daemons,
    ) -> io::Result<Self> {
        let client = Self {
            hosts,
            program: programs.tahoectl(),
            home: home.join("tahoectl"),
        };
        output(client.command().arg("init"))?;
        output(client.command().args(["grid", "add"]).args(daemons.nurls()))?;
        Ok(client)
    }

    /// Uploads files and returns their capabilities, in order, and what it cost.
    ///
    /// # Errors
    ///
    /// When an upload fails.
    pub fn upload(&self, files: &[PathBuf], encoding: &[&str]) -> io::Result<(Vec<String>, Cost)> {
        let printed = self.home.join("printed");
        let mut command = self.command();
        command
            .arg("upload")
            .args(encoding)
            .args(files)
            .stdout(File::create(&printed)?);
        let cost = process::run(&mut command, LIMIT, |command| {
            self.hosts.spawn(Side::Client, command)
        })?;
        let text = fs::read_to_string(&printed)?;
        let capabilities: Vec<_> = text
            .lines()
            .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
            .collect();
        if capabilities.len() != files.len() {
            return Err(io::Error::other(format!(
                "tahoectl upload printed {} capabilities for {} files",
                capabilities.len(),
                files.len()
            )));
        }
        Ok((capabilities, cost))
    }

    /// Downloads a file and says what it cost.
    ///
    /// # Errors
    ///
    /// When the download fails.
    pub fn download(&self, capability: &str, target: &Path) -> io::Result<Cost> {
        let mut command = self.command();
        command
            .args(["download", "--force", capability, "-o"])
            .arg(target)
            .stdout(Stdio::null());
        process::run(&mut command, LIMIT, |command| {
            self.hosts.spawn(Side::Client, command)
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("TAHOECTL_DIR", &self.home).stdin(Stdio::null());
        command
    }
}

/// Runs a program to its end and returns what it prints.
fn output(command: &mut Command) -> io::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{name}: {}", message.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// For any one command: ten gigabytes on a slow machine.
const LIMIT: Duration = Duration::from_secs(3600);
