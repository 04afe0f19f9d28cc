//! When a certificate expires: the one field of X.509 (RFC 5280 section 4.1) that is of interest here.

use std::path::Path;

use sealgate_core::clock::Timestamp;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// Tags of DER (ITU-T X.690).
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When the first certificate of a PEM file expires.
pub fn expiry(path: &Path) -> Option<Timestamp> {
    let certificate = CertificateDer::from_pem_file(path).ok()?;
    not_after(&certificate)
}

fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let mut certificate = Der(Der(certificate).take(SEQUENCE)?);
    let mut fields = Der(certificate.take(SEQUENCE)?);
    if fields.0.first() == Some(&VERSION) {
        fields.take(VERSION)?;
    }
    let _serial_number = fields.take(INTEGER)?;
    let _signature = fields.take(SEQUENCE)?;
    let _issuer = fields.take(SEQUENCE)?;
    let mut validity = Der(fields.take(SEQUENCE)?);
    let _not_before = validity.next()?;
    match validity.next()? {
        (UTC_TIME, text) => {
            let text = std::str::from_utf8(text).ok()?;
            // RFC 5280 section 4.1.2.5.1: two digits from 50 on are of the last century.
            let century = if text >= "50" { "19" } else { "20" };
            time(&format!("{century}{text}"))
        }
        (GENERALIZED_TIME, text) => time(std::str::from_utf8(text).ok()?),
        _ => None,
    }
}

/// Reads `YYYYMMDDHHMMSSZ`.
fn time(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (date, clock) = digits.split_at(8);
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    let (hour, minute, second) = (&clock[..2], &clock[2..4], &clock[4..]);
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// Values one after another.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The contents of the next value, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .and_then(|(found, contents)| (found == tag).then_some(contents))
    }

    /// The next value's tag and contents.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match usize::from(first) {
            length @ ..0x80 => (length, rest),
            long => {
                let (digits, rest) = rest.split_at_checked(long - 0x80)?;
                let digits = digits.iter().try_fold(0_usize, |length, digit| {
                    Some(length.checked_mul(256)? | usize::from(*digit))
                });
                (digits?, rest)
            }
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, contents))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> rcgen::Certificate {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 31);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap()
    }

    #[test]
    fn the_expiry_is_found_in_either_form_of_time() {
        for year in [2031, 2049, 2051] {
            let expected = Timestamp::parse(&format!("{year}-01-31T00:00:00Z"));
            assert_eq!(not_after(certificate(year).der()), expected);
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_expiry() {
        let whole = certificate(2031);
        let whole = whole.der();
        for length in 0..whole.len().min(120) {
            assert_eq!(not_after(&whole[..length]), None);
        }
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(
            not_after(&[0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            None
        );
    }
}
