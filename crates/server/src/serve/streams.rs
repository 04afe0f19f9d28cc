//! The streams of a connection of HTTP/2: each is a task of its own, and ends if its client takes
//! nothing for too long.
//!
//! hyper asks for a piece of a body once the client has room for the one before. So a body knows who
//! is waited for: the service while it has no piece to give, the client from when it gave one until
//! it is asked for the next. It says so in a variable of the task, whose clock runs in the second
//! case alone.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Sleep, sleep};

use super::exchange::Line;

tokio::task_local! {
    /// Who is waited for on the stream that the task is there for.
    static TURN: Cell<Turn>;
}

/// Who is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Turn {
    /// The service, or the rest of the request. They have clocks of their own.
    #[default]
    Service,
    /// The client, which is to take the piece with this number.
    Client(usize),
}

/// Runs the streams of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    /// How long a client may take nothing of an answer that is ready for it.
    pub(super) stall_timeout: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        tokio::spawn(TURN.scope(Cell::default(), run(stream, self.stall_timeout)));
    }
}

/// Runs a stream to its end, or until its client is out of time: dropped, it is reset.
async fn run(stream: impl Future<Output = ()>, patience: Duration) {
    let mut stream = pin!(stream);
    let mut clock = pin!(None::<Sleep>);
    let mut turn = Turn::default();
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if turn != TURN.with(Cell::get) {
            turn = TURN.with(Cell::get);
            let waits_for_client = matches!(turn, Turn::Client(_));
            clock.set(waits_for_client.then(|| sleep(patience)));
        }
        let Some(clock) = clock.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        ready!(clock.poll(cx));
        tracing::debug!("a client took nothing of an answer for too long");
        Poll::Ready(())
    })
    .await;
}

/// A response's body in pieces, so small that a slow client has room for one in time.
pub(super) struct Pieces<B> {
    body: B,
    line: Arc<Line>,
    /// What is left of the body's last frame.
    rest: Bytes,
    given: usize,
}

/// A piece on its way; the line hears of it when it has been written.
struct Piece {
    bytes: Bytes,
    line: Arc<Line>,
}

impl<B> Pieces<B> {
    /// Largest piece: what fits into a frame (RFC 9113 section 6.5.2).
    const SIZE: usize = 16 * 1024;

    pub(super) fn new(body: B, line: Arc<Line>) -> Self {
        // Until it is asked for the first piece the client has no room for one.
        wait_for(Turn::Client(0));
        Self {
            body,
            line,
            rest: Bytes::new(),
            given: 0,
        }
    }

    fn next(&mut self) -> Bytes {
        let size = self.rest.len().min(Self::SIZE);
        self.given += 1;
        wait_for(Turn::Client(self.given));
        Bytes::from_owner(Piece {
            bytes: self.rest.split_to(size),
            line: Arc::clone(&self.line),
        })
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Pieces<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
                wait_for(Turn::Service);
                return Poll::Pending;
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(this.next()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest + body.lower());
        if let Some(upper) = body.upper() {
            hint.set_upper(rest + upper);
        }
        hint
    }
}

fn wait_for(turn: Turn) {
    // Only on a stream is there anybody to hear of it.
    let _ = TURN.try_with(|now| now.set(turn));
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.line.taken();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::{self, StreamExt as _};
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use tokio::sync::oneshot;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Whether a stream comes to its end whose service takes so long for each of three frames, and
    /// whose client takes so long for each piece of them.
    async fn ends(frame: Bytes, service: Duration, client: Duration) -> bool {
        let frames = stream::iter(vec![frame; 3]).then(move |data| async move {
            sleep(service).await;
            Ok::<_, Infallible>(Frame::data(data))
        });
        let body = StreamBody::new(Box::pin(frames));
        let mut pieces = Pieces::new(body, Arc::default());
        let (ended, end) = oneshot::channel();
        Streams {
            stall_timeout: PATIENCE,
        }
        .execute(async move {
            while pieces.frame().await.is_some() {
                sleep(client).await;
            }
            ended.send(()).unwrap();
        });
        end.await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_for_too_long_loses_its_stream() {
        let small = || Bytes::from_static(b"a");
        assert!(ends(small(), Duration::ZERO, PATIENCE / 2).await);
        assert!(!ends(small(), Duration::ZERO, PATIENCE * 2).await);
        let large = Bytes::from(vec![b'.'; 1 << 20]);
        assert!(ends(large, Duration::ZERO, PATIENCE / 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_may_take_as_long_as_it_likes() {
        let small = Bytes::from_static(b"a");
        assert!(ends(small, PATIENCE * 10, PATIENCE / 2).await);
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_the_same_body() {
        let whole: Bytes = (0..=250).cycle().take(100_000).collect();
        let line = Arc::<Line>::default();
        let mut pieces = Pieces::new(Full::new(whole.clone()), Arc::clone(&line));
        let before = line.tally();
        let mut received = Vec::new();
        while !pieces.is_end_stream() {
            let left = whole.len() - received.len();
            assert_eq!(pieces.size_hint().exact(), Some(left as u64));
            let piece = pieces.frame().await.unwrap().unwrap();
            let piece = piece.into_data().unwrap();
            assert!(piece.len() <= 16 * 1024);
            received.extend_from_slice(&piece);
        }
        assert_eq!(received, whole);
        assert_ne!(line.tally(), before);
    }
}
