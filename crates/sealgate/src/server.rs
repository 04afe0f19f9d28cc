//! A server in this process: what it answers, what it does besides, and how both end.

use std::io;
use std::sync::Arc;

use sealgate_core::authority::Authority;
use sealgate_core::policy::PolicyHandle;
use sealgate_server::request_id::RequestIds;
use sealgate_server::serve::{BareError, ServeOptions, Tls, serve};
use sealgate_server::{Api, App, HttpSettings, api, ext_authz, upkeep};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

/// What a server listens on.
pub struct Listeners {
    /// For the HTTP API.
    pub http: TcpListener,
    /// For the gateway, if it has an address of its own.
    pub gateway: Option<TcpListener>,
    /// For Envoy.
    pub ext_authz: Option<TcpListener>,
}

/// The HTTP API alone.
impl From<TcpListener> for Listeners {
    fn from(http: TcpListener) -> Self {
        Self {
            http,
            gateway: None,
            ext_authz: None,
        }
    }
}

/// Serves a started authority until `shutdown` is ready, and closes its store.
///
/// # Errors
/// If a listener is no longer one.
pub async fn run(
    authority: Arc<Authority>,
    listeners: Listeners,
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
    let outcome = serve_all(listeners, api(app), options, shutdown).await;
    drop(served);
    if upkeep.await.is_err() {
        tracing::error!("the upkeep panicked: what was counted last may not be written");
    }
    authority.store().close().await;
    outcome
}

/// Serves on all listeners until `shutdown` is ready, or one of them is no longer one.
async fn serve_all(
    listeners: Listeners,
    api: Api,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(());
    // To drop the sender is to ask for the end.
    let asked_to_stop = || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.changed().await;
        }
    };
    let envoy_options = ServeOptions {
        http2_only: true,
        ..options.clone()
    };
    let for_envoy = async {
        match listeners.ext_authz {
            None => Ok(()),
            Some(listener) => {
                let router = ext_authz::router(&api);
                serve(listener, router, envoy_options, asked_to_stop()).await
            }
        }
    };
    let (own, gateway) = match listeners.gateway {
        None => (api.clone(), None),
        Some(listener) => {
            let (own, gateway) = api.clone().split();
            (own, gateway.map(|gateway| (listener, gateway)))
        }
    };
    let for_gateway = async {
        match gateway {
            None => Ok(()),
            Some((listener, gateway)) => {
                serve(listener, gateway, options.clone(), asked_to_stop()).await
            }
        }
    };
    let for_http = serve(listeners.http, own, options.clone(), asked_to_stop());
    let waiting = async {
        shutdown.await;
        drop(stop);
        Ok(())
    };
    tokio::try_join!(for_http, for_gateway, for_envoy, waiting).map(drop)
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
