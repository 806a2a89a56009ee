//! The store's decisions: what a request needs of the disk, and when it may be answered.
//!
//! A `Store` is used by its driver as quinn's `Connection` is, with four kinds of methods:
//!
//! ```text
//! Store::open(&mut dyn Engine, Config, Now) -> Result<Store, OpenError>      blocks, replays
//!
//! in    has_room(&self) -> bool                      take another request only while true
//!       handle_request(&mut self, Now, RequestId, Request)
//!       handle_completion(&mut self, Now, Completion)
//!       handle_timeout(&mut self, Now)
//!       shut_down(&mut self, Now)                    new requests are refused from here on
//! out   poll_operation(&mut self) -> Option<(OperationId, Operation)>
//!       poll_answer(&mut self) -> Option<(RequestId, Answer)>
//!       poll_timeout(&self) -> Option<Duration>      on the clock of `Now::elapsed`
//!       is_shut_down(&self) -> bool                  nothing in flight, journal retired, may drop
//! ```
//!
//! After any method of the first kind the driver polls all of the second kind until they give
//! nothing, then flushes the engine.

mod request;

pub use request::{
    Answer, Durability, Extent, LeaseOwner, Limits, Now, Piece, ReadRequest, Request, RequestId,
    Rest, Status, Wanted,
};
