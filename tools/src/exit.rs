//! Exit codes, all in one place.
//!
//! Scripts branch on them: an answer of no is not a failure, and a failure is not a bug.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is done.
    Done,
    /// The command worked and its answer is no: two files differ, a check found damage.
    No,
    /// The command line makes no sense.
    Usage,
    /// It could not be done: configuration, servers, disk, network.
    CouldNot,
    /// A check of a store has ended, with the code of fsck(8).
    Fsck(u8),
    /// This program is wrong.
    Bug,
    /// Nobody reads what is written any more.
    BrokenPipe,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::CouldNot => 3,
            Self::Fsck(code) => code,
            // EX_SOFTWARE of sysexits.h.
            Self::Bug => 70,
            // What a shell says of a program that ended by SIGPIPE: 128 and the signal's number.
            Self::BrokenPipe => 128 + 13,
        }
    }

    /// The end of a run in which several things were asked for: the worst of them counts.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if other.code() > self.code() {
            other
        } else {
            self
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
