//! `turnstile acquire` and `turnstile try`: a slot, printed.

use std::process::ExitCode;

use super::flags::{SlotArgs, WaitArgs};
use super::grant::{json_line, page};
use super::turn::Ended;
use crate::cli::ask::{self, AskError};
use crate::cli::shutdown::Signals;

/// Flags of `turnstile acquire`.
#[derive(Debug, clap::Args)]
pub(crate) struct AcquireArgs {
    #[command(flatten)]
    slot: SlotArgs,
    #[command(flatten)]
    wait: WaitArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Flags of `turnstile try`.
#[derive(Debug, clap::Args)]
pub(crate) struct TryArgs {
    #[command(flatten)]
    slot: SlotArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Waits for its turn, and prints the grant. The exit code is 1 when there is none.
///
/// # Errors
/// [`AskError`].
pub(crate) async fn acquire(args: AcquireArgs) -> Result<ExitCode, AskError> {
    let mut turn = args.slot.turn(args.wait)?;
    let mut signals = Signals::listen().map_err(|source| AskError::Signals { source })?;
    let ended = tokio::select! {
        ended = turn.wait() => ended?,
        // Dropping the wait leaves the queue.
        () = signals.asked_to_end() => {
            eprintln!("turnstile: told to end; the request has left the queue");
            return Ok(ExitCode::FAILURE);
        }
    };
    say(&ended, args.json)
}

/// Takes a slot if there is one now, and prints it. The exit code is 1 when there is none.
///
/// # Errors
/// [`AskError`].
pub(crate) async fn try_acquire(args: TryArgs) -> Result<ExitCode, AskError> {
    let turn = args.slot.turn(WaitArgs::default())?;
    say(&turn.try_now().await?, args.json)
}

fn say(ended: &Ended, is_json: bool) -> Result<ExitCode, AskError> {
    ask::write(&if is_json { json_line(ended)? } else { page(ended)? })?;
    Ok(match ended {
        Ended::Granted(_) => ExitCode::SUCCESS,
        Ended::NotNow(_) => ExitCode::FAILURE,
    })
}
