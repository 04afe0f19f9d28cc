//! TLS: a certificate from files, and its renewal without a restart.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

/// A certificate to speak TLS with, and the files it comes from.
///
/// TLS 1.3 and 1.2, with HTTP/2 and HTTP/1.1 by ALPN.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: Files,
    /// How often the files are looked at.
    cadence: Duration,
    config: RwLock<Arc<ServerConfig>>,
    /// What the files were when they were last read.
    loaded: Traces,
}

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("{} is not well-formed PEM: {source}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A file has no certificate in it.
    #[error("{} has no certificate in it (BEGIN CERTIFICATE)", .0.display())]
    NoCertificate(PathBuf),
    /// A file has no private key in it.
    #[error("{} has no unencrypted private key in it (BEGIN PRIVATE KEY)", .0.display())]
    NoKey(PathBuf),
    /// The key belongs to another certificate.
    #[error("the key in {} does not belong to the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate or the key is of no use for TLS.
    #[error("{} and {} cannot be used for TLS: {source}", cert.display(), key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

impl Tls {
    /// Loads a chain of certificates, the server's own first, and its private key, both in PEM.
    ///
    /// # Errors
    /// If a file cannot be read, does not hold what it should, or the two do not belong together.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files {
            cert: cert.to_owned(),
            key: key.to_owned(),
        };
        let loaded = files.traces();
        let config = RwLock::new(files.load()?);
        Ok(Self(Arc::new(Shared {
            files,
            cadence: Duration::from_secs(1),
            config,
            loaded,
        })))
    }

    /// The same, with its files looked at so often; once a second otherwise.
    #[must_use]
    pub fn watched_every(self, cadence: Duration) -> Self {
        Self(Arc::new(Shared {
            files: self.0.files.clone(),
            cadence,
            config: RwLock::new(self.config()),
            loaded: self.0.loaded,
        }))
    }

    /// Takes up a new certificate whenever the files change.
    ///
    /// Two files do not change at the same moment. So a pair that cannot be used is an error only
    /// once it has stayed the same from one look to the next; the old certificate serves on.
    pub(super) async fn keep_fresh(self) -> Infallible {
        let mut looks = interval(self.0.cadence);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Watch {
            settled: self.0.loaded,
            failed: None,
        };
        loop {
            looks.tick().await;
            let tls = self.clone();
            // Files can be on a slow disk. That a look panics is as good as that it found nothing.
            watch = tokio::task::spawn_blocking(move || tls.look(watch))
                .await
                .unwrap_or(watch);
        }
    }

    /// Looks at the files once.
    fn look(&self, watch: Watch) -> Watch {
        let traces = self.0.files.traces();
        if traces == watch.settled {
            return watch;
        }
        match self.0.files.load() {
            Ok(config) => {
                *self
                    .0
                    .config
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = config;
                tracing::info!(cert = %self.0.files.cert.display(), "the TLS certificate was renewed");
            }
            Err(_) if watch.failed != Some(traces) => {
                return Watch {
                    failed: Some(traces),
                    ..watch
                };
            }
            Err(error) => {
                tracing::error!(%error, "the new TLS certificate cannot be used, the old one serves on");
            }
        }
        Watch {
            settled: traces,
            failed: None,
        }
    }

    fn config(&self) -> Arc<ServerConfig> {
        let config = self.0.config.read();
        Arc::clone(&config.unwrap_or_else(PoisonError::into_inner))
    }

    /// Finds out what a client speaks, and does its handshake.
    pub(super) async fn greet(&self, stream: TcpStream) -> io::Result<Greeting> {
        let mut first = [0];
        stream.peek(&mut first).await?;
        // TLS begins with a record's type, 22; HTTP/1 with the letters of a method.
        if first[0].is_ascii_uppercase() {
            return Ok(Greeting::Plain(stream));
        }
        let stream = TlsAcceptor::from(self.config()).accept(stream).await?;
        Ok(match stream.get_ref().1.alpn_protocol() {
            Some(HTTP_2) => Greeting::Http2(Box::new(stream)),
            _ => Greeting::Http1(Box::new(stream)),
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("cert", &self.0.files.cert)
            .field("key", &self.0.files.key)
            .finish_non_exhaustive()
    }
}

/// What a client turned out to speak.
pub(super) enum Greeting {
    /// HTTP/1 in TLS.
    Http1(Box<TlsStream<TcpStream>>),
    /// HTTP/2 in TLS.
    Http2(Box<TlsStream<TcpStream>>),
    /// HTTP without TLS.
    Plain(TcpStream),
}

/// The names of the protocols in ALPN (RFC 9113, section 3.1; RFC 7301, section 6).
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// Where a certificate and its key are.
#[derive(Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let (chain, key) = (self.chain()?, self.private_key()?);
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&TLS13, &TLS12])
                .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
                .map_err(|source| self.unusable(source))?;
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        Ok(Arc::new(config))
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let path = &self.cert;
        let chain = CertificateDer::pem_slice_iter(&read(path)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| not_pem(path, source))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(path.clone()));
        }
        Ok(chain)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let path = &self.key;
        // The bytes of a private key do not outlive their use.
        let text = Zeroizing::new(read(path)?);
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey(path.clone()),
            source => not_pem(path, source),
        })
    }

    fn unusable(&self, source: rustls::Error) -> TlsError {
        let (cert, key) = (self.cert.clone(), self.key.clone());
        match source {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { cert, key },
            source => TlsError::Unusable { cert, key, source },
        }
    }

    fn traces(&self) -> Traces {
        [Trace::of(&self.cert), Trace::of(&self.key)]
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn not_pem(path: &Path, source: pem::Error) -> TlsError {
    TlsError::NotPem {
        path: path.to_owned(),
        source,
    }
}

/// What is known of the files from one look to the next.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Watch {
    /// What they were when something was last made of them.
    settled: Traces,
    /// What they were when they could not be used.
    failed: Option<Traces>,
}

/// By what a change of the two files is told.
type Traces = [Option<Trace>; 2];

/// By what a change of a file is told, also where another one takes its place.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Trace {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Trace {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;

    use super::*;

    #[test]
    fn a_pair_that_stays_broken_is_settled_at_the_second_look() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
        let certified = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&cert, certified.cert.pem()).unwrap();
        std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
        let tls = Tls::load(&cert, &key).unwrap();
        let config = tls.config();
        let start = Watch {
            settled: tls.0.loaded,
            failed: None,
        };
        assert!(tls.look(start) == start);

        // Half a renewal may just not be over yet.
        std::fs::write(&cert, "garbage").unwrap();
        let first = tls.look(start);
        assert!(first.settled == start.settled && first.failed.is_some());
        let second = tls.look(first);
        assert!(second.settled != start.settled && second.failed.is_none());
        assert!(tls.look(second) == second);
        assert!(Arc::ptr_eq(&tls.config(), &config));

        std::fs::write(&cert, certified.cert.pem()).unwrap();
        let mended = tls.look(second);
        assert!(mended.settled != second.settled && mended.failed.is_none());
        assert!(!Arc::ptr_eq(&tls.config(), &config));
    }
}
