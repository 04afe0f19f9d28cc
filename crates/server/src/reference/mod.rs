//! The API reference: one page, drawn by its own script from the OpenAPI document. It loads nothing
//! from elsewhere, and its policy lets nothing else run in it.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

const FRAME: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page as it is sent.
pub(crate) static PAGE: LazyLock<Page> = LazyLock::new(Page::put_together);

/// A page and the policy it needs.
pub(crate) struct Page {
    /// The whole page, style and script in it.
    pub html: String,
    /// Its `Content-Security-Policy`: the style and script that are in it, by their hashes, and the
    /// document from the same origin.
    pub policy: String,
}

impl Page {
    fn put_together() -> Self {
        let html = FRAME
            .replace("/*{style}*/", STYLE)
            .replace("/*{script}*/", SCRIPT);
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        Self { html, policy }
    }
}

/// The hash of an inline source (CSP level 3 section 2.3.1).
fn hash(source: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_are_those_of_what_the_browser_finds() {
        for (tag, source) in [("style", STYLE), ("script", SCRIPT)] {
            let (_, rest) = PAGE.html.split_once(&format!("<{tag}>")).unwrap();
            let (found, _) = rest.split_once(&format!("</{tag}>")).unwrap();
            assert_eq!(found, source);
            assert!(PAGE.policy.contains(&hash(found)));
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        for needle in [
            "http://", "https://", "src=", "@import", "style=", "onclick",
        ] {
            assert!(!PAGE.html.contains(needle), "{needle}");
        }
        assert!(!STYLE.contains("url("));
    }

    #[test]
    fn texts_of_the_document_are_never_taken_for_markup() {
        for needle in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!SCRIPT.contains(needle), "{needle}");
        }
    }
}
