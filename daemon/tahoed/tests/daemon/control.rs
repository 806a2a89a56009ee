//! The control socket and `tahoed status`, as an operator's programs see them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use protocol::control::{
    self, CONNECTIONS_MAX, LINE_LEN_MAX, Reason, Reply, Request, SOCKET, State, Status,
};
use protocol::server::Outcome;

use crate::client::{Client, FOREVER, bucket};
use crate::node::{Node, node_with_a_share, tahoed};

/// A connection to the control socket.
pub(crate) struct Talk {
    lines: BufReader<UnixStream>,
}

impl Talk {
    pub(crate) fn with(node: &Node) -> Self {
        let stream = UnixStream::connect(node.store().join(SOCKET)).unwrap();
        stream.set_read_timeout(Some(FOREVER)).unwrap();
        Self {
            lines: BufReader::new(stream),
        }
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.lines.get_mut().write_all(bytes).unwrap();
    }

    /// The next line; `None` when the daemon has hung up.
    pub(crate) fn hear(&mut self) -> Option<Reply> {
        let mut line = String::new();
        let len = self.lines.read_line(&mut line).unwrap_or(0);
        let line = line.trim_end_matches('\n');
        (len > 0).then(|| Reply::parse(line.as_bytes()).unwrap())
    }

    pub(crate) fn refusal(&mut self) -> Reason {
        match self.hear() {
            Some(Reply::Refused(refused)) => refused.reason,
            other => panic!("{other:?}"),
        }
    }

    fn status(&mut self) -> Status {
        self.say(&Request::Status {}.line());
        match self.hear() {
            Some(Reply::Status(status)) => *status,
            other => panic!("{other:?}"),
        }
    }
}

