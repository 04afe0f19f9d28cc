//! The paths of requests: their segments, and every way in which a server could read one.
//!
//! Servers do not agree on what `/a/%2e%2e%2fb`, `/a//b`, `/a;x/b` or `/a\b` mean, and an attacker
//! picks the spelling that a rule and the service behind it read differently. So a path that could be
//! read in several ways is read in all of them.

use std::borrow::Cow;

/// Most ways of reading one path that are looked at. What has more was made to have them.
const MAX_READINGS: usize = 32;
/// Longest path that is looked at if it could be read in several ways, in bytes: all readings of it
/// together cost no more than a request does otherwise.
const MAX_UNSURE: usize = 2_048;
/// Segments that are held without an allocation.
const FEW: usize = 24;

/// A slash that is data within a segment. In UTF-8 this byte does not occur, so that no rule names it.
const SLASH_AS_DATA: u8 = 0xFF;

/// Whether all servers read a path in the same way: no escapes, no empty segments, no `.` and `..`, and
/// nothing that some take for the end of a segment or of the path.
pub(super) fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return false;
    }
    let mut after_slash = false;
    for (at, byte) in bytes.iter().enumerate() {
        if SUSPECT[usize::from(*byte)] {
            let is_plain = match byte {
                b'/' => !after_slash,
                b'.' => !(after_slash && is_dot_segment(&bytes[at..])),
                _ => false,
            };
            if !is_plain {
                return false;
            }
        }
        after_slash = *byte == b'/';
    }
    true
}

/// What has to be looked at twice.
const SUSPECT: [bool; 256] = {
    let mut suspect = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        suspect[byte as usize] =
            byte <= b' ' || matches!(byte, b'/' | b'.' | b'%' | b';' | b'\\' | b'#' | b'?' | 0x7F);
        byte += 1;
    }
    suspect
};

/// Whether what begins here is the segment `.` or `..`.
fn is_dot_segment(rest: &[u8]) -> bool {
    matches!(
        rest,
        [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..]
    )
}

/// The segments of a path, the one after a last slash left out.
pub(super) struct Segments<'a> {
    few: [&'a [u8]; FEW],
    many: Vec<&'a [u8]>,
    count: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn of(path: &'a [u8]) -> Self {
        let mut segments = Self {
            few: [&[]; FEW],
            many: Vec::new(),
            count: 0,
        };
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if !path.is_empty() {
            for segment in path.split(|byte| *byte == b'/') {
                segments.push(segment);
            }
        }
        segments
    }

    fn push(&mut self, segment: &'a [u8]) {
        if self.count < FEW {
            self.few[self.count] = segment;
        } else {
            if self.many.is_empty() {
                self.many.extend(self.few);
            }
            self.many.push(segment);
        }
        self.count += 1;
    }

    pub(super) fn as_slice(&self) -> &[&'a [u8]] {
        if self.count <= FEW {
            &self.few[..self.count]
        } else {
            &self.many
        }
    }
}

/// One way of reading a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Decoded, but for slashes that are data within a segment.
    text: Vec<u8>,
}

impl Reading {
    pub(super) fn segments(&self) -> Segments<'_> {
        Segments::of(&self.text)
    }

    /// For people: what could mislead on a terminal is escaped.
    pub(super) fn show(&self) -> String {
        let mut shown = String::new();
        for chunk in self.text.utf8_chunks() {
            shown.extend(chunk.valid().chars().flat_map(char::escape_debug));
            shown.extend(chunk.invalid().iter().map(|byte| match *byte {
                SLASH_AS_DATA => "%2F".to_owned(),
                byte => format!("%{byte:02X}"),
            }));
        }
        // One that was left encoded is the same as one that was decoded and is data.
        shown.replace("%2f", "%2F")
    }
}

/// Every way in which a path could be read, the one of RFC 3986 without any repair first; nothing if it
/// is no path of a URI at all, or could be read in more ways than anybody needs.
///
/// A server does some of the [`STEPS`], each any number of times, in an order of its own. So all that
/// can be reached by them is looked at.
pub(super) fn readings(path: &str) -> Option<Vec<Reading>> {
    if !is_path(path) || path.len() > MAX_UNSURE {
        return None;
    }
    let mut states = vec![State {
        text: path.as_bytes().to_vec(),
        is_decoded: false,
    }];
    let mut next = 0;
    while let Some(state) = states.get(next).cloned() {
        next += 1;
        for (step, decodes) in STEPS {
            if let Cow::Owned(text) = step(&state.text) {
                let made = State {
                    text,
                    is_decoded: state.is_decoded || *decodes,
                };
                if !states.contains(&made) {
                    states.push(made);
                }
            }
        }
        if states.len() > MAX_READINGS {
            return None;
        }
    }
    let mut readings = Vec::new();
    for state in states {
        let as_segments = Reading {
            text: decode(&state.text, Some(SLASH_AS_DATA)).into_owned(),
        };
        let as_it_is = state.is_decoded.then_some(Reading { text: state.text });
        for reading in [Some(as_segments), as_it_is].into_iter().flatten() {
            if !readings.contains(&reading) {
                readings.push(reading);
            }
        }
    }
    Some(readings)
}

