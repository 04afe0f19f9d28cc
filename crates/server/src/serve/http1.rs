//! HTTP/1 on one connection: what may take how long, and what is said at the end.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1::{Builder, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};

use super::bare_errors::Fault;
use super::connection::{Front, Stop, part};
use super::exchange::{Exchange, Line, Mark, Stage};
use super::guard::Guard;
use super::service::Service;
use super::{ClientAddress, ServeOptions};

/// Serves HTTP/1 on a stream until it ends.
pub(super) async fn serve(
    front: Arc<Front>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    client: ClientAddress,
    stop: Stop,
) {
    let line = Arc::new(Line::default());
    let guard = Guard::new(stream, Arc::clone(&line));
    let service = front.service(client, &line);
    let mut connection = protocol(&front.options).serve_connection(TokioIo::new(guard), service);
    let ending = drive(&mut connection, &line, &front.options, stop.clone()).await;
    if matches!(ending, Ending::Switching) {
        return become_tunnel(connection, &line, &front.options, stop).await;
    }

    let parts = connection.into_parts();
    let (stream, may_send) = parts.io.into_inner().into_parts();
    let fault = ending.fault(&line, &parts.read_buf);
    let last_words = fault.map_or_else(Vec::new, |fault| {
        front.bare_errors.report(fault, client).to_bytes()
    });
    match ending {
        Ending::TimedOut(Stage::Stuck) => {}
        Ending::TimedOut(_) | Ending::Dismissed if fault.is_none() => {
            part(stream, &[], false).await;
        }
        _ => part(stream, &last_words, may_send).await,
    }
}

fn protocol(options: &ServeOptions) -> Builder {
    /// hyper reads and buffers no more than this at a time.
    const BUFFER: usize = 64 * 1024;
    /// With this many, hyper keeps the headers off the heap.
    const MAX_HEADERS: usize = 100;

    let mut builder = Builder::new();
    builder
        // Clients that close their side after the request get the answer nevertheless, and a
        // change is not broken off in its middle because its client has gone.
        .half_close(true)
        .max_header_size(options.max_header_bytes)
        .max_buf_size(options.max_header_bytes.saturating_mul(2).max(BUFFER))
        // Heads and bodies in one buffer, on which the guard depends.
        .writev(false)
        // The clocks run here: hyper's own knows no difference between idle and slow.
        .header_read_timeout(None);
    if options.max_headers != MAX_HEADERS {
        builder.max_headers(options.max_headers);
    }
    builder
}

/// How a connection came to its end.
enum Ending {
    /// It is over as far as hyper is concerned.
    Finished(hyper::Result<()>),
    /// The server is closing, and the client had nothing under way.
    Dismissed,
    /// The client took too long.
    TimedOut(Stage),
    /// The next answer makes a tunnel of it.
    Switching,
}

impl Ending {
    /// What the client did wrong, if it is to hear of it.
    fn fault(&self, line: &Line, unread: &[u8]) -> Option<Fault> {
        let has_begun_head =
            line.under_way() == 0 && unread.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
        match self {
            Self::Finished(Err(error)) => line
                .refused()
                .map(Fault::of_refusal)
                .or_else(|| error.is_parse_version_h2().then_some(Fault::Malformed))
                .or_else(|| {
                    (error.is_incomplete_message() && has_begun_head).then_some(Fault::Malformed)
                }),
            Self::TimedOut(Stage::Idle | Stage::Receiving) if has_begun_head => {
                Some(Fault::HeadTimeout)
            }
            _ => None,
        }
    }
}

/// When a time from now on is over, by the clock that timers go by.
#[expect(
    clippy::disallowed_methods,
    reason = "of a timer, which nothing but time can end"
)]
fn over_in(patience: Duration) -> Instant {
    Instant::now() + patience
}

/// Drives a connection until hyper is done with it or the client has taken too long.
async fn drive<T: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<TokioIo<Guard<T>>, Service>,
    line: &Line,
    options: &ServeOptions,
    mut stop: Stop,
) -> Ending {
    let news = stop.0.clone();
    let mut stop = pin!(stop.asked());
    let mut has_asked = false;
    let mut is_stopping = false;
    let mut was_idle = false;

    let mut mark = line.mark();
    let mut deadline = options.patience(mark).map(over_in);
    // Armed for that deadline or an earlier one: to move it with each request would cost more than to
    // look again when it is over.
    let mut clock = pin!(sleep_until(
        deadline.unwrap_or_else(|| over_in(Duration::ZERO))
    ));

    poll_fn(|cx| {
        // Asked once, it wakes this task; whether there is news is an atomic away.
        let is_news =
            !std::mem::replace(&mut has_asked, true) || !matches!(news.has_changed(), Ok(false));
        if is_news && !is_stopping && stop.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            was_idle = line.mark().0 == Stage::Idle;
            Pin::new(&mut *connection).graceful_shutdown();
        }
        if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(match result {
                Ok(()) if was_idle => Ending::Dismissed,
                result => Ending::Finished(result),
            });
        }
        if line.is_switching() {
            return Poll::Ready(Ending::Switching);
        }
        if mark != line.mark() {
            mark = line.mark();
            deadline = options.patience(mark).map(over_in);
        }
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        if deadline < clock.deadline() || clock.is_elapsed() {
            clock.as_mut().reset(deadline);
        }
        while clock.as_mut().poll(cx).is_ready() {
            if deadline <= clock.deadline() {
                return Poll::Ready(Ending::TimedOut(mark.0));
            }
            clock.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await
}

/// Sends the answer that makes a tunnel of a connection, and stays with it to its end.
///
/// hyper hands a connection over to whoever asked for it in one mode alone, and in that mode it closes
/// a connection by itself that it cannot parse. So the mode is changed here, when nothing is left to be
/// parsed.
async fn become_tunnel<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    connection: Connection<TokioIo<Guard<T>>, Service>,
    line: &Arc<Line>,
    options: &ServeOptions,
    stop: Stop,
) {
    let Some(tunnel) = line.take_tunnel() else {
        return;
    };
    // The line is never quiet again: what goes through the tunnel is none of hyper's.
    let _exchange = Exchange::begin(line);
    if let Ok(Ok(())) = timeout(options.stall_timeout, connection.with_upgrades()).await {
        tunnel.last(stop).await;
    }
}

impl ServeOptions {
    /// How long a connection may stay where it is; without end if only the service can tell.
    fn patience(&self, (stage, begun, _): Mark) -> Option<Duration> {
        match stage {
            Stage::Idle if begun > 0 => Some(self.idle_timeout),
            Stage::Idle | Stage::Receiving => Some(self.header_timeout),
            Stage::Serving => None,
            Stage::Stuck => Some(self.stall_timeout),
        }
    }
}
