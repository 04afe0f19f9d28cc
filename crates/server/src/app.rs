//! What the router is made of: [`App`], filled in by the binary, and [`Server`], the state that
//! handlers share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use ipnet::IpNet;
use sealgate_core::authority::Authority;
use sealgate_core::clock::Timestamp;
use sealgate_core::policy::PolicyHandle;
use utoipa::openapi::OpenApi;

use crate::extract::OriginalHeaders;
use crate::gate::{Gate, IdentityHeaders, Meter, forward_auth};
use crate::gateway::Gateway;
use crate::request_id::RequestIds;
use crate::route::Routes;

/// Everything the HTTP side needs.
#[derive(Clone, Debug)]
pub struct App {
    /// The use cases.
    pub authority: Arc<Authority>,
    /// What the operator decided about HTTP.
    pub http: HttpSettings,
    /// Where identifiers of requests come from.
    pub request_ids: RequestIds,
    /// What decides about requests to somebody else's API; it can be replaced at any time.
    pub policy: PolicyHandle,
}

/// What the operator decided about HTTP.
#[derive(Clone)]
pub struct HttpSettings {
    /// Origins whose pages may call the API; `*` for all, none for no CORS headers at all.
    pub cors_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where to report vulnerabilities, best first: `mailto:`, `tel:` or `https:` (RFC 9116).
    pub security_contact: Vec<String>,
    /// Until when [`Self::security_contact`] holds.
    pub security_expires: Timestamp,
    /// How long a request may take, its body included.
    pub request_timeout: Duration,
    /// Whether clients arrive by TLS, so that browsers are told to insist on it.
    pub tls: bool,
    /// The header that seal keys come in.
    pub seal_key_header: HeaderName,
    /// What a session that was sealed with another key is answered with: 500 or 401.
    pub wrong_key_status: StatusCode,
    /// The headers in which those behind a proxy hear who calls.
    pub identity_headers: IdentityHeaders,
    /// In which headers proxies that ask tell of the client's request.
    pub original_headers: OriginalHeaders,
    /// The service that this server is a gateway to.
    pub gateway: Option<Gateway>,
    /// Writes the metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            security_contact: Vec::new(),
            security_expires: Timestamp::from_millis(0),
            request_timeout: Duration::from_secs(30),
            tls: false,
            seal_key_header: HeaderName::from_static("x-gomaluum-key"),
            wrong_key_status: StatusCode::INTERNAL_SERVER_ERROR,
            identity_headers: IdentityHeaders::default(),
            original_headers: OriginalHeaders::default(),
            gateway: None,
            metrics: Arc::new(String::new),
        }
    }
}

impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings")
            .field("cors_origins", &self.cors_origins)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("security_contact", &self.security_contact)
            .field("security_expires", &self.security_expires)
            .field("request_timeout", &self.request_timeout)
            .field("tls", &self.tls)
            .field("seal_key_header", &self.seal_key_header)
            .field("wrong_key_status", &self.wrong_key_status)
            .field("identity_headers", &self.identity_headers)
            .field("original_headers", &self.original_headers)
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

/// The state behind every handler and layer: the [`App`], and what was prepared from it once.
pub(crate) struct Server {
    pub authority: Arc<Authority>,
    pub http: HttpSettings,
    pub request_ids: RequestIds,
    /// The names of all routes.
    pub routes: Routes,
    /// The OpenAPI document, as it is sent.
    pub document: Bytes,
    /// What decides about requests to somebody else's API.
    pub gate: Gate,
    /// Of questions whether a request may go through.
    pub verify_meter: Meter,
    /// The headers of an answer that it may.
    pub passing: HeaderMap,
}

impl Server {
    /// Prepares what handlers share.
    pub fn new(app: App, document: &OpenApi) -> Self {
        let document_text = serde_json::to_vec(document);
        let authority = Arc::clone(&app.authority);
        let gate = Gate::new(authority, app.request_ids.clone(), app.policy, &app.http);
        Self {
            gate,
            verify_meter: Meter::new(forward_auth::PATH),
            passing: forward_auth::passing_headers(&app.http.identity_headers),
            authority: app.authority,
            http: app.http,
            request_ids: app.request_ids,
            routes: Routes::of(document),
            document: document_text
                .expect("a document made of texts is JSON")
                .into(),
        }
    }
}
