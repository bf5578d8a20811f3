//! The front page of `--help`: the subcommands by what they are for.

use std::fmt::Write as _;

use clap::Command;

/// What subcommands are for, in order; those that are named nowhere are in the last group.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Run a node", &["node", "config", "recover"]),
    ("Call through it", &["acquire", "try", "exec", "explain"]),
    (
        "Operate a cluster",
        &["status", "top", "connections", "queue", "owner", "limits", "pause", "resume", "penalize", "drain", "refuse-peers"],
    ),
    ("Try it out", &["demo", "load", "check", "algorithms"]),
];

/// The heading of the others.
const OTHERS: &str = "Other";

/// How wide the names are, the space behind them counted.
const NAME_WIDTH: usize = 14;

/// The same command, whose help has a heading for each group of subcommands.
pub(super) fn grouped(command: Command) -> Command {
    let mut page = "{about}\n\n{usage-heading} {usage}\n".to_owned();
    let is_named = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let shown: Vec<&Command> = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()).collect();
    for (heading, names) in GROUPS {
        let named = names.iter().filter_map(|name| shown.iter().find(|subcommand| subcommand.get_name() == *name));
        add(&mut page, heading, named.copied());
    }
    add(&mut page, OTHERS, shown.iter().copied().filter(|subcommand| !is_named(subcommand.get_name())));
    page.push_str("\nOptions:\n{options}\n\n`turnstile COMMAND --help` says all about a command.");
    command.help_template(page)
}

fn add<'a>(page: &mut String, heading: &str, subcommands: impl Iterator<Item = &'a Command>) {
    // Writing to a string does not fail.
    writeln!(page, "\n{heading}:").ok();
    for subcommand in subcommands {
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(page, "  {:NAME_WIDTH$}{about}", subcommand.get_name()).ok();
    }
}
