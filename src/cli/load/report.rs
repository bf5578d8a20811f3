//! What came of a load, for people and for programs.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::LoadArgs;
use super::tally::Summary;
use crate::cli::ask::printable;
use crate::cli::table::{Row, table};

/// What is above the columns: the waits are in seconds.
const HEAD: [&str; 7] = ["niceness", "granted", "p50", "p90", "p99", "p99.9", "longest"];

/// The parts of all waits that were shorter.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// A page.
pub(super) fn page(summary: &Summary, args: &LoadArgs, nodes: usize) -> String {
    let Summary { lasted, all, waits, failed, first_failure, left } = summary;
    let by_niceness = waits.iter().map(|(niceness, waits)| (niceness.to_string(), waits));
    let total = (waits.len() > 1).then(|| ("all".to_owned(), all));
    let rows: Vec<Row<7>> = by_niceness.chain(total).map(|(name, waits)| Row::Full(cells(name, waits))).collect();
    let (granted, seconds) = (all.len(), lasted.as_secs_f64());
    let plural = |count: u64, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
    let callers = plural(args.concurrency.into(), "caller");
    let connections = plural(args.connections.unwrap_or(1).into(), "connection");
    let nodes = plural(u64::try_from(nodes).unwrap_or(u64::MAX), "node");
    let mut page = format!("{seconds:.1} s, {callers}, {connections}, {nodes}, seed {}\n\n", args.seed);
    page.push_str(&table(HEAD, 0, &rows));
    page.push_str("(seconds in the queue, of those that were granted)\n\n");
    page.push_str(&format!(
        "{granted} granted, {:.1} a second; {failed} failed; {left} still waited at the end and left\n",
        per_second(summary)
    ));
    if let Some(failure) = first_failure {
        page.push_str(&format!("the first failure: {}\n", printable(failure)));
    }
    if let Some(history) = &args.history {
        page.push_str(&format!("`turnstile check {}` judges what happened\n", history.display()));
    }
    page
}

fn cells(name: String, waits: &Histogram<u64>) -> [String; 7] {
    let seconds = |micros: u64| if waits.is_empty() { "-".to_owned() } else { format!("{:.3}", of_micros(micros)) };
    let [p50, p90, p99, p999] = QUANTILES.map(|quantile| seconds(waits.value_at_quantile(quantile)));
    [name, waits.len().to_string(), p50, p90, p99, p999, seconds(waits.max())]
}

/// One line.
pub(super) fn json_line(summary: &Summary, args: &LoadArgs) -> String {
    let Summary { lasted, all, waits, failed, first_failure, left } = summary;
    let waits: Vec<Value> = waits
        .iter()
        .map(|(niceness, waits)| json!({ "niceness": niceness, "granted": waits.len(), "waitSeconds": waits_json(waits) }))
        .collect();
    let object = json!({
        "seconds": lasted.as_secs_f64(),
        "granted": all.len(),
        "failed": failed,
        "firstFailure": first_failure,
        "left": left,
        "grantsPerSecond": per_second(summary),
        "waitSeconds": waits_json(all),
        "byNiceness": waits,
        "history": args.history,
        "seed": args.seed,
    });
    format!("{object}\n")
}

fn waits_json(waits: &Histogram<u64>) -> Value {
    if waits.is_empty() {
        return Value::Null;
    }
    let [p50, p90, p99, p999] = QUANTILES.map(|quantile| of_micros(waits.value_at_quantile(quantile)));
    json!({ "p50": p50, "p90": p90, "p99": p99, "p99.9": p999, "max": of_micros(waits.max()) })
}

fn per_second(summary: &Summary) -> f64 {
    let granted = f64::from(u32::try_from(summary.all.len()).unwrap_or(u32::MAX));
    granted / summary.lasted.as_secs_f64().max(0.001)
}

fn of_micros(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}
