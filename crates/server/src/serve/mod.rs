//! Connections: from an accepted socket to a request for the router, and the way back.
//!
//! [`serve`] bounds everything that a client could do to hold on to the server: how many
//! connections there are, how long each may wait for a request or leave a response unread, how
//! large a request's head may be. What goes wrong before the router hears of a request is a
//! [`BareError`]; it gets the same JSON envelope as any other error, and a hook hears of it.

mod bare_errors;
mod connection;
mod exchange;
mod guard;
mod http1;
mod http2;
mod service;
mod streams;
mod tls;
mod tunnel;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

pub use self::bare_errors::{BareError, Fault};
use self::connection::{Front, Stop};
pub use self::tls::{Tls, TlsError};
use crate::request_id::RequestIds;
use crate::router::Api;

/// Who is at the other end of a request's connection; an extension of every request.
///
/// An IPv4 client of an IPv6 socket appears with its IPv4 address, as lists of addresses have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub SocketAddr);

/// What is done with each [`BareError`]: it is counted and logged, say.
pub type BareErrorHook = Arc<dyn Fn(&BareError) + Send + Sync>;

/// The bounds of [`serve`], and what it works with.
#[derive(Clone)]
pub struct ServeOptions {
    /// Most connections at a time; more wait in the listener's backlog.
    pub max_connections: usize,
    /// How long the head of a request may take, and the first one to begin.
    pub header_timeout: Duration,
    /// How long a connection is kept between two requests.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of a response that is ready for it.
    pub stall_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long requests may go on after the end was asked for.
    pub drain_timeout: Duration,
    /// Largest head of a request, its first line included, in bytes.
    pub max_header_bytes: usize,
    /// Most headers of a request.
    pub max_headers: usize,
    /// Whether all clients speak HTTP/2 from the first byte (RFC 9113 section 3.3), as those of gRPC do.
    pub http2_only: bool,
    /// The certificate to speak TLS with; plain HTTP if absent.
    pub tls: Option<Tls>,
    /// Where the identifiers of bare errors come from.
    pub request_ids: RequestIds,
    /// Hears of every bare error.
    pub on_bare_error: BareErrorHook,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            stall_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(30),
            max_header_bytes: 16 * 1024,
            max_headers: 100,
            http2_only: false,
            tls: None,
            request_ids: RequestIds::default(),
            on_bare_error: Arc::new(|_| ()),
        }
    }
}

impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions")
            .field("max_connections", &self.max_connections)
            .field("header_timeout", &self.header_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("stall_timeout", &self.stall_timeout)
            .field("handshake_timeout", &self.handshake_timeout)
            .field("drain_timeout", &self.drain_timeout)
            .field("max_header_bytes", &self.max_header_bytes)
            .field("max_headers", &self.max_headers)
            .field("http2_only", &self.http2_only)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Serves an API, or a router, on a listener until `shutdown` is ready.
///
/// Then the listener is closed, idle connections are closed at once, and requests under way are
/// answered before theirs are; what takes longer than [`ServeOptions::drain_timeout`] is cut off.
/// With TLS, the certificate's files are watched, and a new pair is used as soon as it is complete.
///
/// How long a request's body and the service may take is up to the service: a connection whose
/// response is ready does not wait for the rest of the request.
///
/// # Errors
/// If the listener is no longer one. That a connection cannot be accepted is no such error: it is
/// logged, and tried again.
pub async fn serve(
    listener: TcpListener,
    api: impl Into<Api>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let drain_timeout = options.drain_timeout;
    let mut door = Door::new(listener, options.max_connections);
    let mut certificate = pin!(keep_certificate_fresh(options.tls.clone()));
    let front = Arc::new(Front::new(api.into(), options));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);

    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, client, slot) = door.next() => {
                let conversation = Arc::clone(&front).converse(stream, client, Stop(stopped.clone()));
                connections.spawn(async move {
                    conversation.await;
                    drop(slot);
                });
            }
            Some(ended) = connections.join_next() => report(ended),
            never = &mut certificate => match never {},
        }
    }

    drop(door);
    stop.send_replace(true);
    drain(connections, drain_timeout).await;
    tracing::info!(%address, "closed");
    Ok(())
}

/// The listener, and the places there are for connections.
struct Door {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    /// Whether the last attempt to accept a connection failed.
    failing: bool,
}

impl Door {
    /// The pause after a connection could not be accepted, for want of file descriptors say.
    const PAUSE: Duration = Duration::from_millis(200);

    fn new(listener: TcpListener, max_connections: usize) -> Self {
        Self {
            listener,
            slots: Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS))),
            failing: false,
        }
    }

    /// The next connection, once there is a place for it. Nothing is lost if this is dropped.
    async fn next(&mut self) -> (TcpStream, ClientAddress, OwnedSemaphorePermit) {
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .expect("nobody closes this semaphore");
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    self.failing = false;
                    return (stream, ClientAddress(canonical(address)), slot);
                }
                // The client went away while it waited: no reason to keep the next one waiting.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::error!(%error, "connections cannot be accepted");
                    }
                    sleep(Self::PAUSE).await;
                }
            }
        }
    }
}

/// An address as it is written in lists of addresses.
const fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

async fn keep_certificate_fresh(tls: Option<Tls>) -> Infallible {
    match tls {
        Some(tls) => tls.keep_fresh().await,
        None => std::future::pending().await,
    }
}

/// Waits for connections to end, and ends those that take too long.
async fn drain(mut connections: JoinSet<()>, patience: Duration) {
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if timeout(patience, all_ended).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests took too long to end and were cut off"
        );
        connections.shutdown().await;
    }
}

/// A handler's panic is answered by the router. One that gets here costs its connection alone, but
/// is a bug.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a connection's task panicked");
    }
}
