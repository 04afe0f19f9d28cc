//! `GET /.well-known/security.txt`: where to report vulnerabilities (RFC 9116).

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use http::HeaderName;
use http::header::CONTENT_TYPE;

use crate::app::{HttpSettings, Server};
use crate::error::Problem;
use crate::openapi::{Absent, Always, Limited};

/// Tell where to report vulnerabilities
///
/// In the form of RFC 9116. 404 as long as the operator has set no contact.
#[utoipa::path(
    get,
    path = "/.well-known/security.txt",
    tag = "About",
    responses(
        (
            status = 200,
            description = "The contacts, best first",
            body = String,
            content_type = "text/plain",
            example = "Contact: mailto:security@example.com\nExpires: 2027-01-01T00:00:00Z\n",
        ),
        Absent,
        Limited,
        Always,
    ),
)]
pub(crate) async fn security_txt(
    State(server): State<Arc<Server>>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let text = write(&server.http).ok_or(Problem::NotFound("path"))?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text))
}

fn write(settings: &HttpSettings) -> Option<String> {
    if settings.security_contact.is_empty() {
        return None;
    }
    let mut text = String::new();
    for contact in &settings.security_contact {
        // A line break in the setting would start a field of its own.
        let contact = contact.split(char::is_control).next().unwrap_or_default();
        let _ = writeln!(text, "Contact: {contact}");
    }
    let _ = writeln!(text, "Expires: {}", settings.security_expires);
    Some(text)
}

#[cfg(test)]
mod tests {
    use sealgate_core::clock::Timestamp;

    use super::*;

    #[test]
    fn contacts_come_in_their_order_and_with_an_expiry() {
        let settings = HttpSettings {
            security_contact: vec!["mailto:a@example.com".into(), "tel:+1-555-123-4567".into()],
            security_expires: Timestamp::parse("2027-01-01T00:00:00Z").unwrap(),
            ..HttpSettings::default()
        };
        assert_eq!(
            write(&settings).unwrap(),
            "Contact: mailto:a@example.com\nContact: tel:+1-555-123-4567\n\
             Expires: 2027-01-01T00:00:00Z\n"
        );
        assert_eq!(write(&HttpSettings::default()), None);
    }
}
