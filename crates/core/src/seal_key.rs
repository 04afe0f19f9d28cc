//! Seal keys: what a client sends along to have its users' data sealed with, and opened again. How
//! one is written, and how one is made. Nothing of a seal key is ever stored.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::key::{InvalidKey, PresentedKey};
use crate::random::{Random, array};
use crate::secret::SecretText;

/// The key that seals where a client sends none, as the guide names it. Everybody knows it.
pub const WELL_KNOWN_DEFAULT: &str = "gomaluum-default-key-2024";

/// Fewest and most hexadecimal digits of a seal key.
const DIGITS: std::ops::RangeInclusive<usize> = 40..=128;
/// Most digits of a timestamp: enough until the year 33658.
const MAX_TIMESTAMP: usize = 12;

/// How seal keys are written here, as the operator decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealKeyRules {
    /// What a generated key begins with, before the first underscore.
    pub prefix: String,
    /// The key that seals where none is sent.
    pub default_key: SecretText,
}

impl Default for SealKeyRules {
    fn default() -> Self {
        Self {
            prefix: "gml".to_owned(),
            default_key: SecretText::new(WELL_KNOWN_DEFAULT.to_owned()),
        }
    }
}

/// The kinds of seal key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SealKeyFormat {
    /// The default key.
    Default,
    /// `gml_1703123456_a1b2…`
    Timestamped,
    /// `a1b2…`
    Hex,
    /// A managed key, `PREFIX.RANDOM`.
    Managed,
}

impl SealKeyFormat {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Default, Self::Timestamped, Self::Hex, Self::Managed];

    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Timestamped => "timestamped",
            Self::Hex => "hex",
            Self::Managed => "managed",
        }
    }

    /// Whose key it is: the default, one that a client generated, or one of an administrator's.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Timestamped | Self::Hex => "generated",
            Self::Managed => "managed",
        }
    }
}

/// Why a text can be no seal key; nothing of it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidSealKey {
    /// It begins like a timestamped key, and has no second underscore.
    Parts,
    /// The time of a timestamped key is none.
    Time,
    /// The digits of a timestamped key are too few, too many or none.
    Digits,
    /// It begins like no key.
    Unknown,
    /// It looks like a managed key, and is none.
    Managed(InvalidKey),
}

impl InvalidSealKey {
    /// What is wrong, and what would be right here.
    #[must_use]
    pub fn message(self, rules: &SealKeyRules) -> String {
        let prefix = &rules.prefix;
        match self {
            Self::Parts => format!("a timestamped key is written {prefix}_SECONDS_DIGITS"),
            Self::Time => {
                "the second part of a timestamped key is a time in unix seconds".to_owned()
            }
            Self::Digits => {
                "the last part of a timestamped key is 40 to 128 lower-case hexadecimal digits"
                    .to_owned()
            }
            Self::Unknown => format!(
                "neither a timestamped key ({prefix}_SECONDS_DIGITS), nor 40 to 128 hexadecimal \
                 digits, nor a managed key (PREFIX.RANDOM)"
            ),
            Self::Managed(InvalidKey::Form) => {
                "a managed key is written PREFIX.RANDOM, 50 characters in all".to_owned()
            }
            Self::Managed(InvalidKey::Checksum) => {
                "the checksum of the managed key does not fit: a character was mistyped".to_owned()
            }
        }
    }
}

/// A seal key as a client presented it: of the right form. A managed one is not yet known to be
/// anybody's.
#[derive(Clone)]
pub struct PresentedSealKey {
    format: SealKeyFormat,
    /// What the key of the user data is derived from.
    text: Zeroizing<String>,
}

