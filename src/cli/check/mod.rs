//! `turnstile check`: judges what clients have written down, from outside.
//!
//! ```text
//! HISTORY.jsonl ──► history ──► account ──► limit (I1), turn (I2, I3), answer (I4, I5), gap (I6), waste ──► verdict
//! ```
//!
//! Promises: what may be explained by messages on their way is never called a violation; what is called one is named, with its moment.
//! Must not: know how the history came about.

mod account;
mod answer;
mod finding;
mod gap;
pub(crate) mod history;
mod limit;
#[cfg(test)]
mod tests;
mod turn;
mod verdict;
mod waste;

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use history::BadLine;
use verdict::{Judgement, Verdict};

/// The exit code of a history that shows nothing.
const INCONCLUSIVE: u8 = 2;

/// Flags of `turnstile check`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// What clients wrote down, a JSON object a line; - reads standard input
    #[arg(value_name = "HISTORY.jsonl")]
    history: PathBuf,
    /// Print the verdict as one JSON object
    #[arg(long)]
    json: bool,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// The file can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no history.
    #[error("{} is no history", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BadLine,
    },
    /// The verdict can't be written.
    #[error("cannot write the verdict")]
    Write {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Judges a history: exit code 0 when every promise holds, 1 when one was broken, 2 when the history shows nothing.
///
/// # Errors
/// [`CheckError`] when there is no verdict.
pub(crate) fn run(args: CheckArgs) -> Result<ExitCode, CheckError> {
    let CheckArgs { history: path, json } = args;
    let text = match read(&path) {
        Ok(text) => text,
        Err(source) => return Err(CheckError::Read { path, source }),
    };
    let verdict = judge(&text).map_err(|source| CheckError::Parse { path, source })?;
    let answer = if json {
        serde_json::to_string(&verdict.summary()).map(|line| format!("{line}\n")).map_err(io::Error::from)
    } else {
        Ok(verdict.to_string())
    };
    let mut stdout = io::stdout().lock();
    let written = answer.and_then(|answer| stdout.write_all(answer.as_bytes())).and_then(|()| stdout.flush());
    written.map_err(|source| CheckError::Write { source })?;
    Ok(match verdict.judgement() {
        Judgement::Holds => ExitCode::SUCCESS,
        Judgement::Violated => ExitCode::FAILURE,
        Judgement::Inconclusive => ExitCode::from(INCONCLUSIVE),
    })
}

fn read(path: &PathBuf) -> io::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        return io::stdin().lock().read_to_string(&mut text).map(|_| text);
    }
    std::fs::read_to_string(path)
}

/// Judges the lines of a history.
fn judge(text: &str) -> Result<Verdict, BadLine> {
    let account = account::put_together(history::parse(text)?)?;
    Ok(verdict::judge(&account))
}
