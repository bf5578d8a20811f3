//! `turnstile demo`: workers saturate emulated platforms through a cluster, a node of it is killed, and a judge looks on.
//!
//! ```text
//! demo ─┬─ starts ──► platform emulator, a process                           (emulator)
//!       ├─ starts ──► the nodes, a process each, with disks of their own   (cluster)
//!       ├─ starts ──► workers, a process each ── acquire ─► call             (crew ◄─ events ─ worker, loops, traffic)
//!       │                                          └─ what happens ──► journal
//!       ├─ kills ───► a node, in the middle                                  (fault)
//!       ├─ shows ───► a page or lines                                        (view, style)
//!       └─ judges ──► journal + the platform's own report                    (judge, promises, report, summary)
//! ```
//!
//! Promises: whatever ends the run, its processes end before it returns, or with it.

mod blow;
mod child;
mod cluster;
mod crew;
mod emulator;
mod fault;
mod history;
mod journal;
mod judge;
mod loops;
mod message;
mod promises;
mod report;
pub(crate) mod style;
mod summary;
mod traffic;
mod view;
mod worker;

use std::io::{self, IsTerminal as _, Write as _};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use blow::Blow;
use cluster::{Cluster, ClusterError};
use crew::{Crew, CrewError};
use emulator::{Emulator, EmulatorError};
use fault::{Kill, strike};
use history::Recorder;
use journal::Journal;
use judge::{Account, judge};
use loops::LoopError;
use message::Assignment;
use view::{Heading, View};
pub(crate) use worker::{WorkerArgs, WorkerError, run as run_worker};

use super::connections::{self, ConnectionSpec, ConnectionsError};
use super::platform::Report as PlatformReport;
use super::{shutdown, time};
use crate::RateLimit;

/// The connections of the demo, with where their limits come from.
const CONNECTIONS: &str = include_str!("connections.toml");

/// Flags of `turnstile demo`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DemoArgs {
    /// How long to run; a connection is judged for its utilisation after three of its windows
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How many nodes the cluster has, a process each: five keep the log, any more only route
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=32))]
    nodes: u32,
    /// How many workers, a process each, share the load; more workers are not more load
    #[arg(long, value_name = "N", default_value = "4", value_parser = workers)]
    workers: NonZeroU32,
    /// Where the randomness of the load starts
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// What to kill in the middle of the run
    #[arg(long, value_name = "WHAT", default_value = "owner")]
    kill: Kill,
    /// Also write what happened into this file, for `turnstile check`
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Print the verdict as one JSON object, the last line on standard output; all else goes to standard error
    #[arg(long)]
    json: bool,
}

/// The most workers a run may have; each is a process.
const MOST_WORKERS: u32 = 64;

fn workers(text: &str) -> Result<NonZeroU32, String> {
    let number = text.parse::<NonZeroU32>().ok();
    let allowed = number.filter(|number| number.get() <= MOST_WORKERS);
    allowed.ok_or_else(|| format!("not a number from 1 to {MOST_WORKERS}"))
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
    /// The cluster is of no use.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The emulator is of no use.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// The workers can't go on.
    #[error(transparent)]
    Crew(#[from] CrewError),
    /// A connection's limits are none.
    #[error(transparent)]
    Limits(#[from] LoopError),
    /// The history can't be written.
    #[error("cannot write the history {}", path.display())]
    History {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
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
    let specs = connections::parse(CONNECTIONS)?;
    let preparing = |source| DemoError::Prepare { source };
    let recorder = args.history.as_ref().map(|path| Recorder::create(path, &specs).map_err(|source| failed(path, source)));
    let recorder = recorder.transpose()?;
    let mut signals = shutdown::Signals::listen().map_err(preparing)?;
    let folder = tempfile::Builder::new().prefix("turnstile-demo-").tempdir().map_err(preparing)?;
    let (emulator, cluster) = tokio::select! {
        started = start(args.nodes, folder.path()) => started?,
        // Dropping the start kills the processes.
        () = signals.asked_to_end() => return Err(DemoError::Interrupted),
    };
    let run = Run { args: &args, specs: &specs, folder: &folder };
    let observed = run.observe(emulator, cluster, recorder, &mut signals).await?;
    run.conclude(&observed)
}

fn failed(path: &Path, source: io::Error) -> DemoError {
    DemoError::History { path: path.to_owned(), source }
}

/// The emulator and a cluster, with what they keep in this folder.
async fn start(nodes: u32, folder: &Path) -> Result<(Emulator, Cluster), DemoError> {
    let file = folder.join("connections.toml");
    std::fs::write(&file, CONNECTIONS).map_err(|source| DemoError::Prepare { source })?;
    let emulator = Emulator::start(folder, &file).await?;
    Ok((emulator, Cluster::start(nodes, folder).await?))
}

/// What a run left behind.
struct Observed {
    journal: Arc<Journal>,
    report: PlatformReport,
    blow: Option<Blow>,
    lasted: Duration,
}

/// Everything that runs.
struct Stage<'a> {
    emulator: Emulator,
    cluster: Cluster,
    crew: Crew,
    view: View,
    journal: Arc<Journal>,
    signals: &'a mut shutdown::Signals,
}

/// How a part of the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    Whole,
    Interrupted,
}

struct Run<'a> {
    args: &'a DemoArgs,
    specs: &'a [ConnectionSpec],
    folder: &'a TempDir,
}

