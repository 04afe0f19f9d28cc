//! TLS: versions, protocols, certificates and their renewal.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use sealgate_server::serve::{Fault, ServeOptions, Tls, TlsError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};

use crate::server::{HELLO, Server, assert_envelope, assert_ok, read_to_end};

const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A pair of files that a certificate and its key are written to.
struct Pair {
    folder: TempDir,
}

impl Pair {
    fn with(certified: &CertifiedKey<KeyPair>) -> Self {
        let pair = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        pair.write(
            &certified.cert.pem(),
            &certified.signing_key.serialize_pem(),
        );
        pair
    }

    fn write(&self, cert: &str, key: &str) {
        std::fs::write(self.cert(), cert).unwrap();
        std::fs::write(self.key(), key).unwrap();
    }

    fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(&self.cert(), &self.key())
    }

    async fn serve(&self, cadence: Duration) -> Server {
        Server::start(ServeOptions {
            tls: Some(self.load().unwrap().watched_every(cadence)),
            ..ServeOptions::default()
        })
        .await
    }
}

fn certified() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

/// A connection that trusts one certificate alone.
async fn connect(
    server: &Server,
    trusted: &CertifiedKey<KeyPair>,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let name = "localhost".try_into().unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, server.connect().await)
        .await
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken() {
    let certified = certified();
    let server = Pair::with(&certified).serve(Duration::from_secs(1)).await;
    for (version, name) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let mut stream = connect(&server, &certified, &[version], &["http/1.1"])
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(name));
        stream.write_all(GET).await.unwrap();
        assert_ok(&read_to_end(&mut stream).await, HELLO);
    }
}

#[tokio::test]
async fn older_versions_of_tls_are_refused() {
    const PROTOCOL_VERSION: [u8; 2] = [2, 70];
    let server = Pair::with(&certified()).serve(Duration::from_secs(1)).await;
    for minor in [1, 2] {
        // A client hello (RFC 4346, section 7.4.1.2) with two cipher suites, and the signature
        // algorithm that is looked for before the version.
        let mut hello = vec![22, 3, 1, 0, 57, 1, 0, 0, 53, 3, minor];
        hello.extend([7; 32]);
        hello.extend([
            0, 0, 4, 0xC0, 0x13, 0, 0x2F, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3,
        ]);
        let mut stream = server.connect().await;
        stream.write_all(&hello).await.unwrap();
        let mut alert = [0; 7];
        timeout(Duration::from_secs(5), stream.read_exact(&mut alert))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(alert[0], 21);
        assert_eq!(alert[5..], PROTOCOL_VERSION);
    }
}

#[tokio::test]
async fn malformed_requests_get_their_envelope_over_tls_too() {
    let certified = certified();
    let server = Pair::with(&certified).serve(Duration::from_secs(1)).await;
    let mut stream = connect(&server, &certified, BOTH, &[]).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nx: a\0b\r\n\r\n")
        .await
        .unwrap();
    assert_envelope(&read_to_end(&mut stream).await, 400, "bad_request");
}

#[tokio::test]
async fn plain_http_is_told_to_use_https() {
    let server = Pair::with(&certified()).serve(Duration::from_secs(1)).await;
    let answer = server.send(GET).await;
    assert_envelope(&answer, 400, "bad_request");
    assert!(answer.contains("https://"));
    assert_eq!(server.faults(), [Fault::NotTls]);
}

#[tokio::test]
async fn garbage_on_the_tls_port_is_closed() {
    let server = Pair::with(&certified()).serve(Duration::from_secs(1)).await;
    for garbage in [
        &b"\x16\x03\x01\x00\x05hello"[..],
        b"\x80\xff",
        b"\r\n\r\n\r\n",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new()))
            .await
            .unwrap();
    }
    assert_envelope(&server.send(GET).await, 400, "bad_request");
}

#[tokio::test]
async fn a_client_that_prefers_http_2_gets_it() {
    let certified = certified();
    let server = Pair::with(&certified).serve(Duration::from_secs(1)).await;
    let stream = connect(&server, &certified, BOTH, &["h2", "http/1.1"])
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let get = |header: &str| {
        Request::get("https://localhost/")
            .header("x", header)
            .body(Empty::<bytes::Bytes>::new())
            .unwrap()
    };

    let answer = client.send_request(get("y")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        HELLO
    );

    let answer = client
        .send_request(get(&"y".repeat(20 * 1024)))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let envelope: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(envelope["error"], "headers_too_large");
    assert_eq!(server.faults(), [Fault::HeadTooLarge]);

    // A connection without a request does not hold up the end.
    timeout(Duration::from_secs(5), server.stop())
        .await
        .unwrap()
        .unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_used_within_two_seconds() {
    let (old, new) = (certified(), certified());
    let pair = Pair::with(&old);
    let server = Server::start(ServeOptions {
        tls: Some(pair.load().unwrap()),
        ..ServeOptions::default()
    })
    .await;
    connect(&server, &old, BOTH, &[]).await.unwrap();

    pair.write(&new.cert.pem(), &new.signing_key.serialize_pem());
    let renewed = async {
        while connect(&server, &new, BOTH, &[]).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(2), renewed).await.unwrap();
    connect(&server, &old, BOTH, &[]).await.unwrap_err();
}

#[tokio::test]
async fn a_broken_certificate_leaves_the_old_one_in_use_until_it_is_mended() {
    const CADENCE: Duration = Duration::from_millis(20);
    let (old, new) = (certified(), certified());
    let pair = Pair::with(&old);
    let server = pair.serve(CADENCE).await;

    for (cert, key) in [
        ("garbage", old.signing_key.serialize_pem()),
        (new.cert.pem().as_str(), old.signing_key.serialize_pem()),
        ("", String::new()),
    ] {
        pair.write(cert, &key);
        sleep(CADENCE * 6).await;
        connect(&server, &old, BOTH, &[]).await.unwrap();
    }
    std::fs::remove_file(pair.cert()).unwrap();
    sleep(CADENCE * 6).await;
    connect(&server, &old, BOTH, &[]).await.unwrap();

    pair.write(&new.cert.pem(), &new.signing_key.serialize_pem());
    sleep(CADENCE * 10).await;
    connect(&server, &new, BOTH, &[]).await.unwrap();
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_with_its_file() {
    let (one, other) = (certified(), certified());
    let (cert, key) = (one.cert.pem(), one.signing_key.serialize_pem());
    let pair = Pair::with(&one);
    pair.load().unwrap();

    let failure = |cert: &str, key: &str| {
        pair.write(cert, key);
        pair.load().unwrap_err().to_string()
    };
    assert!(failure(&key, &key).ends_with("cert.pem has no certificate in it (BEGIN CERTIFICATE)"));
    assert!(failure(&cert, &cert).contains("key.pem has no unencrypted private key in it"));
    assert!(failure(&cert.replace("END", "DNE"), &key).contains("cert.pem is not well-formed PEM"));
    let mismatch = failure(&cert, &other.signing_key.serialize_pem());
    assert!(
        mismatch.contains("key.pem does not belong to the certificate in "),
        "{mismatch}"
    );

    let missing = Tls::load(Path::new("/nowhere/cert.pem"), &pair.key()).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("/nowhere/cert.pem cannot be read: No such file")
    );
}
