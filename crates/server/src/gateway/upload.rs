//! The body of a request on its way to the service, and how far it has come: a client may take long
//! over it, as long as something comes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::time::{Sleep, sleep};

/// How far a body has come; for whoever waits for the answer.
#[derive(Debug, Default)]
pub(super) struct Progress {
    frames: AtomicUsize,
    is_waiting: AtomicBool,
    fault: AtomicUsize,
}

/// What can be wrong with a body. It is the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum UploadFault {
    /// Nothing has come for too long.
    #[error("the client sends no more of the request's body")]
    Stalled,
    /// It broke off, or is not as HTTP wants it.
    #[error("the request's body broke off")]
    Broken,
}

impl Progress {
    /// How much has come: it has changed if anything did.
    pub fn mark(&self) -> usize {
        self.frames.load(Ordering::Relaxed)
    }

    /// Whether it is for the client to go on.
    pub fn is_waiting_for_client(&self) -> bool {
        self.is_waiting.load(Ordering::Relaxed)
    }

    /// What is wrong with the body.
    pub fn fault(&self) -> Option<UploadFault> {
        match self.fault.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(UploadFault::Stalled),
            _ => Some(UploadFault::Broken),
        }
    }

    fn set_fault(&self, fault: UploadFault) -> UploadFault {
        let number = match fault {
            UploadFault::Stalled => 1,
            UploadFault::Broken => 2,
        };
        self.fault.store(number, Ordering::Relaxed);
        fault
    }
}

/// A body that breaks off once nothing of it has come for too long.
pub(super) struct Upload<B = Incoming> {
    body: B,
    progress: Arc<Progress>,
    patience: Duration,
    /// Runs while the client is waited for.
    clock: Option<Pin<Box<Sleep>>>,
}

impl<B> Upload<B> {
    pub fn new(body: B, patience: Duration) -> (Self, Arc<Progress>) {
        let progress = Arc::<Progress>::default();
        let upload = Self {
            body,
            progress: Arc::clone(&progress),
            patience,
            clock: None,
        };
        (upload, progress)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = UploadFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.clock = None;
            this.progress.is_waiting.store(false, Ordering::Relaxed);
            this.progress.frames.fetch_add(1, Ordering::Relaxed);
            let broken = |_| this.progress.set_fault(UploadFault::Broken);
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        let patience = this.patience;
        let clock = this.clock.get_or_insert_with(|| Box::pin(sleep(patience)));
        this.progress.is_waiting.store(true, Ordering::Relaxed);
        ready!(clock.as_mut().poll(cx));
        let fault = this.progress.set_fault(UploadFault::Stalled);
        Poll::Ready(Some(Err(fault)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{self, StreamExt as _};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    type Part = Result<Frame<Bytes>, std::io::Error>;

    fn part(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_take_long_as_long_as_something_comes() {
        let patience = Duration::from_secs(30);
        let parts = stream::iter(["a", "b", "c"]).then(async |text| {
            sleep(Duration::from_secs(29)).await;
            Part::Ok(part(text))
        });
        let (upload, progress) = Upload::new(StreamBody::new(Box::pin(parts)), patience);
        let body = upload.collect().await.unwrap().to_bytes();
        assert_eq!(body, "abc");
        assert_eq!(
            (progress.fault(), progress.is_waiting_for_client()),
            (None, false)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_no_more_is_given_up() {
        let parts = stream::iter([Part::Ok(part("a"))]).chain(stream::pending());
        let body = StreamBody::new(Box::pin(parts));
        let (mut upload, progress) = Upload::new(body, Duration::from_secs(30));
        assert!(upload.frame().await.unwrap().is_ok());
        let mark = progress.mark();
        let fault = upload.frame().await.unwrap().unwrap_err();
        assert_eq!(fault, UploadFault::Stalled);
        assert_eq!(progress.fault(), Some(UploadFault::Stalled));
        assert_eq!(
            (progress.mark(), progress.is_waiting_for_client()),
            (mark, true)
        );
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_the_clients_fault() {
        let parts = stream::iter([Part::Err(std::io::Error::other("gone"))]);
        let (mut upload, progress) = Upload::new(StreamBody::new(parts), Duration::MAX);
        assert!(upload.frame().await.unwrap().is_err());
        assert_eq!(progress.fault(), Some(UploadFault::Broken));
    }
}
