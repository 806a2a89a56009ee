//! OpenSSH's server in a private instance, for scp and rsync: its own keys, configuration and port.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::hosts::Hosts;
use crate::line::Side;
use crate::process;

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct SshServer {
    server: Child,
    configuration: PathBuf,
}

impl SshServer {
    /// Starts a server that lets one new key in, with its files in an empty directory.
    ///
    /// `sshd` is the program (see `ci/sshd`).
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start(hosts: &Hosts, sshd: &Path, directory: &Path) -> io::Result<Self> {
        let file = |name: &str| directory.join(name);
        for name in ["host", "user"] {
            let status = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(file(name))
                .stdin(Stdio::null())
                .status()?;
            if !status.success() {
                return Err(io::Error::other(format!("ssh-keygen: {status}")));
            }
        }
        let socket = hosts.server_sockets(1)?.remove(0);
        let (address, port) = (socket.ip(), socket.port());
        let at = directory.display();
        fs::write(
            file("sshd_config"),
            format!(
                "ListenAddress {address}\nPort {port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/user.pub\n\
                 PidFile none\nUsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
                 StrictModes no\nSubsystem sftp internal-sftp\n"
            ),
        )?;
        let configuration = file("ssh_config");
        let host_key = fs::read_to_string(file("host.pub"))?;
        fs::write(file("known_hosts"), format!("server {host_key}"))?;
        fs::write(
            &configuration,
            format!(
                "Host server\nHostName {address}\nPort {port}\nHostKeyAlias server\nUser root\n\
                 IdentityFile {at}/user\nIdentitiesOnly yes\nUserKnownHostsFile {at}/known_hosts\n\
                 BatchMode yes\nLogLevel ERROR\n"
            ),
        )?;
        // Debian's sshd wants a directory below /run that only its service makes: give it a /run of
        // its own instead of making one in the system's.
        let script = "mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec \"$0\" -D -e -f \"$1\"";
        let server = hosts.spawn(
            Side::Server,
            Command::new("unshare")
                .args(["--mount", "sh", "-c", script])
                .arg(sshd)
                .arg(file("sshd_config"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(file("sshd.log"))?),
        )?;
        let mut started = Self {
            server,
            configuration,
        };
        let began = Instant::now();
        while hosts
            .within(Side::Server, || TcpStream::connect(socket))?
            .is_err()
        {
            if started.server.try_wait()?.is_some() || began.elapsed() > Duration::from_secs(20) {
                let log = fs::read_to_string(file("sshd.log"))?;
                return Err(io::Error::other(format!(
                    "sshd does not start: {}",
                    log.trim()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(started)
    }

    /// The configuration for `scp -F` and `ssh -F`; in it the server is named `server`.
    #[must_use]
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        if let Err(error) = process::stop(&mut self.server) {
            eprintln!("sshd: {error}");
        }
    }
}
