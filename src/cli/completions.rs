//! `turnstile completions`: what a shell needs to complete our words.

use clap::Command;
use clap_complete::Shell;

use super::ask::{self, AskError};

/// Flags of `turnstile completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the completions of `command`, without its hidden subcommands.
///
/// # Errors
/// [`AskError::Write`].
pub(crate) fn run(args: &CompletionsArgs, command: &Command) -> Result<(), AskError> {
    let shown = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()).cloned();
    let mut command = Command::new("turnstile").args(command.get_arguments().cloned()).subcommands(shown);
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "turnstile", &mut script);
    ask::write(&String::from_utf8_lossy(&script))
}
