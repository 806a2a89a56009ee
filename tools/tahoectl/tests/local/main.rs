//! Grids on this machine, as a user has them: they come up whole or not at all, and leave nothing.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A place for a grid; whatever runs there is killed at the end.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tahoectl"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("TAHOECTL_DIR", self.path("grid/client"))
            .env("TMPDIR", self.directory.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed and returns what it prints.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {message}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that could not be done and returns what it complains.
    fn failed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {message}");
        message
    }

    /// The daemons that run below this place.
    fn daemons(&self) -> Vec<Pid> {
        let here = self.directory.path().canonicalize().unwrap();
        let here = here.to_str().unwrap();
        let is_ours = |pid: &Pid| {
            let arguments = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
            let arguments = String::from_utf8_lossy(&arguments.unwrap_or_default()).into_owned();
            arguments
                .split('\0')
                .any(|argument| argument.starts_with(here) && argument.contains("/servers/"))
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        entries
            .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
            .filter(is_ours)
            .collect()
    }

    /// A `try` of a file that takes long enough to be interrupted, once its servers run.
    fn long_try(&self) -> Child {
        let file = File::create(self.path("large")).unwrap();
        file.set_len(1 << 30).unwrap();
        let child = self
            .command(&["try", "large"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("ten daemons run", || self.daemons().len() == 10);
        child
    }

    fn trials(&self) -> usize {
        let entries = fs::read_dir(self.directory.path()).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("tahoectl-try"))
            .count()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.daemons() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited for: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn pid_in(path: &Path) -> Pid {
    let text = fs::read_to_string(path).unwrap();
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

#[test]
fn try_without_a_file_tells_a_program_what_it_did() {
    let place = Place::new();
    let text = place.done(&["--json", "try"]);
    let events: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let event = |name: &str| events.iter().find(|event| event["event"] == name).unwrap();
    assert_eq!(event("started")["servers"], 10);
    assert_eq!(event("connected")["answering"], 10);
    assert_eq!(event("connected")["round_trips"], 3);
    assert_eq!(event("uploaded")["round_trips"], 1);
    assert_eq!(event("uploaded")["happiness"], 10);
    assert!(event("memory")["resident_most"].as_u64().unwrap() > 0);
    let containers = event("layout")["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    assert_eq!(event("stopped")["left"], 3);
    assert_eq!(event("downloaded")["same"], true);
    assert_eq!(event("downloaded")["round_trips"], 1);
    assert_eq!((place.daemons().len(), place.trials()), (0, 0));
}

#[test]
fn try_of_a_file_that_is_not_there_leaves_nothing_behind() {
    let place = Place::new();
    assert!(place.failed(&["try", "missing"]).contains("missing"));
    assert_eq!((place.daemons().len(), place.trials()), (0, 0));
}

#[test]
fn an_interrupted_try_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::HUP] {
        let place = Place::new();
        let mut child = place.long_try();
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(3));
        assert_eq!((place.daemons().len(), place.trials()), (0, 0));
    }
}

// Nobody is left to stop them, and ten daemons that nobody knows of would stay for ever.
#[test]
fn the_daemons_of_a_try_that_is_killed_die_with_it() {
    let place = Place::new();
    let mut child = place.long_try();
    child.kill().unwrap();
    child.wait().unwrap();
    until("no daemon runs", || place.daemons().is_empty());
}

#[test]
fn a_grid_that_lost_a_server_comes_up_again_where_it_was() {
    let place = Place::new();
    let export = place.done(&["grid", "up", "grid", "--servers", "4"]);
    let client = place.path("grid/client").canonicalize().unwrap();
    assert_eq!(
        export,
        format!("export TAHOECTL_DIR={}\n", client.display())
    );
    let nurls = fs::read_to_string(client.join("servers")).unwrap();
    fs::write(place.path("file"), [7; 5000]).unwrap();
    let cap = place.done(&["upload", "file"]);

    let lost = pid_in(&place.path("grid/servers/2/pid"));
    kill_process(lost, Signal::KILL).unwrap();
    until("the daemon is gone", || !place.daemons().contains(&lost));
    let text = place.done(&["--json", "grid", "up", "grid"]);
    let up: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&up["servers"], &up["started"]), (&4.into(), &1.into()));
    assert_eq!(fs::read_to_string(client.join("servers")).unwrap(), nurls);

    place.done(&["grid", "down", "grid"]);
    assert!(place.daemons().is_empty());
    place.done(&["grid", "up", "grid", "--servers", "5"]);
    assert_eq!(place.daemons().len(), 5);
    let nurls_now = fs::read_to_string(client.join("servers")).unwrap();
    assert!(nurls_now.starts_with(&nurls), "ports are kept");
    place.done(&["download", cap.trim(), "-o", "copy"]);
    assert_eq!(fs::read(place.path("copy")).unwrap(), [7; 5000]);
    place.done(&["grid", "down", "grid"]);
    assert!(place.daemons().is_empty());
    assert!(place.failed(&["grid", "down", "grid"]).contains("no grid"));
}

