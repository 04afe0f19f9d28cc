//! When Sealgate is not there, or something else is in its place.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use super::application::Application;
use super::proxy::{Proxy, Running};
use super::site::{IDENTITY, Site, serve};
use crate::support::Request;

/// Sealgate never leaves the identity out, so this is not it.
pub const YES_TO_NOBODY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

with_every_proxy! {
    #[test]
    fn nothing_passes_without_sealgate_and_all_is_well_when_it_is_back(proxy: &Proxy) {
        let mut site = Site::start(proxy);
        let key = site.key("api:read");
        site.passed(site.ask("GET").api_key(&key.api_key));
        // It listens elsewhere, and is not asked yet.
        let next = serve(&site.home);
        std::mem::replace(&mut site.server, next).stop();
        for _ in 0..2 {
            let answer = site.ask("GET").api_key(&key.api_key).send();
            assert!((500..=503).contains(&answer.status), "{answer:?}");
        }
        assert!(site.application.take().is_empty());
        site.tap.turn_to(site.server.address());
        for _ in 0..30 {
            site.passed(site.ask("GET").api_key(&key.api_key));
        }
    }

    #[test]
    fn nothing_passes_at_the_word_of_something_else(proxy: &Proxy) {
        for answer in [
            "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno",
            "HTTP/1.1 two hundred\r\n\r\n",
            "\u{15}\u{3}\u{1}",
            "",
        ] {
            let seen = seen_after(proxy, answer);
            assert!(seen.is_empty(), "{answer:?}: {seen:?}");
        }
    }

    #[test]
    fn an_answer_without_an_identity_does_not_leave_that_of_the_client(proxy: &Proxy) {
        let seen = seen_after(proxy, YES_TO_NOBODY);
        assert!(!seen.contains("forged"), "{seen}");
    }
}

/// What the application sees when all questions are answered in this way.
pub fn seen_after(proxy: &Proxy, answer: &'static str) -> String {
    let application = Application::start();
    let impostor = start_impostor(answer);
    let running = Running::start(proxy, &[], impostor, application.address());
    let ask = Request::new(running.address(), "GET", "/");
    let ask = IDENTITY.iter().fold(ask, |ask, name| {
        ask.header(&format!("X-Auth-{name}"), "forged")
    });
    ask.send();
    let seen = application.take();
    if seen.is_empty() {
        String::new()
    } else {
        format!("{seen:#?}")
    }
}

/// Answers everything in one way, and hangs up.
fn start_impostor(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // A question is short, and comes at once. Who has gone away needs no answer.
            let _ = stream.read(&mut [0; 16_384]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}
