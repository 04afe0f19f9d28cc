//! HTTP/2 on one connection.

use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http2::Builder;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use super::connection::{Front, Stop};
use super::exchange::Line;
use super::streams::{Pieces, Streams};
use super::{ClientAddress, ServeOptions};

/// Serves HTTP/2 on a stream until it ends.
///
/// A connection on which no request is under way, and for the idle timeout none has begun or ended
/// and nothing of an answer was taken, is asked to end. It is closed after as much time again.
pub(super) async fn serve(
    front: Arc<Front>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    client: ClientAddress,
    mut stop: Stop,
) {
    let line = Arc::new(Line::default());
    let service = front.service(client, &line);
    let service = service_fn(|request| {
        let answer = service.call(request);
        let line = Arc::clone(&line);
        async move {
            let in_pieces = |body| Pieces::new(body, line);
            answer.await.map(|response| response.map(in_pieces))
        }
    });
    let connection = protocol(&front.options).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut stop = pin!(stop.asked());
    let mut is_ending = false;
    let mut is_stopping = false;

    loop {
        let before = line.tally();
        let patience = match line.begun() {
            0 => front.options.header_timeout,
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
                if line.under_way() > 0 || before != line.tally() {
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

fn protocol(options: &ServeOptions) -> Builder<Streams> {
    /// Most requests of one connection at the same time.
    const MAX_STREAMS: u32 = 128;
    /// Most bytes of an answer that wait for their client.
    const SEND_BUFFER: usize = 64 * 1024;

    // What is over the limit by less than this factor gets an answer with a body; see `Service`.
    let limit = options.max_header_bytes.saturating_mul(4);
    let mut builder = Builder::new(Streams {
        stall_timeout: options.stall_timeout,
    });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(limit).unwrap_or(u32::MAX))
        // Finds out about clients that are gone without a word.
        .keep_alive_interval(options.stall_timeout)
        .keep_alive_timeout(options.stall_timeout);
    builder
}
