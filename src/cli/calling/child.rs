//! The process of a command: it has our terminal, and the signals that are meant for it.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use tokio::process::{Child, Command};

use crate::cli::shutdown::Signals;

/// The exit codes of commands that are not there, and of those that can't be run, as shells have them.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

/// Why a command can't be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {command:?}")]
pub(crate) struct SpawnError {
    command: OsString,
    source: io::Error,
}

impl SpawnError {
    /// What a shell would end with.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.source.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN })
    }
}

/// Starts a command with what is ours: standard input, both outputs, the directory and the environment.
pub(super) fn spawn(command: &[OsString]) -> Result<Child, SpawnError> {
    let (program, arguments) = command.split_first().map_or((OsString::new(), &[][..]), |(first, rest)| (first.clone(), rest));
    Command::new(&program).args(arguments).spawn().map_err(|source| SpawnError { command: program, source })
}

/// Waits for the command's end, and passes on what asks us to end; the exit code is the command's.
pub(super) async fn outlast(mut child: Child, signals: &mut Signals) -> io::Result<ExitCode> {
    loop {
        tokio::select! {
            // Cancel-safe: who has ended stays so.
            status = child.wait() => return status.map(exit_code),
            signal = signals.next() => pass_on(&child, signal),
        }
    }
}

fn pass_on(child: &Child, signal: Signal) {
    // A terminal's Ctrl-C has reached the command, too: a second one would be more than its user asked for.
    if signal == Signal::INT && is_in_foreground() {
        return;
    }
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended at this moment.
        kill_process(pid, signal).ok();
    }
}

/// Whether we are who a terminal sends its signals to.
fn is_in_foreground() -> bool {
    let stdin = io::stdin();
    stdin.is_terminal() && rustix::termios::tcgetpgrp(&stdin).is_ok_and(|foreground| foreground == getpgrp())
}

fn exit_code(status: ExitStatus) -> ExitCode {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => killed_by(signal),
        (None, None) => ExitCode::FAILURE,
    }
}

/// The exit code of who was ended by a signal, as shells have it.
pub(super) fn killed_by(signal: i32) -> ExitCode {
    ExitCode::from(u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX))
}
