//! Every bound of the pipeline protocol and of the daemon's connections, in one place.
//!
//! What a peer can make this side hold is the product of these numbers and nothing else. The first
//! part is the protocol and the same for everyone; the second is what this server keeps to, tells
//! in WELCOME where a client needs it, and an operator may change where the configuration says so.

use std::time::Duration;

use lafs::{ConnectionSecret, ShareNumber, StorageIndex, Swissnum};

// ---- The protocol: changing one of these changes what is on the wire.

/// Most share bytes in one PUT or SHARE, and in one DATA where the server has not said that it takes
/// more: four TLS records.
pub const CHUNK_LEN_MAX: usize = 65_536;

/// Most share bytes in one DATA to a server that says so in WELCOME: what a segment adds to a share
/// is a block and a node for each level of its trees, and goes into one frame.
pub const DATA_LEN_MAX: usize = CHUNK_LEN_MAX + 4096;

/// Longest frame payload: the bytes of a DATA and the fields before it.
pub const PAYLOAD_LEN_MAX: usize = DATA_LEN_MAX + 64;

/// Longest header: the type, and a length of at most four bytes.
pub const HEADER_LEN_MAX: usize = 1 + 4;

/// Largest share. One more than it is still a variable-length integer. Shares of the largest file,
/// 2^60 bytes, are smaller, unless one share is needed and segments are of 64 or 128 bytes.
pub const SHARE_SIZE_MAX: u64 = 1 << 61;

/// Most ranges in one READ.
pub const READ_RANGES_MAX: usize = 64;

/// Longest text beside a refusal, in bytes of UTF-8.
pub const TEXT_LEN_MAX: usize = 200;

/// Longest payload of each frame, from the fields in its table.
pub mod payload {
    use super::*;
    use crate::varint::LEN_MAX as VARINT;

    /// HELLO: connection secret, swissnum.
    pub const HELLO: usize = ConnectionSecret::LEN + Swissnum::LEN_MAX;
    /// PUT: storage index, share number, share.
    pub const PUT: usize = StorageIndex::LEN + 1 + CHUNK_LEN_MAX;
    /// OPEN: storage index, share number, flags, size.
    pub const OPEN: usize = StorageIndex::LEN + 1 + 1 + VARINT;
    /// DATA: request, offset, bytes.
    pub const DATA: usize = 2 * VARINT + DATA_LEN_MAX;
    /// CLOSE: request, size.
    pub const CLOSE: usize = 2 * VARINT;
    /// ABORT: request.
    pub const ABORT: usize = VARINT;
    /// READ: storage index, limit, share numbers, ranges.
    pub const READ: usize =
        StorageIndex::LEN + 2 + 2 + ShareNumber::COUNT + 2 + READ_RANGES_MAX * 2 * VARINT;
    /// LEASE: storage index.
    pub const LEASE: usize = StorageIndex::LEN;

    /// WELCOME: flags, four numbers.
    pub const WELCOME: usize = 1 + 4 * VARINT;
    /// RESULT: request, status, reason, text.
    pub const RESULT: usize = VARINT + 1 + 1 + TEXT_LEN_MAX;
    /// SHARE: request, share number, offset, bytes.
    pub const SHARE: usize = VARINT + 1 + VARINT + CHUNK_LEN_MAX;
    /// HELD: request, status, count, share numbers and sizes.
    pub const HELD: usize = VARINT + 1 + 2 + ShareNumber::COUNT * (1 + VARINT);
    /// REFUSE: reason, text.
    pub const REFUSE: usize = 1 + TEXT_LEN_MAX;

    const _: () = assert!(PUT <= PAYLOAD_LEN_MAX && DATA <= PAYLOAD_LEN_MAX);
    const _: () = assert!(SHARE <= PAYLOAD_LEN_MAX && READ <= PAYLOAD_LEN_MAX);
    const _: () = assert!(HELD <= PAYLOAD_LEN_MAX);
}

// ---- One connection, as this server bounds it; the client is told the first two.

/// Uploads between OPEN and CLOSE on one connection; a further OPEN is refused, not the connection.
pub const UPLOADS_MAX: usize = 64;

/// Requests that wait for their answer on one connection; the server reads no more until one goes.
pub const REQUESTS_MAX: usize = 1024;

/// Share bytes received and not yet with the disk; the server reads no more until some are.
pub const BYTES_IN_FLIGHT_MAX: usize = 1 << 20;

/// Bytes taken from the socket at once and not yet decrypted: about a full frame. They count as
/// share bytes in flight.
pub const RECEIVE_LEN_MAX: usize = 64 << 10;

/// Bytes queued to a peer; the server reads no more, and READs pause, until the peer takes some.
pub const OUTPUT_LEN_MAX: usize = 256 << 10;

/// Share bytes of an upload that are given to the store together, if they have come.
pub const GATHERED_LEN_MAX: usize = 512 << 10;

/// READs of one connection that are with the store at once: enough that a disk has something to sort.
pub const READS_MAX: usize = 4;

/// Share bytes of a READ that are asked of the store at once, two chunks.
pub const READ_STEP_LEN_MAX: usize = 2 * CHUNK_LEN_MAX;

/// Bytes that TLS takes at once and sends in one go: it keeps as much of what the socket does not
/// take. Of some 8 records a flight the peer reads most in one piece each.
pub const FLIGHT_LEN_MAX: usize = 128 << 10;

/// Time for a peer to hang up after us, and bytes of it that are thrown away meanwhile: more than
/// is under way on most lines. It is hung up on afterwards.
pub const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// See [`GOODBYE_TIMEOUT`].
pub const GOODBYE_LEN_MAX: usize = 4 << 20;

// ---- All connections of a daemon.

/// Share bytes in flight over all connections of one daemon; connections wait for their turn.
pub const BYTES_IN_FLIGHT_ALL_MAX: usize = 16 << 20;

/// Connections at once, unless configured: at most 20 KiB each while idle.
pub const CONNECTIONS_MAX: usize = 1024;

/// Connections beyond the configured number that are told so; more are closed without a word.
pub const TURNED_AWAY_MAX: usize = 32;

/// Connections that the kernel keeps for us until we accept them.
pub const BACKLOG: i32 = 1024;

/// Time to finish TLS and say HELLO, unless configured.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// Time without any request or answer before a connection is closed, unless configured. Longer
/// than the 240 s for which Tahoe's client keeps an idle connection.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// A peer that has begun a frame, or is owed bytes, moves [`PROGRESS_LEN_MIN`] bytes in this time
/// or is closed, unless configured.
pub const PROGRESS_TIMEOUT: Duration = Duration::from_secs(60);

/// What a peer must move in [`PROGRESS_TIMEOUT`]: about 70 bytes a second, below any modem.
pub const PROGRESS_LEN_MIN: u64 = 4096;

/// Time that a stopping daemon gives to what is in flight, unless configured.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    // What the memory budget of a busy connection is made of; a changed bound must show here.
    #[test]
    fn a_busy_connection_is_bounded_by_two_mebibytes() {
        let reads = READS_MAX * READ_STEP_LEN_MAX;
        let payloads = 2 * PAYLOAD_LEN_MAX;
        let bound = BYTES_IN_FLIGHT_MAX + RECEIVE_LEN_MAX + OUTPUT_LEN_MAX + reads + payloads;
        assert!(bound < 2 << 20, "{bound}");
    }
}
