//! Ctrl-C and SIGTERM end a command, whatever it waits for, and what is done stays done.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::user::{NURL_OF_NOBODY, Running, RunningGrid, User, pipe, until};

const CAP: &str = "URI:LIT:nbswy3dp";

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Whether the process handles this signal by now.
fn catches(child: &Child, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .unwrap();
    let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
    mask & (1 << (signal.as_raw() - 1)) != 0
}

fn is_gone(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_some()
}

fn make_pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[test]
fn a_command_that_waits_for_somebody_ends_at_the_first_signal() {
    let user = User::new();
    user.done(&["init"]);
    user.done(&["grid", "add", NURL_OF_NOBODY]);
    let fifo = user.path("fifo");
    make_pipe(&fifo);
    let fifo = fifo.to_str().unwrap();
    for arguments in [
        &["download", "-"][..],
        &["download", "--cap-file", fifo],
        &["download", CAP, "-o", fifo],
        &["upload", "-"],
        &["upload", fifo],
    ] {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            let (reader, _writer) = pipe();
            let child = user
                .command(arguments)
                .stdin(reader)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let mut running = Running(child.unwrap());
            until("it listens to signals", || catches(&running.0, signal));
            send(&running.0, signal);
            until(&format!("{arguments:?} ends"), || is_gone(&mut running.0));
            assert_eq!(running.0.wait().unwrap().code(), Some(3), "{arguments:?}");
        }
    }
}

#[test]
fn waiting_for_nurls_is_interrupted_too() {
    let user = User::new();
    user.done(&["init"]);
    let (reader, _writer) = pipe();
    let child = user.command(&["grid", "add", "-"]).stdin(reader).spawn();
    let mut running = Running(child.unwrap());
    // Not Ctrl-C's signal: a test that runs in the background may have inherited that it is ignored.
    send(&running.0, Signal::TERM);
    until("it ends", || is_gone(&mut running.0));
    assert!(!running.0.wait().unwrap().success());
}

// A server that takes the connection and says nothing keeps a download waiting.
#[test]
fn an_interrupted_download_leaves_no_file() {
    let user = User::new();
    user.done(&["init"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    user.done(&[
        "grid",
        "add",
        &NURL_OF_NOBODY.replace("127.0.0.1:9", &address),
    ]);
    let (key, hash) = ("a".repeat(52), "a".repeat(52));
    let cap = format!("URI:TLN1:{key}:{hash}:1:1:1000:262144");
    let copy = user.path("copy");
    let child = user
        .command(&["download", &cap, "-o", copy.to_str().unwrap()])
        .stderr(Stdio::null())
        .spawn();
    let mut running = Running(child.unwrap());
    let copies = || {
        let entries = fs::read_dir(user.directory.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().contains("copy"))
            .count()
    };
    // What has no name yet is seen by what it waits for.
    listener.set_nonblocking(true).unwrap();
    let mut asked = None;
    until("the download begins", || {
        asked = listener.accept().ok();
        asked.is_some()
    });
    send(&running.0, Signal::INT);
    until("it ends", || is_gone(&mut running.0));
    assert_eq!(running.0.wait().unwrap().code(), Some(3));
    assert_eq!(copies(), 0);
}

// The thread that listens to the signals is kept by a write that nobody takes; the second one ends it.
#[test]
fn a_command_whose_results_nobody_takes_ends_at_the_second_signal() {
    let user = User::new();
    user.done(&["init"]);
    user.done(&["grid", "add", NURL_OF_NOBODY]);
    let file = user.write("file", b"hello");
    let (_reader, writer) = pipe();
    let mut full = File::from(writer.try_clone().unwrap());
    let flags = rustix::fs::fcntl_getfl(&full).unwrap();
    rustix::fs::fcntl_setfl(&full, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    while full.write(&[0; 4096]).is_ok() {}
    while full.write(&[0]).is_ok() {}
    rustix::fs::fcntl_setfl(&full, flags).unwrap();
    let child = user
        .command(&["upload", &file])
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn();
    let mut running = Running(child.unwrap());
    until("it listens to signals", || {
        catches(&running.0, Signal::TERM)
    });
    until("it ends", || {
        send(&running.0, Signal::TERM);
        is_gone(&mut running.0)
    });
    assert_eq!(running.0.wait().unwrap().code(), Some(3));
}

// Results wait for their turn, and were lost with the file before them.
#[test]
fn what_is_uploaded_is_printed_when_the_rest_is_interrupted() {
    let grid = RunningGrid::start(1);
    let user = &grid.user;
    let file = user.write("file", &[5; 900]);
    let (reader, _writer) = pipe();
    let child = user
        .command(&["upload", "-", &file])
        .stdin(reader)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut running = Running(child.unwrap());
    // The record of uploads says that the second file is stored.
    let record = user.home().join("uploads");
    let empty = 24;
    until("the file is stored", || {
        fs::metadata(&record).is_ok_and(|metadata| metadata.len() > empty)
    });
    send(&running.0, Signal::INT);
    let printed = BufReader::new(running.0.stdout.take().unwrap());
    let lines: Vec<_> = printed.lines().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].ends_with(&file), "{lines:?}");
    let said = BufReader::new(running.0.stderr.take().unwrap());
    let said: Vec<_> = said.lines().map(Result::unwrap).collect();
    assert!(said[0].starts_with("1 of 2 files uploaded"), "{said:?}");
    assert_eq!(running.0.wait().unwrap().code(), Some(3));
}
