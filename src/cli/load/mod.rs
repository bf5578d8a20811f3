//! `turnstile load`: many callers at once, through sessions with the given nodes.
//!
//! ```text
//! callers ──► Remote, one session for each node ──► granted, refused, or left at the end
//!    └──► tally ──► waits by niceness, and a history for `turnstile check`
//! ```
//!
//! Promises: who still waits at the end leaves the queue; what is drawn at random comes from the seed.
//! Must not: call any platform. A grant is used up, and its request is over at once.

mod caller;
mod report;
mod tally;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::caller::Caller;
use self::tally::Tally;
use super::ask::{self, AskError, KeyArgs, LimitsArgs, NodesArgs};
use super::operate::statuses;
use super::remote::Remote;
use super::shutdown::Signals;
use super::span::span;
use super::time;
use crate::engine::invalid::InvalidInput;
use crate::engine::key::ConnectionKey;
use crate::{Connection, Limits};

/// How long those who wait have to leave the queue at the end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// How often the bar is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// Flags of `turnstile load`.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    limits: LimitsArgs,
    /// How long to go on, such as 30 or 5m
    #[arg(long, value_name = "SECONDS", value_parser = lasts, default_value = "10", allow_hyphen_values = true)]
    seconds: Duration,
    /// How many callers there are; each makes one request after the other
    #[arg(long, value_name = "CALLERS", value_parser = clap::value_parser!(u32).range(1..=10_000), default_value_t = 50)]
    concurrency: u32,
    /// How far requests step back for others, each by one of these at random
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "0", allow_hyphen_values = true)]
    niceness: Vec<u32>,
    /// How many requests all callers together begin in a second, on average, at random moments [default: as many as they can]
    #[arg(long, value_name = "REQUESTS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Spread the requests over so many connections at random: C-1 to C-N, where C is --connection [default: one, C itself]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: Option<u32>,
    /// Write down what happened, for `turnstile check FILE`
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// What everything random starts from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    nodes: NodesArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn lasts(text: &str) -> Result<Duration, String> {
    let lasts = span(text)?;
    let is_valid = (Duration::from_millis(100)..=Duration::from_secs(24 * 3600)).contains(&lasts);
    if is_valid { Ok(lasts) } else { Err("it must be 0.1s to 24h".to_owned()) }
}

/// Why there was no load, or no account of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The nodes can't be asked, or the flags are wrong.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The history can't be written.
    #[error("cannot write the history {}", path.display())]
    History {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A histogram can't be made.
    #[error("cannot count waits")]
    Histogram(#[from] hdrhistogram::CreationError),
}

/// Loads the nodes for a while and prints what came of it. The exit code is 1 when a request failed, or none was granted.
///
/// # Errors
/// [`LoadError`].
pub(crate) async fn run(args: LoadArgs) -> Result<ExitCode, LoadError> {
    let addresses = args.nodes.clone().addresses()?;
    let connections = connections(&args)?;
    let answers = statuses(&addresses).await;
    if answers.iter().all(Result::is_err) {
        let reasons =
            addresses.iter().zip(answers).map(|(address, answer)| format!("{address}: {}", answer.err().unwrap_or_default()));
        return Err(AskError::Nobody { reasons: reasons.collect::<Vec<_>>().join("; ") }.into());
    }
    let mut signals = Signals::listen().map_err(|source| AskError::Signals { source })?;
    let unwritten = |path: &Option<PathBuf>, source| LoadError::History { path: path.clone().unwrap_or_default(), source };
    let tally = Tally::start(&args.niceness, args.limits.limits()?, args.history.as_deref());
    let tally = Arc::new(tally?.map_err(|source| unwritten(&args.history, source))?);
    let (stop, stopped) = watch::channel(false);
    let mut callers = JoinSet::new();
    let mut sessions = JoinSet::new();
    let remotes = remotes(&addresses, &mut sessions);
    for (number, remote) in (0..args.concurrency).zip(remotes.iter().cycle()) {
        let caller = Caller::new(number, &args, remote.clone(), Arc::clone(&connections), Arc::clone(&tally), stopped.clone());
        callers.spawn(caller.run());
    }
    drop((remotes, stopped));
    tokio::select! {
        // Only watched: leaving it ends the bar.
        () = watch_for(args.seconds, &tally) => {}
        () = signals.asked_to_end() => {}
    }
    let lasted = tally.now();
    stop.send_replace(true);
    // The last of the callers held the sessions: both end by themselves.
    let ending = async { while callers.join_next().await.is_some() || sessions.join_next().await.is_some() {} };
    time::timeout(ENDS_WITHIN, ending).await.ok();
    callers.shutdown().await;
    sessions.shutdown().await;
    let summary = tally.finish(lasted).map_err(|source| unwritten(&args.history, source))?;
    let text = if args.json { report::json_line(&summary, &args) } else { report::page(&summary, &args, addresses.len()) };
    ask::write(&text)?;
    Ok(if summary.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All connections, each with its limits.
fn connections(args: &LoadArgs) -> Result<Arc<[Connection]>, AskError> {
    let limits: Limits = args.limits.limits()?;
    let crate::wire::v1::ConnectionKey { platform, connection } = args.key.clone().message();
    let wrong = |invalid: InvalidInput| AskError::WrongUse { reason: format!("--connection: {invalid}") };
    let one =
        |name: &str| ConnectionKey::new(&platform, name).map(|key| Connection::from_parts(key, limits.clone())).map_err(wrong);
    match args.connections {
        None => Ok(Arc::new([one(&connection)?])),
        Some(count) => (1..=count).map(|number| one(&format!("{connection}-{number}"))).collect(),
    }
}

/// A session for each node, which goes to the others when its own is gone.
fn remotes(addresses: &[String], sessions: &mut JoinSet<()>) -> Vec<Remote> {
    let one = |first: usize| {
        let (before, behind) = addresses.split_at(first);
        let (remote, session) = Remote::new([behind, before].concat());
        sessions.spawn(session);
        remote
    };
    (0..addresses.len()).map(one).collect()
}

/// Shows how far it is, on a terminal, until the time is over; the bar goes when the future does.
async fn watch_for(lasts: Duration, tally: &Tally) {
    // Drawn on a terminal only.
    let bar =
        ProgressBar::with_draw_target(Some(millis(lasts)), ProgressDrawTarget::stderr()).with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}") {
        bar.set_style(style);
    }
    while let Some(left) = lasts.checked_sub(tally.now()).filter(|left| !left.is_zero()) {
        let (granted, failed) = tally.so_far();
        bar.set_position(millis(tally.now()));
        bar.set_message(format!("{granted} granted, {failed} failed"));
        time::sleep(left.min(FRAME)).await;
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
