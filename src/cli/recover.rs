//! `turnstile recover`: a new cluster of one node, when a majority of its voters is gone for good.
//!
//! ```text
//! settings ──► the directory, locked ──► what is left ──► without --yes: what would be done, exit 1
//!                                                    └──► with it: done, exit 0
//! ```
//!
//! Promises: nothing is done without `--yes`, and nothing without a word about what it costs.
//! Must not: guess that the others are gone. Whoever says `--yes` knows.

use std::io::{self, Write as _};
use std::process::ExitCode;

use tracing_subscriber::util::TryInitError;

use super::node::logs;
use super::settings::{self, Problem, SettingsArgs};
use crate::clock::Clock;
use crate::config::Storage;
use crate::consensus::recovery::{RecoveryError, Remains, Summary};

/// What it costs, and what is left to do.
const CONSEQUENCES: &str = "\
A new cluster is made of this node alone, from all that its log has.

  The others must be gone for good. A majority of them that still runs, or is started again, goes on granting beside this node,
  and limits are broken. Nothing here can tell.

  What the others have granted and this node has not heard of is lost. So nothing is granted on a connection until its longest
  window has passed once more, counted from the node's next start.

  Whoever is left of the others is refused. Remove their data directories: they join the new cluster as new nodes.
";

/// Flags of `turnstile recover`.
#[derive(Debug, clap::Args)]
#[command(after_help = settings::SOURCES)]
pub(crate) struct RecoverArgs {
    /// Do it; without this, say what would be done and end with exit code 1
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Why a node was not recovered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    /// The settings are wrong.
    #[error("{} problems with the settings", problems.len())]
    Settings {
        /// What is wrong.
        problems: Vec<Problem>,
    },
    /// There is another log in this process.
    #[error("cannot start the log")]
    Log {
        /// Why.
        #[source]
        source: TryInitError,
    },
    /// The node keeps nothing.
    #[error("the node's log is in memory, so nothing is left of it; give --data DIRECTORY")]
    InMemory,
    /// There is nothing to recover, or it can't be done.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// It can't be said what is done.
    #[error("cannot write to standard output")]
    Write {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Recovers the node of these settings, or says what that would do.
///
/// # Errors
/// See [`RecoverError`].
pub(crate) async fn run(args: RecoverArgs) -> Result<ExitCode, RecoverError> {
    let loaded = settings::load(&args.settings, &settings::environment());
    let settings = loaded.settings.map_err(|problems| RecoverError::Settings { problems })?;
    logs::start(settings.log, settings.log_format).map_err(|source| RecoverError::Log { source })?;
    let Storage::Disk(directory) = settings.node.storage else {
        return Err(RecoverError::InMemory);
    };
    let said_directory = directory.display().to_string();
    let remains = Remains::open(directory, settings.node.expected_node, Clock::start()).await?;
    say(&format!("{}\n{CONSEQUENCES}\n", described(remains.summary(), &said_directory)))?;
    if !args.yes {
        say("Nothing was changed. Say --yes to have it done.\n")?;
        return Ok(ExitCode::FAILURE);
    }
    let cluster = remains.recover().await?;
    say(&format!("Done: the node is the whole of cluster {cluster}. Start it with its former settings.\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// What is left, for people.
fn described(summary: &Summary, directory: &str) -> String {
    let Summary { node, cluster, voters, last_index, last_term, tracked } = summary;
    let voters: Vec<String> = voters.iter().map(ToString::to_string).collect();
    format!(
        "node                 {node}, in {directory}\n\
         cluster              {cluster}\n\
         voters               {}\n\
         last entry           {last_index}, of term {last_term}\n\
         connections tracked  {tracked}\n",
        voters.join(", ")
    )
}

fn say(text: &str) -> Result<(), RecoverError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|source| RecoverError::Write { source })
}
