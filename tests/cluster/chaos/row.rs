//! A nemesis, and the row that says what came of it.

use std::time::Duration;

use serde_json::Value;

use super::nemesis::Nemesis;
use super::run::Run;
use super::strike::Strike;

/// How long the load has run when something is done.
const STRIKES_AFTER: Duration = Duration::from_secs(3);

/// What a row says in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Held,
    /// It can't be done here: nothing is known.
    Skipped,
    /// A promise was broken, something took too long, or nothing was done.
    Failed,
}

pub(crate) fn head() {
    println!(
        "{:<15}{:>9}{:>9}{:>6}{:>6}{:>12}{:>12}{:>13}{:>9}{:>9}{:>9}{:>8}",
        "nemesis",
        "requests",
        "granted",
        "over",
        "lost",
        "duplicates",
        "inversions",
        "longest gap",
        "at most",
        "back in",
        "at most",
        "waste"
    );
}

/// Runs one, prints its row, and returns what came of it.
pub(crate) fn row(nemesis: Nemesis, lasts: Duration, seed: u64) -> Outcome {
    let name = format!("{nemesis:?}");
    let skipped = |why: &str| {
        println!("{name:<15}  SKIPPED: {why}");
        Outcome::Skipped
    };
    let home = tempfile::tempdir().unwrap();
    let setup = match nemesis.setup(home.path()) {
        Ok(setup) => setup,
        Err(why) => return skipped(why),
    };
    let mut run = Run::start(home, setup, lasts, seed);
    run.wait(STRIKES_AFTER);
    match run.strike(nemesis) {
        Strike::Skipped(why) => return skipped(why),
        Strike::Missed(why) => run.failures.push(format!("it never struck: {why}")),
        Strike::Struck => {}
    }
    let left = run.until.saturating_duration_since(std::time::Instant::now());
    run.wait(left);
    let summary = run.judge();
    let back = judge_times(&mut run, nemesis, &summary);
    let number = |name: &str| summary[name].as_u64().unwrap_or_default();
    let (back_in, back_within) = back.unwrap_or_default();
    println!(
        "{name:<15}{:>9}{:>9}{:>6}{:>6}{:>12}{:>12}{:>11.3} s{:>7.1} s{back_in:>9}{back_within:>9}{:>6.1} %  {}{}{}",
        number("requests"),
        number("granted"),
        number("over_the_limit"),
        number("unanswered"),
        number("duplicates"),
        number("priority_inversions") + number("fifo_inversions"),
        summary["longest_gap_seconds"].as_f64().unwrap_or_default(),
        nemesis.longest_gap().as_secs_f64(),
        summary["waste_percent"].as_f64().unwrap_or_default(),
        summary["verdict"].as_str().unwrap_or_default(),
        run.notes.iter().map(|note| format!("; {note}")).collect::<String>(),
        run.failures.iter().map(|failure| format!("; FAILED: {failure}")).collect::<String>(),
    );
    if summary["verdict"] == "holds" && run.failures.is_empty() { Outcome::Held } else { Outcome::Failed }
}

/// Notes what took longer than it may; of those who were away, who took longest to be served again, and how long they may take.
fn judge_times(run: &mut Run, nemesis: Nemesis, summary: &Value) -> Option<(String, String)> {
    let most = nemesis.longest_gap();
    if summary["longest_gap_seconds"].as_f64().is_none_or(|gap| gap > most.as_secs_f64()) {
        run.failures.push("the gap is too long".to_owned());
    }
    let mut longest: Option<(Option<Duration>, Duration)> = None;
    for back in std::mem::take(&mut run.backs) {
        let after = run.back_after(&back);
        if after.is_none_or(|after| after > back.within) {
            run.failures.push(format!("workers {:?} were not back within {:?}: {after:?}", back.workers, back.within));
        }
        let over = |after: Option<Duration>| after.map_or(Duration::MAX, |after| after);
        if longest.is_none_or(|(former, _)| over(former) < over(after)) {
            longest = Some((after, back.within));
        }
    }
    longest.map(|(after, within)| {
        let after = after.map_or_else(|| "never".to_owned(), |after| format!("{:.3} s", after.as_secs_f64()));
        (after, format!("{:.1} s", within.as_secs_f64()))
    })
}