/// Whether it begins like one, has no characters that a URI never has, and no `%` that begins no escape
/// (RFC 3986 section 2.1): what a server makes of those, nobody can tell.
fn is_path(path: &str) -> bool {
    let mut rest = path.as_bytes();
    if rest.first() != Some(&b'/') {
        return false;
    }
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' && escaped(after).is_none() || *byte <= b' ' || *byte == 0x7F {
            return false;
        }
    }
    true
}

/// A path on its way through a server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    text: Vec<u8>,
    /// Whether escapes were decoded: those that are there now may be meant as they are.
    is_decoded: bool,
}

/// Something that a server may do to a path, owned if it changes anything.
type Step = for<'a> fn(&'a [u8]) -> Cow<'a, [u8]>;

/// What servers do, and whether it decodes all escapes.
const STEPS: &[(Step, bool)] = &[
    (|path| decode(path, Some(b'/')), true),
    (|path| decode(path, None), true),
    (decode_dots, false),
    (merge_slashes, false),
    (resolve_dots, false),
    (strip_parameters, false),
    (turn_backslashes, false),
    (cut, false),
    (drop_controls, false),
    (decode_overlong, true),
];

/// Decodes every escape, with that of the slash as `slash`, or not at all.
fn decode(path: &[u8], slash: Option<u8>) -> Cow<'_, [u8]> {
    if !path.contains(&b'%') {
        return Cow::Borrowed(path);
    }
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        let value = escaped(after).filter(|_| *byte == b'%');
        match (value, slash) {
            (Some(b'/'), None) => out.extend_from_slice(&rest[..3]),
            (Some(b'/'), Some(slash)) => out.push(slash),
            (Some(value), _) => out.push(value),
            (None, _) => out.push(*byte),
        }
        rest = if value.is_some() { &after[2..] } else { after };
    }
    changed(path, out)
}

/// Decodes the escape of the dot alone, which RFC 3986 section 2.3 makes the same as a dot.
fn decode_dots(path: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        let is_dot = *byte == b'%' && escaped(after) == Some(b'.');
        out.push(if is_dot { b'.' } else { *byte });
        rest = if is_dot { &after[2..] } else { after };
    }
    changed(path, out)
}

/// The value of the two digits that come first.
fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low, ..] = digits else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

fn merge_slashes(path: &[u8]) -> Cow<'_, [u8]> {
    let mut out = path.to_vec();
    out.dedup_by(|one, other| (*one, *other) == (b'/', b'/'));
    changed(path, out)
}

/// RFC 3986 section 5.2.4.
fn resolve_dots(path: &[u8]) -> Cow<'_, [u8]> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).collect();
    let last = segments.len().saturating_sub(1);
    for (at, segment) in segments.into_iter().enumerate() {
        match segment {
            b"." => {}
            b".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if at == last {
            kept.push(b"");
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for segment in kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    changed(path, out)
}

/// Takes `;…` off each segment: to some servers those are parameters, not part of the name.
fn strip_parameters(path: &[u8]) -> Cow<'_, [u8]> {
    let mut is_within = false;
    let kept = path.iter().copied().filter(|byte| {
        is_within = match byte {
            b'/' => false,
            b';' => true,
            _ => is_within,
        };
        !is_within
    });
    changed(path, kept.collect())
}

fn turn_backslashes(path: &[u8]) -> Cow<'_, [u8]> {
    let turned = path.iter().map(|byte| match byte {
        b'\\' => b'/',
        other => *other,
    });
    changed(path, turned.collect())
}

/// Ends the path where a text of C ends, and where query and fragment begin.
fn cut(path: &[u8]) -> Cow<'_, [u8]> {
    let end = path.iter().position(|byte| matches!(byte, 0 | b'?' | b'#'));
    match end {
        Some(end) => Cow::Owned(path[..end].to_vec()),
        None => Cow::Borrowed(path),
    }
}

/// Leaves out what some take for nothing.
fn drop_controls(path: &[u8]) -> Cow<'_, [u8]> {
    let kept = path.iter().copied();
    let kept = kept.filter(|byte| !matches!(byte, 0 | b'\t' | b'\n' | b'\r'));
    changed(path, kept.collect())
}

/// Makes ASCII of what is written in more bytes than UTF-8 allows, as careless decoders do.
fn decode_overlong(path: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        let (value, length) = match rest {
            [high @ 0xC0..=0xC1, low @ 0x80..=0xBF, ..] => ((high & 1) << 6 | low & 0x3F, 2),
            [0xE0, high @ 0x80..=0x81, low @ 0x80..=0xBF, ..] => ((high & 1) << 6 | low & 0x3F, 3),
            [0xF0, 0x80, high @ 0x80..=0x81, low @ 0x80..=0xBF, ..] => {
                ((high & 1) << 6 | low & 0x3F, 4)
            }
            _ => {
                out.push(*byte);
                rest = after;
                continue;
            }
        };
        out.push(value);
        rest = &rest[length..];
    }
    changed(path, out)
}

