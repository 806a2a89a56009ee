//! Which engine to use: found out by trying, and told in one line.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;

use super::{
    ByteRange, DiskError, Engine, Existing, Operation, OperationId, Outcome, Pool, Ring, RingError,
    Root, StorePath,
};

/// What an operator may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The ring if it works here, else the pool.
    #[default]
    Auto,
    /// The ring, or nothing.
    Ring,
    /// The pool, even where the ring would work.
    Pool,
    /// The engine on the crate tokio-uring, for comparison.
    #[cfg(feature = "tokio-uring")]
    TokioUring,
}

/// Why an engine cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The ring was asked for by name.
    #[error("io_uring cannot be used: {0}; or choose the engine \"auto\" or \"pool\"")]
    Ring(RingRefusal),
    /// Not even a pool.
    #[error("the store's I/O cannot be set up: {0}; check the limit on open files")]
    Pool(DiskError),
}

/// Why there is no ring, by what an operator can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingRefusal {
    /// `kernel.io_uring_disabled` is 1 (for the unprivileged) or 2.
    Sysctl {
        /// Its value.
        value: u8,
    },
    /// A seccomp filter stands before it.
    Seccomp {
        /// What it answers.
        errno: Errno,
    },
    /// The kernel was built without it.
    Absent,
    /// Locked memory is limited, which kernels before 5.12 count rings against.
    Memory,
    /// It is there, but from before 5.15.
    Old {
        /// What is missing.
        opcode: &'static str,
    },
    /// It cannot be set up for some other reason.
    Setup(DiskError),
    /// It was set up, and then did not do in the store directory what it should.
    Trial(DiskError),
}

/// Sets up the engine chosen, and says which it is and why.
///
/// # Errors
///
/// [`EngineError`]; with [`EngineChoice::Auto`] only where nothing works.
pub fn start_engine(
    root: &Arc<Root>,
    choice: EngineChoice,
) -> Result<Box<dyn Engine>, EngineError> {
    match choice {
        EngineChoice::Pool => {
            tracing::info!(engine = "pool", "store I/O in a few threads, as configured");
            pool(root)
        }
        EngineChoice::Ring => {
            let ring = ring(root).map_err(EngineError::Ring)?;
            tracing::info!(engine = "ring", "store I/O through io_uring, as configured");
            Ok(ring)
        }
        EngineChoice::Auto => match ring(root) {
            Ok(ring) => {
                tracing::info!(engine = "ring", "store I/O through io_uring");
                Ok(ring)
            }
            Err(refusal) => {
                tracing::warn!(
                    engine = "pool",
                    "store I/O in a few threads, with the same promises: \
                     io_uring cannot be used: {refusal}"
                );
                pool(root)
            }
        },
        #[cfg(feature = "tokio-uring")]
        EngineChoice::TokioUring => {
            let ring = ring(root).map_err(EngineError::Ring)?;
            // It would panic where the ring only fails.
            drop(ring);
            tracing::info!(
                engine = "tokio-uring",
                "store I/O through tokio-uring, as configured"
            );
            Ok(Box::new(
                super::TokioUring::new(Arc::clone(root)).map_err(EngineError::Pool)?,
            ))
        }
    }
}

fn pool(root: &Arc<Root>) -> Result<Box<dyn Engine>, EngineError> {
    let pool = Pool::new(Arc::clone(root)).map_err(EngineError::Pool)?;
    Ok(Box::new(pool))
}

fn ring(root: &Arc<Root>) -> Result<Box<dyn Engine>, RingRefusal> {
    let mut ring = Ring::new(Arc::clone(root)).map_err(|error| match error {
        RingError::TooOld { opcode } => RingRefusal::Old { opcode },
        RingError::Refused(error) => diagnose(error, &Surroundings::look()),
    })?;
    match try_out(&mut ring) {
        // Pool or ring, the disk would say the same; the store will report it in its own words.
        Err(error) if !is_of_the_disk(error.errno) => Err(RingRefusal::Trial(error)),
        _ => Ok(Box::new(ring)),
    }
}

/// Makes, reads and removes a file in the store directory.
fn try_out(engine: &mut dyn Engine) -> Result<(), DiskError> {
    let path = StorePath::new(TRIAL);
    let wanted = Bytes::from_static(b"An engine was tried out here; this file may be removed.\n");
    perform(
        engine,
        Operation::CreateFile {
            path: path.clone(),
            bytes: wanted.clone(),
            existing: Existing::Overwrite,
            unless: None,
        },
    )?;
    let len = wanted.len();
    let ranges = vec![ByteRange { offset: 0, len }];
    let read = perform(
        engine,
        Operation::Read {
            path: path.clone(),
            ranges,
        },
    );
    perform(engine, Operation::Remove { path, prune: 0 })?;
    match read? {
        Outcome::Read { pieces, .. } if pieces[0] == wanted => Ok(()),
        _ => Err(DiskError {
            call: "pread",
            errno: Errno::ILSEQ,
        }),
    }
}

