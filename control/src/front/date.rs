//! Points in time as the services write them.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A point in time, in its parts, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    year: u64,
    month: u64,
    day: u64,
    weekday: u64,
    seconds: u64,
    nanoseconds: u32,
}

const DAY: u64 = 86_400;

impl Date {
    /// Returns the parts of a point in time; those before 1970 are taken for its beginning.
    #[must_use]
    pub fn of(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let days = since.as_secs() / DAY;
        let (year, month, day) = civil(days);
        Self {
            year,
            month,
            day,
            // 1970 began on a Thursday.
            weekday: days.saturating_add(4) % 7,
            seconds: since.as_secs() % DAY,
            nanoseconds: since.subsec_nanos(),
        }
    }

    /// Returns it as HTTP writes it (RFC 9110, 5.6.7): `Tue, 05 Nov 2019 10:12:03 GMT`.
    #[must_use]
    pub fn http(&self) -> String {
        const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let weekday = name(&WEEKDAYS, self.weekday);
        let month = name(&MONTHS, self.month.saturating_sub(1));
        let (day, year, time) = (self.day, self.year, self.time());
        format!("{weekday}, {day:02} {month} {year:04} {time} GMT")
    }

    /// Returns it to the tenth of a microsecond: `2019-11-05T10:12:03.1234567Z`.
    #[must_use]
    pub fn precise(&self) -> String {
        let (date, time) = (self.date(), self.time());
        format!("{date}T{time}.{:07}Z", self.nanoseconds / 100)
    }

    fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    fn time(&self) -> String {
        let (hour, minute) = (self.seconds / 3600, self.seconds / 60 % 60);
        format!("{hour:02}:{minute:02}:{:02}", self.seconds % 60)
    }
}

impl fmt::Display for Date {
    /// Writes it to the millisecond, as logs do: `2019-11-05T10:12:03.123Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.date(), self.time());
        write!(f, "{date}T{time}.{:03}Z", self.nanoseconds / 1_000_000)
    }
}

fn name(names: &[&'static str], at: u64) -> &'static str {
    let at = usize::try_from(at).unwrap_or_default();
    names.get(at).copied().unwrap_or_default()
}

/// Returns year, month and day of the day that is so many after 1970-01-01. Years begin in March
/// while it counts, so that the day which leap years have more comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468;
    const ERA: u64 = 146_097;
    let days = days.saturating_add(DAYS_TO_1970);
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let first = (153 * month + 2) / 5;
    let is_next_year = month >= 10;
    let month = if is_next_year { month - 9 } else { month + 3 };
    (
        era * 400 + year + u64::from(is_next_year),
        month,
        day - first + 1,
    )
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
