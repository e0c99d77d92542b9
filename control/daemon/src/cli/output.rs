//! How results are written: tables or JSON to the standard output.

use clap::ValueEnum;
use serde::Serialize;
use std::fmt;
use std::io::{self, Write};

/// The two ways to print a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned columns, for people.
    Table,
    /// JSON, for programs.
    Json,
}

/// Writes text to the standard output.
///
/// # Errors
///
/// Fails as the output does, a closed pipe included: `println!` would panic there.
pub(super) fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    write!(stdout, "{text}")?;
    stdout.flush()
}

/// Writes a value as indented JSON.
///
/// # Errors
///
/// Fails as the output does.
pub(super) fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut stdout, value)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Returns how many there are of something, such as `1 subnet` or `2 subnets`.
pub(super) fn counted(count: usize, one: &str) -> String {
    let plural = match one {
        "prefix" => "es",
        _ => "s",
    };
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}{plural}"),
    }
}

/// Returns a number of bytes in the unit that suits it.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // In tenths, so that no floating point is needed.
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while tenths >= 10_240
        && let Some(next) = units.next()
    {
        tenths /= 1024;
        unit = Some(next);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, unit.unwrap_or(&"B"))
}

/// Returns a duration as `2d 3h`, `3h 4m`, `4m 5s` or `5s`.
pub(super) fn seconds(count: u64) -> String {
    let (days, hours, minutes) = (count / 86_400, count / 3600 % 24, count / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{count}s"),
        (0, 0, _) => format!("{minutes}m {}s", count % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_printed_in_their_unit() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1_048_575), "1023.9 KiB");
        assert_eq!(bytes(5 * 1024 * 1024 * 1024), "5.0 GiB");
        assert_eq!(bytes(u64::MAX), "15.9 EiB");
    }

    #[test]
    fn one_is_told_in_the_singular() {
        assert_eq!(counted(0, "port"), "0 ports");
        assert_eq!(counted(1, "port"), "1 port");
        assert_eq!(counted(2, "prefix"), "2 prefixes");
        assert_eq!(counted(1, "prefix"), "1 prefix");
    }

    #[test]
    fn durations_are_printed_in_two_units() {
        assert_eq!(seconds(0), "0s");
        assert_eq!(seconds(59), "59s");
        assert_eq!(seconds(61), "1m 1s");
        assert_eq!(seconds(3 * 3600 + 240), "3h 4m");
        assert_eq!(seconds(2 * 86_400 + 3 * 3600 + 9), "2d 3h");
    }
}