impl PresentedSealKey {
    /// Looks at the form of what a client sent; nothing sent is the default key.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: Option<&str>, rules: &SealKeyRules) -> Result<Self, InvalidSealKey> {
        let default = rules.default_key.expose();
        let text = text.unwrap_or(default);
        let format = if bool::from(text.as_bytes().ct_eq(default.as_bytes())) {
            SealKeyFormat::Default
        } else if let Some(rest) = text
            .strip_prefix(rules.prefix.as_str())
            .and_then(|rest| rest.strip_prefix('_'))
        {
            check_timestamped(rest)?;
            SealKeyFormat::Timestamped
        } else if text.contains('.') {
            PresentedKey::parse(text).map_err(InvalidSealKey::Managed)?;
            SealKeyFormat::Managed
        } else {
            check_hex(text)?;
            SealKeyFormat::Hex
        };
        let mut text = Zeroizing::new(text.to_owned());
        if format == SealKeyFormat::Hex {
            // Hexadecimal is a number, and the same in either case.
            text.make_ascii_lowercase();
        }
        Ok(Self { format, text })
    }

    /// Which kind it is.
    #[must_use]
    pub const fn format(&self) -> SealKeyFormat {
        self.format
    }

    /// The key's text, for the one derivation that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for PresentedSealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PresentedSealKey({}, …)", self.format.as_str())
    }
}

fn check_timestamped(rest: &str) -> Result<(), InvalidSealKey> {
    let (seconds, digits) = rest.split_once('_').ok_or(InvalidSealKey::Parts)?;
    let is_time = (1..=MAX_TIMESTAMP).contains(&seconds.len())
        && seconds.bytes().all(|byte| byte.is_ascii_digit());
    if !is_time {
        return Err(InvalidSealKey::Time);
    }
    let is_lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if DIGITS.contains(&digits.len()) && digits.bytes().all(is_lower) {
        Ok(())
    } else {
        Err(InvalidSealKey::Digits)
    }
}

fn check_hex(text: &str) -> Result<(), InvalidSealKey> {
    if DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(())
    } else {
        Err(InvalidSealKey::Unknown)
    }
}

/// Makes a seal key: a timestamp that tells its age, and 256 random bits.
#[must_use]
pub fn generate_seal_key(rules: &SealKeyRules, random: &dyn Random, now: Timestamp) -> SecretText {
    use fmt::Write as _;
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(array(random));
    let start = format!("{}_{}_", rules.prefix, now.as_seconds());
    // Room for all of it now: a text that moves leaves a copy behind.
    let mut text = String::with_capacity(start.len() + 2 * bytes.len());
    text.push_str(&start);
    for byte in bytes.iter() {
        let _ = write!(text, "{byte:02x}");
    }
    SecretText::new(text)
}

