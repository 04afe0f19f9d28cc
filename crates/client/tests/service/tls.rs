//! Sealgate by TLS, under a certificate of one's own.

use std::path::{Path, PathBuf};

use sealgate_client::{Error, ManagedKey, Sealgate, SealgateOptions, TokenSource};
use sealgate_server::serve::Tls;
use sealgate_token::jwt::Algorithm;

use crate::support::{Home, settings};

/// A certificate that vouches for itself, and its key.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (
        folder.join(format!("{name}.pem")),
        folder.join(format!("{name}.key")),
    );
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (certificate, key)
}

#[tokio::test]
async fn a_key_goes_to_a_server_whose_certificate_is_trusted_and_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (own, own_key) = certificate(folder.path(), "own");
    let (other, _) = certificate(folder.path(), "other");
    let mut home = Home::new();
    home.tls = Some(Tls::load(&own, &own_key).unwrap());
    let server = Box::pin(home.start(settings(Algorithm::EdDsa), 0)).await;
    let key = server.key("api:read").await;
    let url = format!("https://{}", server.address);
    let tokens = |ca_file: &Path| {
        let options = SealgateOptions {
            ca_file: Some(ca_file.to_owned()),
            ..SealgateOptions::default()
        };
        let sealgate = Sealgate::new(&url, &options).unwrap();
        TokenSource::new(sealgate, ManagedKey::new(key.text.as_str()).unwrap())
    };
    tokens(&own).token().await.unwrap();
    let error = tokens(&other).token().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
    assert_eq!(server.wire().count("/api/auth/token"), 1);
}
