//! `turnstile demo`: workers saturate emulated platforms through `throttle`, and a judge looks on.
//!
//! ```text
//! demo ─┬─ starts ──► platform emulator, a process of its own      (emulator)
//!       ├─ starts ──► a node, its data in a temporary folder
//!       ├─ starts ──► workers ── acquire ─► call ─► journal        (crew, traffic, journal)
//!       ├─ shows ───► a page or lines                              (view, style)
//!       └─ judges ──► journal + the platform's own report          (judge, promises, report, summary)
//! ```
//!
//! Promises: whatever ends the run, the workers, the node and the emulator end before it returns.

mod crew;
mod emulator;
mod journal;
mod judge;
mod promises;
mod report;
mod style;
mod summary;
mod traffic;
mod view;

use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crew::{Crew, CrewError, Site};
use emulator::{Emulator, EmulatorError};
use journal::Journal;
use judge::{Account, judge};
use view::{Heading, View};

use super::connections::{self, ConnectionSpec, ConnectionsError};
use super::platform::Report as PlatformReport;
use super::{shutdown, time};
use crate::{Node, NodeConfig, RateLimit};

/// The connections of the demo, with where their limits come from.
const CONNECTIONS: &str = include_str!("connections.toml");

/// How long the node may take to start and to end.
const NODE_PATIENCE: Duration = Duration::from_secs(30);

/// Flags of `turnstile demo`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DemoArgs {
    /// How long to run; a connection is judged for its utilisation after three of its windows
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How many workers share the load; more workers are not more load
    #[arg(long, value_name = "N", default_value = "8", value_parser = workers)]
    workers: NonZeroU32,
    /// Where the randomness of the load starts
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// What to kill during the run
    #[arg(long, value_name = "WHAT", default_value = "none")]
    kill: Kill,
    /// Print the verdict as one JSON object, the last line on standard output; all else goes to standard error
    #[arg(long)]
    json: bool,
}

/// The most workers a run may have; each has an HTTP client of its own.
const MOST_WORKERS: u32 = 256;

fn workers(text: &str) -> Result<NonZeroU32, String> {
    let number = text.parse::<NonZeroU32>().ok();
    let allowed = number.filter(|number| number.get() <= MOST_WORKERS);
    allowed.ok_or_else(|| format!("not a number from 1 to {MOST_WORKERS}"))
}

/// What is killed during the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kill {
    /// Nothing: the promises of a healthy node
    None,
}

