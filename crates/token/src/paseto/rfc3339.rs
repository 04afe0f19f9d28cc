//! Owns the one spelling of a time in a session token: RFC 3339, in UTC, to the second, as in
//! `2027-01-15T08:00:00Z`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::jwt::MAX_UNIX_SECONDS;

const LENGTH: usize = "2027-01-15T08:00:00Z".len();

/// Seconds since 1970, up to the end of the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenTime(pub i64);

impl WrittenTime {
    fn write(self) -> Option<[u8; LENGTH]> {
        let mut text = [0; LENGTH];
        let time = OffsetDateTime::from_unix_timestamp(self.0).ok()?;
        let written = time.format_into(&mut text.as_mut_slice(), &Rfc3339).ok()?;
        (written == LENGTH && (0..=MAX_UNIX_SECONDS).contains(&self.0)).then_some(text)
    }

    /// Reads what [`write`](Self::write) writes. The other spellings of the same moment (another
    /// offset, a fraction, a small `t`) are never issued.
    fn read(text: &str) -> Option<Self> {
        if text.len() != LENGTH {
            return None;
        }
        let time = Self(OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp());
        (time.write()?.as_slice() == text.as_bytes()).then_some(time)
    }
}

impl Serialize for WrittenTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self
            .write()
            .ok_or_else(|| ser::Error::custom("out of range"))?;
        serializer.serialize_str(str::from_utf8(&text).expect("digits and separators"))
    }
}

impl<'de> Deserialize<'de> for WrittenTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(<&'de str>::deserialize(deserializer)?)
            .ok_or_else(|| de::Error::custom("not a time in its canonical form"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_spelling() {
        assert_eq!(
            WrittenTime::read("2027-01-15T08:00:00Z"),
            Some(WrittenTime(1_800_000_000))
        );
        for other in [
            "2027-01-15T08:00:00.0Z",
            "2027-01-15T08:00:00+00:00",
            "2027-01-15T08:00:00-00:00",
            "2027-01-15T16:00:00+08:00",
            "2027-01-15t08:00:00Z",
            "2027-01-15T08:00:00z",
            "2027-01-15 08:00:00Z",
            "2027-02-29T08:00:00Z",
            "2027-01-15T24:00:00Z",
            "2016-12-31T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "1800000000",
            "",
        ] {
            assert_eq!(WrittenTime::read(other), None, "{other}");
        }
    }

    #[test]
    fn times_from_1970_to_9999_read_back_and_no_others_are_written() {
        for seconds in [0, 1, 951_782_400, 1_800_000_000, MAX_UNIX_SECONDS] {
            let text = serde_json::to_string(&WrittenTime(seconds)).unwrap();
            assert_eq!(text.len(), LENGTH + 2);
            assert_eq!(
                serde_json::from_str::<WrittenTime>(&text).unwrap(),
                WrittenTime(seconds)
            );
        }
        for seconds in [-1, MAX_UNIX_SECONDS + 1, i64::MIN, i64::MAX] {
            assert!(serde_json::to_string(&WrittenTime(seconds)).is_err());
        }
    }
}