/// What `tahoed status` prints.
fn printed(words: &[&str], directory: &Path) -> String {
    let output = tahoed()
        .arg("status")
        .args(words)
        .arg(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn parsed(directory: &Path) -> Status {
    serde_json::from_str(&printed(&["--json"], directory)).unwrap()
}

#[tokio::test]
async fn a_running_server_says_how_it_is() {
    let node = Node::new("");
    let running = node.start();
    let mut client = Client::connect(&running.nurl, 1).await.unwrap();
    assert_eq!(client.put(bucket(1), 0, b"share").await, Outcome::Stored);
    let status = parsed(node.directory().path());
    assert_eq!(status.state, State::Running);
    assert_eq!(status.store.layout, "two-level");
    assert_eq!(status.store.durability, "durable");
    assert_eq!(status.connections.unwrap().now, 1);
    assert_eq!(status.journal.size, 8 << 20);
    assert!(status.journal.records >= 1);
    assert!(status.space.size >= status.space.free && status.space.free > 0);
    let process = i32::try_from(status.process.unwrap()).unwrap();
    assert_eq!(rustix::process::Pid::from_raw(process), Some(running.id()));
    // The store itself is a name for it as well.
    let of_store = parsed(&node.store());
    assert_eq!(of_store.process, status.process);
    let text = printed(&[], node.directory().path());
    for words in [
        "state        running: tahoed ",
        "connections  1 of ",
        "expiry       off",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
}

#[tokio::test]
async fn a_stopped_store_is_looked_at_and_not_changed() {
    let node = node_with_a_share().await;
    let before = fs::metadata(node.store()).unwrap().modified().unwrap();
    for directory in [node.directory().path(), node.store().as_path()] {
        let status = parsed(directory);
        assert_eq!(status.state, State::Stopped);
        assert_eq!(status.process, None);
        assert_eq!(status.store.layout, "two-level");
        assert!(status.store.identifier.is_some());
        assert_eq!(status.journal.size, 8 << 20);
        assert!(printed(&[], directory).starts_with("state        stopped\n"));
    }
    assert!(!node.store().join(SOCKET).exists());
    assert_eq!(
        fs::metadata(node.store()).unwrap().modified().unwrap(),
        before
    );
}

#[test]
fn where_there_is_no_server_status_says_so() {
    let temporary = tempfile::tempdir().unwrap();
    let output = tahoed()
        .arg("status")
        .arg(temporary.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there is no server in"), "{said}");
    let node = Node::new("");
    fs::remove_dir_all(node.store()).unwrap();
    let output = tahoed()
        .arg("status")
        .arg(node.directory().path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("perhaps its disk is not mounted"), "{said}");
}

// Whoever may connect may have shares removed.
#[test]
fn the_socket_is_the_owners_alone_and_is_gone_after_the_server() {
    let node = Node::new("");
    let running = node.start();
    let found = fs::symlink_metadata(node.store().join(SOCKET)).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o7777, 0o600);
    running.terminate();
    assert!(running.wait().success());
    assert!(!node.store().join(SOCKET).exists());
}

#[test]
fn the_socket_of_a_killed_server_says_that_none_runs_and_is_replaced() {
    let node = Node::new("");
    node.start().kill();
    assert!(node.store().join(SOCKET).exists());
    assert_eq!(parsed(node.directory().path()).state, State::Stopped);
    let running = node.start();
    assert_eq!(parsed(node.directory().path()).state, State::Running);
    running.terminate();
    assert!(running.wait().success());
}

// A server is there for its clients first.
#[test]
fn what_stands_in_the_sockets_place_keeps_no_server_from_serving() {
    let node = Node::new("");
    fs::write(node.store().join(SOCKET), "kept").unwrap();
    let running = node.start();
    running.logged("cannot make the control socket");
    running.terminate();
    assert!(running.wait().success());
    assert_eq!(fs::read(node.store().join(SOCKET)).unwrap(), b"kept");
}

#[test]
fn what_makes_no_sense_is_refused_and_the_connection_goes_on() {
    let node = Node::new("");
    let _running = node.start();
    let mut talk = Talk::with(&node);
    for (line, reason) in [
        (&b"\n"[..], Reason::Malformed),
        (b"status\n", Reason::Malformed),
        (b"\xff\0\n", Reason::Malformed),
        (b"{\"version\":1,\"ask\":\"dance\"}\n", Reason::Unknown),
        (b"{\"version\":9,\"ask\":\"status\"}\n", Reason::Version),
    ] {
        talk.say(line);
        assert_eq!(talk.refusal(), reason, "{line:?}");
    }
    // Two requests in one write, the second in two.
    let line = Request::Status {}.line();
    let (front, back) = line.split_at(7);
    talk.say(&[&line, front].concat());
    assert!(matches!(talk.hear(), Some(Reply::Status(_))));
    talk.say(back);
    assert!(matches!(talk.hear(), Some(Reply::Status(_))));
    assert_eq!(talk.status().state, State::Running);
}

#[test]
fn a_line_that_never_ends_ends_the_connection() {
    let node = Node::new("");
    let _running = node.start();
    let mut talk = Talk::with(&node);
    talk.say(&vec![b'x'; LINE_LEN_MAX + 1]);
    assert_eq!(talk.refusal(), Reason::Malformed);
    assert_eq!(talk.hear(), None);
    assert_eq!(Talk::with(&node).status().state, State::Running);
}

#[test]
fn as_many_connections_as_may_be_are_served_and_the_next_is_told() {
    let node = Node::new("");
    let running = node.start();
    let mut talks: Vec<Talk> = (0..CONNECTIONS_MAX).map(|_| Talk::with(&node)).collect();
    for talk in &mut talks {
        assert_eq!(talk.status().state, State::Running);
    }
    assert_eq!(Talk::with(&node).refusal(), Reason::TooMany);
    for talk in &mut talks {
        assert_eq!(talk.status().state, State::Running);
    }
    drop(talks);
    // They are not waited for: whoever is connected does not keep the server.
    let _idle = Talk::with(&node);
    running.terminate();
    assert!(running.wait().success());
}

// The name is in the page, the code and other programs.
#[test]
fn the_page_of_the_protocol_has_every_request_and_reason() {
    let page = include_str!("../../../../docs/control.md");
    for name in Request::NAMES {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    for reason in [
        Reason::Malformed,
        Reason::Version,
        Reason::Unknown,
        Reason::TooMany,
        Reason::NotNow,
        Reason::Unavailable,
        Reason::Failed,
    ] {
        let name = serde_json::to_string(&reason).unwrap();
        assert!(
            page.contains(&format!("`{}`", name.trim_matches('"'))),
            "{name}"
        );
    }
    for number in [CONNECTIONS_MAX, control::FINDINGS_MAX, LINE_LEN_MAX] {
        let plain = number.to_string();
        let spaced = format!("{} {:03}", number / 1000, number % 1000);
        assert!(page.contains(&plain) || page.contains(&spaced), "{number}");
    }
}
