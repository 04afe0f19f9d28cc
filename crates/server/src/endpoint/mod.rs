//! Every endpoint, each in a file with all that is its own: the shapes of its request and answer,
//! its description for the OpenAPI document, its handler.
//!
//! - [`token`]: keys exchanged for access tokens, and their renewal; tokens of others looked at and
//!   revoked
//! - [`key`]: administration of managed keys
//! - [`profile`]: the calling key
//! - [`seal_key`]: keys that clients seal sessions with
//! - [`session`]: users log in and out, and see their data
//! - [`user`]: administration of users
//! - [`sealing`]: encrypt and decrypt
//! - [`forward_auth`](mod@forward_auth): for reverse proxies, which ask before they let a request through
//! - [`probe`]: for the operator's monitoring
//! - [`about`]: what Sealgate says of itself: the reference, public keys, what was revoked, the
//!   security contact
//!
//! A route can only be added together with its description: [`routes!`] wants both.

mod about;
mod forward_auth;
mod key;
mod probe;
mod profile;
mod seal_key;
mod sealing;
mod session;
mod token;
mod user;

use std::sync::Arc;

use axum::middleware::from_fn;
use axum::routing::any;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Server;
use crate::layer::{BodyLimit, limit_body};

/// The longest body.
const BODY: BodyLimit = BodyLimit(64 * 1024);
/// The longest body of encrypt and decrypt.
const SEALING_BODY: BodyLimit = BodyLimit(1024 * 1024);

/// The pages and documents that anybody may read, each address so many times a minute.
pub(crate) fn published() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .routes(routes!(about::index::index))
        .routes(routes!(about::reference::reference))
        .routes(routes!(about::openapi::openapi))
        .routes(routes!(about::jwks::jwks))
        .routes(routes!(about::paseto_keys::paseto_keys))
        .routes(routes!(about::security_txt::security_txt))
}

/// The endpoints that anybody may call, as often as they like: they are polled, and cost little.
pub(crate) fn public() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .routes(routes!(about::revocations::revocations))
        .routes(routes!(probe::health::health))
        .routes(routes!(probe::ready::ready))
        .routes(routes!(probe::metrics::metrics))
}

/// The endpoints of users' sessions, and of the keys that seal them. Whoever calls, each handler finds
/// out by what it takes.
pub(crate) fn sessions() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .routes(routes!(seal_key::generate::generate_seal_key))
        .routes(routes!(seal_key::validate::validate_seal_key))
        .routes(routes!(session::login::log_in))
        .routes(routes!(session::login::log_in_shortly))
        .routes(routes!(session::profile::user_profile))
        .route_layer(from_fn(async |request, next| {
            limit_body(BODY, request, next).await
        }))
}

/// The endpoints that take a session token as well as an access token.
pub(crate) fn of_either_token() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .routes(routes!(
            session::logout::log_out,
            session::logout::log_out_by_get
        ))
        .routes(routes!(token::renew::renew_token))
        .route_layer(from_fn(async |request, next| {
            limit_body(BODY, request, next).await
        }))
}

/// What reverse proxies ask, by whatever method, of which the document names two. Nobody reads the body,
/// so that it has no limit.
pub(crate) fn forward_auth() -> OpenApiRouter<Arc<Server>> {
    let (schemas, paths, _) = routes!(forward_auth::verify, forward_auth::verify_by_post);
    OpenApiRouter::new().routes((schemas, paths, any(forward_auth::verify)))
}

/// The endpoints that want a credential. What kind of one, and which permission, each handler says
/// by the [`Authorized`](crate::extract::Authorized) that it takes.
pub(crate) fn guarded() -> OpenApiRouter<Arc<Server>> {
    let auth = OpenApiRouter::new()
        .routes(routes!(token::issue::issue_token))
        .routes(routes!(token::introspect::introspect_token))
        .routes(routes!(token::revoke::revoke_token))
        .routes(routes!(profile::profile))
        .routes(routes!(key::list::list_keys, key::create::create_key))
        .routes(routes!(key::show::show_key, key::update::update_key))
        .routes(routes!(key::revoke::revoke_key))
        .routes(routes!(key::rotate::rotate_key))
        .routes(routes!(key::logs::key_logs))
        .routes(routes!(user::list::list_users, user::create::create_user))
        .routes(routes!(
            user::show::show_user,
            user::update::update_user,
            user::delete::delete_user
        ))
        .routes(routes!(user::password::set_password))
        .routes(routes!(user::logout::log_out_user))
        .route_layer(from_fn(async |request, next| {
            limit_body(BODY, request, next).await
        }));
    let sealing = OpenApiRouter::new()
        .routes(routes!(
            sealing::offer::sealing_offer,
            sealing::encrypt::encrypt
        ))
        .routes(routes!(sealing::decrypt::decrypt))
        .route_layer(from_fn(async |request, next| {
            limit_body(SEALING_BODY, request, next).await
        }));
    auth.merge(sealing)
}
