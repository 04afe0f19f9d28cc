//! What the parts around one connection tell each other: [`Line`], and an [`Exchange`] on it.
//!
//! The service side begins an exchange when hyper hands it a request, and the exchange is over when
//! hyper has taken the last of the response's body. The stream side ([`super::guard`]) says whether
//! bytes arrive or are stuck. The driver of the connection reads both to know which clock runs.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use hyper::body::{Body, Frame, SizeHint};

use super::tunnel::Tunnel;
use crate::gateway;

/// The state of one connection.
///
/// HTTP/1 changes it in one task alone. The streams of HTTP/2 are tasks of their own; there, only
/// the counts matter, and nothing but a timeout depends on them. So no ordering is needed.
#[derive(Debug, Default)]
pub(super) struct Line {
    begun: AtomicUsize,
    under_way: AtomicUsize,
    /// How many pieces of answers have been written, over HTTP/2.
    taken: AtomicUsize,
    receiving: AtomicBool,
    stuck: AtomicBool,
    /// How often output got going again after it was stuck.
    resumed: AtomicUsize,
    /// The status of hyper's own answer, 0 if there was none.
    refused: AtomicU16,
    /// Whether the connection is about to become a tunnel.
    is_switching: AtomicBool,
    tunnel: Mutex<Option<Tunnel>>,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// For a request: not a byte of the next one has come.
    Idle,
    /// For the rest of a request's head.
    Receiving,
    /// For the service.
    Serving,
    /// For the client to take what was written.
    Stuck,
}

/// A point in a connection's life; two that are equal say that nothing happened in between.
pub(super) type Mark = (Stage, usize, usize);

/// How many exchanges have begun and are under way, and how many pieces of answers were written.
pub(super) type Tally = (usize, usize, usize);

impl Line {
    /// How many exchanges have begun.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// How many exchanges are not over.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// A piece of an answer has been written, or dropped with its stream.
    pub(super) fn taken(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// What has been going on over HTTP/2; two that are equal say that nothing happened in between.
    pub(super) fn tally(&self) -> Tally {
        let taken = self.taken.load(Ordering::Relaxed);
        (self.begun(), self.under_way(), taken)
    }

    /// What the connection waits for, and how far it has come.
    pub(super) fn mark(&self) -> Mark {
        let stage = if self.stuck.load(Ordering::Relaxed) {
            Stage::Stuck
        } else if self.under_way() > 0 {
            Stage::Serving
        } else if self.receiving.load(Ordering::Relaxed) {
            Stage::Receiving
        } else {
            Stage::Idle
        };
        (stage, self.begun(), self.resumed.load(Ordering::Relaxed))
    }

    /// Bytes of a request's head have come.
    pub(super) fn received(&self) {
        self.receiving.store(true, Ordering::Relaxed);
    }

    /// Output is stuck, or goes on.
    pub(super) fn set_stuck(&self, stuck: bool) {
        let was_stuck = self.stuck.load(Ordering::Relaxed);
        if was_stuck != stuck {
            self.stuck.store(stuck, Ordering::Relaxed);
            self.resumed
                .fetch_add(usize::from(was_stuck), Ordering::Relaxed);
        }
    }

    /// hyper has refused what the client sent.
    pub(super) fn refuse(&self, status: StatusCode) {
        self.refused.store(status.as_u16(), Ordering::Relaxed);
    }

    /// With which status hyper has refused what the client sent.
    pub(super) fn refused(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.refused.load(Ordering::Relaxed)).ok()
    }

    /// The next answer makes the connection a tunnel.
    pub(super) fn switch(&self, tunnel: Tunnel) {
        *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
        self.is_switching.store(true, Ordering::Relaxed);
    }

    /// Whether the connection is about to become a tunnel.
    pub(super) fn is_switching(&self) -> bool {
        self.is_switching.load(Ordering::Relaxed)
    }

    /// The tunnel that the connection is about to become.
    pub(super) fn take_tunnel(&self) -> Option<Tunnel> {
        let mut tunnel = self.tunnel.lock().unwrap_or_else(PoisonError::into_inner);
        tunnel.take()
    }
}

/// One request and its response, from the moment the request's head is complete.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Line>);

impl Exchange {
    pub(super) fn begin(line: &Arc<Line>) -> Self {
        line.begun.fetch_add(1, Ordering::Relaxed);
        line.under_way.fetch_add(1, Ordering::Relaxed);
        line.receiving.store(false, Ordering::Relaxed);
        Self(Arc::clone(line))
    }

    /// The connection that it is on.
    pub(super) fn line(&self) -> &Line {
        &self.0
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response's body; its exchange is over when hyper drops it.
pub(super) struct TrackedBody {
    body: axum::body::Body,
    origin: BodyOrigin,
    _exchange: Exchange,
}

/// Where a response's body comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyOrigin {
    /// From Sealgate.
    Own,
    /// From the service behind the gateway, whose bodies can break off.
    Upstream,
}

impl TrackedBody {
    pub(super) const fn new(
        body: axum::body::Body,
        origin: BodyOrigin,
        exchange: Exchange,
    ) -> Self {
        Self {
            body,
            origin,
            _exchange: exchange,
        }
    }
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Err(error))), BodyOrigin::Upstream) = (&frame, self.origin) {
            gateway::note_broken_answer(error);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
