//! The command line: flags to subcommands to an exit code.
//!
//! Exit codes: 0 when all went well, 1 when a run failed or a promise did not hold, 2 for wrong flags and settings; `turnstile exec` has its command's.

mod algorithms;
mod ask;
mod by_name;
mod calling;
mod check;
mod completions;
mod config_command;
mod connections;
mod demo;
mod help;
mod history_file;
mod load;
mod node;
mod operate;
mod order;
mod platform;
mod recover;
mod remote;
mod screen;
mod settings;
mod shutdown;
mod span;
mod table;
mod time;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use algorithms::AlgorithmsError;
use ask::AskError;
use config_command::ConfigError;
use recover::RecoverError;

/// The exit code of wrong flags, as clap has it, and of wrong settings.
const WRONG_USE: u8 = 2;

/// Workers share rate-limited APIs: strict priority, first come first served, exact rolling windows.
#[derive(Debug, Parser)]
#[command(name = "turnstile", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one node, alone or in a cluster, until SIGTERM or Ctrl-C
    Node(node::NodeArgs),
    /// Look at the settings of `turnstile node` without starting it
    #[command(subcommand)]
    Config(config_command::ConfigCommand),
    /// Make a new cluster of one node when a majority of its cluster is gone for good; the node must have ended
    Recover(recover::RecoverArgs),
    /// Wait for a slot and print it; exit code 1 when there is none in time
    Acquire(calling::AcquireArgs),
    /// Take a slot if there is one now; exit code 1 when there is none
    Try(calling::TryArgs),
    /// Wait for a slot and run a command, whose exit code it has
    Exec(calling::ExecArgs),
    /// Show how a request stands that waits: its place, who is before it, and how long it waits at least
    Explain(calling::ExplainArgs),
    /// Show how the nodes of a cluster are; exit code 1 when one can't be reached or nobody leads
    Status(operate::StatusArgs),
    /// Watch the cluster and its busiest connections
    Top(operate::TopCommandArgs),
    /// Show the busiest connections; exit code 1 when those of an owner are missing
    Connections(operate::ConnectionsArgs),
    /// Show one connection: who waits, how full its limits are, and who has set them
    Queue(ask::ConnectionArgs),
    /// Show which node owns a connection
    Owner(operate::OwnerArgs),
    /// Set, show and delete the limits that rule over what callers say
    #[command(subcommand)]
    Limits(operate::LimitsCommand),
    /// Let nothing through for a connection, for a while or until it is resumed
    Pause(operate::PauseArgs),
    /// End a pause
    Resume(ask::ConnectionArgs),
    /// Let nothing through for a connection while a Retry-After lasts
    Penalize(operate::PenalizeArgs),
    /// Have a node leave its cluster: what it owns and who waits there go to others, in order, and its process ends
    Drain(operate::DrainArgs),
    /// Fault injection, for tests: cut nodes off from others (they run with --enable-fault-injection)
    RefusePeers(operate::RefusePeersArgs),
    /// Saturate emulated platforms through `throttle` for a while and judge every promise
    Demo(demo::DemoArgs),
    /// Load nodes with many callers at once, and show how long they waited
    Load(load::LoadArgs),
    /// Judge what clients have written down; exit code 0 when every promise holds, 1 when one was broken, 2 when the history shows nothing
    Check(check::CheckArgs),
    /// Show when each limit algorithm would grant some calls, side by side and at once
    Algorithms(algorithms::AlgorithmsArgs),
    /// Print what a shell needs to complete these commands and their flags
    Completions(completions::CompletionsArgs),
    /// Emulate rate-limited platforms over HTTP, for the demo and tests
    #[command(hide = true)]
    Platform(platform::PlatformArgs),
    /// Be one of the demo's workers
    #[command(hide = true)]
    Worker(demo::WorkerArgs),
}

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("cannot start the async runtime")]
    Runtime {
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Node(#[from] node::NodeError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Exec(#[from] calling::ExecError),
    #[error(transparent)]
    Load(#[from] load::LoadError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
    #[error(transparent)]
    Algorithms(#[from] AlgorithmsError),
    #[error(transparent)]
    Check(#[from] check::CheckError),
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    #[error(transparent)]
    Platform(#[from] platform::PlatformError),
    #[error(transparent)]
    Worker(#[from] demo::WorkerError),
}

/// The command line, with its help in groups.
fn command() -> clap::Command {
    help::grouped(Cli::command())
}

/// Runs the binary with the process's own arguments.
pub fn run() -> ExitCode {
    let said = command().get_matches();
    // What has passed the same definitions is a `Cli`.
    let cli = Cli::from_arg_matches(&said).unwrap_or_else(|error| error.exit());
    match dispatch(cli) {
        Ok(code) => code,
        Err(
            CliError::Node(node::NodeError::Settings { problems })
            | CliError::Config(ConfigError::Wrong { problems })
            | CliError::Recover(RecoverError::Settings { problems }),
        ) => {
            for problem in problems {
                eprintln!("turnstile: {problem}");
            }
            ExitCode::from(WRONG_USE)
        }
        Err(error) => {
            eprintln!("turnstile: {}", with_causes(&error));
            exit_code(&error)
        }
    }
}

/// The exit code of a failure.
fn exit_code(error: &CliError) -> ExitCode {
    if let CliError::Exec(error) = error
        && let Some(code) = error.exit_code()
    {
        return code;
    }
    let is_wrong_use = match error {
        CliError::Ask(error) | CliError::Exec(calling::ExecError::Ask(error)) | CliError::Load(load::LoadError::Ask(error)) => {
            error.is_wrong_use()
        }
        CliError::Algorithms(error) => matches!(error, AlgorithmsError::Limit(_) | AlgorithmsError::NoTime { .. }),
        CliError::Runtime { .. }
        | CliError::Node(_)
        | CliError::Config(_)
        | CliError::Exec(_)
        | CliError::Load(_)
        | CliError::Recover(_)
        | CliError::Check(_)
        | CliError::Demo(_)
        | CliError::Platform(_)
        | CliError::Worker(_) => false,
    };
    if is_wrong_use { ExitCode::from(WRONG_USE) } else { ExitCode::FAILURE }
}

fn dispatch(cli: Cli) -> Result<ExitCode, CliError> {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|source| CliError::Runtime { source });
    match cli.command {
        Command::Node(args) => runtime()?.block_on(node::run(args))?,
        Command::Config(command) => config_command::run(command)?,
        Command::Acquire(args) => return Ok(runtime()?.block_on(calling::acquire(args))?),
        Command::Try(args) => return Ok(runtime()?.block_on(calling::try_acquire(args))?),
        Command::Exec(args) => return Ok(runtime()?.block_on(calling::exec(args))?),
        Command::Explain(args) => runtime()?.block_on(calling::explain(args))?,
        Command::Top(args) => runtime()?.block_on(operate::top(args))?,
        Command::Connections(args) => return Ok(runtime()?.block_on(operate::connections(args))?),
        Command::Queue(args) => runtime()?.block_on(operate::queue(args))?,
        Command::Limits(command) => runtime()?.block_on(operate::limits(command))?,
        Command::Pause(args) => runtime()?.block_on(operate::pause(args))?,
        Command::Resume(args) => runtime()?.block_on(operate::resume(args))?,
        Command::Penalize(args) => runtime()?.block_on(operate::penalize(args))?,
        Command::Load(args) => return Ok(runtime()?.block_on(load::run(args))?),
        Command::Completions(args) => completions::run(&args, &command())?,
        Command::Status(args) => return Ok(runtime()?.block_on(operate::status(args))?),
        Command::Owner(args) => runtime()?.block_on(operate::owner(args))?,
        Command::Recover(args) => return Ok(runtime()?.block_on(recover::run(args))?),
        Command::RefusePeers(args) => runtime()?.block_on(operate::refuse_peers(args))?,
        Command::Drain(args) => runtime()?.block_on(operate::drain(args))?,
        Command::Algorithms(args) => algorithms::run(args)?,
        Command::Check(args) => return Ok(check::run(args)?),
        Command::Demo(args) => return Ok(runtime()?.block_on(demo::run(args))?),
        Command::Platform(args) => runtime()?.block_on(platform::run(args))?,
        Command::Worker(args) => return Ok(runtime()?.block_on(demo::run_worker(args))?),
    }
    Ok(ExitCode::SUCCESS)
}

/// The error and what caused it, on one line.
fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(": ");
        line.push_str(inner.to_string().trim_end());
        cause = inner.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_emulator_is_hidden_from_the_help() {
        let help = command().render_help().to_string();
        assert!(help.contains("demo") && !help.contains("platform ") && !help.contains("worker "));
    }

    #[test]
    fn wrong_flags_of_the_demo_are_refused_with_a_reason() {
        let refused = |flags: &[&str]| {
            let all = ["turnstile", "demo"].iter().chain(flags);
            Cli::try_parse_from(all).expect_err("the flags are wrong").to_string()
        };
        assert!(refused(&["--seconds", "0"]).contains("1..=3600"));
        assert!(refused(&["--workers", "0"]).contains("from 1 to 64"));
        assert!(refused(&["--kill", "everyone"]).contains("possible values: owner, leader, none"));
        assert!(refused(&["--seed", "x"]).contains("invalid"));
    }
}
