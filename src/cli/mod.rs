//! The command line: flags to subcommands to an exit code.
//!
//! Exit codes: 0 when all went well, 1 when a run failed or a promise did not hold, 2 for wrong flags and settings.

mod algorithms;
mod by_name;
mod check;
mod config_command;
mod connections;
mod demo;
mod node;
mod operate;
mod order;
mod platform;
mod recover;
mod remote;
mod settings;
mod shutdown;
mod time;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use algorithms::AlgorithmsError;
use config_command::ConfigError;
use operate::OperateError;
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
    /// Show how the nodes of a cluster are; exit code 1 when one can't be reached or nobody leads
    Status(operate::StatusArgs),
    /// Show which node owns a connection
    Owner(operate::OwnerArgs),
    /// Make a new cluster of one node when a majority of its cluster is gone for good; the node must have ended
    Recover(recover::RecoverArgs),
    /// Fault injection, for tests: cut nodes off from others (they run with --enable-fault-injection)
    RefusePeers(operate::RefusePeersArgs),
    /// Have a node leave its cluster: what it owns and who waits there go to others, in order, and its process ends
    Drain(operate::DrainArgs),
    /// Show when each limit algorithm would grant some calls, side by side and at once
    Algorithms(algorithms::AlgorithmsArgs),
    /// Judge what clients have written down; exit code 0 when every promise holds, 1 when one was broken, 2 when the history shows nothing
    Check(check::CheckArgs),
    /// Saturate emulated platforms through `throttle` for a while and judge every promise
    Demo(demo::DemoArgs),
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
    Operate(#[from] OperateError),
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

/// Runs the binary with the process's own arguments.
pub fn run() -> ExitCode {
    match dispatch(Cli::parse()) {
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
            let is_wrong_use = matches!(
                error,
                CliError::Operate(OperateError::WrongVariable { .. })
                    | CliError::Algorithms(AlgorithmsError::Limit(_) | AlgorithmsError::NoTime { .. })
            );
            if is_wrong_use { ExitCode::from(WRONG_USE) } else { ExitCode::FAILURE }
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, CliError> {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|source| CliError::Runtime { source });
    match cli.command {
        Command::Node(args) => runtime()?.block_on(node::run(args))?,
        Command::Config(command) => config_command::run(command)?,
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_emulator_is_hidden_from_the_help() {
        let help = Cli::command().render_help().to_string();
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
