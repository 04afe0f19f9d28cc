//! Connections that stop being HTTP: what is left of one here is a [`Tunnel`].
//!
//! A request asks for another protocol, and the gateway's service agrees: from then on bytes go from
//! one side to the other, and a task of the proxy's moves them. The connection's task stays until that
//! is over, so that a tunnel counts as a connection for as long as it lasts, and ends with the server.

use std::time::Duration;

use axum_reverse_proxy::{TunnelCancellation, TunnelGuard};
use http::Extensions;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connection::Stop;

/// How long a tunnel may go on after the end was asked for. Nothing in it says when it would be at an
/// end by itself, so there is nothing to wait for.
const GRACE: Duration = Duration::from_secs(5);

/// A tunnel, as its connection's task sees it. It is cut when this is dropped.
#[derive(Debug)]
pub(super) struct Tunnel {
    ended: oneshot::Receiver<()>,
    _cut: DropGuard,
}

impl Tunnel {
    /// Prepares one for a request that may become it, which takes the other half along.
    pub(super) fn prepare(extensions: &mut Extensions) -> Self {
        let (held, ended) = oneshot::channel::<()>();
        let token = CancellationToken::new();
        extensions.insert(TunnelGuard::new(held));
        extensions.insert(TunnelCancellation(token.clone()));
        Self {
            ended,
            _cut: token.drop_guard(),
        }
    }

    /// Ready once the tunnel is over; it is cut a moment after the end was asked for.
    pub(super) async fn last(self, mut stop: Stop) {
        let Self { ended, _cut } = self;
        let stopping = async {
            stop.asked().await;
            sleep(GRACE).await;
        };
        tokio::select! {
            // An error says that the other half was dropped, which is the end.
            _ = ended => {}
            () = stopping => {}
        }
    }
}
