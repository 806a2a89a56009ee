//! Every bound of GBS, in one place.
//!
//! The first part is Tahoe's and the same for everyone (reference: storage server, section 1; its
//! schemas in `storage/http_server.py`). The second is where this server puts a bound that Tahoe
//! lacks: each is far beyond what Tahoe's client sends.

use lafs::ShareNumber;

// ---- Tahoe's.

/// Most members of a set of share numbers, counted with repetitions, and most shares in one
/// read-test-write.
pub const SHARES_MAX: usize = ShareNumber::COUNT;

/// Most tests of one share in a read-test-write.
pub const TESTS_MAX: usize = 30;

/// Most reads in a read-test-write.
pub const READS_MAX: usize = 30;

/// Longest body of an allocate.
pub const ALLOCATE_LEN_MAX: usize = 8192;

/// Longest body of a corruption advisory.
pub const ADVISORY_LEN_MAX: usize = 32_768;

/// Longest reason of a corruption advisory, in bytes of UTF-8.
pub const REASON_LEN_MAX: usize = 32_765;

/// Largest mutable share: what the version answer says, and where a write must end.
pub const MUTABLE_SHARE_SIZE_MAX: u64 = 69_105_000_000_000_000;

/// Largest CBOR answer that Tahoe's client reads.
pub const ANSWER_LEN_MAX: usize = 30 << 20;

// ---- Ours.

/// Longest path that is looked at, percent-encoded. The longest without needless escapes or zeros
/// has 62 bytes.
pub const PATH_LEN_MAX: usize = 1024;

/// Longest value of an `X-Tahoe-Authorization` header; Tahoe's HTTP library takes no longer line.
pub const SECRET_VALUE_LEN_MAX: usize = 16_384;

/// Longest body of a read-test-write: 4 GiB, more than Tahoe's client can send, which has the whole
/// of it in memory. Tahoe says 2^48.
pub const READ_TEST_WRITE_SIZE_MAX: u64 = 4 << 30;

/// Most bytes of all specimens of one read-test-write together; they are kept in memory, and no
/// more than the store compares. Tahoe's client sends checkstrings: at most 57 bytes a share.
pub const SPECIMENS_LEN_MAX: usize = 64 << 10;

/// Most writes in one read-test-write, all shares together. Tahoe's client sends one for each
/// segment of 128 KiB and a few more: enough for a file of 2 GiB.
pub const WRITES_MAX: usize = 16_384;

/// Longest body of a request that needs none. It is not looked at; a longer one is refused.
pub const IGNORED_LEN_MAX: usize = 8192;
