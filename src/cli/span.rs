//! Spans as people write them, read exactly: no float comes between.

use std::time::Duration;

/// The units of a span, and how many nanoseconds each has. Without one it is in seconds.
const UNITS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a number of seconds, or of another unit: `0.3`, `300ms`, `2h`.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let rule =
        || "it must be a number of seconds from 0, such as 0.3, or have a unit (ns, us, ms, s, m or h), such as 300ms".to_owned();
    let number_ends = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let nanos_each = match unit {
        "" => 1_000_000_000,
        _ => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(rule)?.1,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(rule());
    }
    let too_long = || format!("it must be at most {} s", u64::MAX / 1_000_000_000);
    let whole: u128 = whole.parse().map_err(|_| too_long())?;
    let nanos = whole.checked_mul(nanos_each).and_then(|nanos| nanos.checked_add(part(fraction, nanos_each)?));
    match nanos.map(u64::try_from) {
        Some(Ok(nanos)) => Ok(Duration::from_nanos(nanos)),
        Some(Err(_)) => Err(too_long()),
        None if part(fraction, nanos_each).is_none() => Err("it must be a whole number of nanoseconds".to_owned()),
        None => Err(too_long()),
    }
}

/// The nanoseconds of a fraction of a unit; `None` when they are not whole.
fn part(digits: &str, nanos_each: u128) -> Option<u128> {
    let digits = digits.trim_end_matches('0');
    let scale = 10_u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    let parts = if digits.is_empty() { 0 } else { digits.parse::<u128>().ok()? };
    let nanos = parts.checked_mul(nanos_each)?;
    nanos.is_multiple_of(scale).then_some(nanos / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_to_the_nanosecond() {
        let nanos = |text: &str| span(text).map(|span| span.as_nanos());
        for (text, expected) in [
            ("2s", 2_000_000_000),
            ("0.3", 300_000_000),
            ("0.000000001", 1),
            ("1.5ms", 1_500_000),
            ("1.50000000000000000000s", 1_500_000_000),
            ("2h", 7_200_000_000_000),
            ("18446744073.709551615", u128::from(u64::MAX)),
        ] {
            assert_eq!(nanos(text), Ok(expected), "{text}");
        }
        for text in ["", "-1", "NaN", "inf", "1e3", "1 s", ".5", "5.", "1.2.3", "s", "1d", "+1", "٣"] {
            assert!(nanos(text).unwrap_err().starts_with("it must be a number of seconds from 0"), "{text}");
        }
        assert_eq!(nanos("0.0000000001").unwrap_err(), "it must be a whole number of nanoseconds");
        for text in
            ["18446744073.709551616", "99999999999999999999999999999999999999999999", "340282366920938463463374607431768211455h"]
        {
            assert_eq!(nanos(text).unwrap_err(), "it must be at most 18446744073 s", "{text}");
        }
    }
}
