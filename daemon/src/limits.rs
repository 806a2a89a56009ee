//! The bounds of the two protocols held against those of the store: what a protocol lets through
//! must not be refused behind it.
//!
//! The bounds themselves are in [`protocol::limits`], [`protocol::gbs::limits`] and
//! [`bucketfs::limits`]. Those that an operator may change are in [`crate::config`].

use bucketfs::container::mutable::SHARE_SIZE_MAX as SLOT_SHARE_SIZE_MAX;
use bucketfs::limits as store;
use protocol::gbs::limits as gbs;
use protocol::limits as pipeline;

// A frame is one request to the store: a small share, or the next bytes of a large one. Of a READ, a
// step is.
const _: () = assert!(pipeline::CHUNK_LEN_MAX as u64 <= store::SMALL_SHARE_SIZE);
const _: () = assert!(pipeline::DATA_LEN_MAX <= store::WRITE_LEN);
const _: () = assert!(pipeline::READ_STEP_LEN_MAX <= store::READ_LEN);
const _: () = assert!(pipeline::READ_RANGES_MAX <= store::EXTENTS);
const _: () = assert!(pipeline::SHARE_SIZE_MAX <= store::SHARE_SIZE);

// One connection cannot use up what the store has for all.
const _: () = assert!(pipeline::UPLOADS_MAX < store::UPLOADS);
const _: () = assert!(pipeline::REQUESTS_MAX <= store::REQUESTS);
const _: () = assert!(pipeline::BYTES_IN_FLIGHT_MAX < store::REQUEST_BYTES);

// A read-test-write is one request to the store; what it writes beyond SLOT_LEN goes to a spool.
const _: () = assert!(gbs::TESTS_MAX <= store::EXTENTS && gbs::READS_MAX <= store::EXTENTS);
const _: () = assert!(gbs::SPECIMENS_LEN_MAX <= store::SLOT_LEN);
const _: () = assert!(gbs::WRITES_MAX <= store::SLOT_WRITES);
const _: () = assert!(gbs::MUTABLE_SHARE_SIZE_MAX <= SLOT_SHARE_SIZE_MAX);
const _: () = assert!(gbs::REASON_LEN_MAX <= store::REASON_LEN);
