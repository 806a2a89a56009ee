//! A `tahoed` of its own for each test: directory, process, address.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use daemon::Directory;
use daemon::config::{self, ByteSize, Choices};
use lafs::nurl::Nurl;
use protocol::server::Outcome;
use tempfile::TempDir;

use crate::client::{Client, FOREVER, bucket};

/// A server's directory.
pub(crate) struct Node {
    temporary: TempDir,
}

/// A running `tahoed`; killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: Arc<Log>,
    pub(crate) address: SocketAddr,
    pub(crate) nurl: Nurl,
}

/// What a server has logged so far.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    more: Condvar,
}

impl Node {
    /// A new server on a free port of loopback, with `settings` at the end of its configuration.
    pub(crate) fn new(settings: &str) -> Self {
        let node = Self {
            temporary: TempDir::with_prefix("tahoed-test-").unwrap(),
        };
        let choices = Choices {
            nickname: "test".to_owned(),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            location: Vec::new(),
            store: config::Store {
                journal_size: ByteSize(8 << 20),
                ..config::Store::default()
            },
            expire: config::Expire::default(),
        };
        daemon::init(&node.directory(), &choices).unwrap();
        node.configure(settings);
        node
    }

    /// Replaces everything but the address and the store in the configuration.
    pub(crate) fn configure(&self, settings: &str) {
        let bucketfs::Found::Store(Some(id)) = bucketfs::look(&self.store()).unwrap() else {
            panic!("the store has lost its identifier");
        };
        let level = match settings.contains("log.level") {
            true => "",
            false => "log.level = 'debug'",
        };
        let text = format!(
            "listen = ['127.0.0.1:0']\nlocation = ['127.0.0.1']\n\
             store.id = '{id}'\nstore.journal_size = '8MiB'\n{level}\n{settings}\n"
        );
        fs::write(self.directory().config_path(), text).unwrap();
    }

    pub(crate) fn directory(&self) -> Directory {
        Directory::new(self.temporary.path().join("node"))
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.directory().path().join("storage")
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(&self) -> Running {
        start(self.directory().path())
    }

    /// Starts it in a process that may have so many files open.
    pub(crate) fn start_with_descriptors(&self, limit: u64) -> Running {
        let directory = self.directory();
        wait_for(limited(directory.path(), limit), directory.path())
    }

    /// Likewise, in the belief that it will not run.
    pub(crate) fn fail_with_descriptors(&self, limit: u64) -> (Option<i32>, String) {
        fail(limited(self.directory().path(), limit))
    }

    /// Starts it in the belief that it will not run; its exit code and what it says.
    pub(crate) fn fail(&self) -> (Option<i32>, String) {
        fail(command(self.directory().path()))
    }

    /// Every file under the store's `shares`, relative to it, that is not in incoming.
    pub(crate) fn shares(&self) -> Vec<PathBuf> {
        let root = self.store().join("shares");
        let mut found = Vec::new();
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true if path.ends_with("incoming") => {}
                    true => directories.push(path),
                    false => found.push(path.strip_prefix(&root).unwrap().to_owned()),
                }
            }
        }
        found.sort();
        found
    }

    /// How many files there are in the store's tree. A share is confirmed by the journal and gets its
    /// place a moment after, so that many of them are waited for.
    pub(crate) fn placed(&self, expected: usize) -> usize {
        let started = Instant::now();
        while self.shares().len() < expected && started.elapsed() < FOREVER {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.shares().len()
    }

    /// The files in incoming that stay: what came to nothing is removed a moment after its answer.
    pub(crate) fn incoming(&self) -> usize {
        let incoming = self.store().join("shares/incoming");
        let count = || fs::read_dir(&incoming).map_or(0, Iterator::count);
        let started = Instant::now();
        while count() > 0 && started.elapsed() < FOREVER {
            std::thread::sleep(Duration::from_millis(10));
        }
        count()
    }
}

impl Running {
    /// Asks it to stop, as an operator would.
    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Ends it without a chance to do anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until the log has these words, and returns all of it.
    pub(crate) fn logged(&self, words: &str) -> String {
        let text = self.log.text.lock().unwrap();
        let waiting = |text: &mut String| !text.contains(words);
        let waited = self.log.more.wait_timeout_while(text, FOREVER, waiting);
        let (text, timeout) = waited.unwrap();
        assert!(!timeout.timed_out(), "{words:?} is not logged:\n{text}");
        text.clone()
    }

    pub(crate) fn id(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(path).unwrap().count()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.id(), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node that holds one share and has stopped.
pub(crate) async fn node_with_a_share() -> Node {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.put(bucket(1), 0, b"share").await, Outcome::Stored);
    drop(client);
    running.terminate();
    assert!(running.wait().success());
    node
}

/// Has a server that `init` made listen on loopback alone.
pub(crate) fn localise(directory: &Path) {
    let path = directory.join("tahoed.toml");
    let text = fs::read_to_string(&path).unwrap();
    let lines = text
        .lines()
        .map(|line| match line.starts_with("listen = ") {
            true => "listen = ['127.0.0.1:0']\n".to_owned(),
            false => format!("{line}\n"),
        });
    fs::write(&path, lines.collect::<String>()).unwrap();
}

/// Starts the server in a directory and waits until it listens.
pub(crate) fn start(directory: &Path) -> Running {
    wait_for(command(directory), directory)
}

/// Runs what is believed not to run; its exit code and what it says.
fn fail(mut command: Command) -> (Option<i32>, String) {
    let mut child = command.spawn().unwrap();
    let said = stderr(&mut child);
    (child.wait().unwrap().code(), said)
}

fn wait_for(mut command: Command, directory: &Path) -> Running {
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let Some(Ok(line)) = lines.next() else {
        panic!("tahoed did not start: {}", stderr(&mut child));
    };
    let address: SocketAddr = line.strip_prefix("listening on ").unwrap().parse().unwrap();
    // Read to the end, so that the child never waits for us.
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let log = Arc::new(Log::default());
    let shared = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // Shown by cargo only if the test fails.
            println!("{line}");
            let mut text = shared.text.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
            shared.more.notify_all();
        }
    });
    // An adopted node's location has the port that it had.
    let directory = Directory::new(directory);
    let nurl = Nurl::new(
        *directory.identity().unwrap().key_hash(),
        "127.0.0.1".parse().unwrap(),
        address.port(),
        directory.swissnum().unwrap(),
    );
    Running {
        child,
        log,
        address,
        nurl: nurl.unwrap(),
    }
}

fn command(directory: &Path) -> Command {
    let mut command = tahoed();
    command
        .arg("run")
        .arg(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// `tahoed run` in a process that may have so many files open.
fn limited(directory: &Path, limit: u64) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {limit} && exec \"$0\" run \"$1\"");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_tahoed")])
        .arg(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The program under test.
pub(crate) fn tahoed() -> Command {
    Command::new(Path::new(env!("CARGO_BIN_EXE_tahoed")))
}

fn stderr(child: &mut Child) -> String {
    let mut text = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}
