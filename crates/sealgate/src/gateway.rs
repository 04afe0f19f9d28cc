//! The gateway to a service, as the settings have it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sealgate_server::{Gateway, GatewaySettings, UpstreamUrl};

use crate::exit::{Failure, Outcome};
use crate::settings;

/// The gateway that the settings name, if they name one.
///
/// # Errors
/// If there is no certificate to trust.
pub fn of(settings: &settings::Gateway) -> Outcome<Option<Gateway>> {
    let Some(upstream) = settings.upstream.clone() else {
        return Ok(None);
    };
    let tls = if upstream.is_https() {
        sealgate_identity::client_config(settings.ca_file.as_deref())
    } else {
        sealgate_identity::trusting_nobody()
    };
    let tls = tls.map_err(|why| {
        Failure::new(format!("gateway.upstream: {why}"))
            .with_hint("gateway.ca_file names a file with the certificates to believe, in PEM")
    })?;
    Ok(Some(Gateway::new(GatewaySettings {
        upstream,
        preserve_host: settings.preserve_host,
        connect_timeout: Duration::from_secs(settings.connect_timeout_seconds.into()),
        response_timeout: Duration::from_secs(settings.response_timeout_seconds.into()),
        keep_credentials: settings.keep_credentials,
        tls,
    })))
}

/// Refuses a service that is this server itself: a request that needs no credential would go round
/// without end.
///
/// # Errors
/// If the service is where the server listens.
pub fn check_not_itself(upstream: &UpstreamUrl, listens: &[SocketAddr]) -> Outcome {
    let host = upstream.host();
    let named: Option<IpAddr> = host.parse().ok();
    let is_here = |address: &SocketAddr| {
        let is_host = match named {
            Some(named) => {
                let is_local = named.is_loopback() || named.is_unspecified();
                named == address.ip() || (address.ip().is_unspecified() && is_local)
            }
            None => host.eq_ignore_ascii_case("localhost"),
        };
        is_host && address.port() == upstream.port()
    };
    if listens.iter().any(is_here) {
        return Err(
            Failure::new(format!("{upstream} is this server itself")).with_hint(
                "--protect takes the address of the service, and --listen that of the server",
            ),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_does_not_protect_itself() {
        for (upstream, listen, is_itself) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("http://localhost:8080", "127.0.0.1:8080", true),
            ("http://127.0.0.1:8080", "0.0.0.0:8080", true),
            ("http://[::1]:8080", "[::]:8080", true),
            ("http://127.0.0.1:3000", "127.0.0.1:8080", false),
            ("http://10.0.0.7:8080", "0.0.0.0:8080", false),
            ("http://app:8080", "0.0.0.0:8080", false),
        ] {
            let listens = [listen.parse().unwrap()];
            let checked = check_not_itself(&upstream.parse().unwrap(), &listens);
            assert_eq!(checked.is_err(), is_itself, "{upstream} {listen}");
        }
    }
}
