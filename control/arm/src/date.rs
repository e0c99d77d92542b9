//! Days, and the dates that they are: what templates and the times in answers need, and no more.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970.
    seconds: i64,
    nanos: u32,
}

/// The first second of the year 10000 and of the year 1, between which .NET has dates.
const END: i64 = 253_402_300_800;
const BEGIN: i64 = -62_135_596_800;

const DAY: i64 = 86_400;

/// A date in the calendar.
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEK: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// Returns the seconds of Unix time.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs())
}

/// Returns a time in seconds since 1970 as `2026-11-24T15:00:00Z`.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let moment = Moment::after_epoch(Duration::from_secs(seconds));
    moment.format("yyyy-MM-ddTHH:mm:ssZ").unwrap_or_default()
}

impl Moment {
    /// Returns the moment so long after 1970 began.
    #[must_use]
    pub fn after_epoch(after: Duration) -> Self {
        Self {
            seconds: i64::try_from(after.as_secs())
                .unwrap_or(END)
                .min(END.saturating_sub(1)),
            nanos: after.subsec_nanos(),
        }
    }

    /// Returns the moment at a second of the epoch, if it is in the years 1 to 9999.
    #[must_use]
    pub fn at(seconds: i64) -> Option<Self> {
        (BEGIN..END)
            .contains(&seconds)
            .then_some(Self { seconds, nanos: 0 })
    }

    /// Returns the seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Returns the moment so many seconds later.
    #[must_use]
    pub fn plus(self, seconds: i64) -> Option<Self> {
        Some(Self {
            nanos: self.nanos,
            ..Self::at(self.seconds.checked_add(seconds)?)?
        })
    }

    /// Returns the moment as ARM's answers have it: `2020-04-07T14:53:14.1234567Z`.
    #[must_use]
    pub fn timestamp(self) -> String {
        self.format("yyyy-MM-ddTHH:mm:ss.fffffffZ")
            .unwrap_or_default()
    }

