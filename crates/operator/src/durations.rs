//! Durations as people write them: `90s`, `10m`, `1h30m`, `1d`.

use std::time::Duration;

/// The units, the longest first, as they stand in a duration, each at most once.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Parses a duration: whole numbers, each with its unit, from days to seconds.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds: u64 = 0;
    for (unit, worth) in UNITS {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let (number, after) = rest.split_at_checked(rest.len() - digits.len())?;
        if let Some(after) = after.strip_prefix(unit) {
            let number: u64 = number.parse().ok()?;
            seconds = seconds.checked_add(number.checked_mul(worth)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_whole_numbers_with_their_units_from_the_longest_to_the_shortest() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("10m", 600),
            ("90m", 5_400),
            ("1h30m", 5_400),
            ("1h0m30s", 3_630),
            ("1d", 86_400),
            ("1d12h", 129_600),
            ("7d", 604_800),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "90",
            "m",
            "h30m",
            "30m1h",
            "1h1h",
            "1.5h",
            "-1h",
            "+1h",
            " 1h",
            "1h ",
            "1 h",
            "1H",
            "1w",
            "1ms",
            "1h30",
            "PT1H",
            "99999999999999999999s",
            "999999999999999d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
