//! The unix socket in the store directory: who makes it, and how others find it.
//!
//! Only the daemon that holds the store's lock makes it. A socket that is there already is what a
//! killed daemon has left, and is replaced.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use protocol::control::SOCKET;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// The socket of a daemon, and its name; dropped, the name goes.
#[derive(Debug)]
pub(crate) struct Listening {
    directory: OwnedFd,
    listener: Option<UnixListener>,
}

impl Listening {
    /// Makes the socket in a store directory. The caller has the store open.
    ///
    /// # Errors
    ///
    /// What the system says; `EEXIST` if something that is no socket has the name.
    pub(crate) fn at(store: &Path) -> io::Result<Self> {
        let directory = open(store)?;
        match rustix::fs::statat(&directory, SOCKET, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Socket => {
                rustix::fs::unlinkat(&directory, SOCKET, AtFlags::empty())?;
            }
            Ok(_) => return Err(Errno::EXIST.into()),
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // Linux gives the name the mode that the socket has when it is bound: at no moment may
        // others connect.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        rustix::net::bind(&socket, &address(&directory, store)?)?;
        let mut listening = Self {
            directory,
            listener: None,
        };
        rustix::net::listen(&socket, BACKLOG)?;
        listening.listener = Some(UnixListener::from(socket));
        Ok(listening)
    }

    /// The socket itself, once.
    pub(crate) fn take(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // What stays is replaced by the next daemon.
        let _ = rustix::fs::unlinkat(&self.directory, SOCKET, AtFlags::empty());
    }
}

/// Connects to the daemon that serves a store; `None` if none does.
///
/// # Errors
///
/// What the system says, such as that the socket is another user's.
pub(super) fn connect(store: &Path) -> io::Result<Option<UnixStream>> {
    let directory = match open(store) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        directory => directory?,
    };
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &address(&directory, store)?) {
        Ok(()) => Ok(Some(UnixStream::from(socket))),
        // Never made, or left by a daemon that was killed.
        Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn open(store: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(store, flags, Mode::empty())?)
}

/// The socket's address. The kernel takes 107 bytes of a path; where it is longer, the directory's
/// descriptor stands for the directory.
fn address(directory: &OwnedFd, store: &Path) -> io::Result<SocketAddrUnix> {
    let path = store.join(SOCKET);
    let address = SocketAddrUnix::new(&path).or_else(|_| {
        let short = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
        SocketAddrUnix::new(&short)
    });
    Ok(address?)
}

/// Connections that wait to be accepted, which is at once.
const BACKLOG: i32 = 16;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn is_answered(store: &Path, listener: &UnixListener) -> bool {
        let connected = connect(store).unwrap().is_some();
        connected && listener.accept().is_ok()
    }

    // Whoever may connect may remove shares.
    #[test]
    fn the_socket_is_the_owners_alone_and_goes_with_the_daemon() {
        let temporary = tempfile::tempdir().unwrap();
        let store = temporary.path();
        assert!(connect(store).unwrap().is_none());
        let mut listening = Listening::at(store).unwrap();
        let listener = listening.take().unwrap();
        let mode = fs::symlink_metadata(store.join(SOCKET))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o7777, 0o600);
        assert!(is_answered(store, &listener));
        drop((listening, listener));
        assert!(!store.join(SOCKET).exists());
        assert!(connect(store).unwrap().is_none());
    }

    #[test]
    fn what_a_killed_daemon_left_is_replaced() {
        let temporary = tempfile::tempdir().unwrap();
        let store = temporary.path();
        let mut left = Listening::at(store).unwrap();
        drop(left.take());
        assert!(connect(store).unwrap().is_none(), "nobody is there");
        let mut listening = Listening::at(store).unwrap();
        let listener = listening.take().unwrap();
        assert!(is_answered(store, &listener));
        std::mem::forget(left);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let store = temporary.path();
        for name in ["file", "link"] {
            let path = store.join(SOCKET);
            match name {
                "file" => fs::write(&path, "kept").unwrap(),
                _ => std::os::unix::fs::symlink("/nonexistent", &path).unwrap(),
            }
            let error = Listening::at(store).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}");
            assert!(fs::symlink_metadata(&path).is_ok(), "{name}");
            fs::remove_file(&path).unwrap();
        }
    }

    // A path of a store may be longer than an address of a socket.
    #[test]
    fn a_long_path_is_no_obstacle() {
        let temporary = tempfile::tempdir().unwrap();
        let store = temporary.path().join("x".repeat(100)).join("y".repeat(100));
        fs::create_dir_all(&store).unwrap();
        let mut listening = Listening::at(&store).unwrap();
        let listener = listening.take().unwrap();
        assert!(store.join(SOCKET).exists());
        assert!(is_answered(&store, &listener));
    }
}
