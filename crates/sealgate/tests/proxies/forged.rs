//! What a client makes up.

use super::application::Seen;
use super::site::{IDENTITY, Site, assert_identity};
use crate::support::Request;

/// The identity of an administrator, in each spelling that some application server takes for it.
fn with_forged_identity(request: Request) -> Request {
    IDENTITY.iter().fold(request, |request, name| {
        let name = format!("x-auth-{name}");
        let spellings = [
            name.to_ascii_uppercase(),
            name.clone(),
            name.clone(),
            name.replace('-', "_"),
            name.replacen('-', "_", 1),
            name.replace('-', "."),
            name.to_ascii_uppercase().replace('-', "_"),
        ];
        let add = |request: Request, name: &String| request.header(name, "forged");
        spellings.iter().fold(request, add)
    })
}

/// What the application is asked to upgrade to.
fn upgrades(seen: &Seen) -> Vec<String> {
    let mut connection = seen.values("connection");
    if !connection.any(|value| value.to_ascii_lowercase().contains("upgrade")) {
        return Vec::new();
    }
    seen.values("upgrade")
        .map(str::to_ascii_lowercase)
        .collect()
}

with_every_proxy! {
    #[test]
    fn what_a_client_forges_never_arrives(proxy: &Proxy) {
        let site = Site::start(proxy);
        let reader = site.key("api:read");
        let (id, key) = (reader.id.as_str(), reader.api_key.as_str());
        let seen = site.passed(with_forged_identity(site.ask("GET")).api_key(key));
        assert_identity(&seen, ["production", id, "key", "api:read", id]);
        let forged = seen.headers.iter().any(|(_, value)| value.contains("forged"));
        assert!(!forged, "{seen:#?}");
        site.stopped(with_forged_identity(site.ask("GET")), 401);
        site.stopped(with_forged_identity(site.ask("POST")).api_key(key), 403);
    }

    #[test]
    fn what_a_client_says_of_its_method_and_path_does_not_count(proxy: &Proxy) {
        let site = Site::start(proxy);
        let reader = site.key("api:read");
        let forged = |method: &str| {
            let request = site.ask(method).api_key(&reader.api_key);
            request
                .header("X-Forwarded-Method", "GET")
                .header("X-Original-Method", "GET")
                .header("x-original-method", "GET")
                .header("X_Original_Method", "GET")
                .header("X-Forwarded-Uri", "/forged")
                .header("X-Original-URI", "/forged")
                .header("X-HTTP-Method-Override", "GET")
        };
        site.stopped(forged("POST"), 403);
        site.tap.told(["", ""]);
        let seen = site.passed(forged("GET"));
        assert_eq!(seen.path(), "/orders?of=today");
        let told = site.tap.told(["x-original-uri", "x-forwarded-uri"]);
        assert_eq!(told, ["/orders?of=today"]);
    }

    /// The next server ignores what `Connection` names (RFC 9110 section 7.6.1).
    #[test]
    fn a_client_cannot_have_the_headers_of_the_proxy_ignored(proxy: &Proxy) {
        let site = Site::start(proxy);
        let reader = site.key("api:read");
        let id = reader.id.as_str();
        let named = "close, X-Auth-Kind, X-Auth-Key-Id, X-Auth-Subject, X-Auth-Permissions, \
            X-Auth-Environment, X-Forwarded-Method, X-Forwarded-Uri, X-Original-Method, \
            X-Original-URI, X-Forwarded-For";
        let ask = |method: &str| {
            let request = site.ask(method).api_key(&reader.api_key);
            with_forged_identity(request).header("Connection", named)
        };
        let seen = site.passed(ask("GET"));
        assert_identity(&seen, ["production", id, "key", "api:read", id]);
        let mut connection = seen.values("connection");
        assert!(connection.all(|value| !value.contains("X-")), "{seen:#?}");
        assert_eq!(seen.values("x-forwarded-for").collect::<Vec<_>>(), ["127.0.0.1"]);
        let told = site.tap.told(["x-original-method", "x-forwarded-method"]);
        assert_eq!(told.last().map(String::as_str), Some("GET"));
        site.stopped(ask("POST"), 403);
    }

    /// What follows another upgrade, such as one to HTTP/2, is requests, which nobody would check.
    #[test]
    fn an_upgrade_is_to_a_websocket_or_to_nothing(proxy: &Proxy) {
        let site = Site::start(proxy);
        let key = site.key("api:read").api_key;
        let upgrades_after = |protocols: &[&str]| {
            let request = site.ask("GET").api_key(&key).header("Connection", "Upgrade, X-Auth-Kind");
            let request = request.header("Sec-WebSocket-Version", "13");
            let request = request.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
            let add = |request: Request, protocol: &&str| request.header("Upgrade", protocol);
            let seen = site.passed(protocols.iter().fold(request, add));
            assert_eq!(seen.values("x-auth-kind").collect::<Vec<_>>(), ["key"]);
            upgrades(&seen)
        };
        let taken: &[&str] = if proxy.websockets { &["websocket"] } else { &[] };
        assert_eq!(upgrades_after(&["websocket"]), taken);
        assert_eq!(upgrades_after(&["h2c"]), [""; 0]);
        let both = upgrades_after(&["h2c", "websocket"]);
        assert!(both.iter().all(|protocol| protocol == "websocket"), "{both:?}");
    }
}
