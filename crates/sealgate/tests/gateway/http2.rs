//! HTTP/2 down to its frames: requests that a decent client would not send.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Site;
use super::secured::certificate;
use super::service::{PATIENCE, Service, header};
use crate::support::Home;

/// Types of frames, and their flags (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A site that speaks TLS.
struct Secured {
    site: Site,
    config: Arc<ClientConfig>,
}

impl Secured {
    fn start() -> Self {
        let files = Home::new();
        let [cert, key] = certificate(&files);
        let site = Site::with(Service::echo(), |command| {
            command.arg("--tls-cert").arg(&cert);
            command.arg("--tls-key").arg(&key);
        });
        Self {
            site,
            config: config(&cert),
        }
    }

    fn authority(&self) -> String {
        format!("localhost:{}", self.site.address().port())
    }

    /// Sends a request with the key on a new connection, in the order given; gives the status of the
    /// answer, or nothing if the request is no answer worth.
    fn ask(&self, headers: &[(&str, &str)], body: &[u8]) -> Option<u16> {
        let stream = TcpStream::connect(self.site.address()).expect("a connection");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time limit");
        let name = "localhost".try_into().expect("a name");
        let tls = ClientConnection::new(Arc::clone(&self.config), name).expect("a client");
        let mut stream = StreamOwned::new(tls, stream);

        let key = ("x-api-key", self.site.key.api_key.as_str());
        let mut block = Vec::new();
        for (name, value) in headers.iter().chain([&key]) {
            write_header(&mut block, name, value);
        }
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        write_frame(&mut bytes, SETTINGS, 0, 0, &[]);
        write_frame(&mut bytes, HEADERS, END_HEADERS, 1, &block);
        write_frame(&mut bytes, DATA, END_STREAM, 1, body);
        stream.write_all(&bytes).expect("it is open");
        loop {
            match read_frame(&mut stream) {
                (HEADERS, payload) => return Some(status(&payload)),
                (RST_STREAM | GOAWAY, _) => return None,
                _ => {}
            }
        }
    }
}

fn config(cert: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let cert = CertificateDer::from_pem_file(cert).expect("a certificate");
    roots.add(cert).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("they are known")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// A header as it is (RFC 7541 section 6.2.2).
fn write_header(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        let length = u8::try_from(text.len()).expect("it is short");
        assert!(length < 127, "{text} is short");
        block.push(length);
        block.extend(text.as_bytes());
    }
}

fn write_frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("it is short");
    bytes.extend(&length.to_be_bytes()[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
}

fn read_frame(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> (u8, Vec<u8>) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).expect("an answer");
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).expect("a frame");
    (head[3], payload)
}

/// The status, which comes first (RFC 7541 appendix A).
fn status(block: &[u8]) -> u16 {
    match block.first() {
        Some(0x88) => 200,
        Some(0x8c) => 400,
        first => panic!("neither 200 nor 400: {first:?}"),
    }
}

#[test]
fn two_lengths_or_hosts_are_refused_over_http_2() {
    let secured = Secured::start();
    let authority = secured.authority();
    let ask = |more: &[(&str, &str)]| {
        let start = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", &*authority),
            (":path", "/first"),
        ];
        secured.ask(&[&start, more].concat(), b"body")
    };
    for good in [
        &[][..],
        &[("content-length", "4")],
        &[("host", &*authority), ("content-length", "4")],
    ] {
        assert_eq!(ask(good), Some(200), "{good:?}");
        let head = secured.site.service.head();
        assert!(head.starts_with("POST /first "), "{head}");
        assert_eq!(header(&head, "host"), Some(&*authority));
    }
    for ambiguous in [
        &[("content-length", "4"), ("content-length", "4")][..],
        &[("host", "other")],
        &[("host", &*authority), ("host", "other")],
    ] {
        assert_eq!(ask(ambiguous), Some(400), "{ambiguous:?}");
    }
    for malformed in [
        &[("content-length", "4"), ("content-length", "40")][..],
        &[("content-length", "40"), ("content-length", "4")],
        &[("content-length", "4, 4")],
        &[("content-length", "+4")],
        &[("transfer-encoding", "chunked")],
        &[("connection", "content-length")],
        &[("x", "a\r\ncontent-length: 40")],
    ] {
        assert_ne!(ask(malformed), Some(200), "{malformed:?}");
    }
    let heads = secured.site.service.heads();
    assert!(heads.is_empty(), "{heads:?}");
}

#[test]
fn a_body_over_http_2_that_is_longer_than_it_says_never_becomes_a_request() {
    let secured = Secured::start();
    let authority = secured.authority();
    let key = &secured.site.key.api_key;
    let hidden = format!("GET /second HTTP/1.1\r\nHost: app\r\nX-API-Key: {key}\r\n\r\n");
    for length in ["0", "1"] {
        let headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", &*authority),
            (":path", "/first"),
            ("content-length", length),
        ];
        let status = secured.ask(&headers, hidden.as_bytes());
        assert_ne!(status, Some(200), "{length}");
    }
    let heads = secured.site.service.heads();
    let is_first = |head: &String| head.starts_with("POST /first ");
    assert!(heads.iter().all(is_first), "{heads:?}");
}

#[test]
fn what_is_no_path_does_not_arrive_over_http_2() {
    let secured = Secured::start();
    let authority = secured.authority();
    for path in [
        "",
        "*",
        "first",
        "http://other/first",
        "/first HTTP/1.1\r\nx: y",
        "/fir\0st",
        "/fir st",
    ] {
        let headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", &*authority),
            (":path", path),
        ];
        assert_ne!(secured.ask(&headers, b""), Some(200), "{path:?}");
    }
    let heads = secured.site.service.heads();
    assert!(heads.is_empty(), "{heads:?}");
}
