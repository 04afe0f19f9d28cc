//! Owns the quick way to read claims: as the fixed text with gaps that [`Claims::to_json`] writes.
//!
//! Every request that carries a token reads one, and this takes a quarter of a JSON parser's time.
//! It only ever says yes: what does not match the template to the byte goes to the parser, which
//! takes it all the same or knows the reason to refuse it. Whatever matches here means the same there.
//!
//! [`Claims::to_json`]: super::Claims::to_json

use uuid::fmt::Hyphenated;

use super::{CanonicalUuid, MAX_UNIX_SECONDS, Members, UnixSeconds, is_escape_or_control};
use crate::jwt::scan::has;

/// Reads claims that are written exactly as they are issued.
pub(super) fn read(json: &str) -> Option<Members<'_>> {
    if has(json, is_escape_or_control) {
        return None;
    }
    let mut rest = Rest(json);
    let iss = rest.skip(r#"{"iss":""#)?.text()?;
    let sub = rest.skip(r#"","sub":""#)?.uuid()?;
    rest.skip(r#"","kid":""#)?.skip(sub)?;
    let prefix = rest.skip(r#"","prefix":""#)?.text()?;
    let permissions = rest.skip(r#"","permissions":""#)?.text()?;
    let is_admin = rest.skip(r#"","is_admin":"#)?.boolean()?;
    let iat = rest.skip(r#","iat":"#)?.seconds()?;
    let exp = rest.skip(r#","exp":"#)?.seconds()?;
    let auth_time = rest.skip(r#","auth_time":"#)?.seconds()?;
    let jti = rest.skip(r#","jti":""#)?.uuid()?;
    if rest.0 != r#""}"# {
        return None;
    }
    let key_id = CanonicalUuid::parse(sub)?;
    Some(Members {
        iss: Some(iss),
        sub: Some(key_id),
        kid: Some(key_id),
        prefix: Some(prefix),
        permissions: Some(permissions),
        is_admin: Some(is_admin),
        iat: Some(iat),
        exp: Some(exp),
        auth_time: Some(auth_time),
        jti: Some(CanonicalUuid::parse(jti)?),
    })
}

/// How many digits the latest time has. A longer number is cut, and then misses its comma.
const LONGEST_SECONDS: usize = MAX_UNIX_SECONDS.ilog10() as usize + 1;

/// What is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, expected: &str) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(self)
    }

    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A string, up to its closing quote.
    fn text(&mut self) -> Option<&'a str> {
        let length = self.0.bytes().position(|byte| byte == b'"')?;
        self.take(length)
    }

    /// As many characters as a UUID has.
    fn uuid(&mut self) -> Option<&'a str> {
        self.take(Hyphenated::LENGTH)
    }

    fn boolean(&mut self) -> Option<bool> {
        let is_true = self.0.starts_with("true");
        self.skip(if is_true { "true" } else { "false" })?;
        Some(is_true)
    }

    /// A number in plain digits, without a leading zero.
    fn seconds(&mut self) -> Option<UnixSeconds> {
        let digits = self
            .0
            .bytes()
            .take(LONGEST_SECONDS)
            .take_while(u8::is_ascii_digit);
        let (length, seconds) = digits.fold((0, 0), |(length, seconds), digit| {
            (length + 1, seconds * 10 + i64::from(digit - b'0'))
        });
        let digits = self.take(length)?;
        let plain = digits == "0" || !digits.starts_with('0');
        (length > 0 && plain && seconds <= MAX_UNIX_SECONDS).then_some(UnixSeconds(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::claims;
    use super::super::{ClaimSet, Members};
    use super::read;
    use crate::jwt::object;

    fn written() -> String {
        String::from_utf8(claims().to_json().unwrap()).unwrap()
    }

    fn by_template(json: &str) -> Option<ClaimSet> {
        read(json).and_then(|members| members.complete().ok())
    }

    fn by_parser(json: &str) -> Option<ClaimSet> {
        object::read::<Members<'_>>(json)
            .and_then(Members::complete)
            .ok()
    }

    #[test]
    fn the_template_is_what_is_written() {
        let json = written();
        assert!(by_template(&json).is_some());
        assert!(by_template(&json) == by_parser(&json));
    }

    /// The template may only ever say what the parser would: here on every change of one byte, and
    /// at every cut.
    #[test]
    fn what_the_template_takes_the_parser_takes_alike() {
        let json = written();
        for place in 0..json.len() {
            assert!(by_template(&json[..place]).is_none());
            for byte in 0..=127 {
                let mut other = json.clone().into_bytes();
                other[place] = byte;
                let other = String::from_utf8(other).unwrap();
                let claims = by_template(&other);
                assert!(claims.is_none() || claims == by_parser(&other), "{other}");
            }
        }
    }

    #[test]
    fn times_that_no_number_spells_so_are_left_to_the_parser() {
        for time in [
            "",
            "01",
            "00",
            "-1",
            "+1",
            "1e3",
            "1.0",
            "253402300800",
            "2534023007990",
        ] {
            let json = written().replace("1790003600", time);
            assert!(read(&json).is_none(), "{time}");
        }
        for time in ["0", "1", "253402300799"] {
            let json = written().replace("1790003600", time);
            assert!(
                by_template(&json) == by_parser(&json) && read(&json).is_some(),
                "{time}"
            );
        }
    }
}