    /// Reads `2020-04-07T14:53:14Z`, `2020-04-07 14:53:14Z`, `20200407T145314Z` and dates alone, with
    /// or without a fraction and an offset.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (date, time) = match text.find(['T', 't', ' ']) {
            Some(at) => (text.get(..at)?, text.get(at.checked_add(1)?..)?),
            None => (text, ""),
        };
        let (time, offset) = zone(time)?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let nanos = match fraction {
            "" => 0,
            digits if digits.len() <= 9 && digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                format!("{digits:0<9}").parse().ok()?
            }
            _ => return None,
        };
        let date = numbers(date, '-', &[4, 2, 2])?;
        let time = match time {
            "" => vec![0, 0, 0],
            time => numbers(time, ':', &[2, 2, 2]).or_else(|| numbers(time, ':', &[2, 2]))?,
        };
        let ([year, month, day], [hour, minute, rest @ ..]) = (date.as_slice(), time.as_slice())
        else {
            return None;
        };
        let second = rest.first().copied().unwrap_or_default();
        let date = Date {
            year: *year,
            month: *month,
            day: *day,
        };
        if *hour > 23 || *minute > 59 || second > 59 || !date.is_valid() {
            return None;
        }
        let seconds = date.days() * DAY + hour * 3600 + minute * 60 + second - offset;
        Some(Self {
            nanos,
            ..Self::at(seconds)?
        })
    }

    /// Formats the moment by a .NET format string; `None`: it uses what is not supported here.
    #[must_use]
    pub fn format(self, format: &str) -> Option<String> {
        let format = match format {
            "" | "G" => "MM/dd/yyyy HH:mm:ss",
            "d" => "MM/dd/yyyy",
            "D" => "dddd, dd MMMM yyyy",
            "g" => "MM/dd/yyyy HH:mm",
            "t" => "HH:mm",
            "T" => "HH:mm:ss",
            "s" => "yyyy-MM-ddTHH:mm:ss",
            "u" => "yyyy-MM-dd HH:mm:ss'Z'",
            "o" | "O" => "yyyy-MM-ddTHH:mm:ss.fffffff'Z'",
            "r" | "R" => "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
            format => format.strip_prefix('%').unwrap_or(format),
        };
        let mut made = String::new();
        let mut rest = format;
        while let Some(first) = rest.chars().next() {
            let run = rest.len() - rest.trim_start_matches(first).len();
            let taken = match first {
                'd' | 'M' | 'y' | 'H' | 'h' | 'm' | 's' | 'f' | 'F' | 't' | 'K' | 'z' => {
                    made.push_str(&self.field(first, run / first.len_utf8())?);
                    run
                }
                '\'' | '"' => {
                    let inner = rest.get(1..)?;
                    let end = inner.find(first)?;
                    made.push_str(inner.get(..end)?);
                    end + 2
                }
                '\\' => {
                    let escaped = rest.chars().nth(1)?;
                    made.push(escaped);
                    1 + escaped.len_utf8()
                }
                'g' => return None,
                other => {
                    made.push(other);
                    other.len_utf8()
                }
            };
            rest = rest.get(taken..)?;
        }
        Some(made)
    }

    /// Returns one field of a format: a letter that stands so many times.
    fn field(self, letter: char, times: usize) -> Option<String> {
        let days = self.seconds.div_euclid(DAY);
        let second = self.seconds.rem_euclid(DAY);
        let date = Date::of(days);
        let padded = |number: i64| match times {
            1 => Some(number.to_string()),
            2 => Some(format!("{number:02}")),
            _ => None,
        };
        let name = |names: &[&str], at: i64| {
            let name = names.get(usize::try_from(at).ok()?)?;
            match times {
                3 => name.get(..3).map(str::to_owned),
                _ => Some((*name).to_owned()),
            }
        };
        let hour = second / 3600;
        match (letter, times) {
            ('d', 3 | 4) => name(&WEEK, days.rem_euclid(7)),
            ('d', _) => padded(date.day),
            ('M', 3 | 4) => name(&MONTHS, date.month - 1),
            ('M', _) => padded(date.month),
            ('y', 1 | 2) => padded(date.year % 100),
            ('y', 3..=5) => Some(format!("{:0times$}", date.year)),
            ('H', _) => padded(hour),
            ('h', _) => padded((hour + 11) % 12 + 1),
            ('m', _) => padded(second / 60 % 60),
            ('s', _) => padded(second % 60),
            ('f', 1..=7) => format!("{:09}", self.nanos).get(..times).map(str::to_owned),
            ('F', 1..=7) => {
                let digits = format!("{:09}", self.nanos);
                Some(digits.get(..times)?.trim_end_matches('0').to_owned())
            }
            ('t', 1 | 2) => {
                let word = if hour < 12 { "AM" } else { "PM" };
                word.get(..times).map(str::to_owned)
            }
            ('K', 1) => Some("Z".to_owned()),
            ('z', 1) => Some("+0".to_owned()),
            ('z', 2) => Some("+00".to_owned()),
            ('z', 3) => Some("+00:00".to_owned()),
            _ => None,
        }
    }
}

impl Date {
    fn is_valid(&self) -> bool {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let last = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => 31,
        };
        (1..=12).contains(&self.month) && (1..=last).contains(&self.day) && self.year >= 1
    }

    /// Returns the days from 1970 to the date. Years begin in March here, so that the day that leap
    /// years have more is the last one.
    fn days(&self) -> i64 {
        let (year, month) = match self.month {
            1 | 2 => (self.year - 1, self.month + 9),
            month => (self.year, month - 3),
        };
        let before = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        before + (153 * month + 2) / 5 + self.day - 1 - 719_468
    }

    /// Returns the date so many days after 1970 began.
    fn of(days: i64) -> Self {
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day = days.rem_euclid(146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let in_year = day - (365 * year + year / 4 - year / 100);
        let march = (5 * in_year + 2) / 153;
        let month = if march < 10 { march + 3 } else { march - 9 };
        Self {
            year: year + era * 400 + i64::from(month <= 2),
            month,
            day: in_year - (153 * march + 2) / 5 + 1,
        }
    }
}

/// Reads numbers of fixed widths, with the mark between them or with nothing.
fn numbers(text: &str, mark: char, widths: &[usize]) -> Option<Vec<i64>> {
    let mut rest = text;
    let mut found = Vec::new();
    for (at, width) in widths.iter().enumerate() {
        if at > 0 && text.contains(mark) {
            rest = rest.strip_prefix(mark)?;
        }
        let digits = rest.get(..*width)?;
        if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        found.push(digits.parse().ok()?);
        rest = rest.get(*width..)?;
    }
    rest.is_empty().then_some(found)
}

