//! Cookies that rules add, among those of the client.

use http::HeaderValue;

/// What becomes of the client's cookies where no rule adds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cookies {
    /// They stay as they were sent.
    AsSent,
    /// These stay.
    These(HeaderValue),
    /// None stays.
    Nothing,
}

impl Cookies {
    /// The client's cookies but for those that could be taken for one of `names`.
    pub(super) fn without<'a, 'n>(
        sent: impl IntoIterator<Item = &'a HeaderValue>,
        names: impl Iterator<Item = &'n str>,
    ) -> Self {
        let names: Vec<&str> = names.collect();
        if names.is_empty() {
            return Self::AsSent;
        }
        let (line, are_all) = kept(sent, &names);
        if are_all {
            return Self::AsSent;
        }
        match HeaderValue::from_bytes(line.strip_suffix(SEPARATOR).unwrap_or_default()) {
            Ok(line) if !line.is_empty() => Self::These(line),
            _ => Self::Nothing,
        }
    }
}

const SEPARATOR: &[u8] = b"; ";

/// The header `Cookie` for the one behind the gate: the client's cookies but for those that could be
/// taken for one of `names`, and `added`: one cookie, or several with semicolons between them.
pub(super) fn with<'a, 'n>(
    sent: impl IntoIterator<Item = &'a HeaderValue>,
    names: impl Iterator<Item = &'n str>,
    added: &HeaderValue,
) -> HeaderValue {
    let names: Vec<&str> = names.collect();
    let (mut line, _) = kept(sent, &names);
    line.extend_from_slice(added.as_bytes());
    // The parts were headers, and so is what they are put together to.
    let mut line = HeaderValue::from_maybe_shared(line).unwrap_or_else(|_| added.clone());
    line.set_sensitive(added.is_sensitive());
    line
}

/// The cookies that stay, with a separator after each, and whether all do.
fn kept<'a>(sent: impl IntoIterator<Item = &'a HeaderValue>, names: &[&str]) -> (Vec<u8>, bool) {
    let (mut line, mut are_all) = (Vec::new(), true);
    for cookie in sent.into_iter().flat_map(cookies) {
        if is_one_of(cookie, names) {
            are_all = false;
        } else {
            line.extend_from_slice(cookie);
            line.extend_from_slice(SEPARATOR);
        }
    }
    (line, are_all)
}

fn cookies(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let cookies = line.as_bytes().split(|byte| *byte == b';');
    let cookies = cookies.map(<[u8]>::trim_ascii);
    cookies.filter(|cookie| !cookie.is_empty())
}

fn is_one_of(cookie: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| mentions(cookie, name.as_bytes()))
}

/// Whether some server could see a cookie of that name in it. Servers differ: for some a comma or a
/// quotation mark begins another one, and for some upper and lower case are the same.
fn mentions(cookie: &[u8], name: &[u8]) -> bool {
    let is_of_a_name = |byte: &u8| {
        byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte) || !byte.is_ascii()
    };
    let is_there = |(start, part): (usize, &[u8])| {
        let (before, after) = (&cookie[..start], &cookie[start + name.len()..]);
        part.eq_ignore_ascii_case(name)
            && !before.last().is_some_and(is_of_a_name)
            && matches!(after.trim_ascii_start().first(), None | Some(b'='))
    };
    !name.is_empty() && cookie.windows(name.len()).enumerate().any(is_there)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sent: &[&'static str], added: &'static str) -> String {
        let sent: Vec<_> = sent.iter().copied().map(HeaderValue::from_static).collect();
        let names = added.split("; ").map(|it| it.split('=').next().unwrap());
        let line = with(&sent, names, &HeaderValue::from_static(added));
        line.to_str().unwrap().to_owned()
    }

    #[test]
    fn what_could_be_taken_for_the_cookie_goes_and_all_others_stay() {
        for (sent, expected) in [
            (&[][..], "portal=ours"),
            (&["theme=dark"], "theme=dark; portal=ours"),
            (&["portal=forged"], "portal=ours"),
            (&["a=1; portal=forged;b=2"], "a=1; b=2; portal=ours"),
            (&["portal=x", "portal =y; c=3"], "c=3; portal=ours"),
            (&["portal"], "portal=ours"),
            (&["PORTAL=other; portals=z"], "portals=z; portal=ours"),
            (&["a=1,portal=forged; b=2"], "b=2; portal=ours"),
            (&["a=\"x\"portal=forged; b=2"], "b=2; portal=ours"),
            (&["at=portal; b=the portal"], "portal=ours"),
            (
                &["at=portal-2; my.portal=1"],
                "at=portal-2; my.portal=1; portal=ours",
            ),
            (&[";;"], "portal=ours"),
        ] {
            assert_eq!(line(sent, "portal=ours"), expected, "{sent:?}");
        }
    }

    #[test]
    fn each_of_several_takes_the_place_of_its_own() {
        let sent = ["a=forged; b=forged", "c=kept"];
        assert_eq!(line(&sent, "a=1; b=2"), "c=kept; a=1; b=2");
    }

    #[test]
    fn a_cookie_that_another_rule_adds_goes_where_none_is_added() {
        let these = |line| Cookies::These(HeaderValue::from_static(line));
        for (sent, expected) in [
            (&[][..], Cookies::AsSent),
            (&["theme=dark", "portals=z"], Cookies::AsSent),
            (&["portal=forged"], Cookies::Nothing),
            (&["a=1;portal=forged", "b=2"], these("a=1; b=2")),
        ] {
            let sent: Vec<_> = sent.iter().copied().map(HeaderValue::from_static).collect();
            let names = ["portal", "other"].into_iter();
            assert_eq!(Cookies::without(&sent, names), expected, "{sent:?}");
        }
    }

    #[test]
    fn a_sealed_value_stays_one_that_no_log_shows() {
        let mut added = HeaderValue::from_static("portal=ours");
        added.set_sensitive(true);
        assert!(with(&[], ["portal"].into_iter(), &added).is_sensitive());
    }
}
