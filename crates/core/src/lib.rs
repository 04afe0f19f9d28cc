//! The domain of Sealgate: keys, their life cycle and verification, permissions, audit, and the use
//! cases that the HTTP side and the command line both call. It knows neither HTTP nor SQL.

pub mod audit;
pub mod authority;
pub mod clock;
pub mod error;
pub mod guard;
pub mod identity;
pub mod key;
pub mod keyring;
pub mod master;
pub mod network;
pub mod password;
pub mod permission;
pub mod policy;
pub mod random;
pub mod rate;
pub mod redact;
pub mod request;
pub mod revocation;
pub mod seal_key;
pub mod secret;
pub mod shared_limits;
pub mod store;
pub mod tally;
pub mod user;
pub mod view;
