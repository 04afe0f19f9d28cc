//! A rule's path, such as `/orders/{id}` or `/files/*`, and which paths fit it.

/// Longest path of a rule, in bytes.
pub const MAX_PATTERN: usize = 1_024;

/// The path of a rule.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// As it is written.
    text: Box<str>,
    segments: Box<[Segment]>,
    /// Whether it ends in `*`: what is below fits too.
    is_open: bool,
}

#[derive(Clone, Debug)]
enum Segment {
    /// This text.
    Literal(Box<[u8]>),
    /// `{name}`: any one.
    Any,
}

/// How well something fits a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It does not.
    No,
    /// It would if upper and lower case were the same, which they are to many servers.
    ButForCase,
    /// It does.
    Exactly,
}

impl Pattern {
    /// Reads a path of a rule.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATTERN {
            return Err(format!(
                "its {} bytes are more than {MAX_PATTERN}, the most it may have",
                text.len()
            ));
        }
        let wrong = |what: &str| format!("`{}` {what}", text.escape_debug());
        let Some(rest) = text.strip_prefix('/') else {
            return Err(wrong("is not a path: write one that begins with `/`"));
        };
        check_characters(text).map_err(|what| wrong(&what))?;
        let mut segments: Vec<&str> = rest.split('/').collect();
        // The one after a last slash, which makes no difference.
        segments.pop_if(|last| last.is_empty());
        let is_open = segments.pop_if(|last| *last == "*").is_some();
        let segments = segments.into_iter().map(Segment::parse);
        let segments: Result<_, String> = segments.collect();
        Ok(Self {
            text: text.into(),
            segments: segments.map_err(|what| wrong(&what))?,
            is_open,
        })
    }

    /// As it is written.
    pub(super) const fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether every path fits.
    pub(super) fn is_everything(&self) -> bool {
        self.is_open && self.segments.is_empty()
    }

    /// Whether a path fits, given by its segments.
    pub(super) fn fit(&self, path: &[&[u8]]) -> Fit {
        let has_length = if self.is_open {
            path.len() >= self.segments.len()
        } else {
            path.len() == self.segments.len()
        };
        if !has_length {
            return Fit::No;
        }
        let mut fit = Fit::Exactly;
        for (ours, theirs) in self.segments.iter().zip(path) {
            if let Segment::Literal(ours) = ours
                && **ours != **theirs
            {
                if !is_alike(ours, theirs) {
                    return Fit::No;
                }
                fit = Fit::ButForCase;
            }
        }
        fit
    }

    /// Whether every path that fits the other one fits this one too, upper and lower case being the
    /// same.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.segments, &other.segments);
        let has_length = if self.is_open {
            theirs.len() >= ours.len()
        } else {
            theirs.len() == ours.len() && !other.is_open
        };
        has_length
            && ours.iter().zip(theirs).all(|pair| match pair {
                (Segment::Any, _) => true,
                (Segment::Literal(ours), Segment::Literal(theirs)) => is_alike(ours, theirs),
                (Segment::Literal(_), Segment::Any) => false,
            })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        let is_name = |name: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            !name.is_empty() && name.bytes().all(fits)
        };
        match text {
            "" => Err("has an empty segment".to_owned()),
            "." | ".." => Err(format!("has the segment `{text}`: leave it out")),
            _ if text
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'))
                .is_some_and(is_name) =>
            {
                Ok(Self::Any)
            }
            _ if text.contains(['{', '}']) => {
                Err("has a brace in the wrong place: `{name}` stands \
                 for one whole segment, and its name has letters, digits, `_` and `-`"
                    .to_owned())
            }
            _ if text.contains('*') => {
                Err("has a `*` in the wrong place: it is the last segment, alone".to_owned())
            }
            _ => Ok(Self::Literal(text.as_bytes().into())),
        }
    }
}

/// Whether two segments are the same but for upper and lower case, in any script.
fn is_alike(one: &[u8], other: &[u8]) -> bool {
    // Most differ in their first letter, and hardly any is more than ASCII.
    let pairs = one.iter().zip(other);
    let same = pairs.take_while(|(one, other)| one.is_ascii() && one.eq_ignore_ascii_case(other));
    let same = same.count();
    let (one, other) = (&one[same..], &other[same..]);
    match (one.first(), other.first()) {
        (Some(first), Some(second)) if !first.is_ascii() || !second.is_ascii() => {
            folded(one).eq(folded(other))
        }
        (first, second) => first == second,
    }
}

/// The characters of a text without their case, and the bytes that are none. By way of upper case, so
/// that letters meet whose lower case differs, such as `s` and `ſ`; and of lower case before that, for `ẞ`
/// has no other upper case, and its lower case has.
fn folded(text: &[u8]) -> impl Iterator<Item = Result<char, u8>> {
    text.utf8_chunks().flat_map(|chunk| {
        // In lower case it is two characters, or this one: servers differ.
        let undotted = |character| if character == 'İ' { 'i' } else { character };
        let lower = chunk.valid().chars().map(undotted);
        let upper = lower
            .flat_map(char::to_lowercase)
            .flat_map(char::to_uppercase);
        let characters = upper.flat_map(char::to_lowercase).map(Ok);
        characters.chain(chunk.invalid().iter().copied().map(Err))
    })
}

