//! What handlers take: input that was parsed and callers that were checked, or a
//! [`Problem`](crate::error::Problem).

mod authorized;
mod credential;
mod fault;
mod form;
mod json;
mod key_reference;
mod original;
mod payload;
mod query;
mod session;
mod user_name;

pub(crate) use self::authorized::{
    Admin, AnyCredential, Authorized, Introspect, KeyAlone, Read, TokenAlone, Write,
};
pub(crate) use self::credential::{API_KEY, Presented, Unreadable, is_session_token};
pub(crate) use self::form::StrictForm;
pub(crate) use self::json::StrictJson;
pub(crate) use self::key_reference::KeyReference;
pub use self::original::OriginalHeaders;
pub(crate) use self::original::OriginalRequest;
pub(crate) use self::query::StrictQuery;
pub(crate) use self::session::{
    EitherToken, PresentedSession, SealKeyHeader, SealingClient, seal_key_of,
};
pub(crate) use self::user_name::UserName;
