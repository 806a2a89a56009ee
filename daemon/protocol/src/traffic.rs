//! What passed over one connection, counted: round trips and bytes are promises, so they are
//! measured where they arise.

/// Frames and bytes, before TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames queued to the peer.
    pub frames_sent: u64,
    /// Bytes of those frames, headers included.
    pub bytes_sent: u64,
    /// Whole frames received.
    pub frames_received: u64,
    /// Bytes received, headers and parts of frames included.
    pub bytes_received: u64,
}
