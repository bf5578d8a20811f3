//! Numbers and spans of limits and calls, as people write them.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::cli::span::span;

/// Units of a limit.
pub(super) fn capacity(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("it must be a whole number from 1 to {}", u32::MAX))
}

/// Units of a call.
pub(super) fn amount(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "it must be a whole number from 0 to the capacity".to_owned())
}

/// The period of a limit.
pub(super) fn period(text: &str) -> Result<Duration, String> {
    let period = span(text)?;
    let is_valid = (Duration::from_millis(1)..=Duration::from_secs(7 * 24 * 3600)).contains(&period);
    if is_valid { Ok(period) } else { Err("it must be 1ms to 7 days".to_owned()) }
}

/// The pause between a grant and the next call.
pub(super) fn gap(text: &str) -> Result<Duration, String> {
    span(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_told_the_range() {
        assert_eq!(capacity("0").unwrap_err(), "it must be a whole number from 1 to 4294967295");
        assert_eq!(period("0").unwrap_err(), "it must be 1ms to 7 days");
        assert_eq!(amount("-1").unwrap_err(), "it must be a whole number from 0 to the capacity");
        assert_eq!(period("7.0m"), Ok(Duration::from_secs(420)));
    }
}
