//! What does not go through.

use std::time::Duration;

use super::site::Site;
use crate::support::Stopwatch;

with_every_proxy! {
    #[test]
    fn what_is_not_honoured_is_stopped(proxy: &Proxy) {
        let site = Site::start(proxy);
        let reader = site.key("api:read");
        let long = "a".repeat(6_000);
        for request in [
            site.ask("GET"),
            site.ask("GET").api_key("nonsense"),
            site.ask("GET").api_key(&long),
            site.ask("GET").api_key(&reader.api_key).bearer("nonsense"),
            site.ask("GET").api_key(&reader.api_key).api_key("nonsense"),
            site.ask("GET").api_key("nonsense").api_key(&reader.api_key),
            site.ask("OPTIONS"),
        ] {
            let answer = site.stopped(request, 401);
            assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
        }
        for method in ["POST", "PUT", "PROPFIND"] {
            site.stopped(site.ask(method).api_key(&reader.api_key), 403);
        }
        // Not a method that nginx knows.
        let answer = site.ask("get").api_key(&reader.api_key).send();
        assert!([400, 403].contains(&answer.status), "{answer:?}");
        assert!(site.application.take().is_empty());
        site.passed(site.ask("GET").api_key(&reader.api_key));
    }

    #[test]
    fn a_revoked_key_is_stopped_within_a_second(proxy: &Proxy) {
        let site = Site::start(proxy);
        let key = site.key("api:read");
        let ask = || site.ask("GET").api_key(&key.api_key).send().status;
        assert_eq!(ask(), 200);
        site.home.run(&["revoke", "--id", &key.id]).success();
        let stopwatch = Stopwatch::start();
        while ask() != 401 {
            assert!(stopwatch.elapsed() < Duration::from_secs(20), "never stopped");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(stopwatch.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn a_limit_reaches_the_client_and_when_to_come_again(proxy: &Proxy) {
        let site = Site::start(proxy);
        let arguments = ["--name", "limited", "--rate-limit", "1"];
        let key = site.home.create_key(&arguments);
        site.passed(site.ask("GET").api_key(&key.api_key));
        let answer = site.stopped(site.ask("GET").api_key(&key.api_key), 429);
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }

    #[test]
    fn a_key_is_bound_to_the_address_that_the_proxy_tells_whatever_the_client_tells(proxy: &Proxy) {
        let site = Site::start(proxy);
        let bound = |network| {
            let key = site.home.create_key(&["--name", "bound", "--allow-ip", network]);
            let request = site.ask("GET").api_key(&key.api_key);
            let request = request.header("X-Forwarded-For", "203.0.113.9");
            request.header("X-Real-IP", "203.0.113.9")
        };
        let seen = site.passed(bound("127.0.0.1"));
        assert_eq!(seen.values("x-forwarded-for").collect::<Vec<_>>(), ["127.0.0.1"]);
        site.stopped(bound("203.0.113.9"), 401);
    }
}