fn changed(before: &[u8], after: Vec<u8>) -> Cow<'_, [u8]> {
    if before == after {
        Cow::Borrowed(before)
    } else {
        Cow::Owned(after)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(path: &str) -> Vec<String> {
        let readings = readings(path).unwrap();
        readings.iter().map(Reading::show).collect()
    }

    #[test]
    fn a_path_without_anything_special_is_plain() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b.c",
            "/.well-known/x",
            "/a/...",
            "/ö",
            "/a/..b",
        ] {
            assert!(is_plain(path), "{path}");
        }
        for path in [
            "", "a", "*", "//", "/a//b", "/a/.", "/./a", "/..", "/a/../b", "/a%20b", "/a;b",
            "/a\\b", "/a#b", "/a?b", "/a b", "/a\u{7f}",
        ] {
            assert!(!is_plain(path), "{path}");
        }
    }

    #[test]
    fn a_path_is_read_in_every_way() {
        for (path, ways) in [
            ("/a%20b", &["/a b"][..]),
            ("/a%2Fb", &["/a%2Fb", "/a/b"]),
            ("/a/%2e%2e/b", &["/a/../b", "/b"]),
            ("/a//b", &["/a//b", "/a/b"]),
            ("/a/..", &["/a/..", "/"]),
            ("/a;x=1/b", &["/a;x=1/b", "/a/b"]),
            ("/a\\b", &["/a\\\\b", "/a/b"]),
            ("/a%5Cb", &["/a\\\\b", "/a/b"]),
            ("/%2561", &["/%61", "/a"]),
            ("/100%25", &["/100%"]),
            ("/a%00.png", &["/a\\0.png", "/a"]),
            ("/a%3Fb", &["/a?b", "/a"]),
            ("/%c0%af", &["/%C0%AF", "//", "/"]),
            ("/a%0Ab", &["/a\\nb", "/ab"]),
            ("/%C3%B6", &["/ö"]),
            ("/%E9", &["/%E9"]),
        ] {
            let readings = shown(path);
            for way in ways {
                assert!(readings.iter().any(|it| it == way), "{path}: {readings:?}");
            }
            assert_eq!(readings[0], ways[0], "{path}: {readings:?}");
        }
    }

    #[test]
    fn steps_are_taken_in_any_order() {
        for (path, way) in [
            ("/a/..;/b", "/b"),
            ("/a/%2e%2e;x/b", "/b"),
            ("/a%252f..%252fb", "/b"),
            ("/a\\..%5Cb", "/b"),
            ("/a/%c0%ae%c0%ae/b", "/b"),
            ("/a//../b", "/b"),
            ("/a//../b", "/a/b"),
            ("/a/.%00./b", "/a/."),
        ] {
            assert!(
                shown(path).iter().any(|it| it == way),
                "{path}: {:?}",
                shown(path)
            );
        }
    }

    #[test]
    fn what_is_no_path_or_was_made_to_be_unclear_is_not_read_at_all() {
        let long = format!("/{}%20", "a".repeat(MAX_UNSURE));
        let deep = format!("/%{}41", "25".repeat(MAX_READINGS));
        for path in [
            "a",
            "",
            "*",
            "http://a/b",
            "/%",
            "/%4",
            "/%zz",
            "/%u002e",
            "/a b",
            "/a\tb",
            &long,
            &deep,
            "/a//..;b\\..%2f%2e%252e%00%5c%c0%ae%3b/./c",
        ] {
            assert_eq!(readings(path), None, "{path}");
        }
    }

    #[test]
    fn many_segments_are_kept_as_well_as_few() {
        for count in [0, 1, FEW - 1, FEW, FEW + 1, 3 * FEW] {
            let path = format!("/{}", "a/".repeat(count));
            assert_eq!(Segments::of(path.as_bytes()).as_slice(), vec![b"a"; count]);
        }
    }

    proptest! {
        #[test]
        fn a_plain_path_has_one_reading(path in "/([a-c./ö]|\\.){0,12}") {
            if is_plain(&path) {
                prop_assert_eq!(readings(&path).unwrap(), vec![Reading { text: path.into_bytes() }]);
            }
        }

        #[test]
        fn whatever_is_sent_is_read_or_refused(path in "/(%[0-9a-fA-F]{2}|[ab./;\\\\]|\\PC|%){0,40}") {
            if let Some(readings) = readings(&path) {
                prop_assert!(!readings.is_empty() && readings.len() <= 2 * MAX_READINGS);
            }
        }
    }
}