fn perform(engine: &mut dyn Engine, operation: Operation) -> Result<Outcome, DiskError> {
    engine.submit(OperationId(0), operation);
    let mut completions = Vec::new();
    while engine.in_flight() > 0 {
        engine.wait();
        engine.reap(&mut completions);
    }
    let completion = completions.pop().expect("one operation was in flight");
    completion.result
}

fn is_of_the_disk(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::ACCESS | Errno::IO | Errno::NFILE
    )
}

/// What tells one refusal from another.
#[derive(Clone, Copy, Debug, Default)]
struct Surroundings {
    /// The sysctl `kernel.io_uring_disabled`.
    disabled: Option<u8>,
    /// Whether this process has a seccomp filter.
    filtered: bool,
}

impl Surroundings {
    fn look() -> Self {
        let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        Self {
            disabled: disabled.and_then(|value| value.trim().parse().ok()),
            filtered: status.lines().any(|line| {
                let value = line.strip_prefix("Seccomp:");
                value.is_some_and(|value| value.trim() == "2")
            }),
        }
    }
}

fn diagnose(error: DiskError, around: &Surroundings) -> RingRefusal {
    let errno = error.errno;
    match (errno, around.disabled) {
        (Errno::PERM, Some(value @ 1..)) => RingRefusal::Sysctl { value },
        (Errno::PERM | Errno::ACCESS | Errno::NOSYS, _) if around.filtered => {
            RingRefusal::Seccomp { errno }
        }
        (Errno::NOSYS, _) => RingRefusal::Absent,
        (Errno::NOMEM, _) => RingRefusal::Memory,
        _ => RingRefusal::Setup(error),
    }
}

impl fmt::Display for RingRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl { value } => write!(
                f,
                "the sysctl kernel.io_uring_disabled is {value}; \
                 to allow it: sysctl -w kernel.io_uring_disabled=0"
            ),
            Self::Seccomp { errno } => write!(
                f,
                "a seccomp filter answers {errno}, as containers do; to allow it: \
                 a profile with io_uring_setup, io_uring_enter and io_uring_register \
                 (docker run --security-opt seccomp=PROFILE.json, \
                 in a systemd unit SystemCallFilter=@system-service)"
            ),
            Self::Absent => write!(f, "the kernel was built without CONFIG_IO_URING"),
            Self::Memory => write!(
                f,
                "too little memory may be locked; to allow more: ulimit -l unlimited, \
                 in a systemd unit LimitMEMLOCK=infinity"
            ),
            Self::Old { opcode } => {
                write!(f, "it has no {opcode} here, which came with Linux 5.15")
            }
            Self::Setup(error) => write!(f, "{error}"),
            Self::Trial(error) => write!(f, "it fails in the store directory: {error}"),
        }
    }
}

impl FromStr for EngineChoice {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<Self, UnknownEngine> {
        match name {
            "auto" => Ok(Self::Auto),
            "ring" => Ok(Self::Ring),
            "pool" => Ok(Self::Pool),
            #[cfg(feature = "tokio-uring")]
            "tokio-uring" => Ok(Self::TokioUring),
            _ => Err(UnknownEngine),
        }
    }
}

/// A name that no engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engines are \"auto\", \"ring\" and \"pool\"")]
pub struct UnknownEngine;

/// Where engines are tried out.
const TRIAL: &str = "engine-trial";

#[cfg(test)]
mod tests {
    use super::*;

    const SETUP: &str = "io_uring_setup";

    fn refusal(errno: Errno, disabled: Option<u8>, filtered: bool) -> RingRefusal {
        let error = DiskError { call: SETUP, errno };
        diagnose(error, &Surroundings { disabled, filtered })
    }

    // The operator's next step differs: one is the machine's, the other the container's.
    #[test]
    fn sysctl_and_seccomp_are_told_apart() {
        let errno = Errno::PERM;
        assert_eq!(
            refusal(errno, Some(2), true),
            RingRefusal::Sysctl { value: 2 }
        );
        assert_eq!(
            refusal(errno, Some(0), true),
            RingRefusal::Seccomp { errno }
        );
        assert_eq!(
            refusal(Errno::NOSYS, None, true),
            RingRefusal::Seccomp {
                errno: Errno::NOSYS
            }
        );
        assert_eq!(refusal(Errno::NOSYS, None, false), RingRefusal::Absent);
        let error = DiskError { call: SETUP, errno };
        assert_eq!(refusal(errno, Some(0), false), RingRefusal::Setup(error));
    }

    #[test]
    fn every_refusal_says_what_to_try_where_something_can_be_tried() {
        let seccomp = RingRefusal::Seccomp { errno: Errno::PERM };
        for (refusal, remedy) in [
            (RingRefusal::Sysctl { value: 1 }, "sysctl -w"),
            (seccomp, "--security-opt"),
            (RingRefusal::Memory, "ulimit -l"),
        ] {
            assert!(refusal.to_string().contains(remedy), "{refusal}");
        }
    }
}
