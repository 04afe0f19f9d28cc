//! TLS towards Sealgate: whose certificates are trusted. They are always verified.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// TLS 1.3 and 1.2 with a server whose certificate leads to one in `ca_file`, or, without a file, to
/// one that the operating system trusts.
///
/// A file takes the place of the system's certificates, so that whoever names a private authority
/// trusts nobody else.
///
/// # Errors
/// If there is no certificate to trust.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let roots = match ca_file {
        Some(path) => roots_of_file(path)?,
        None => roots_of_the_system()?,
    };
    trusting(roots)
}

/// TLS with nobody, for what needs a configuration and will not use it.
///
/// # Errors
/// If TLS cannot be set up at all.
pub(crate) fn trusting_nobody() -> Result<ClientConfig, String> {
    trusting(RootCertStore::empty())
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate =
            certificate.map_err(|error| format!("{shown} is not well-formed PEM: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("{shown} has a certificate that cannot be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err(format!(
            "{shown} has no certificate in it (BEGIN CERTIFICATE)"
        ));
    }
    Ok(roots)
}

fn roots_of_the_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems carry a certificate that is malformed; the others are good nevertheless.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(
            "the system has no certificates to trust: install the package ca-certificates, or \
             name a ca_file"
                .to_owned(),
        );
    }
    Ok(roots)
}
