//! A small HTTP server on this machine that answers as a test wants, and remembers what it was
//! asked.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A server, which ends with this value.
pub struct Server {
    pub port: u16,
    seen: Arc<Seen>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

impl Server {
    /// Gives this answer, as its bytes are on the wire, to every request.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(answer.into(), None).await
    }

    /// The same by TLS.
    pub async fn with_tls(answer: &str, certified: &CertifiedKey<KeyPair>) -> Self {
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let chain = vec![certified.cert.der().clone()];
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::Pkcs8(key))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start(answer.into(), Some(acceptor)).await
    }

    async fn start(answer: Vec<u8>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let mut task = JoinSet::new();
        task.spawn(accept(listener, answer.into(), tls, Arc::clone(&seen)));
        Self {
            port,
            seen,
            _task: task,
        }
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The requests so far, heads and bodies.
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }
}

async fn accept(
    listener: TcpListener,
    answer: Arc<[u8]>,
    tls: Option<TlsAcceptor>,
    seen: Arc<Seen>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        seen.connections.fetch_add(1, Ordering::SeqCst);
        let (answer, tls, seen) = (Arc::clone(&answer), tls.clone(), Arc::clone(&seen));
        connections.spawn(async move {
            match tls {
                None => serve(stream, &answer, &seen).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &answer, &seen).await,
                    // A client that does not trust the certificate goes away.
                    Err(_) => None,
                },
            }
        });
    }
}

/// Answers until the client goes away. An empty answer is none: the connection just stays open.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &[u8],
    seen: &Seen,
) -> Option<()> {
    loop {
        let request = read_request(&mut stream).await?;
        seen.requests.lock().unwrap().push(request);
        stream.write_all(answer).await.ok()?;
        stream.flush().await.ok()?;
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !is_complete(&text) {
        let read = stream.read(&mut buffer).await.ok()?;
        if read == 0 {
            return None;
        }
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    Some(text)
}

fn is_complete(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.parse().unwrap());
    body.len() >= length
}

/// An answer with this status, these further header lines and this body.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// A certificate for `127.0.0.1` that nobody has signed, and its file.
pub fn certificate(folder: &Path) -> (CertifiedKey<KeyPair>, std::path::PathBuf) {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let path = folder.join("ca.pem");
    std::fs::write(&path, certified.cert.pem()).unwrap();
    (certified, path)
}