fn check_characters(text: &str) -> Result<(), String> {
    match text
        .chars()
        .find(|c| c.is_control() || matches!(c, '%' | '?' | '#' | ';' | '\\'))
    {
        None => Ok(()),
        Some('%') => Err(
            "has a `%`: paths are decoded before they are compared, so write what it \
             stands for"
                .to_owned(),
        ),
        Some('?') => {
            Err("has a `?`: a rule is about the path, and the query is no part of it".to_owned())
        }
        Some(other) => Err(format!(
            "has a `{}`, of which servers make different things",
            other.escape_debug()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn fit(text: &str, path: &str) -> Fit {
        let path = path.strip_prefix('/').unwrap();
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<&[u8]> = match path {
            "" => Vec::new(),
            path => path.split('/').map(str::as_bytes).collect(),
        };
        pattern(text).fit(&segments)
    }

    #[test]
    fn a_name_stands_for_one_segment_and_a_star_for_all_below_and_the_path_itself() {
        for (text, fits, others) in [
            ("/", &["/"][..], &["/a"][..]),
            ("/*", &["/", "/a", "/a/b/"], &[]),
            ("/a", &["/a", "/a/"], &["/", "/b", "/a/b", "/ab"]),
            ("/a/", &["/a", "/a/"], &["/", "/a/b"]),
            ("/a/*", &["/a", "/a/", "/a/b", "/a/b/c"], &["/", "/ab"]),
            ("/a/{id}", &["/a/7", "/a/{id}"], &["/a", "/a/7/b"]),
            ("/{a}/b", &["/x/b"], &["/b", "/x/c"]),
            ("/{a}/*", &["/x", "/x/y/z"], &["/"]),
            ("/a.b/c d/ö", &["/a.b/c d/ö"], &["/axb/c d/ö"]),
        ] {
            for path in fits {
                assert_eq!(fit(text, path), Fit::Exactly, "{text}, {path}");
            }
            for path in others {
                assert_eq!(fit(text, path), Fit::No, "{text}, {path}");
            }
        }
    }

    #[test]
    fn a_difference_in_case_alone_is_told_apart() {
        assert_eq!(fit("/admin/{id}", "/Admin/A"), Fit::ButForCase);
        assert_eq!(fit("/admin/{id}", "/admin/A"), Fit::Exactly);
        assert_eq!(fit("/admin/b", "/Admin/c"), Fit::No);
    }

    #[test]
    fn case_is_told_apart_in_all_scripts() {
        for (text, path) in [
            ("/Über/*", "/über/x"),
            ("/über", "/ÜBER"),
            ("/привет", "/Привет"),
            ("/ΟΔΟΣ", "/οδος"),
            ("/straße", "/STRASSE"),
            ("/mask", "/mas\u{212A}"),
            ("/status", "/\u{17F}tatus"),
            ("/admin", "/adm\u{131}n"),
            ("/admin", "/adm\u{130}n"),
            ("/straße", "/STRA\u{1E9E}E"),
        ] {
            assert_eq!(fit(text, path), Fit::ButForCase, "{text}, {path}");
            assert_eq!(fit(text, text.trim_end_matches('*')), Fit::Exactly);
        }
        for (text, path) in [
            ("/Über", "/öber"),
            ("/Über", "/ü"),
            ("/u", "/ü"),
            ("/ü", "/ü\u{301}"),
            ("/a", "/a\u{301}"),
            ("/admin", "/admix"),
        ] {
            assert_eq!(fit(text, path), Fit::No, "{text}, {path}");
        }
        // The same in another encoding, which is no text here.
        assert_eq!(pattern("/Über").fit(&[b"\xFCber"]), Fit::No);
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_what_is_wrong() {
        for (text, says) in [
            ("", "begins with `/`"),
            ("orders", "begins with `/`"),
            ("*", "begins with `/`"),
            ("//", "empty segment"),
            ("/a//b", "empty segment"),
            ("/a//", "empty segment"),
            ("//*", "empty segment"),
            ("/a/../b", "the segment `..`"),
            ("/a/.", "the segment `.`"),
            ("/a*", "a `*` in the wrong place"),
            ("/a/*/b", "a `*` in the wrong place"),
            ("/a/**", "a `*` in the wrong place"),
            ("/a/{}", "a brace in the wrong place"),
            ("/a/{id}.json", "a brace in the wrong place"),
            ("/a/{id*}", "a brace in the wrong place"),
            ("/a%20b", "write what it stands for"),
            ("/a?b=c", "the query is no part"),
            ("/a;b", "different things"),
            ("/a\\b", "different things"),
            ("/a\nb", "different things"),
            (&format!("/{}", "a".repeat(1_024)), "more than 1024"),
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_leaves_no_path_of() {
        for (one, other, covers) in [
            ("/a", "/a/", true),
            ("/a", "/A", true),
            ("/Ä/*", "/ä/b", true),
            ("/{x}", "/a", true),
            ("/a", "/{x}", false),
            ("/*", "/", true),
            ("/*", "/a/{b}/*", true),
            ("/a/*", "/a", true),
            ("/a/*", "/a/b", true),
            ("/a/b/*", "/a/*", false),
            ("/{x}", "/a/*", false),
            ("/{x}/*", "/a/*", true),
            ("/a/{x}", "/a/b/c", false),
        ] {
            let covered = pattern(one).covers(&pattern(other));
            assert_eq!(covered, covers, "{one}, {other}");
        }
    }
}
