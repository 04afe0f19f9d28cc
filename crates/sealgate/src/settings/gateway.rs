//! The gateway: a service that Sealgate stands in front of.

use std::net::SocketAddr;
use std::path::PathBuf;

use sealgate_server::UpstreamUrl;
use serde::{Deserialize, Deserializer, de};

use super::within;

/// The service, and how it is spoken with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gateway {
    /// Where the service is; there is no gateway without it.
    #[serde(deserialize_with = "upstream")]
    pub upstream: Option<UpstreamUrl>,
    /// An address at which everything goes to the service.
    pub listen: Option<SocketAddr>,
    /// Whether the service hears of the host that the client asked for.
    pub preserve_host: bool,
    /// How long it may take to connect to the service.
    #[serde(deserialize_with = "within::<1, 60, _>")]
    pub connect_timeout_seconds: u32,
    /// How long the service may take until its answer begins.
    #[serde(deserialize_with = "within::<1, 3600, _>")]
    pub response_timeout_seconds: u32,
    /// Whether the service gets the credential too.
    pub keep_credentials: bool,
    /// Whose certificates are believed, in PEM; those of the system if absent.
    pub ca_file: Option<PathBuf>,
}

impl Gateway {
    /// What no field can tell alone.
    ///
    /// # Errors
    /// Names the settings that do not fit each other.
    pub fn check(&self) -> Result<(), String> {
        if self.listen.is_some() && self.upstream.is_none() {
            return Err("gateway.listen is set and gateway.upstream is not".to_owned());
        }
        Ok(())
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            upstream: None,
            listen: None,
            preserve_host: true,
            connect_timeout_seconds: 5,
            response_timeout_seconds: 30,
            keep_credentials: false,
            ca_file: None,
        }
    }
}

fn upstream<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UpstreamUrl>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(de::Error::custom)
}
