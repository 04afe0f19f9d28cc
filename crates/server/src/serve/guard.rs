//! The stream between hyper's HTTP/1 and the client: [`Guard`].
//!
//! hyper answers a request that it cannot parse by itself, with a bare status line: the service
//! never hears of it. The guard keeps that answer back and notes its status, and the driver of the
//! connection sends an answer with a body in its place.
//!
//! # How hyper's own answer is told from the service's
//!
//! Not by its bytes: a response's body may look like anything. HTTP/1 is strictly serial, so when
//! no exchange is under way and all that earlier ones had to say has been written, nobody but
//! hyper can have anything to say. Both are known here:
//!
//! - An [`Exchange`](super::exchange::Exchange) begins before the service sees the request and is
//!   over when hyper has dropped the response's body, having copied all of it to its buffer.
//! - hyper flushes the stream only once it has written that buffer to its end.
//!
//! So after a flush with no exchange under way the line is quiet, and it stays so until the next
//! exchange begins; what is written meanwhile is hyper's own. It comes in one piece, because the
//! guard offers no vectored writes and hyper then keeps a head in one buffer.
//!
//! One case goes out as hyper made it: a client that leaves an early response unread for so long
//! that the socket is full, and sends a broken request after it. hyper then adds its answer to a
//! buffer that still holds the service's. Such a client gets a bare status; nobody's bytes mix.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::exchange::Line;

/// A stream that keeps back hyper's own answers and notes what goes on.
pub(super) struct Guard<T> {
    stream: T,
    line: Arc<Line>,
    /// How many exchanges had begun when the line was last known to be quiet.
    settled: usize,
    /// Whether the client has said that it sends no more, or is gone.
    ended: bool,
}

impl<T> Guard<T> {
    pub(super) const fn new(stream: T, line: Arc<Line>) -> Self {
        Self {
            stream,
            line,
            settled: 0,
            ended: false,
        }
    }

    /// The stream, and whether the client may still send.
    pub(super) fn into_parts(self) -> (T, bool) {
        (self.stream, !self.ended)
    }

    /// Whether nobody but hyper can have anything to say.
    fn is_quiet(&self) -> bool {
        self.line.begun() == self.settled
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if read.is_err() || buf.filled().len() == before {
            self.ended = true;
        } else if self.line.under_way() == 0 {
            self.line.received();
        }
        Poll::Ready(read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guard<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_quiet()
            && let Some(status) = refusal(bytes)
        {
            self.line.refuse(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.line.set_stuck(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.under_way() == 0 {
            self.settled = self.line.begun();
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.line.set_stuck(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The status of a response that refuses a request.
fn refusal(head: &[u8]) -> Option<StatusCode> {
    let digits = head
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| head.strip_prefix(b"HTTP/1.0 "))?
        .first_chunk::<3>()?;
    StatusCode::from_bytes(digits)
        .ok()
        .filter(StatusCode::is_client_error)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::super::exchange::{Exchange, Stage};
    use super::*;

    const REFUSAL: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n\
        connection: close\r\ncontent-length: 0\r\n\r\n";

    #[tokio::test]
    async fn what_is_written_on_a_quiet_line_is_kept_back() {
        let (near, mut far) = duplex(1024);
        let line = Arc::new(Line::default());
        let mut guard = Guard::new(near, line.clone());

        guard.write_all(REFUSAL).await.unwrap();
        drop(guard);

        assert_eq!(
            line.refused(),
            Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        );
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_service_may_say_anything_until_it_has_been_flushed() {
        let (near, mut far) = duplex(1024);
        let line = Arc::new(Line::default());
        let mut guard = Guard::new(near, line.clone());

        let exchange = Exchange::begin(&line);
        guard.write_all(REFUSAL).await.unwrap();
        guard.flush().await.unwrap();
        guard.write_all(REFUSAL).await.unwrap();
        drop(exchange);
        guard.write_all(REFUSAL).await.unwrap();
        assert_eq!(line.refused(), None);

        guard.flush().await.unwrap();
        guard.write_all(REFUSAL).await.unwrap();
        assert!(line.refused().is_some());

        drop(guard);
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, REFUSAL.repeat(3));
    }

    #[tokio::test]
    async fn output_is_stuck_while_the_client_takes_nothing() {
        let (near, mut far) = duplex(4);
        let line = Arc::new(Line::default());
        let mut guard = Guard::new(near, line.clone());
        let _exchange = Exchange::begin(&line);

        guard.write_all(b"1234").await.unwrap();
        assert!(futures_ready(guard.write_all(b"5678")).is_none());
        let (stage, _, before) = line.mark();
        assert_eq!(stage, Stage::Stuck);

        far.read_exact(&mut [0; 4]).await.unwrap();
        guard.write_all(b"5678").await.unwrap();
        let (stage, _, after) = line.mark();
        assert_eq!(stage, Stage::Serving);
        assert_ne!(before, after);
    }

    /// What a future is ready with at once.
    fn futures_ready<F: Future>(future: F) -> Option<F::Output> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).as_mut().poll(&mut context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn only_a_refusal_is_one() {
        assert_eq!(refusal(REFUSAL).map(|status| status.as_u16()), Some(431));
        for other in [
            &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 4",
            b"",
        ] {
            assert_eq!(refusal(other), None);
        }
    }
}
