//! Grant times as a table, and as a strip of time for each algorithm.

use std::time::Duration;

use super::{Row, seconds};
use crate::cli::demo::style::{Ink, Palette};
use crate::engine::limiter::Call;
use crate::engine::time::Timestamp;

/// How many characters a strip has.
const CELLS: u64 = 60;

/// A line for each call: what it takes, how long after the grant before it is made, and when it is granted, in seconds.
pub(super) fn table(calls: &[Call], rows: &[Row]) -> String {
    let head = ["call", "units", "gap"].into_iter().chain(rows.iter().map(|row| row.algorithm.name()));
    let mut lines: Vec<Vec<String>> = vec![head.map(str::to_owned).collect()];
    for (place, call) in calls.iter().enumerate() {
        let told = [(place + 1).to_string(), call.amount.to_string(), seconds(call.after)];
        let times = rows.iter().map(|row| row.times.get(place).map_or_else(String::new, |at| seconds(since_origin(*at))));
        lines.push(told.into_iter().chain(times).collect());
    }
    let columns = rows.len() + 3;
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let aligned = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:>width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  "))
    };
    lines.iter().map(aligned).collect()
}

/// A strip of time for each algorithm: how many units are granted in each cell, more than nine as `+`, and a dot for no grant.
pub(super) fn strips(palette: Palette, calls: &[Call], rows: &[Row]) -> String {
    let last = rows.iter().flat_map(|row| &row.times).max().copied().unwrap_or_default();
    let name_width = rows.iter().map(|row| row.algorithm.name().len()).max().unwrap_or(0);
    let end = format!("{} s", seconds(since_origin(last)));
    let gap = usize::try_from(CELLS).unwrap_or(usize::MAX).saturating_sub("0 s".len());
    let scale = format!("{:name_width$}  0 s{end:>gap$}", "");
    let strip = |row: &Row| {
        let cells: String = units_by_cell(calls, row, last).into_iter().map(|units| painted(palette, units)).collect();
        format!("{:name_width$}  {cells}\n", row.algorithm)
    };
    format!("{}\n{}", palette.paint(Ink::Faint, scale.trim_end()), rows.iter().map(strip).collect::<String>())
}

fn painted(palette: Palette, units: Option<u64>) -> String {
    match units {
        None => palette.paint(Ink::Faint, "·"),
        Some(units @ 0..=9) => palette.paint(Ink::Good, &units.to_string()),
        Some(_) => palette.paint(Ink::Good, "+"),
    }
}

/// The units granted in each cell; `None` where nothing is.
fn units_by_cell(calls: &[Call], row: &Row, last: Timestamp) -> Vec<Option<u64>> {
    let mut cells = vec![None; usize::try_from(CELLS).unwrap_or_default()];
    for (at, call) in row.times.iter().zip(calls) {
        let place = u128::from(at.as_nanos()) * u128::from(CELLS - 1) / u128::from(last.as_nanos().max(1));
        if let Some(cell) = usize::try_from(place).ok().and_then(|place| cells.get_mut(place)) {
            *cell = Some(cell.unwrap_or(0_u64).saturating_add(u64::from(call.amount)));
        }
    }
    cells
}

fn since_origin(at: Timestamp) -> Duration {
    Duration::from_nanos(at.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::algorithm::Algorithm;

    #[test]
    fn a_strip_counts_the_units_of_each_moment() {
        let call = |amount| Call { amount, after: Duration::ZERO };
        let calls = [call(1), call(2), call(9), call(1), call(0)];
        let times = [0, 0, 30, 30, 59].map(Timestamp::from_nanos).to_vec();
        let row = Row { algorithm: Algorithm::TokenBucket, times };
        let strips = strips(Palette::for_terminal(false), &calls, &[row]);
        let expected = format!("token_bucket  3{}+{}0\n", "·".repeat(29), "·".repeat(28));
        assert_eq!(strips.lines().nth(1).map(|line| format!("{line}\n")), Some(expected));
    }
}
