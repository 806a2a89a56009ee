//! What a person at a terminal sees.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use crate::user::{Running, RunningGrid, User, pipe, until};

/// A terminal of 80 columns.
struct Terminal {
    master: OwnedFd,
    slave: File,
}

/// What appears on a terminal, as it appears.
struct Screen {
    reader: JoinHandle<()>,
    bytes: mpsc::Receiver<u8>,
    seen: Vec<u8>,
}

impl Terminal {
    fn new() -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        // What is written is what is read.
        let mut attributes = tcgetattr(&slave).unwrap();
        attributes.output_modes = rustix::termios::OutputModes::empty();
        tcsetattr(&slave, OptionalActions::Now, &attributes).unwrap();
        Self { master, slave }
    }

    fn stdio(&self) -> Stdio {
        Stdio::from(self.slave.try_clone().unwrap())
    }

    /// Lets go of our own end: the screen ends with the last process that writes to it.
    fn screen(self) -> Screen {
        drop(self.slave);
        let (sender, bytes) = mpsc::channel();
        let mut master = File::from(self.master);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end of a terminal is an error, EIO.
            while let Ok(count @ 1..) = master.read(&mut buffer) {
                buffer[..count].iter().for_each(|byte| {
                    let _ = sender.send(*byte);
                });
            }
        });
        Screen {
            reader,
            bytes,
            seen: Vec::new(),
        }
    }
}

impl Screen {
    fn shows(&mut self, text: &str) -> bool {
        self.seen.extend(self.bytes.try_iter());
        String::from_utf8_lossy(&self.seen).contains(text)
    }

    fn all(mut self) -> String {
        self.reader.join().unwrap();
        self.seen.extend(self.bytes.iter());
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

// Ctrl-C and SIGTERM were ignored while it waited.
#[test]
fn a_capability_is_asked_for_and_the_question_can_be_interrupted() {
    let user = User::new();
    for signal in [Signal::INT, Signal::TERM] {
        let terminal = Terminal::new();
        let child = user
            .command(&["download", "-"])
            .stdin(terminal.stdio())
            .stdout(Stdio::null())
            .stderr(terminal.stdio())
            .spawn();
        let mut running = Running(child.unwrap());
        let mut screen = terminal.screen();
        until("it asks", || screen.shows("capability, then Enter:"));
        kill_process(Pid::from_child(&running.0), signal).unwrap();
        until("it ends", || running.0.try_wait().unwrap().is_some());
        assert_eq!(running.0.wait().unwrap().code(), Some(3));
    }
}

#[test]
fn a_capability_that_is_typed_ends_with_enter() {
    let user = User::new();
    let terminal = Terminal::new();
    let mut keyboard = File::from(terminal.master.try_clone().unwrap());
    let child = user
        .command(&["download", "-"])
        .stdin(terminal.stdio())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut running = Running(child.unwrap());
    keyboard.write_all(b"URI:LIT:nbswy3dp\n").unwrap();
    let mut file = String::new();
    let mut stdout = running.0.stdout.take().unwrap();
    stdout.read_to_string(&mut file).unwrap();
    assert_eq!(file, "hello");
}

/// Downloads to a terminal, and returns the exit code and what it shows.
fn shown(user: &User, arguments: &[&str]) -> (Option<i32>, String) {
    let terminal = Terminal::new();
    let child = user
        .command(arguments)
        .stdout(terminal.stdio())
        .stderr(Stdio::null())
        .spawn();
    let mut running = Running(child.unwrap());
    let screen = terminal.screen();
    until("it ends", || running.0.try_wait().unwrap().is_some());
    let code = running.0.wait().unwrap().code();
    (code, screen.all())
}

#[test]
fn what_is_no_text_is_not_written_to_a_terminal_unless_asked_for() {
    let user = User::new();
    let literal = |bytes: &[u8]| {
        let base32 = data_encoding::BASE32_NOPAD.encode(bytes);
        format!("URI:LIT:{}", base32.to_lowercase())
    };
    let text = literal("Grüße\n".as_bytes());
    let binary = literal(b"\x1b]0;title\x07");
    assert_eq!(
        shown(&user, &["download", &text]),
        (Some(0), "Grüße\n".into())
    );
    assert_eq!(
        shown(&user, &["download", &binary]),
        (Some(2), String::new())
    );
    let forced = shown(&user, &["download", &binary, "-o", "-"]);
    assert_eq!(forced, (Some(0), "\x1b]0;title\x07".into()));
    // Both ways out that the hint names; into a pipe there is nothing to fear.
    let copy = user.path("copy");
    user.done(&["download", &binary, "-o", copy.to_str().unwrap()]);
    assert_eq!(fs::read(&copy).unwrap(), b"\x1b]0;title\x07");
    assert_eq!(user.run(&["download", &binary]).stdout, b"\x1b]0;title\x07");
}

// "123 MiB of 0 B, 0s left", and a line that wrapped at 80 columns.
#[test]
fn progress_fits_the_terminal_and_counts_files_and_bytes() {
    let grid = RunningGrid::start(1);
    let user = &grid.user;
    let file = user.write("file", &vec![1; 3_000_000]);
    let mut screens = Vec::new();
    for files in [&[&*file, "-"][..], &["-"]] {
        let terminal = Terminal::new();
        let (reader, writer) = pipe();
        let child = user
            .command(&["upload"])
            .args(files)
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(terminal.stdio())
            .spawn();
        let mut running = Running(child.unwrap());
        let mut screen = terminal.screen();
        let mut writer = File::from(writer);
        writer.write_all(&vec![2; 5_000_000]).unwrap();
        until("bytes are counted", || screen.shows(" MiB, "));
        if files.len() > 1 {
            until("files are counted", || {
                screen.shows("uploading, 1 of 2 files, ")
            });
        }
        drop(writer);
        until("it ends", || running.0.try_wait().unwrap().is_some());
        assert!(running.0.wait().unwrap().success());
        screens.push(screen.all());
    }
    let [several, one] = &screens[..] else {
        unreachable!("there are two");
    };
    assert!(!one.contains(" of "), "nobody knows the size: {one:?}");
    assert!(
        !several.contains("MiB of "),
        "nobody knows the sum: {several:?}"
    );
    for screen in &screens {
        assert!(!screen.contains("left"), "{screen:?}");
        for line in screen.split(['\r', '\n', '\x1b']) {
            // What follows an escape begins with the letters of its own.
            let Some(start) = line.find("uploading") else {
                continue;
            };
            assert!(line[start..].chars().count() <= 80, "{line:?}");
        }
    }
}