impl Run<'_> {
    /// Puts the load on until the time is over or a signal comes, and gathers what was seen.
    async fn observe(
        &self,
        emulator: Emulator,
        cluster: Cluster,
        recorder: Option<Recorder>,
        signals: &mut shutdown::Signals,
    ) -> Result<Observed, DemoError> {
        let journal = Arc::new(Journal::start(self.specs, recorder));
        let assignment = Assignment {
            nodes: cluster.addresses(),
            platforms: emulator.address(),
            seed: self.args.seed,
            worker: 0,
            workers: self.args.workers,
            clock: journal.clock(),
        };
        let heading = self.heading();
        let crew = Crew::start(&assignment, self.folder.path(), &journal)?;
        let view = View::open(heading, self.args.json);
        let mut stage = Stage { emulator, cluster, crew, view, journal, signals };
        let performed = self.perform(&mut stage).await;
        let Stage { emulator, cluster, crew, view, journal, .. } = stage;
        let lasted = journal.now();
        drop(view);
        let stopped = crew.stop().await;
        let report = emulator.report().await;
        tokio::join!(emulator.stop(), cluster.stop());
        let blow = performed?;
        stopped?;
        let written = journal.finish(blow.as_ref());
        self.args.history.as_ref().map_or(Ok(()), |path| written.map_err(|source| failed(path, source)))?;
        Ok(Observed { journal, report: report?, blow, lasted })
    }

    /// The two halves of the run, and the blow between them.
    async fn perform(&self, stage: &mut Stage<'_>) -> Result<Option<Blow>, DemoError> {
        let half = self.duration() / 2;
        if self.watch(stage, half).await? == Watched::Interrupted {
            return Ok(None);
        }
        let struck = strike(self.args.kill, &mut stage.cluster, self.specs, &stage.journal).await?;
        let (blow, remark) = struck.unzip();
        if let Some(remark) = remark {
            stage.view.remark(remark);
        }
        let left = self.duration().saturating_sub(stage.journal.now());
        self.watch(stage, left).await?;
        Ok(blow)
    }

    /// Shows the run for so long, or until a signal comes.
    async fn watch(&self, stage: &mut Stage<'_>, span: Duration) -> Result<Watched, DemoError> {
        let Stage { emulator, cluster, crew, view, journal, signals } = stage;
        tokio::select! {
            () = time::sleep(span) => Ok(Watched::Whole),
            () = signals.asked_to_end() => Ok(Watched::Interrupted),
            () = view.follow(self.specs, journal) => Ok(Watched::Whole),
            error = emulator.ended() => Err(error.into()),
            error = cluster.ended() => Err(error.into()),
            error = crew.failed() => Err(error.into()),
        }
    }

    /// Judges and prints.
    fn conclude(&self, observed: &Observed) -> Result<ExitCode, DemoError> {
        let accounts = self.accounts(&observed.report)?;
        let blow = observed.blow.as_ref();
        let verdict = judge(self.specs, &observed.journal.records(), &accounts, blow, observed.lasted);
        let failure = observed.journal.first_failure();
        let promises = promises::promises(self.specs, &verdict, blow, failure.as_deref());
        let is_terminal = if self.args.json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        let report = report::Report {
            specs: self.specs,
            verdict: &verdict,
            promises: &promises,
            lasted: observed.lasted,
            heading: self.heading(),
            palette: style::Palette::for_terminal(is_terminal),
        };
        let printed = if self.args.json {
            let summary = summary::Summary::new(self.specs, &verdict, &promises, blow, observed.lasted, self.heading());
            write!(io::stderr(), "\n{report}")
                .and_then(|()| serde_json::to_string(&summary).map_err(io::Error::from))
                .and_then(|line| writeln!(io::stdout(), "{line}"))
        } else {
            write!(io::stdout(), "\n{report}")
        };
        printed.map_err(|source| DemoError::Output { source })?;
        Ok(if promises::all_hold(&promises) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn heading(&self) -> Heading {
        let DemoArgs { nodes, workers, seed, .. } = *self.args;
        Heading { duration: self.duration(), nodes, workers, seed }
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.args.seconds))
    }

    /// What the platform and the limiter say, in the order of the connections.
    fn accounts(&self, report: &PlatformReport) -> Result<Vec<Account>, LoopError> {
        let of = |spec: &ConnectionSpec| {
            let same =
                |one: &&super::platform::ConnectionReport| one.platform == spec.platform && one.connection == spec.connection;
            let counted = report.connections.iter().find(same);
            Ok(Account {
                refused: counted.map_or(0, |one| one.refused),
                duplicates: counted.map_or(0, |one| one.duplicates),
                guards: loops::rates(spec)?.iter().map(RateLimit::guard).collect(),
            })
        };
        self.specs.iter().map(of).collect()
    }
}
