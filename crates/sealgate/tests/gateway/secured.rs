//! TLS on either side of the gateway.

use std::path::PathBuf;
use std::process::Command;

use super::Site;
use super::service::{Service, header};
use crate::support::{Home, Server};

/// A certificate for `localhost` and its key, in files.
pub(super) fn certificate(home: &Home) -> [PathBuf; 2] {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
    let cert = home.write("cert.pem", &certified.cert.pem());
    let key = home.write("key.pem", &certified.signing_key.serialize_pem());
    [cert, key]
}

#[test]
fn clients_of_http_2_reach_a_service_that_speaks_http_1() {
    let files = Home::new();
    let [cert, tls_key] = certificate(&files);
    let site = Site::with(Service::echo(), |command| {
        command.arg("--tls-cert").arg(&cert);
        command.arg("--tls-key").arg(&tls_key);
    });
    let url = format!("https://localhost:{}/orders?a=b", site.address().port());
    let output = Command::new("curl")
        .args(["--silent", "--http2", "--data", "two=2", "--cacert"])
        .arg(&cert)
        .args(["--header", "Cookie: a=1", "--header", "X_Auth_Kind: forged"])
        .args(["--header", &format!("X-API-Key: {}", site.key.api_key)])
        .args(["--write-out", "\n%{http_version}", &url])
        .output()
        .expect("curl runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert!(printed.ends_with("\r\n\r\ntwo=2\n2"), "{printed}");
    let head = site.service.head();
    assert!(head.starts_with("POST /orders?a=b HTTP/1.1\r\n"), "{head}");
    let host = format!("localhost:{}", site.address().port());
    assert_eq!(header(&head, "host"), Some(&*host));
    assert_eq!(header(&head, "x-forwarded-host"), Some(&*host));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("https"));
    assert_eq!(header(&head, "via"), Some("2.0 sealgate"));
    assert_eq!(header(&head, "x-auth-kind"), Some("key"));
    assert!(!head.contains("forged"), "{head}");
}

#[test]
fn trailers_of_an_answer_reach_clients_of_http_2_alone() {
    let files = Home::new();
    let [cert, tls_key] = certificate(&files);
    let service = Service::start(|connection, _| {
        connection.write(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
              2\r\nok\r\n0\r\nx-sum: 5\r\n\r\n",
        )
    });
    let site = Site::with(service, |command| {
        command.arg("--tls-cert").arg(&cert);
        command.arg("--tls-key").arg(&tls_key);
    });
    let url = format!("https://localhost:{}/", site.address().port());
    for (version, arrives) in [("--http2", true), ("--http1.1", false)] {
        let output = Command::new("curl")
            .args(["--silent", "--include", version, "--cacert"])
            .arg(&cert)
            .args(["--header", "TE: trailers"])
            .args(["--header", &format!("X-API-Key: {}", site.key.api_key)])
            .arg(&url)
            .output()
            .expect("curl runs");
        let printed = String::from_utf8(output.stdout).expect("text");
        assert!(printed.contains("\r\n\r\nok"), "{printed}");
        assert_eq!(printed.contains("x-sum: 5"), arrives, "{printed}");
    }
}

#[test]
fn a_service_that_speaks_tls_is_believed_by_its_certificate_alone() {
    let behind = Home::new();
    let [cert, tls_key] = certificate(&behind);
    // Sealgate answers as well as any other service.
    let service = Server::start_with(&behind, |command| {
        command.arg("--tls-cert").arg(&cert);
        command.arg("--tls-key").arg(&tls_key);
    });
    let url = format!("https://localhost:{}", service.address().port());
    for (ca_file, status) in [(Some(&cert), 404), (None, 502)] {
        let home = Home::new();
        let key = home.create_key(&["--name", "client", "--permissions", "api:read"]);
        let server = Server::start_with(&home, |command| {
            command.args(["--protect", &url]);
            if let Some(ca_file) = ca_file {
                command.env("SEALGATE_GATEWAY_CA_FILE", ca_file);
            }
        });
        let answer = server.get("/orders").api_key(&key.api_key).send();
        assert_eq!(answer.status, status, "{answer:?}");
    }
}
