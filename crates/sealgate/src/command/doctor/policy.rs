//! What the operator decided: addresses, TLS, origins, contact, environment.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sealgate_core::clock::Timestamp;
use sealgate_server::serve::Tls;

use super::{Context, Finding, certificate};
use crate::env;
use crate::output::{date_time, relative};
use crate::settings::Settings;
use crate::wiring::now;

/// A certificate that is good for less than this should have been renewed by now, in days.
const RENEWED: i64 = 14;

/// Looks at the settings.
pub fn examine(context: &Context) -> Vec<Finding> {
    let settings = &context.settings;
    let mut findings = vec![
        address(settings),
        tls(settings),
        origins(settings),
        environment(settings),
        contact(settings),
    ];
    findings.extend(
        settings
            .ext_authz
            .listen
            .map(|listen| ext_authz(listen, settings)),
    );
    findings.extend(
        settings
            .gateway
            .listen
            .map(|listen| gateway(listen, settings)),
    );
    findings.extend(env::unknown().into_iter().map(|name| {
        let message = format!("nothing reads {name}: its name is mistyped, or it can be removed");
        Finding::warn("environment", message)
    }));
    findings
}

fn address(settings: &Settings) -> Finding {
    const CHECK: &str = "address";
    let listen = settings.server.listen;
    if listen.ip().to_canonical().is_loopback() || settings.tls.cert.is_some() {
        return Finding::ok(CHECK, listen.to_string());
    }
    Finding::warn(
        CHECK,
        format!(
            "{listen} can be reached from other machines, and without TLS keys travel in the clear: \
             set tls.cert and tls.key, or listen on 127.0.0.1 behind a proxy that speaks TLS"
        ),
    )
}

fn ext_authz(listen: SocketAddr, settings: &Settings) -> Finding {
    const CHECK: &str = "ext_authz";
    if listen.ip().to_canonical().is_loopback() || settings.tls.cert.is_some() {
        return Finding::ok(CHECK, listen.to_string());
    }
    Finding::warn(
        CHECK,
        format!(
            "{listen} can be reached from other machines, and without TLS the keys of Envoy's clients \
             travel in the clear: set tls.cert and tls.key, or listen on 127.0.0.1"
        ),
    )
}

fn gateway(listen: SocketAddr, settings: &Settings) -> Finding {
    const CHECK: &str = "gateway";
    if listen.ip().to_canonical().is_loopback() || settings.tls.cert.is_some() {
        return Finding::ok(CHECK, listen.to_string());
    }
    Finding::warn(
        CHECK,
        format!(
            "{listen} can be reached from other machines, and without TLS keys and what the service \
             answers travel in the clear: set tls.cert and tls.key, or listen on 127.0.0.1"
        ),
    )
}

fn tls(settings: &Settings) -> Finding {
    const CHECK: &str = "TLS";
    let (Some(cert), Some(key)) = (&settings.tls.cert, &settings.tls.key) else {
        return Finding::ok(CHECK, "not spoken by Sealgate itself");
    };
    if let Err(error) = Tls::load(cert, key) {
        return Finding::fail(CHECK, error.to_string());
    }
    if fs::metadata(key).is_ok_and(|metadata| metadata.mode() & 0o077 != 0) {
        let key = key.display();
        return Finding::warn(
            CHECK,
            format!("{key} is open to other accounts: chmod 600 {key}"),
        );
    }
    match certificate::expiry(cert) {
        Some(at) => certificate_expiry(cert, at, now()),
        None => Finding::warn(
            CHECK,
            format!("it cannot be told when {} expires", cert.display()),
        ),
    }
}

fn certificate_expiry(cert: &Path, at: Timestamp, now: Timestamp) -> Finding {
    const CHECK: &str = "TLS";
    let (cert, day, when) = (cert.display(), date_time(at), relative(at, now));
    if at <= now {
        Finding::fail(CHECK, format!("{cert} expired on {day} ({when}): renew it"))
    } else if at <= now.plus_days(RENEWED) {
        Finding::warn(CHECK, format!("{cert} expires on {day} ({when}): renew it"))
    } else {
        Finding::ok(CHECK, format!("{cert}, good until {day} ({when})"))
    }
}

fn origins(settings: &Settings) -> Finding {
    const CHECK: &str = "CORS";
    let origins = &settings.server.cors_origins;
    if origins.iter().any(|origin| origin == "*") {
        return Finding::warn(
            CHECK,
            "every web page may call the API: name those that should in server.cors_origins",
        );
    }
    Finding::ok(
        CHECK,
        match origins.as_slice() {
            [] => "no other web page may call the API".to_owned(),
            origins => origins.join(", "),
        },
    )
}

fn environment(settings: &Settings) -> Finding {
    let environment = settings.server.environment;
    Finding::ok(
        "environment",
        format!("{environment}: keys of any other are refused"),
    )
}

fn contact(settings: &Settings) -> Finding {
    const CHECK: &str = "contact";
    match settings.security.contact.as_slice() {
        [] => Finding::warn(
            CHECK,
            "whoever finds a vulnerability here cannot tell whom to write to: set security.contact",
        ),
        contact => Finding::ok(CHECK, contact.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_certificate_fails_once_it_has_expired_and_warns_before() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let level = |days| certificate_expiry(Path::new("c.pem"), now.plus_days(days), now).level;
        assert_eq!(level(30), Level::Ok);
        assert_eq!(level(13), Level::Warn);
        assert_eq!(level(0), Level::Fail);
        assert_eq!(level(-1), Level::Fail);
    }
}
