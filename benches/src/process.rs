//! What a program costs: time, processor time and memory, read from `/proc`.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What a program that has ended cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From start to end.
    pub time: Duration,
    /// Processor time, user and system, of the program and the children it waited for.
    pub cpu: Duration,
    /// Most memory it had at a time, in bytes.
    pub peak: u64,
}

/// What a running process has now.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident, in bytes.
    pub resident: u64,
    /// Of it, what is its own and not a part of a file: the rest is shared and can be read again.
    pub own: u64,
    /// Resident at most since it started or [`reset_peak`].
    pub peak: u64,
}

/// Runs a program to its end and says what it cost.
///
/// `start` starts it, so that it may do so in another network namespace.
///
/// # Errors
///
/// When it does not start, fails, or has not ended after `limit` (then it is killed).
pub fn run(
    command: &mut Command,
    limit: Duration,
    start: impl FnOnce(&mut Command) -> io::Result<Child>,
) -> io::Result<Cost> {
    let name = command.get_program().to_string_lossy().into_owned();
    let began = Instant::now();
    let mut child = start(command).map_err(|error| named(&name, &error))?;
    let process = handle(&child)?;
    let mut peak = 0;
    while !has_ended(&process, SAMPLE)? {
        peak = memory(child.id()).map_or(peak, |memory| memory.peak);
        if began.elapsed() > limit {
            pidfd_send_signal(&process, Signal::KILL)?;
            child.wait()?;
            return Err(named(
                &name,
                &format!("not done after {} s", limit.as_secs()),
            ));
        }
    }
    let time = began.elapsed();
    // It has ended but is not waited for yet: the kernel still knows its times.
    let cpu = cpu(child.id())?;
    let status = child.wait()?;
    if !status.success() {
        return Err(named(&name, &status));
    }
    Ok(Cost { time, cpu, peak })
}

/// Says what work costs the processes that do it, besides this one: their processor time together, and
/// the most memory that one of them had.
///
/// # Errors
///
/// The work's, or when a process is gone.
pub fn observe<T>(pids: &[u32], work: impl FnOnce() -> io::Result<T>) -> io::Result<(T, Cost)> {
    let cpu_of_all = || {
        pids.iter()
            .map(|&pid| cpu(pid))
            .sum::<io::Result<Duration>>()
    };
    pids.iter().try_for_each(|&pid| reset_peak(pid))?;
    let cpu_before = cpu_of_all()?;
    let began = Instant::now();
    let done = work()?;
    let time = began.elapsed();
    let cpu = cpu_of_all()? - cpu_before;
    let peaks = pids
        .iter()
        .map(|&pid| Ok(memory(pid)?.peak))
        .collect::<io::Result<Vec<_>>>()?;
    Ok((
        done,
        Cost {
            time,
            cpu,
            peak: peaks.into_iter().max().unwrap_or(0),
        },
    ))
}

/// Asks a process to end, and does not ask again after ten seconds.
///
/// # Errors
///
/// When the kernel does not let us.
pub fn stop(child: &mut Child) -> io::Result<()> {
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    let process = handle(child)?;
    // Fails only if it has just ended.
    let _ = pidfd_send_signal(&process, Signal::TERM);
    if !has_ended(&process, Duration::from_secs(10))? {
        child.kill()?;
    }
    child.wait().map(drop)
}

/// The memory of a process.
///
/// # Errors
///
/// When there is no such process or it has ended.
pub fn memory(pid: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let size = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().ok()?;
        Some(kib * 1024)
    };
    match (size("VmRSS:"), size("RssAnon:"), size("VmHWM:")) {
        (Some(resident), Some(own), Some(peak)) => Ok(Memory {
            resident,
            own,
            peak,
        }),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    }
}

/// Lets the peak of a process start anew from what it has now.
///
/// # Errors
///
/// When there is no such process.
pub fn reset_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// Processor time of processes together, to the microsecond, as far as it was spent by threads that they have now.
///
/// # Errors
///
/// When one of them is gone.
pub fn cpu_exactly(pids: &[u32]) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end meanwhile.
            let statistics = fs::read_to_string(task?.path().join("schedstat"));
            let statistics = statistics.unwrap_or_default();
            let first = statistics.split_whitespace().next();
            let nanoseconds = first.and_then(|number| number.parse().ok());
            sum += Duration::from_nanos(nanoseconds.unwrap_or_default());
        }
    }
    Ok(sum)
}