/// Splits the offset off a time: `Z`, `+02:00`, `-0530` or nothing; in seconds.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = time.find(['+', '-']) else {
        return Some((time, 0));
    };
    let sign = if time.get(at..)?.starts_with('-') {
        -1
    } else {
        1
    };
    let offset = numbers(time.get(at + 1..)?, ':', &[2, 2])?;
    let [hours, minutes] = offset.as_slice() else {
        return None;
    };
    Some((time.get(..at)?, sign * (hours * 3600 + minutes * 60)))
}

/// Reads an ISO 8601 duration in seconds. A year has 365 days and a month 30, as in .NET.
#[must_use]
pub fn duration(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (date, time) = match rest.strip_prefix('P')?.split_once('T') {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return None,
        None => (rest.strip_prefix('P')?, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let date = parts(
        date,
        &[
            ('Y', 365 * DAY),
            ('M', 30 * DAY),
            ('W', 7 * DAY),
            ('D', DAY),
        ],
    )?;
    let time = parts(time, &[('H', 3600), ('M', 60), ('S', 1)])?;
    date.checked_add(time)?.checked_mul(sign)
}

/// Adds up numbers with units, the units in their order.
fn parts(text: &str, units: &[(char, i64)]) -> Option<i64> {
    let mut rest = text;
    let mut sum = 0_i64;
    for (unit, seconds) in units {
        let Some(at) = rest.find(|c: char| !c.is_ascii_digit()) else {
            break;
        };
        let (digits, after) = rest.split_at_checked(at)?;
        if let Some(after) = after.strip_prefix(*unit) {
            sum = sum.checked_add(digits.parse::<i64>().ok()?.checked_mul(*seconds)?)?;
            rest = after;
        }
    }
    rest.is_empty().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seconds_are_written_as_a_date() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_532_400, "2026-11-24T15:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn dates_are_read_and_printed() {
        for (text, format, expected) in [
            ("2020-04-07T14:53:14Z", "o", "2020-04-07T14:53:14.0000000Z"),
            (
                "2020-04-07 14:53:14Z",
                "yyyyMMddTHHmmssZ",
                "20200407T145314Z",
            ),
            ("20200407T145314Z", "u", "2020-04-07 14:53:14Z"),
            ("2020-04-07T14:53:14+02:00", "s", "2020-04-07T12:53:14"),
            ("2020-04-07T14:53:14.25-0530", "HH:mm:ss.ff", "20:23:14.25"),
            (
                "2020-02-29",
                "dddd, d MMMM yyyy",
                "Saturday, 29 February 2020",
            ),
            ("1969-12-31T23:59:59Z", "R", "Wed, 31 Dec 1969 23:59:59 GMT"),
            ("0001-01-01", "d", "01/01/0001"),
            ("9999-12-31", "M/d/yy", "12/31/99"),
            ("2020-04-07T00:05:00Z", "h:mm tt", "12:05 AM"),
            ("2020-04-07T13:05:00Z", "hh\\hmm't'", "01h05t"),
        ] {
            let moment = Moment::parse(text).unwrap();
            assert_eq!(moment.format(format).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "x",
            "2021-02-29",
            "2020-13-01",
            "2020-04-07T24:00:00Z",
            "2020-4-7",
            "0000-01-01",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
        assert_eq!(Moment::at(0).unwrap().format("ggg"), None);
        assert_eq!(Moment::at(0).unwrap().format("'open"), None);
    }

    #[test]
    fn durations_are_read() {
        for (text, expected) in [
            ("P3Y", Some(3 * 365 * DAY)),
            ("-P9D", Some(-9 * DAY)),
            ("PT1H", Some(3600)),
            ("P1Y2M3DT4H5M6S", Some(428 * DAY + 4 * 3600 + 5 * 60 + 6)),
            ("P1M", Some(30 * DAY)),
            ("PT1M", Some(60)),
            ("P", None),
            ("PT", None),
            ("P1", None),
            ("1D", None),
            ("PT1D", None),
            ("P1D2Y", None),
            ("P99999999999999999Y", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(seconds in BEGIN..END) {
            let moment = Moment::at(seconds).unwrap();
            prop_assert_eq!(Moment::parse(&moment.timestamp()), Some(moment));
            let date = Date::of(seconds.div_euclid(DAY));
            prop_assert!(date.is_valid());
            prop_assert_eq!(date.days(), seconds.div_euclid(DAY));
        }
    }
}
