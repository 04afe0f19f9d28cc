//! A server in this process: what it answers, what it does besides, and how both end.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use sealgate_core::authority::Authority;
use sealgate_core::policy::PolicyHandle;
use sealgate_server::request_id::RequestIds;
use sealgate_server::serve::{BareError, ServeOptions, Tls, serve};
use sealgate_server::{Api, App, HttpSettings, api, upkeep};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

/// Serves a started authority until `shutdown` is ready, and closes its store. The second listener is
/// for the gateway, if that has one of its own.
///
/// # Errors
/// If the listener is no longer one.
pub async fn run(
    authority: Arc<Authority>,
    (listener, gateway_listener): (TcpListener, Option<TcpListener>),
    http: HttpSettings,
    tls: Option<Tls>,
    policy: PolicyHandle,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let request_ids = RequestIds::default();
    let app = App {
        authority: Arc::clone(&authority),
        http,
        request_ids: request_ids.clone(),
        policy,
    };
    let options = ServeOptions {
        tls,
        request_ids,
        on_bare_error: Arc::new(log_bare_error),
        ..ServeOptions::default()
    };
    // The upkeep outlives the last request, so that what that one counted is written.
    let (served, was_served) = oneshot::channel::<()>();
    let upkeep = tokio::spawn(upkeep::run(Arc::clone(&authority), async {
        let _ = was_served.await;
    }));
    let outcome = match gateway_listener {
        None => serve(listener, api(app), options, shutdown).await,
        Some(port) => serve_apart([listener, port], api(app), options, shutdown).await,
    };
    drop(served);
    if upkeep.await.is_err() {
        tracing::error!("the upkeep panicked: what was counted last may not be written");
    }
    authority.store().close().await;
    outcome
}

/// Serves Sealgate's API at one address and the gateway at another, until `shutdown` is ready.
async fn serve_apart(
    [listener, gateway_listener]: [TcpListener; 2],
    api: Api,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(());
    let asked = || {
        let mut stopped = stopped.clone();
        async move {
            // An error says that the other end is gone, which is an end too.
            let _ = stopped.changed().await;
        }
    };
    let (own, gateway) = api.split();
    let serving_gateway = async {
        match gateway {
            Some(gateway) => serve(gateway_listener, gateway, options.clone(), asked()).await,
            None => Ok(()),
        }
    };
    let serving = async {
        tokio::try_join!(
            serve(listener, own, options.clone(), asked()),
            serving_gateway
        )
    };
    let mut serving = pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended.map(drop),
        () = shutdown => {}
    }
    stop.send_replace(());
    serving.await.map(drop)
}

/// What clients send that is no request: nothing of it is in the log.
fn log_bare_error(error: &BareError) {
    let BareError {
        fault,
        client,
        request_id,
    } = error;
    tracing::debug!(fault = fault.slug(), %client, %request_id, "refused what is no request");
    ::metrics::counter!("sealgate_bare_errors_total", "fault" => fault.slug()).increment(1);
}
