//! One connection: which protocol it speaks, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::bare_errors::{BareErrors, Fault};
use super::exchange::Line;
use super::service::Service;
use super::tls::{Greeting, Tls};
use super::{ClientAddress, ServeOptions, http1, http2};
use crate::router::Api;

/// What all connections share.
pub(super) struct Front {
    pub(super) api: Api,
    pub(super) options: ServeOptions,
    pub(super) bare_errors: BareErrors,
}

impl Front {
    pub(super) fn new(api: Api, options: ServeOptions) -> Self {
        Self {
            api,
            bare_errors: BareErrors::new(&options),
            options,
        }
    }

    /// Serves a connection to its end.
    pub(super) async fn converse(
        self: Arc<Self>,
        stream: TcpStream,
        client: ClientAddress,
        stop: Stop,
    ) {
        let _counted = Counted::new();
        // Both fail for a connection that is closed already, which shows in a moment.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&PROBING);
        match self.options.tls.clone() {
            None if self.options.http2_only => http2::serve(self, stream, client, stop).await,
            None => http1::serve(self, stream, client, stop).await,
            Some(tls) => self.converse_secured(&tls, stream, client, stop).await,
        }
    }

    async fn converse_secured(
        self: Arc<Self>,
        tls: &Tls,
        stream: TcpStream,
        client: ClientAddress,
        mut stop: Stop,
    ) {
        let greeting = tokio::select! {
            () = stop.asked() => return,
            greeting = timeout(self.options.handshake_timeout, tls.greet(stream)) => greeting,
        };
        match greeting {
            Ok(Ok(Greeting::Http1(stream))) if !self.options.http2_only => {
                http1::serve(self, *stream, client, stop).await;
            }
            Ok(Ok(Greeting::Http1(stream) | Greeting::Http2(stream))) => {
                http2::serve(self, *stream, client, stop).await;
            }
            Ok(Ok(Greeting::Plain(stream))) => {
                let error = self.bare_errors.report(Fault::NotTls, client);
                part(stream, &error.to_bytes(), true).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    /// The router as this connection's requests see it.
    pub(super) fn service(self: &Arc<Self>, client: ClientAddress, line: &Arc<Line>) -> Service {
        Service {
            front: Arc::clone(self),
            client,
            line: Arc::clone(line),
        }
    }
}

/// How a client is found to be gone that never said so: a tunnel, or an answer that waits for something
/// to tell, would keep its place for good.
const PROBING: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_mins(1))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// How long the end of a connection may take.
const PARTING: Duration = Duration::from_secs(2);

/// Ends a connection: says the last words, then that nothing more follows.
///
/// To close a socket while the client still sends makes its system throw away what it has not read
/// of the answer. So whoever may still be sending is heard out for a moment (RFC 9112, section
/// 9.6).
pub(super) async fn part(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    last_words: &[u8],
    hear_out: bool,
) {
    let parting = async {
        stream.write_all(last_words).await?;
        stream.shutdown().await?;
        if hear_out {
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
        std::io::Result::Ok(())
    };
    // Whether the client is still there no longer matters.
    let _ = timeout(PARTING, parting).await;
}

/// Tells a connection that the server is closing.
#[derive(Clone)]
pub(super) struct Stop(pub(super) watch::Receiver<bool>);

impl Stop {
    /// Ready once the end was asked for.
    pub(super) async fn asked(&mut self) {
        // An error says that the server is gone, which is an end too.
        let _ = self.0.wait_for(|asked| *asked).await;
    }
}

/// A connection in the gauge of open ones.
struct Counted(metrics::Gauge);

impl Counted {
    fn new() -> Self {
        let gauge = metrics::gauge!("sealgate_open_connections");
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
