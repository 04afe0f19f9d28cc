//! The answers to proxies. What comes of them is in [`crate::proxies`].

use crate::support::{Home, Server};

#[test]
fn an_answer_has_no_body_and_a_head_that_is_too_large_is_an_error_like_any_other() {
    let home = Home::new();
    let server = Server::start(&home);
    let key = home.create_key(&["--name", "client", "--permissions", "api:*"]);
    let verify = |method: &str| server.request(method, "/api/auth/verify");
    for method in ["GET", "PUT", "DELETE", "TRACE", "PROPFIND"] {
        let refused = verify(method).send().expect(401);
        let good = verify(method).header("X-Original-Method", method);
        let passed = good.api_key(&key.api_key).send().expect(200);
        for answer in [refused, passed] {
            assert_eq!(
                (answer.body.as_str(), answer.header("content-length")),
                ("", Some("0"))
            );
            assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
        }
    }
    let long = "a".repeat(20_000);
    let answer = verify("GET").header("X-Original-URI", &long).send();
    assert_eq!(answer.expect(431).json()["error"], "headers_too_large");
}
