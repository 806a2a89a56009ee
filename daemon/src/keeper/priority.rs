//! A thread that stands back for every other: of the processor and of the disk.

use std::io;

use tracing::debug;

/// Makes this thread one that works while nobody else wants to.
///
/// Threads that it starts are such threads too. Where the system does not allow it, the walk's budget
/// is what holds it back.
pub(crate) fn lower() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        debug!(%error, "cannot lower the priority of the keeper's thread");
    }
    if let Err(error) = lower_of_disk() {
        debug!(%error, "cannot lower the keeper's priority of the disk");
    }
}

/// Asks for the disk's idle class, which schedulers that know of classes serve last.
fn lower_of_disk() -> io::Result<()> {
    // SAFETY: the call takes three numbers, no pointers, and changes an attribute of this thread.
    #[expect(unsafe_code, reason = "neither `rustix` nor `nix` has this call")]
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_THREAD, THIS_THREAD, IDLE) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The nicest there is.
const NICE: i32 = 19;

/// `IOPRIO_WHO_PROCESS`, which means a thread (ioprio_set(2)).
const WHO_THREAD: libc::c_int = 1;

/// The thread that calls.
const THIS_THREAD: libc::c_int = 0;

/// `IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)`: the class stands above 13 bits of its own data.
const IDLE: libc::c_int = 3 << 13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stands_back_and_the_others_do_not() {
        let before = rustix::process::getpriority_process(None).unwrap();
        let there = std::thread::spawn(|| {
            lower();
            let inherited = std::thread::spawn(|| rustix::process::getpriority_process(None));
            let own = rustix::process::getpriority_process(None).unwrap();
            (
                own,
                inherited.join().unwrap().unwrap(),
                lower_of_disk().is_ok(),
            )
        });
        assert_eq!(there.join().unwrap(), (NICE, NICE, true));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before);
    }
}
