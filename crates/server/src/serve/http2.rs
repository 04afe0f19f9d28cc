//! HTTP/2 on one connection.

use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use super::connection::{Front, Stop};
use super::exchange::Line;
use super::{ClientAddress, ServeOptions};

/// Serves HTTP/2 on a stream until it ends.
///
/// A connection on which no request has begun or ended for the idle timeout is asked to end, and
/// is closed after as much time again.
pub(super) async fn serve(
    front: Arc<Front>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    client: ClientAddress,
    mut stop: Stop,
) {
    let line = Arc::new(Line::default());
    let service = front.service(client, &line);
    let connection = protocol(&front.options).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut stop = pin!(stop.asked());
    let mut is_ending = false;
    let mut is_stopping = false;

    loop {
        let before = (line.begun(), line.under_way());
        let patience = match before {
            (0, _) => front.options.header_timeout,
            _ => front.options.idle_timeout,
        };
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended with an error");
                }
                return;
            }
            () = &mut stop, if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep(patience) => {
                if before != (line.begun(), line.under_way()) {
                    continue;
                }
                if is_ending {
                    return;
                }
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn protocol(options: &ServeOptions) -> Builder<TokioExecutor> {
    /// Most requests of one client at the same time.
    const MAX_STREAMS: u32 = 128;

    // What is over the limit by less than this factor gets an answer with a body; see `Service`.
    let limit = options.max_header_bytes.saturating_mul(4);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(limit).unwrap_or(u32::MAX))
        // Finds out about clients that are gone without a word.
        .keep_alive_interval(options.stall_timeout)
        .keep_alive_timeout(options.stall_timeout);
    builder
}
