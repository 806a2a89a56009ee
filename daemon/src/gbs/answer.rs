//! Answers as they go to the client.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::header::{ALLOW, CONNECTION, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use protocol::gbs::{ByteSpan, CBOR, OCTET_STREAM, Rejection};

use super::share_stream::{ShareStream, Torn};
use super::watch::Serving;

/// What an endpoint answers.
pub(super) enum Answer {
    /// Nothing but a status.
    Empty(StatusCode),
    /// No bytes of a share.
    Nothing,
    /// A message, in pieces that belong behind one another.
    Message(StatusCode, Vec<Bytes>),
    /// A share: all of it.
    Whole(ShareStream),
    /// A range of a share.
    Part(ByteSpan, ShareStream),
}

impl Answer {
    pub(super) fn message(status: StatusCode, body: Vec<u8>) -> Self {
        Self::Message(status, vec![body.into()])
    }
}

/// The answer in HTTP. `hang_up`: part of the request's body will not be read.
pub(super) fn response(
    answer: Result<Answer, Rejection>,
    hang_up: bool,
    serving: Serving,
) -> Response<Body> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    let typed = |content_type| (CONTENT_TYPE, HeaderValue::from_static(content_type));
    let (status, payload) = match answer {
        Ok(Answer::Empty(status)) => (status, Payload::Pieces(VecDeque::new())),
        Ok(Answer::Nothing) => {
            headers.push(typed(OCTET_STREAM));
            (StatusCode::NO_CONTENT, Payload::Pieces(VecDeque::new()))
        }
        Ok(Answer::Message(status, pieces)) => {
            headers.push(typed(CBOR));
            (status, Payload::Pieces(pieces.into()))
        }
        Ok(Answer::Whole(stream)) => {
            headers.push(typed(OCTET_STREAM));
            (StatusCode::OK, Payload::Share(Box::new(stream)))
        }
        Ok(Answer::Part(range, stream)) => {
            headers.push(typed(OCTET_STREAM));
            let range = HeaderValue::try_from(range.to_string()).expect("digits and blanks");
            headers.push((CONTENT_RANGE, range));
            (
                StatusCode::PARTIAL_CONTENT,
                Payload::Share(Box::new(stream)),
            )
        }
        Err(rejection) => {
            headers.extend(rejection.content_type().map(typed));
            let allow = rejection.allow().map(HeaderValue::from_static);
            headers.extend(allow.map(|allow| (ALLOW, allow)));
            let status = StatusCode::from_u16(rejection.status()).expect("a status of HTTP");
            let text = Bytes::from(rejection.to_string());
            (status, Payload::Pieces([text].into()))
        }
    };
    if hang_up {
        headers.push((CONNECTION, HeaderValue::from_static("close")));
    }
    let mut response = Response::new(Body {
        payload,
        _serving: serving,
    });
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    response
}

/// The body of an answer.
pub(super) struct Body {
    payload: Payload,
    /// The request is served until this is dropped.
    _serving: Serving,
}

enum Payload {
    Pieces(VecDeque<Bytes>),
    Share(Box<ShareStream>),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Torn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Torn>>> {
        let next = match &mut self.payload {
            Payload::Pieces(pieces) => Poll::Ready(pieces.pop_front().map(Ok)),
            Payload::Share(stream) => stream.poll_next(context),
        };
        next.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.payload {
            Payload::Pieces(pieces) => pieces.is_empty(),
            Payload::Share(stream) => stream.size_left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.payload {
            Payload::Pieces(pieces) => pieces
                .iter()
                .map(|piece| lafs::num::size(piece.len()))
                .sum(),
            Payload::Share(stream) => stream.size_left(),
        })
    }
}
