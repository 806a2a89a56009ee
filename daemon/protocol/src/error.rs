//! The rules that a peer can break, one variant a rule.

use crate::frame::RequestNumber;

/// The bytes are not a frame of this protocol. The connection cannot go on: where the next frame
/// begins is no longer certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No frame of this direction has this type.
    #[error("frame type {0:#04x} does not exist")]
    FrameType(u8),
    /// The length exceeds what the type can hold; believing it would hold memory for a stranger.
    #[error("a frame of type {frame_type:#04x} has {len} bytes, at most {len_max} are possible")]
    Oversized {
        /// The frame's type.
        frame_type: u8,
        /// The length that its header gives.
        len: u64,
        /// The most that its type allows.
        len_max: usize,
    },
    /// The frame ends inside one of its fields.
    #[error("a frame ends inside one of its fields")]
    Truncated,
    /// The frame goes on after its last field.
    #[error("a frame goes on after its last field")]
    TrailingBytes,
    /// A number is spelled in more bytes than it needs.
    #[error("a number is not in its shortest form")]
    LongVarint,
    /// A byte that is one of a list is none of them.
    #[error("a frame says {value} where its {field} is expected")]
    Code {
        /// What the byte stands for.
        field: &'static str,
        /// The byte.
        value: u8,
    },
    /// No share has this size, or bytes at this offset.
    #[error("a frame names share bytes beyond the largest share")]
    PastEnd,
    /// A PUT, DATA or SHARE without share bytes; it could be repeated forever without cost.
    #[error("a frame that carries share bytes carries none")]
    Empty,
    /// A count beyond its bound.
    #[error("a frame counts {count} where at most {count_max} are possible")]
    Count {
        /// What the frame says.
        count: u64,
        /// The most that it can say.
        count_max: usize,
    },
    /// Share numbers that do not ascend, so that one could be named twice.
    #[error("share numbers do not ascend")]
    ShareNumberOrder,
    /// Ranges that do not ascend or that overlap, so that a byte could be asked for twice.
    #[error("ranges are empty, overlap or do not ascend")]
    RangeOrder,
    /// A swissnum of a length that none has.
    #[error("a swissnum has 1 to 128 bytes")]
    SwissnumLen,
    /// Text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
}

/// The frame is well formed but has no place in the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaved {
    /// A client's first frame is not HELLO.
    #[error("the first frame of a client is HELLO")]
    HelloExpected,
    /// A second HELLO.
    #[error("a client says HELLO once")]
    SecondHello,
    /// A server's first frame is neither WELCOME nor REFUSE.
    #[error("the first frame of a server is WELCOME or REFUSE")]
    WelcomeExpected,
    /// A second WELCOME.
    #[error("a server says WELCOME once")]
    SecondWelcome,
    /// A frame refers to a request that was never made, or that was already answered.
    #[error("a frame refers to request {0}, which does not await it")]
    UnknownRequest(RequestNumber),
    /// An answer of a kind that the request does not have.
    #[error("request {0} was answered as if it were another kind of request")]
    WrongAnswer(RequestNumber),
    /// Share bytes that were not asked for, or not in this order.
    #[error("request {0} was answered with share bytes that it did not ask for")]
    UnaskedBytes(RequestNumber),
    /// A READ was said to be complete but bytes that the server says it holds were not sent.
    #[error("request {0} was said to be answered, but bytes are missing")]
    MissingBytes(RequestNumber),
    /// Something arrived after a REFUSE.
    #[error("a frame follows a REFUSE")]
    AfterRefuse,
}

/// Why a connection cannot go on: the peer's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The bytes are not a frame.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The frame has no place here.
    #[error(transparent)]
    Misbehaved(#[from] Misbehaved),
    /// The swissnum is not this server's.
    #[error("the swissnum is wrong")]
    WrongSwissnum,
}
