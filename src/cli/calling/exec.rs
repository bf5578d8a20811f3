//! `turnstile exec`: a command that waits its turn.
//!
//! Promises: the command is started with a slot or not at all; the slot of one that can't be started goes to the next.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use super::child::{self, SpawnError};
use super::flags::{SlotArgs, WaitArgs};
use super::grant::{json_line, not_now};
use super::turn::Ended;
use crate::cli::ask::{AskError, ask_first};
use crate::cli::shutdown::Signals;
use crate::wire::v1;
use crate::wire::v1::throttle_service_client::ThrottleServiceClient;

/// The exit code when there was no slot in time: come back later (EX_TEMPFAIL of sysexits.h).
const COME_BACK: u8 = 75;

/// Flags of `turnstile exec`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    slot: SlotArgs,
    #[command(flatten)]
    wait: WaitArgs,
    /// Run it only if there is a slot now; else the exit code is 75, and a line says when to come back
    #[arg(long = "try", conflicts_with_all = ["timeout", "max_wait"])]
    only_now: bool,
    /// Say on standard error how its turn ended, as one JSON object; standard output is the command's
    #[arg(long)]
    json: bool,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<OsString>,
}

/// Why the command was not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    /// There was no slot.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// There was one, and the command can't be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It was started, and nobody knows how it ended.
    #[error("cannot wait for the command")]
    Wait {
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ExecError {
    /// The exit code, where it is not that of other failures.
    pub(crate) fn exit_code(&self) -> Option<ExitCode> {
        match self {
            Self::Ask(error) if error.is_temporary() => Some(ExitCode::from(COME_BACK)),
            Self::Spawn(error) => Some(error.exit_code()),
            Self::Ask(_) | Self::Wait { .. } => None,
        }
    }
}

/// Waits for its turn and runs the command; the exit code is the command's.
///
/// # Errors
/// [`ExecError`].
pub(crate) async fn run(args: ExecArgs) -> Result<ExitCode, ExecError> {
    let mut turn = args.slot.turn(args.wait)?;
    let mut signals = Signals::listen().map_err(|source| AskError::Signals { source })?;
    let taken = async { if args.only_now { turn.try_now().await } else { turn.wait().await } };
    let ended = tokio::select! {
        ended = taken => ended?,
        // Dropping the wait leaves the queue.
        signal = signals.next() => return Ok(child::killed_by(signal.as_raw())),
    };
    if args.json {
        eprint!("{}", json_line(&ended)?);
    }
    let grant = match ended {
        Ended::Granted(grant) => grant,
        Ended::NotNow(retry_after) => {
            if !args.json {
                eprintln!("turnstile: {}", not_now(retry_after));
            }
            return Ok(ExitCode::from(COME_BACK));
        }
    };
    let child = match child::spawn(&args.command) {
        Ok(child) => child,
        Err(error) => {
            give_back(&turn.addresses, grant.permit).await;
            return Err(error.into());
        }
    };
    child::outlast(child, &mut signals).await.map_err(|source| ExecError::Wait { source })
}

/// Gives back a slot with which nothing was started.
async fn give_back(addresses: &[String], permit: Vec<u8>) {
    let request = v1::ReleaseRequest { permit };
    let released =
        ask_first(addresses, request, async |channel, request| ThrottleServiceClient::new(channel).release(request).await);
    if let Err(error) = released.await {
        eprintln!("turnstile: the slot could not be given back: {error}");
    }
}