/// Why the demo came to no verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// The built-in connections file is wrong.
    #[error("cannot use the built-in connections")]
    Connections(#[from] ConnectionsError),
    /// No temporary folder, or no signals.
    #[error("cannot prepare the demo")]
    Prepare {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node doesn't start.
    #[error("cannot start the node")]
    Node {
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The node doesn't start in time.
    #[error("the node did not start within {NODE_PATIENCE:?}")]
    SlowNode,
    /// The emulator is of no use.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// The workers can't go on.
    #[error(transparent)]
    Crew(#[from] CrewError),
    /// Ended by a signal before there was anything to judge.
    #[error("ended before the run had begun")]
    Interrupted,
    /// The verdict can't be written.
    #[error("cannot write the verdict")]
    Output {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Runs the demo: exit code 0 if every promise held, 1 if one was broken.
///
/// # Errors
/// When there is no verdict; see [`DemoError`].
pub(crate) async fn run(args: DemoArgs) -> Result<ExitCode, DemoError> {
    // The one thing that can be killed today is nothing.
    let Kill::None = args.kill;
    let specs = connections::parse(CONNECTIONS)?;
    let preparing = |source| DemoError::Prepare { source };
    let mut signals = shutdown::Signals::listen().map_err(preparing)?;
    let folder = tempfile::Builder::new().prefix("turnstile-demo-").tempdir().map_err(preparing)?;

    let (emulator, node) = tokio::select! {
        started = start(folder.path()) => started?,
        // Dropping the start kills the emulator and drops the node.
        () = signals.asked_to_end() => return Err(DemoError::Interrupted),
    };
    let run = Run { args: &args, specs: &specs };
    let observed = run.observe(emulator, &node, &mut signals).await;
    // Whether the node ended in time or not, the process ends after this; its folder is temporary.
    time::timeout(NODE_PATIENCE, node.shutdown()).await.ok();
    run.conclude(&observed?)
}

/// The emulator and a node, with what they keep in this folder.
async fn start(folder: &Path) -> Result<(Emulator, Node), DemoError> {
    let file = folder.join("connections.toml");
    std::fs::write(&file, CONNECTIONS).map_err(|source| DemoError::Prepare { source })?;
    let emulator = Emulator::start(&file).await?;
    let starting = Node::start(NodeConfig::on_disk(folder.join("node")));
    let node = time::timeout(NODE_PATIENCE, starting)
        .await
        .map_err(|_| DemoError::SlowNode)?
        .map_err(|source| DemoError::Node { source: Box::new(source) })?;
    Ok((emulator, node))
}

/// What a run left behind.
struct Observed {
    journal: Arc<Journal>,
    report: PlatformReport,
    lasted: Duration,
}

struct Run<'a> {
    args: &'a DemoArgs,
    specs: &'a [ConnectionSpec],
}

impl Run<'_> {
    /// Puts the load on until the time is over or a signal comes, and gathers what was seen.
    async fn observe(&self, mut emulator: Emulator, node: &Node, signals: &mut shutdown::Signals) -> Result<Observed, DemoError> {
        let journal = Arc::new(Journal::start(self.specs));
        let site = Site {
            throttler: node.throttler(),
            address: emulator.address(),
            journal: Arc::clone(&journal),
            seed: self.args.seed,
        };
        let heading = Heading { duration: self.duration(), workers: self.args.workers, seed: self.args.seed };
        let mut crew = Crew::start(&site, self.specs, self.args.workers)?;
        let view = View::open(heading, self.args.json);
        let failure = tokio::select! {
            () = time::sleep(self.duration()) => None,
            () = signals.asked_to_end() => None,
            () = view.follow(self.specs, &journal) => None,
            error = emulator.ended() => Some(DemoError::from(error)),
            error = crew.failed() => Some(DemoError::from(error)),
        };
        let lasted = journal.now();
        drop(view);
        let stopped = crew.stop().await;
        if let Some(failure) = failure {
            emulator.stop().await;
            return Err(failure);
        }
        let report = emulator.report().await;
        emulator.stop().await;
        stopped?;
        Ok(Observed { journal, report: report?, lasted })
    }

    /// Judges and prints.
    fn conclude(&self, observed: &Observed) -> Result<ExitCode, DemoError> {
        let accounts = self.accounts(&observed.report)?;
        let verdict = judge(self.specs, &observed.journal.records(), &accounts, observed.lasted);
        let failure = observed.journal.first_failure();
        let promises = promises::promises(self.specs, &verdict, failure.as_deref());
        let is_terminal = if self.args.json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        let report = report::Report {
            specs: self.specs,
            verdict: &verdict,
            promises: &promises,
            lasted: observed.lasted,
            workers: self.args.workers,
            seed: self.args.seed,
            palette: style::Palette::for_terminal(is_terminal),
        };
        let printed = if self.args.json {
            let crew = (self.args.workers, self.args.seed);
            let summary = summary::Summary::new(self.specs, &verdict, &promises, observed.lasted, crew);
            write!(io::stderr(), "\n{report}")
                .and_then(|()| serde_json::to_string(&summary).map_err(io::Error::from))
                .and_then(|line| writeln!(io::stdout(), "{line}"))
        } else {
            write!(io::stdout(), "\n{report}")
        };
        printed.map_err(|source| DemoError::Output { source })?;
        Ok(if promises::all_hold(&promises) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.args.seconds))
    }

    /// What the platform and the limiter say, in the order of the connections.
    fn accounts(&self, report: &PlatformReport) -> Result<Vec<Account>, CrewError> {
        let of = |spec: &ConnectionSpec| {
            let same =
                |one: &&super::platform::ConnectionReport| one.platform == spec.platform && one.connection == spec.connection;
            let counted = report.connections.iter().find(same);
            Ok(Account {
                refused: counted.map_or(0, |one| one.refused),
                duplicates: counted.map_or(0, |one| one.duplicates),
                guards: crew::rates(spec)?.iter().map(RateLimit::guard).collect(),
            })
        };
        self.specs.iter().map(of).collect()
    }
}
