//! A user with a place of its own, and a grid for it.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct User {
    pub(crate) directory: tempfile::TempDir,
}

impl User {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tahoectl"));
        command
            .args(arguments)
            .env("TAHOECTL_DIR", self.home())
            .env("TMPDIR", self.directory.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed and returns what it prints.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {message}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail so, and returns what it complains.
    pub(crate) fn failed(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        message
    }

    /// Runs a line of shell as this user, with our program on its path.
    pub(crate) fn shell(&self, line: &str) -> Output {
        let programs = std::path::Path::new(env!("CARGO_BIN_EXE_tahoectl"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", programs.parent().unwrap().display());
        Command::new("bash")
            .args(["-c", line])
            .env("PATH", path)
            .env("TAHOECTL_DIR", self.home())
            .env("TMPDIR", self.directory.path())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs a command that must succeed and returns what it remarks.
    pub(crate) fn remarks(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {message}");
        message
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path.into_os_string().into_string().unwrap()
    }
}

/// A grid of real servers, stopped at the end whatever happens.
pub(crate) struct RunningGrid {
    pub(crate) user: User,
    pub(crate) directory: String,
}

impl RunningGrid {
    pub(crate) fn start(servers: usize) -> Self {
        let user = User::new();
        let directory = user.path("grid").into_os_string().into_string().unwrap();
        let count = servers.to_string();
        user.done(&["grid", "up", &directory, "--servers", &count]);
        fs::rename(format!("{directory}/client"), user.home()).unwrap();
        Self { user, directory }
    }

    /// The NURLs of the servers.
    pub(crate) fn nurls(&self) -> Vec<String> {
        let text = self.user.done(&["grid", "list", "--nurls"]);
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for RunningGrid {
    fn drop(&mut self) {
        self.user.run(&["grid", "down", &self.directory]);
    }
}

/// Waits for what another process does, but not for ever.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited for: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process that is killed at the end, whatever happens.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a process that is gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A NURL that lets nobody in anywhere: port 9 discards.
pub(crate) const NURL_OF_NOBODY: &str =
    "pb://AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@127.0.0.1:9/swissnum#v=1";

/// Both ends of a pipe, reading and writing, of which a process gets only what it is given.
pub(crate) fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}
