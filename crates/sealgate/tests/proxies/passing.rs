//! What goes through.

use super::site::{Site, assert_identity};

const PORTAL: &str = "\
[[routes]]
path = \"/portal/*\"
credentials = [\"key\"]
inject = \"X-Portal-User: {subject}\"
";

const COOKIE: &str = "\
[[routes]]
path = \"/portal/*\"
credentials = [\"key\"]
inject = \"Cookie: portal={subject}\"
";

with_every_proxy! {
    #[test]
    fn a_good_key_passes_and_the_application_hears_who_calls(proxy: &Proxy) {
        let site = Site::start(proxy);
        let key = site.key("api:read api:write");
        let id = key.id.as_str();
        for method in ["GET", "HEAD", "POST", "DELETE", "PROPFIND"] {
            let seen = site.passed(site.ask(method).api_key(&key.api_key));
            assert_eq!((seen.method(), seen.path()), (method, "/orders?of=today"));
            assert_identity(&seen, ["production", id, "key", "api:read api:write", id]);
        }
        let exchange = site.server.post("/api/auth/token").api_key(&key.api_key);
        let token = exchange.send().expect(200).json();
        let token = token["token"].as_str().expect("a token");
        let seen = site.passed(site.ask("GET").bearer(token));
        assert_identity(&seen, ["production", id, "token", "api:read api:write", id]);
    }

    #[test]
    fn a_user_who_is_logged_in_passes_with_the_seal_key_of_the_login(proxy: &Proxy) {
        let site = Site::start(proxy);
        let (seal_key, token) = site.log_in();
        let with_key = site.ask("POST").header("x-gomaluum-key", &seal_key);
        let seen = site.passed(with_key.bearer(&token));
        assert_identity(&seen, ["production", "-", "session", "-", "ada"]);
        site.stopped(site.ask("GET").bearer(&token), 401);
    }

    #[test]
    fn a_header_that_a_rule_adds_arrives_in_place_of_the_clients(proxy: &Proxy) {
        let site = Site::start_changed(proxy, PORTAL, proxy.portal_user);
        let key = site.key("api:read");
        for (path, value) in [("/portal/timetable", key.id.as_str()), ("/orders", "-")] {
            let ask = site.ask_for("GET", path).api_key(&key.api_key);
            let ask = ask.header("X-Portal-User", "forged");
            let ask = ask.header("x-portal-user", "forged");
            let seen = site.passed(ask.header("X_Portal_User", "forged"));
            assert_eq!(seen.values("x-portal-user").collect::<Vec<_>>(), [value], "{seen:#?}");
            assert_eq!(seen.values("x_portal_user").next(), None, "{seen:#?}");
        }
    }

    #[test]
    fn a_cookie_that_a_rule_adds_arrives_among_the_clients_others_and_nowhere_else(proxy: &Proxy) {
        let site = Site::start_changed(proxy, COOKIE, proxy.portal_cookie);
        let key = site.key("api:read");
        let seen_cookies = |path: &str, sent: Option<&str>| {
            let ask = site.ask_for("GET", path).api_key(&key.api_key);
            let ask = match sent {
                Some(sent) => ask.header("Cookie", sent),
                None => ask,
            };
            let seen = site.passed(ask);
            seen.values("cookie").collect::<Vec<_>>().join("; ")
        };
        let portal = format!("portal={}", key.id);
        // As much as the proxies take in a header, and more than some take back by default.
        let large = format!("large={}", "x".repeat(7_000));
        for (sent, others) in [
            (Some(&*large), &*large),
            (Some("theme=dark; lang=en"), "theme=dark; lang=en"),
            (Some("theme=dark; portal=forged; lang=en"), "theme=dark; lang=en"),
            (Some("portal=forged"), ""),
            (None, ""),
        ] {
            let all = if others.is_empty() { portal.clone() } else { format!("{others}; {portal}") };
            assert_eq!(seen_cookies("/portal/timetable", sent), all, "{sent:?}");
            let seen = seen_cookies("/orders", sent);
            assert_eq!(seen.trim_matches('-'), others, "{sent:?}");
        }
    }

    #[test]
    fn a_body_arrives_complete_and_what_else_was_sent(proxy: &Proxy) {
        let site = Site::start(proxy);
        let key = site.key("api:write");
        let body = serde_json::Value::from("sealgate ".repeat(50_000));
        let ask = site.ask("POST").api_key(&key.api_key).json(&body);
        let seen = site.passed(ask.header("X-Custom", "yes").header("Cookie", "a=b"));
        assert!(seen.body == body.to_string().into_bytes(), "{}", seen.body.len());
        for (name, value) in [
            ("content-type", "application/json"),
            ("x-custom", "yes"),
            ("cookie", "a=b"),
            ("x-forwarded-for", "127.0.0.1"),
        ] {
            assert_eq!(seen.values(name).collect::<Vec<_>>(), [value], "{name}");
        }
    }

    /// Apache keeps one in each of its 25 threads.
    #[test]
    fn connections_to_sealgate_are_kept(proxy: &Proxy) {
        let site = Site::start(proxy);
        let key = site.key("api:read");
        for _ in 0..60 {
            site.passed(site.ask("GET").api_key(&key.api_key));
        }
        for _ in 0..60 {
            site.stopped(site.ask("GET").api_key("nonsense"), 401);
        }
        let connections = site.tap.connections();
        assert!(connections <= 30, "{connections} connections for 120 questions");
    }
}