// Process numbers are used again, in no time on a busy machine.
#[test]
fn a_process_that_has_the_number_of_a_daemon_is_left_alone() {
    let place = Place::new();
    place.done(&["grid", "up", "grid", "--servers", "1"]);
    place.done(&["grid", "down", "grid"]);
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    let path = place.path("grid/servers/0/pid");
    fs::write(&path, stranger.id().to_string()).unwrap();
    place.failed(&["grid", "down", "grid"]);
    assert!(stranger.try_wait().unwrap().is_none(), "it still runs");
    place.done(&["grid", "up", "grid"]);
    assert_ne!(pid_in(&path), Pid::from_child(&stranger));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_grid_whose_server_cannot_start_says_why_and_leaves_none_running() {
    let place = Place::new();
    place.done(&["grid", "up", "grid", "--servers", "3"]);
    place.done(&["grid", "down", "grid"]);
    let path = place.path("grid/servers/1/tahoed.toml");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("nonsense = 1\n{good}")).unwrap();
    let message = place.failed(&["grid", "up", "grid"]);
    assert!(
        message.contains("servers/1") && message.contains("nonsense"),
        "{message}"
    );
    assert!(place.daemons().is_empty());
    fs::write(&path, good).unwrap();
    place.done(&["grid", "up", "grid"]);
    assert_eq!(place.daemons().len(), 3);
}

// The operator of a server moves its store, and its clients notice nothing.
#[test]
fn a_server_whose_store_was_moved_to_another_layout_serves_it() {
    let place = Place::new();
    fs::write(place.path("file"), vec![7; 100_000]).unwrap();
    place.done(&["grid", "up", "grid", "--servers", "1"]);
    let cap = place.done(&["upload", "file"]);
    let cap = cap.trim();
    let mut servers = fs::read_dir(place.path("grid/servers")).unwrap();
    let server = servers.next().unwrap().unwrap().path();
    let store = &*format!("{}/storage", server.display());
    let message = place.failed(&["migrate", store, "--to", "one-level"]);
    assert!(message.contains("in use by another process"), "{message}");
    assert!(message.contains("hint: stop `tahoed`"), "{message}");
    place.done(&["grid", "down", "grid"]);
    let version = |place: &Place| fs::read_to_string(place.path(store).join("version")).unwrap();
    let before = version(&place);
    let object = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    for to in ["flat", "one-level", "two-level"] {
        let arguments = ["--json", "migrate", store, "--to", to];
        let planned = object(place.done(&[&arguments[..], &["--dry-run"]].concat()));
        assert_eq!(planned["buckets"], 1, "{planned}");
        assert_eq!(planned["moved"], 0);
        assert_eq!(planned["dry_run"], true);
        let moved = object(place.done(&[&arguments[..], &["--rate", "1000"]].concat()));
        assert_eq!(moved["moved"], 1, "{moved}");
        let again = object(place.done(&arguments));
        assert_eq!(again["moved"], 0, "{again}");
        let expected = format!("bucketfs 1\nlayout {to}\n");
        assert_eq!(version(&place), expected);
        place.done(&["grid", "up", "grid"]);
        place.done(&["download", cap, "-o", "copy", "--force"]);
        place.done(&["grid", "down", "grid"]);
        let copy = fs::read(place.path("copy")).unwrap();
        assert_eq!(copy, fs::read(place.path("file")).unwrap());
    }
    assert_eq!(version(&place), before);
    let message = place.failed(&["migrate", "nowhere", "--to", "flat"]);
    assert!(message.contains("`version` is missing"), "{message}");
}
