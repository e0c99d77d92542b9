//! Points in time as the services write them.

use postern_arm::date::Moment;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A point in time, written in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(Moment);

impl Date {
    /// Returns a point in time; those before 1970 are taken for its beginning.
    #[must_use]
    pub fn of(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Moment::after_epoch(since))
    }

    /// Returns it as HTTP writes it (RFC 9110, 5.6.7): `Tue, 05 Nov 2019 10:12:03 GMT`.
    #[must_use]
    pub fn http(&self) -> String {
        self.0.format("R").unwrap_or_default()
    }

    /// Returns it to the tenth of a microsecond: `2019-11-05T10:12:03.1234567Z`.
    #[must_use]
    pub fn precise(&self) -> String {
        self.0.timestamp()
    }
}

impl fmt::Display for Date {
    /// Writes it to the millisecond, as logs do: `2019-11-05T10:12:03.123Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.format("yyyy-MM-ddTHH:mm:ss.fffZ");
        f.write_str(&text.unwrap_or_default())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::Duration;

    /// 2019-11-05T10:12:03.1234567Z, the moment of the golden answers.
    pub(crate) fn moment() -> SystemTime {
        UNIX_EPOCH + Duration::new(1_572_948_723, 123_456_700)
    }

    #[test]
    fn a_moment_is_written_in_every_form() {
        let date = Date::of(moment());
        assert_eq!(date.http(), "Tue, 05 Nov 2019 10:12:03 GMT");
        assert_eq!(date.precise(), "2019-11-05T10:12:03.1234567Z");
        assert_eq!(date.to_string(), "2019-11-05T10:12:03.123Z");
    }

    #[test]
    fn days_at_the_edges_of_months_and_years() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            let date = Date::of(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(date.http(), text);
        }
        let before = UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(Date::of(before), Date::of(UNIX_EPOCH));
    }
}
