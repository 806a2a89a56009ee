//! One request: the order in which it is looked at, and who answers it.
//!
//! Path and method, then the swissnum, then the secrets, then whatever the endpoint looks at
//! (reference: storage server, section 1.2). A body is not read before all of that.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response};
use lafs::UploadSecret;
use protocol::gbs::{Authorized, Call, Endpoint, Headers, Rejection};
use tracing::trace;

use super::answer::{self, Answer, Body};
use super::intake::Intake;
use super::watch::Watch;
use super::{advisory, immutable, lease, mutable, read, version};
use crate::peer::Peer;
use crate::shared::Shared;

/// Answers the requests of one connection.
pub(super) struct Service {
    shared: Arc<Shared>,
    peer: Peer,
    watch: Arc<Watch>,
    /// There are too many connections.
    turned_away: bool,
}

impl Service {
    pub(super) fn new(
        shared: Arc<Shared>,
        peer: Peer,
        watch: Arc<Watch>,
        turned_away: bool,
    ) -> Self {
        Self {
            shared,
            peer,
            watch,
            turned_away,
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    /// Boxed: an idle connection has none.
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let serving = self.watch.begin();
        let (shared, watch) = (Arc::clone(&self.shared), Arc::clone(&self.watch));
        let (peer, turned_away) = (self.peer, self.turned_away);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let mut intake = Intake::new(body, &shared, &watch);
            let answer = match turned_away {
                true => Err(Rejection::Busy),
                false => answer(&shared, &watch, &head, &mut intake).await,
            };
            if let Err(rejection) = &answer {
                observe(&shared, peer, rejection);
            }
            // The body of a stranger is not read, nor one that was refused for its size.
            let over = match &answer {
                Err(Rejection::BodyTooLong { .. }) => intake.is_over(),
                _ if !watch.is_admitted() => intake.is_over(),
                _ => intake.drain().await,
            };
            let hang_up = turned_away || !over;
            let response = answer::response(answer, hang_up, serving);
            let (path, status) = (head.uri.path(), response.status());
            trace!(method = %head.method, path, status = status.as_u16(), "answered");
            Ok(response)
        })
    }
}

/// Takes note of what a client did wrong, for the log.
fn observe(shared: &Shared, peer: Peer, rejection: &Rejection) {
    match rejection {
        Rejection::WrongAuthorization | Rejection::BadAuthorization => {
            shared.notices().wrong_swissnum(peer);
        }
        Rejection::Malformed(error) => shared.notices().malformed(peer, error),
        _ => {}
    }
}

async fn answer(
    shared: &Arc<Shared>,
    watch: &Watch,
    head: &Parts,
    intake: &mut Intake<'_>,
) -> Result<Answer, Rejection> {
    let headers = Heads(&head.headers);
    let endpoint = Endpoint::route(head.method.as_str(), head.uri.path())?;
    let authorized = Authorized::check(shared.swissnum(), headers.values("authorization"))?;
    watch.admit();
    let call = Call::of_endpoint(endpoint, &headers, authorized)?;
    if let Some(size) = intake.size() {
        call.check_content_length(size)?;
    }
    match call {
        Call::Version => Ok(version::version(shared)),
        Call::AddOrRenewLease {
            storage_index,
            lease,
        } => lease::add_or_renew_lease(shared, storage_index, lease).await,
        Call::AllocateBuckets {
            storage_index,
            lease,
            upload,
        } => {
            let secret = UploadSecret::of_bytes(upload.as_bytes());
            immutable::allocate_buckets(shared, storage_index, lease, secret, intake).await
        }
        Call::WriteShareData {
            storage_index,
            share_number,
            upload,
            range,
        } => {
            let secret = UploadSecret::of_bytes(upload.as_bytes());
            let share = (storage_index, share_number);
            immutable::write_share_data(shared, share, secret, range, intake).await
        }
        Call::AbortShareUpload {
            storage_index,
            share_number,
            upload,
        } => {
            let secret = UploadSecret::of_bytes(upload.as_bytes());
            immutable::abort_share_upload(shared, storage_index, share_number, secret).await
        }
        Call::ListShares {
            kind,
            storage_index,
        } => read::list_shares(shared, kind, storage_index).await,
        Call::ReadShareChunk {
            kind,
            storage_index,
            share_number,
            range,
        } => read::read_share_chunk(shared, kind, storage_index, share_number, range).await,
        Call::AdviseCorruptShare {
            kind,
            storage_index,
            share_number,
            content_type,
        } => {
            let share = (storage_index, share_number);
            advisory::advise_corrupt_share(shared, kind, share, content_type, intake).await
        }
        Call::ReadTestWrite {
            storage_index,
            lease,
            write_enabler,
        } => mutable::read_test_write(shared, storage_index, lease, write_enabler, intake).await,
    }
}

/// Headers as hyper keeps them.
struct Heads<'a>(&'a HeaderMap);

impl Headers for Heads<'_> {
    fn values(&self, name: &'static str) -> impl Iterator<Item = &[u8]> {
        let values = self.0.get_all(name).iter();
        values.map(|value| value.as_bytes())
    }
}
