//! System calls denied, as containers do it: with a seccomp filter that cannot be taken off again.

use std::ops::RangeInclusive;

use rustix::io::Errno;

/// Makes system calls fail in this thread, and in those that it starts.
#[expect(unsafe_code, reason = "seccomp has no safe interface")]
pub(crate) fn deny(calls: RangeInclusive<u32>, errno: Errno) {
    let (first, last) = calls.into_inner();
    let statement = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    };
    let answer = libc::SECCOMP_RET_ERRNO | u32::try_from(errno.raw_os_error()).unwrap();
    let mut program = [
        // The call's number is the first word of what the filter sees.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, first, 0, 2),
        statement(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, last, 1, 0),
        statement(libc::BPF_RET | libc::BPF_K, answer, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap(),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: sets a flag of this thread.
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(done, 0, "no_new_privs");
    // SAFETY: the kernel copies the program, which lives until this returns.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}
