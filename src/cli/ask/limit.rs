//! A limit as people write it on a command line: `3/60s`, `100/500ms`, `90000/1m:tokens:token_bucket`.

use crate::cli::span::span;
use crate::engine::algorithm::Algorithm;
use crate::engine::cost::Dimension;
use crate::engine::rate::RateLimit;

/// Reads COUNT/WINDOW, and behind it what is counted and by which algorithm, in either order.
///
/// # Errors
/// The part that breaks a rule, and the rule.
pub(crate) fn parse(text: &str) -> Result<RateLimit, String> {
    let (rate, words) = text.split_once(':').map_or((text, None), |(rate, words)| (rate, Some(words)));
    let (count, window) =
        rate.split_once('/').ok_or("it must be COUNT/WINDOW, such as 3/60s, 100/500ms or 90000/1m:tokens:token_bucket")?;
    let count = count.parse().map_err(|_| format!("its count is {count:?}: it must be a whole number from 1 to {}", u32::MAX))?;
    let window = span(window).map_err(|rule| format!("its window is {window:?}: {rule}"))?;
    let limit = RateLimit::new(count, window).map_err(|invalid| invalid.to_string())?;
    let (dimension, algorithm) = read_words(words)?;
    Ok(limit.counting(dimension.unwrap_or_default()).by(algorithm.unwrap_or_default()))
}

fn read_words(words: Option<&str>) -> Result<(Option<Dimension>, Option<Algorithm>), String> {
    let (mut dimension, mut algorithm) = (None, None);
    for word in words.into_iter().flat_map(|words| words.split(':')) {
        let twice = || format!("{word:?} is one too many: a limit counts one thing, by one algorithm");
        if let Some(named) = Dimension::named(word) {
            if dimension.replace(named).is_some() {
                return Err(twice());
            }
        } else if let Ok(named) = word.parse::<Algorithm>() {
            if algorithm.replace(named).is_some() {
                return Err(twice());
            }
        } else {
            return Err(unknown(word));
        }
    }
    Ok((dimension, algorithm))
}

fn unknown(word: &str) -> String {
    let dimensions = Dimension::ALL.map(Dimension::name).join(", ");
    let algorithms = Algorithm::ALL.map(Algorithm::name).join(", ");
    format!("{word:?} is no word of a limit: it takes what is counted ({dimensions}) and an algorithm ({algorithms})")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limit(count: u32, millis: u64) -> RateLimit {
        RateLimit::new(count, Duration::from_millis(millis)).unwrap()
    }

    #[test]
    fn a_limit_is_a_count_in_a_window_and_may_say_what_it_counts_and_how() {
        for (text, expected) in [
            ("3/60s", limit(3, 60_000)),
            ("3/60", limit(3, 60_000)),
            ("100/500ms", limit(100, 500)),
            ("1/0.25", limit(1, 250)),
            ("4294967295/168h", limit(u32::MAX, 604_800_000)),
            ("9/1m:units:sliding_window", limit(9, 60_000)),
            ("9/1m:tokens", limit(9, 60_000).counting(Dimension::Tokens)),
            ("9/1m:input_tokens", limit(9, 60_000).counting(Dimension::InputTokens)),
            ("9/1m:output_tokens:gcra_virtual", limit(9, 60_000).counting(Dimension::OutputTokens).by(Algorithm::GcraVirtual)),
            ("9/1m:token_bucket:tokens", limit(9, 60_000).counting(Dimension::Tokens).by(Algorithm::TokenBucket)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_breaks_a_rule_is_named_with_the_rule() {
        for (text, said) in [
            ("", "it must be COUNT/WINDOW, such as 3/60s"),
            ("3", "it must be COUNT/WINDOW"),
            ("3:tokens", "it must be COUNT/WINDOW"),
            ("/60s", "its count is \"\": it must be a whole number from 1 to 4294967295"),
            ("-1/60s", "its count is \"-1\": it must be a whole number"),
            ("1.5/60s", "its count is \"1.5\""),
            ("4294967296/60s", "its count is \"4294967296\""),
            ("0/60s", "request count is 0: a limit allows at least 1 per window"),
            ("3/", "its window is \"\": it must be a number of seconds from 0"),
            ("3/-1s", "its window is \"-1s\": it must be a number of seconds from 0"),
            ("3/60x", "its window is \"60x\": it must be a number of seconds from 0"),
            ("3/60s/2", "its window is \"60s/2\""),
            ("3/0s", "window is 0ns: it takes 1ms to 7 days"),
            ("3/169h", "window is 608400s: it takes 1ms to 7 days"),
            ("3/60s:", "\"\" is no word of a limit"),
            (
                "3/60s:token",
                "\"token\" is no word of a limit: it takes what is counted (units, tokens, input_tokens, output_tokens)",
            ),
            ("3/60s:tokens:tokens", "\"tokens\" is one too many: a limit counts one thing, by one algorithm"),
            ("3/60s:leaky_bucket:gcra_virtual", "\"gcra_virtual\" is one too many"),
        ] {
            let rule = parse(text).unwrap_err();
            assert!(rule.starts_with(said), "{text}: {rule}");
        }
    }

    #[test]
    fn every_name_is_read_as_what_it_names() {
        for dimension in Dimension::ALL {
            assert_eq!(parse(&format!("3/60s:{}", dimension.name())), Ok(limit(3, 60_000).counting(dimension)));
        }
    }
}