/// What a log line may show of a seal key: its first ten characters at most, which hold nothing but
/// the prefix and part of the timestamp; of other kinds nothing.
#[must_use]
pub fn seal_key_hint(text: &str, rules: &SealKeyRules) -> String {
    let is_timestamped = text
        .strip_prefix(rules.prefix.as_str())
        .is_some_and(|rest| rest.starts_with('_'));
    if is_timestamped {
        let public = rules.prefix.len() + 1;
        let shown: String = text.chars().take(10.min(public + MAX_TIMESTAMP)).collect();
        format!("{shown}…")
    } else {
        "…".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    const GUIDE: &str = "gml_1703123456_a1b2c3d4e5f6789012345678901234567890abcd";

    fn format(text: Option<&str>) -> Result<SealKeyFormat, String> {
        let rules = SealKeyRules::default();
        let key = PresentedSealKey::parse(text, &rules);
        key.map(|key| key.format())
            .map_err(|invalid| invalid.message(&rules))
    }

    #[test]
    fn the_guides_keys_are_of_their_kinds() {
        assert_eq!(format(Some(GUIDE)), Ok(SealKeyFormat::Timestamped));
        assert_eq!(
            format(Some("a1b2c3d4e5f6789012345678901234567890abcd")),
            Ok(SealKeyFormat::Hex)
        );
        assert_eq!(
            format(Some("gomaluum-default-key-2024")),
            Ok(SealKeyFormat::Default)
        );
        assert_eq!(format(None), Ok(SealKeyFormat::Default));
    }

    #[test]
    fn a_managed_key_is_known_by_its_form_and_checksum() {
        let key = crate::key::generate(&SeededRandom::new(1));
        assert_eq!(format(Some(key.expose())), Ok(SealKeyFormat::Managed));
        let mistyped = format!("{}x", &key.expose()[..49]);
        assert!(format(Some(&mistyped)).unwrap_err().contains("checksum"));
    }

    #[test]
    fn forty_to_a_hundred_and_twenty_eight_digits_are_taken() {
        for (count, fits) in [
            (39, false),
            (40, true),
            (41, true),
            (128, true),
            (129, false),
        ] {
            let digits = "a".repeat(count);
            assert_eq!(format(Some(&digits)).is_ok(), fits, "{count}");
            assert_eq!(
                format(Some(&format!("gml_1_{digits}"))).is_ok(),
                fits,
                "{count}"
            );
        }
    }

    #[test]
    fn what_is_no_seal_key_is_refused_and_not_shown() {
        let digits = "a".repeat(40);
        for text in [
            "",
            " ",
            "gml_",
            "gml__",
            "gml_1703123456",
            &format!("gml_{digits}"),
            &format!("gml__{digits}"),
            &format!("gml_x_{digits}"),
            &format!("gml_-1_{digits}"),
            &format!("gml_1703123456789_{digits}"),
            &format!("gml_1_{}", digits.to_uppercase()),
            &format!("gml_1_{digits}_"),
            &format!("GML_1_{digits}"),
            &format!("{digits} "),
            &format!("0x{digits}"),
            "g".repeat(40).as_str(),
            "é".repeat(20).as_str(),
            "gomaluum-default-key-2023",
            "a.b",
        ] {
            let reason = format(Some(text)).unwrap_err();
            assert!(
                text.len() < 5 || !reason.contains(text),
                "{text:?}: {reason}"
            );
        }
    }

    #[test]
    fn bare_digits_are_the_same_key_in_either_case() {
        let rules = SealKeyRules::default();
        let lower = PresentedSealKey::parse(Some(&"ab".repeat(20)), &rules).unwrap();
        let upper = PresentedSealKey::parse(Some(&"AB".repeat(20)), &rules).unwrap();
        assert_eq!(lower.expose(), upper.expose());
    }

    #[test]
    fn another_default_takes_the_place_of_the_well_known_one() {
        let rules = SealKeyRules {
            default_key: SecretText::new("our own default, known to us".to_owned()),
            ..SealKeyRules::default()
        };
        assert!(PresentedSealKey::parse(Some(WELL_KNOWN_DEFAULT), &rules).is_err());
        let key = PresentedSealKey::parse(None, &rules).unwrap();
        assert_eq!(
            (key.format(), key.expose()),
            (SealKeyFormat::Default, "our own default, known to us")
        );
    }

    #[test]
    fn a_generated_key_is_timestamped_and_new_each_time() {
        let (rules, random) = (SealKeyRules::default(), SeededRandom::new(1));
        let now = Timestamp::from_seconds(1_703_123_456);
        let (one, two) = (
            generate_seal_key(&rules, &random, now),
            generate_seal_key(&rules, &random, now),
        );
        assert!(one.expose().starts_with("gml_1703123456_"));
        assert_eq!(one.expose().len(), "gml_1703123456_".len() + 64);
        assert_ne!(one.expose(), two.expose());
        assert_eq!(format(Some(one.expose())), Ok(SealKeyFormat::Timestamped));
    }

    #[test]
    fn a_hint_shows_ten_characters_at_most_and_nothing_of_other_kinds() {
        let rules = SealKeyRules::default();
        assert_eq!(seal_key_hint(GUIDE, &rules), "gml_170312…");
        assert_eq!(
            seal_key_hint("a1b2c3d4e5f6789012345678901234567890abcd", &rules),
            "…"
        );
        assert_eq!(seal_key_hint("TcE8hG4L.UVZuhD7EF5C7", &rules), "…");
        assert!(!format!("{:?}", PresentedSealKey::parse(Some(GUIDE), &rules)).contains("1703"));
    }
}
