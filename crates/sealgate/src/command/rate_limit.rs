//! Limits of requests, as they are typed and shown.

use std::str::FromStr;

use sealgate_core::view::KeyView;

use super::seconds::parse_seconds;
use crate::output::thousands;

/// A limit as it is typed: `100`, or `100/1m` with its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests within the window.
    pub requests: u32,
    /// The window, if one was named.
    pub window_seconds: Option<u32>,
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, window) = match text.split_once('/') {
            Some((number, window)) => (number, Some(window)),
            None => (text, None),
        };
        let wrong = || {
            "write a number of requests, and the time that they are within: 100/1m, 5000/24h, \
             10/30s; the number alone is for an hour"
                .to_owned()
        };
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        Ok(Self {
            requests: number.parse().map_err(|_| wrong())?,
            window_seconds: window.map(parse_seconds).transpose()?,
        })
    }
}

/// What a key may do, in words; nothing for a key without a limit.
pub fn words(key: &KeyView) -> Option<String> {
    let (requests, seconds) = key.rate_limit.zip(key.rate_limit_window_seconds)?;
    let window = match seconds {
        1 => "a second".to_owned(),
        60 => "a minute".to_owned(),
        3_600 => "an hour".to_owned(),
        86_400 => "a day".to_owned(),
        seconds => {
            let (count, unit) = in_largest_unit(seconds);
            format!("in {count} {unit}")
        }
    };
    let requests = thousands(requests.into());
    Some(format!("{requests} requests {window}"))
}

/// A number of seconds in the largest unit of which it is a whole number.
const fn in_largest_unit(seconds: u32) -> (u32, &'static str) {
    match seconds {
        n if n.is_multiple_of(86_400) => (n / 86_400, "days"),
        n if n.is_multiple_of(3_600) => (n / 3_600, "hours"),
        n if n.is_multiple_of(60) => (n / 60, "minutes"),
        n => (n, "seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_and_its_window_if_that_is_not_an_hour() {
        for (text, requests, window_seconds) in [
            ("100", 100, None),
            ("100/1m", 100, Some(60)),
            ("100/30s", 100, Some(30)),
            ("1/24h", 1, Some(86_400)),
            ("4294967295/30d", u32::MAX, Some(2_592_000)),
        ] {
            let limit = RateLimit {
                requests,
                window_seconds,
            };
            assert_eq!(text.parse(), Ok(limit), "{text}");
        }
        for text in [
            "",
            "/1m",
            "100/",
            "100/m",
            "100/60",
            "+1",
            "-1",
            "1.5",
            "1 000",
            "100/1m/1m",
            "100/1w",
            "4294967296",
            "100/99999999d",
        ] {
            assert!(text.parse::<RateLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_window_is_shown_in_the_largest_unit_that_fits() {
        for (seconds, shown) in [
            (1, (1, "seconds")),
            (90, (90, "seconds")),
            (300, (5, "minutes")),
            (5_400, (90, "minutes")),
            (7_200, (2, "hours")),
            (2_592_000, (30, "days")),
        ] {
            assert_eq!(in_largest_unit(seconds), shown);
        }
    }
}
