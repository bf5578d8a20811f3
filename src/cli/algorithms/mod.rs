//! `turnstile algorithms`: when each algorithm would grant some calls, side by side, on a virtual clock and so at once.
//!
//! Promises: times exact to the nanosecond, of the plain algorithms, without the margins that a cluster keeps.

mod input;
mod plot;

use std::io::{self, IsTerminal as _, Write as _};
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serializer as _;

use self::input::{amount, capacity, gap, period};
use crate::cli::demo::style::Palette;
use crate::engine::algorithm::Algorithm;
use crate::engine::invalid::InvalidInput;
use crate::engine::limiter::{Call, NoTime, grant_times};
use crate::engine::rate::RateLimit;
use crate::engine::time::Timestamp;

/// The most calls that are shown.
const MAX_CALLS: i64 = 1_000_000;

/// Flags of `turnstile algorithms`.
#[derive(Debug, clap::Args)]
pub(crate) struct AlgorithmsArgs {
    /// Units that may go at once, and that come back in one period
    #[arg(long, value_name = "UNITS", value_parser = capacity, allow_hyphen_values = true)]
    capacity: NonZeroU32,
    /// The window, or the time in which a bucket's capacity comes back, such as 2s, 200ms or 1.5
    #[arg(long, value_name = "SPAN", value_parser = period, allow_hyphen_values = true)]
    period: Duration,
    /// What the calls take, in turn
    #[arg(long, value_name = "UNITS", value_parser = amount, value_delimiter = ',', default_value = "1", allow_hyphen_values = true)]
    amounts: Vec<u32>,
    /// How long after a grant the next call is made, in turn, such as 0.3,0,100ms
    #[arg(long, value_name = "SPANS", value_parser = gap, value_delimiter = ',', default_value = "0", allow_hyphen_values = true)]
    gaps: Vec<Duration>,
    /// How many calls are made; amounts and gaps repeat [default: one for each of --amounts]
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=MAX_CALLS))]
    count: Option<u32>,
    /// Show this algorithm only, repeated or separated by commas [default: all]
    #[arg(long = "algorithm", value_name = "NAME", value_parser = str::parse::<Algorithm>, value_delimiter = ',')]
    algorithms: Vec<Algorithm>,
    /// Print one JSON object: the grant times in seconds by algorithm
    #[arg(long)]
    json: bool,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AlgorithmsError {
    /// There is no such limit.
    #[error(transparent)]
    Limit(#[from] InvalidInput),
    /// A call is never granted.
    #[error("{algorithm}")]
    NoTime {
        /// By which algorithm.
        algorithm: Algorithm,
        /// Which, and why.
        source: NoTime,
    },
    /// The answer can't be written.
    #[error("cannot write to standard output")]
    Write {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The grants of one algorithm.
struct Row {
    algorithm: Algorithm,
    times: Vec<Timestamp>,
}

/// Prints when each call is granted, by each algorithm.
///
/// # Errors
/// [`AlgorithmsError`]; nothing has been printed then.
pub(crate) fn run(args: AlgorithmsArgs) -> Result<(), AlgorithmsError> {
    let limit = RateLimit::new(args.capacity.get(), args.period)?;
    let calls = calls(&args);
    let mut shown: Vec<Algorithm> = Algorithm::ALL.into_iter().filter(|algorithm| args.algorithms.contains(algorithm)).collect();
    if shown.is_empty() {
        shown.extend(Algorithm::ALL);
    }
    let row = |algorithm: Algorithm| match grant_times(&limit.by(algorithm), calls.iter().copied()) {
        Ok(times) => Ok(Row { algorithm, times }),
        Err(source) => Err(AlgorithmsError::NoTime { algorithm, source }),
    };
    let rows = shown.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
    let answer = if args.json {
        json(&rows).map_err(|source| AlgorithmsError::Write { source })?
    } else {
        let palette = Palette::for_terminal(io::stdout().is_terminal());
        format!("{limit}, {}\n\n{}\n{}", counted(calls.len()), plot::table(&calls, &rows), plot::strips(palette, &calls, &rows))
    };
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(answer.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|source| AlgorithmsError::Write { source })
}

/// The first call is made at once, each other one its gap after the grant before.
fn calls(args: &AlgorithmsArgs) -> Vec<Call> {
    let count = args.count.and_then(|count| usize::try_from(count).ok()).unwrap_or(args.amounts.len());
    let amounts = args.amounts.iter().copied().cycle();
    let gaps = std::iter::once(Duration::ZERO).chain(args.gaps.iter().copied().cycle());
    amounts.zip(gaps).take(count).map(|(amount, after)| Call { amount, after }).collect()
}

fn counted(calls: usize) -> String {
    if calls == 1 { "1 call".to_owned() } else { format!("{calls} calls") }
}

fn json(rows: &[Row]) -> io::Result<String> {
    let mut bytes = Vec::new();
    let times = |row: &Row| row.times.iter().map(|at| seconds(Duration::from_nanos(at.as_nanos()))).collect::<Vec<_>>();
    let entries = rows.iter().map(|row| (row.algorithm.name(), times(row)));
    serde_json::Serializer::new(&mut bytes).collect_map(entries)?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// A span in seconds, with as many digits as it has.
fn seconds(span: Duration) -> String {
    let (whole, rest) = (span.as_secs(), span.subsec_nanos());
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{rest:09}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_all_their_digits_and_no_more() {
        for (nanos, text) in [(0, "0"), (1, "0.000000001"), (500_000_000, "0.5"), (10_000_000_000, "10")] {
            assert_eq!(seconds(Duration::from_nanos(nanos)), text);
        }
        assert_eq!(seconds(Duration::from_nanos(u64::MAX)), "18446744073.709551615");
    }
}
