//! What lies between client and server: it counts requests, and can answer in the server's place.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::StatusCode;

/// Counts, and stand-ins by path.
#[derive(Default)]
pub struct Wire {
    counts: Mutex<BTreeMap<String, usize>>,
    stand_ins: Mutex<HashMap<String, StandIn>>,
}

/// An answer in place of the server's.
#[derive(Clone)]
struct StandIn {
    status: StatusCode,
    body: Bytes,
}

impl Wire {
    pub fn around(self: &Arc<Self>, router: Router) -> Router {
        let wire = Arc::clone(self);
        router.layer(from_fn(move |request: Request, next: Next| {
            let wire = Arc::clone(&wire);
            async move {
                match wire.pass(request.uri().path()) {
                    Some(StandIn { status, body }) => (status, body).into_response(),
                    None => next.run(request).await,
                }
            }
        }))
    }

    fn pass(&self, path: &str) -> Option<StandIn> {
        *self
            .counts
            .lock()
            .unwrap()
            .entry(path.to_owned())
            .or_default() += 1;
        self.stand_ins.lock().unwrap().get(path).cloned()
    }

    /// How many requests there were for a path.
    pub fn count(&self, path: &str) -> usize {
        self.counts.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    /// Answers in the server's place from now on.
    pub fn answer(&self, path: &str, status: u16, body: impl Into<Bytes>) {
        let stand_in = StandIn {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.into(),
        };
        let mut stand_ins = self.stand_ins.lock().unwrap();
        stand_ins.insert(path.to_owned(), stand_in);
    }

    /// Lets the server answer again.
    pub fn let_through(&self, path: &str) {
        self.stand_ins.lock().unwrap().remove(path);
    }
}
