//! `GET /version`: what the server is, and how much space it has.
//!
//! Every client asks once a second and takes a server that does not answer for gone. So this never
//! waits for the store: the space is what it was when the last client asked.

use std::sync::Arc;

use hyper::StatusCode;
use protocol::gbs::VersionAnswer;

use super::answer::Answer;
use crate::shared::Shared;

pub(super) fn version(shared: &Arc<Shared>) -> Answer {
    let space = shared.space();
    // Clients take a server without room for the share for one that only reads.
    let available_space = match space.read_only {
        true => 0,
        false => space.free,
    };
    let answer = VersionAnswer::new(available_space, APPLICATION_VERSION);
    Answer::message(StatusCode::OK, answer.encode())
}

/// Clients show it to people, and look for nothing in it.
const APPLICATION_VERSION: &str = concat!("tahoed/", env!("CARGO_PKG_VERSION"));
