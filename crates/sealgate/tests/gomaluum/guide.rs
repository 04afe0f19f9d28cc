//! The guide as a list of blocks: what stands between its fences, and under which heading.

use serde_json::Value;

pub const PATH: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/guides/gomaluum-api-key-usage.md"
);
pub const GUIDE: &str = include_str!("../../../../docs/guides/gomaluum-api-key-usage.md");
/// Of the document as its authors handed it over.
pub const GUIDE_SHA256: &str = "fef0a46ca33bcb380d5690aea3d01ead6db4af1fe0ccd355c6133c2c6185838b";

/// A block between two fences.
pub struct Block {
    /// The heading that it stands under.
    pub heading: &'static str,
    /// What stands behind the opening fence.
    pub language: &'static str,
    text: String,
}

/// Every block of the guide, in its order.
pub fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut heading = "";
    let mut is_open = false;
    for line in GUIDE.lines() {
        // A fence within a list is indented with it.
        let fence = line.trim_start().strip_prefix("```");
        match (is_open, fence) {
            (false, Some(language)) => {
                is_open = true;
                blocks.push(Block {
                    heading,
                    language,
                    text: String::new(),
                });
            }
            (true, Some(_)) => is_open = false,
            (true, None) => {
                let block = blocks.last_mut().expect("a block is open");
                block.text.push_str(line);
                block.text.push('\n');
            }
            (false, None) => {
                if let Some(title) = line.strip_prefix('#') {
                    heading = title.trim_start_matches('#').trim();
                }
            }
        }
    }
    blocks
}

impl Block {
    /// Those under a heading that are in a language.
    pub fn all(heading: &str, language: &str) -> Vec<Self> {
        let all = blocks().into_iter();
        all.filter(|block| block.heading == heading && block.language == language)
            .collect()
    }

    /// The only one under a heading that is in a language.
    #[track_caller]
    pub fn only(heading: &str, language: &str) -> Self {
        let mut found = Self::all(heading, language);
        assert_eq!(found.len(), 1, "{heading}: blocks in {language}");
        found.remove(0)
    }

    /// Its text as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Its text with the first of each pair replaced by the second, and not changed otherwise. Each
    /// has to be there exactly once, so that nothing is replaced that is not meant.
    #[track_caller]
    pub fn filled_in(&self, pairs: &[(&str, &str)]) -> String {
        let mut text = self.text.clone();
        for (from, to) in pairs {
            assert_eq!(
                self.text.matches(from).count(),
                1,
                "{from:?} in {}",
                self.text
            );
            text = text.replacen(from, to, 1);
        }
        text
    }
}

#[test]
fn a_text_that_is_there_twice_or_not_at_all_is_not_replaced() {
    let block = || Block {
        heading: "",
        language: "",
        text: "once twice twice".to_owned(),
    };
    assert_eq!(block().filled_in(&[("once", "1")]), "1 twice twice");
    for missed in ["twice", "never"] {
        let outcome = std::panic::catch_unwind(|| block().filled_in(&[(missed, "1")]));
        assert!(outcome.is_err(), "{missed}");
    }
}
