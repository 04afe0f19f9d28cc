//! Lengths of time as they are typed.

/// Reads `90s`, `15m`, `24h` or `7d`, in seconds.
///
/// # Errors
/// Says how to write one.
pub fn parse_seconds(text: &str) -> Result<u32, String> {
    let wrong = || "write a number and its unit: 90s, 15m, 24h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let digits = &text[..text.len() - 1];
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u32 = digits.parse().map_err(|_| wrong())?;
    number
        .checked_mul(seconds)
        .ok_or_else(|| "that is too long: 30 days at most".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_is_a_number_and_its_unit() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("15m", 900),
            ("24h", 86_400),
            ("7d", 604_800),
        ] {
            assert_eq!(parse_seconds(text), Ok(seconds));
        }
        for text in [
            "", "s", "90", "-1s", "+1s", "1.5h", "24 h", "1w", "9999999d", "1é",
        ] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_that_is_taken_reads_back_in_seconds(text in "[0-9]{0,12}[smhd]|\\PC*") {
            if let Ok(seconds) = parse_seconds(&text) {
                prop_assert_eq!(parse_seconds(&format!("{seconds}s")), Ok(seconds));
            }
        }
    }
}
