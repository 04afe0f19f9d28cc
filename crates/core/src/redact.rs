//! Text from outside made fit for a log line or an audit record: bounded, without control
//! characters, and without anything that looks like a credential.

use std::fmt::Write as _;

use uuid::Uuid;

/// Longest text kept of what a client sent, in characters.
pub const MAX_CHARACTERS: usize = 256;

/// Runs of this many letters and digits are taken for a secret (a managed key's random part has 41).
const SECRET_RUN: usize = 32;

const MASK: &str = "[redacted]";

/// What may be written down of `text`: control characters escaped, look-alikes of secrets masked.
#[must_use]
pub fn redact(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len().min(MAX_CHARACTERS));
    let mut rest = text;
    let mut left = MAX_CHARACTERS;
    while !rest.is_empty() {
        if left == 0 {
            out.push('…');
            break;
        }
        let run = rest.find(|c| !is_token_character(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(run);
        if let (true, Some(c)) = (word.is_empty(), rest.chars().next()) {
            escape(c, &mut out);
            rest = &rest[c.len_utf8()..];
            left -= 1;
        } else if looks_secret(word) {
            out.push_str(MASK);
            rest = after;
            left = left.saturating_sub(MASK.len());
        } else {
            let shown = word.len().min(left);
            out.push_str(&word[..shown]);
            rest = &rest[shown..];
            left -= shown;
        }
    }
    out
}

/// Whether `text` is too short for a secret, and has no character that is not written as it is.
fn is_plain(text: &str) -> bool {
    text.len() < SECRET_RUN && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether `text` holds something that looks like a credential.
#[must_use]
pub fn holds_secret(text: &str) -> bool {
    text.split(|c| !is_token_character(c)).any(looks_secret)
}

const fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// The names and the public halves of signing keys (PASERK), which everybody may know.
fn is_public_key(word: &str) -> bool {
    let bodies = [("k4.pid.", 44), ("k4.public.", 43)];
    bodies.iter().any(|(start, length)| {
        word.strip_prefix(start)
            .is_some_and(|body| body.len() == *length && !body.contains('.'))
    })
}

/// A whole word is secret if one of its dotted parts is, or if it begins like a token.
fn looks_secret(word: &str) -> bool {
    if is_public_key(word) {
        return false;
    }
    let begins_like_token = ["eyJ", "v4.local.", "v4.public.", "sg1."];
    begins_like_token
        .iter()
        .any(|start| word.starts_with(start))
        && word.len() >= SECRET_RUN
        || word.split('.').any(part_looks_secret)
}

/// A part of base64url, base62 or hexadecimal too long and too mixed to be a name.
fn part_looks_secret(word: &str) -> bool {
    if word.len() < SECRET_RUN || Uuid::try_parse(word).is_ok_and(|_| word.len() == 36) {
        return false;
    }
    let solid = |c: char| c.is_ascii_alphanumeric();
    let longest = word.split(|c| !solid(c)).map(str::len).max().unwrap_or(0);
    let mixed = word.bytes().any(|b| b.is_ascii_uppercase())
        && word.bytes().any(|b| b.is_ascii_lowercase())
        && word.bytes().any(|b| b.is_ascii_digit());
    longest >= SECRET_RUN || mixed
}

fn escape(c: char, out: &mut String) {
    // Bidirectional overrides and line separators can forge a log line as well as a newline can.
    let forging = matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}');
    if c.is_control() || forging {
        let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
    } else {
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_every_form_are_masked() {
        for secret in [
            "TcE8hG4L.UVZuhD7EF5C7VdXbvtNF2p7QrJZJKTm1Lza0FH2i3",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJzZWFsZ2F0ZSIsInN1YiI6Im5vYm9keSJ9.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg",
            "gml_1703123456_a1b2c3d4e5f6789012345678901234567890abcd",
            "a1b2c3d4e5f6789012345678901234567890abcd",
            "v4.public.eyJhdWQiOiJnb21hbHV1bSIsImlhdCI6IjIwMjQtMDEtMDFUMDA6MDA6MDBaIn0",
        ] {
            for text in [
                secret.to_owned(),
                format!("/a/{secret}?x=1"),
                format!("UA/1.0 ({secret})"),
            ] {
                let shown = redact(&text);
                let body = secret.rsplit(['.', '_']).next().unwrap();
                assert!(shown.contains(MASK), "{shown}");
                assert!(!shown.contains(&body[..16]), "{shown}");
                assert!(holds_secret(&text));
            }
        }
    }

    #[test]
    fn plain_text_and_identifiers_stay_as_they_are() {
        for text in [
            "Production API Key",
            "/api/auth/keys/550e8400-e29b-41d4-a716-446655440000/revoke",
            "curl/8.5.0",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
            "a-very-long-slug-of-an-article-about-nothing-at-all",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn the_name_of_a_signing_key_is_shown_and_its_secret_is_not() {
        let (id, body) = (
            "k4.pid.9ShR3xc8-qVJ_di0tc9nx0IDIqbatdeM2mqLFBJsKRHs",
            "Aa1-".repeat(11),
        );
        let public = format!("k4.public.{}", &body[..43]);
        for shown in [id, public.as_str()] {
            assert_eq!(redact(shown), shown);
        }
        for secret in [
            format!("k4.secret.{body}{body}"),
            format!("k4.local.{}", &body[..43]),
            format!("k4.pid.{body}{body}"),
            format!("k4.public.{body}.{body}"),
        ] {
            assert!(!redact(&secret).contains(&body[..20]), "{secret}");
        }
    }

    #[test]
    fn control_characters_are_escaped_and_length_is_bounded() {
        assert_eq!(
            redact("a\nb\u{1b}[31m\0\u{202e}"),
            "a\\u{a}b\\u{1b}[31m\\u{0}\\u{202e}"
        );
        for long in ["x y ".repeat(1000), "word-".repeat(1000), "é".repeat(1000)] {
            let shown = redact(&long);
            assert_eq!(shown.chars().count(), MAX_CHARACTERS + 1, "{shown}");
            assert!(shown.ends_with('…'), "{shown}");
        }
    }
}