/// Processor time of this process and of the children that it has waited for, to the microsecond.
///
/// # Errors
///
/// The system's.
pub fn own_cpu() -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        for time in [usage.user_time(), usage.system_time()] {
            let microseconds = u64::try_from(time.num_microseconds()).unwrap_or_default();
            sum += Duration::from_micros(microseconds);
        }
    }
    Ok(sum)
}

/// Processor time of a process and the children it has waited for.
///
/// # Errors
///
/// When there is no such process.
pub fn cpu(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses and may hold anything; utime is the 14th.
    let fields = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_secs(1) * u32::try_from(ticks).unwrap_or(u32::MAX) / TICKS_PER_SECOND)
}

fn handle(child: &Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    Ok(pidfd_open(
        pid.expect("a child has a process id"),
        PidfdFlags::empty(),
    )?)
}

/// Waits for the end of a process at most this long.
fn has_ended(process: &OwnedFd, timeout: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(timeout).expect("a short time");
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&timeout))? > 0)
}

fn named(name: &str, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{name}: {error}"))
}

/// How often memory is looked at. The kernel keeps the peak, so only growth in the last moment is missed.
const SAMPLE: Duration = Duration::from_millis(5);

/// `USER_HZ`, the same on every architecture that this runs on.
const TICKS_PER_SECOND: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn a_program_that_uses_memory_and_time_is_seen_to() {
        let mut command = Command::new("sh");
        command.args(["-c", "x=$(head -c 20000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]);
        let cost = run(&mut command, LIMIT, Command::spawn).expect("the shell runs");
        assert!(cost.peak > 20_000_000, "{cost:?}");
        assert!(
            cost.cpu > Duration::from_millis(20) && cost.time > Duration::ZERO,
            "{cost:?}"
        );
    }

    #[test]
    fn a_program_that_fails_hangs_or_does_not_exist_is_an_error() {
        let start = |command: &mut Command| command.spawn();
        assert!(run(&mut Command::new("false"), LIMIT, start).is_err());
        assert!(run(&mut Command::new("/nonexistent"), LIMIT, start).is_err());
        let mut hanging = Command::new("sleep");
        hanging.arg("1000");
        let error = run(&mut hanging, Duration::ZERO, start).expect_err("it takes longer");
        assert!(error.to_string().starts_with("sleep: not done"), "{error}");
    }

    #[test]
    fn what_a_process_did_before_is_not_counted() {
        let own = [std::process::id()];
        let spin = || {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(100) {}
            Ok(())
        };
        spin().expect("it does not fail");
        let ((), busy) = observe(&own, spin).expect("we run");
        let ((), idle) = observe(&own, || Ok(())).expect("we run");
        assert!(idle.time < busy.time && busy.peak > 0, "{idle:?} {busy:?}");
        assert!(observe(&[u32::MAX], || Ok(())).is_err());
    }

    #[test]
    fn processor_time_is_known_exactly() {
        let own = [std::process::id()];
        let before = (
            own_cpu().expect("we run"),
            cpu_exactly(&own).expect("we run"),
        );
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(50) {}
        assert!(own_cpu().expect("we run") > before.0);
        assert!(cpu_exactly(&own).expect("we run") > before.1);
        assert!(cpu_exactly(&[u32::MAX]).is_err());
    }

    #[test]
    fn a_process_can_be_stopped_twice() {
        let mut child = Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("sleep runs");
        stop(&mut child).expect("it stops");
        assert!(!child.wait().expect("it has ended").success());
        stop(&mut child).expect("it has stopped");
    }

    #[test]
    fn memory_of_this_process_is_known() {
        let memory = memory(std::process::id()).expect("we run");
        assert!(memory.resident > 100_000 && memory.peak >= memory.resident);
    }
}
