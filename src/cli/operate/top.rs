//! `turnstile top`: the cluster and its busiest connections, again and again.
//!
//! Promises: the terminal is as before when it ends, also by Ctrl-C and SIGTERM; a node that can't be asked is said on the page, and does not end it.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use serde_json::{Value, json};

use super::connections::{Busiest, TopArgs};
use super::overview::{Cluster, Overview};
use crate::cli::ask::{self, Answer, AskError, NodesArgs, printable};
use crate::cli::demo::style::{Ink, Palette};
use crate::cli::screen::Screen;
use crate::cli::shutdown::Signals;
use crate::cli::span::span;
use crate::cli::time;
use crate::wire::v1::GetStatusResponse;

/// The pause between two looks when nobody says how long.
const EVERY: Duration = Duration::from_secs(1);

/// Flags of `turnstile top`.
#[derive(Debug, clap::Args)]
pub(crate) struct TopCommandArgs {
    /// The pause between two looks, such as 0.5 or 5s; said, it goes on where standard output is no terminal, too [default: 1s]
    #[arg(long, value_name = "SECONDS", value_parser = every, allow_hyphen_values = true)]
    every: Option<Duration>,
    #[command(flatten)]
    top: TopArgs,
    /// Look once and end, as it does where standard output is no terminal
    #[arg(long, conflicts_with = "every")]
    once: bool,
    #[command(flatten)]
    nodes: NodesArgs,
    /// Print a JSON object a line, one for each look
    #[arg(long)]
    json: bool,
}

fn every(text: &str) -> Result<Duration, String> {
    let every = span(text)?;
    let is_valid = (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&every);
    if is_valid { Ok(every) } else { Err("it must be 0.1s to 1h".to_owned()) }
}

/// One look.
struct Look {
    answers: Vec<Answer<GetStatusResponse>>,
    busiest: Result<Busiest, AskError>,
}

/// Shows the cluster until it is told to end, or once.
///
/// # Errors
/// [`AskError`]; of a look that is the only one, too.
pub(crate) async fn run(args: TopCommandArgs) -> Result<(), AskError> {
    let addresses = args.nodes.addresses()?;
    let is_terminal = io::stdout().is_terminal();
    if args.once || (!is_terminal && args.every.is_none()) {
        let look = look(&addresses, args.top).await;
        let text = if args.json { look.json() } else { look.page(Palette::for_terminal(is_terminal)) };
        return look.busiest.and_then(|_| ask::write(&text));
    }
    let mut signals = Signals::listen().map_err(|source| AskError::Signals { source })?;
    let screen = (is_terminal && !args.json).then(Screen::enter);
    loop {
        let next = async {
            let look = look(&addresses, args.top).await;
            match &screen {
                Some(screen) => screen.draw(&look.page(Palette::for_terminal(true))),
                None if args.json => ask::write(&look.json())?,
                None => ask::write(&look.page(Palette::for_terminal(false)))?,
            }
            time::sleep(args.every.unwrap_or(EVERY)).await;
            Ok::<_, AskError>(())
        };
        tokio::select! {
            // A look that is left changes nothing at the nodes.
            () = signals.asked_to_end() => return Ok(()),
            next = next => next?,
        }
    }
}

async fn look(addresses: &[String], top: TopArgs) -> Look {
    let (answers, busiest) = tokio::join!(super::statuses(addresses), Busiest::ask(addresses, top));
    Look { answers, busiest }
}

impl Look {
    /// The head, and a table below it.
    fn page(&self, palette: Palette) -> String {
        let overview = Overview::of(&self.answers);
        let asked = self.answers.len();
        let answered = self.answers.iter().flatten().count();
        let waiters: u64 = self.answers.iter().flatten().map(|status| status.waiters).sum();
        let mut page = String::new();
        for cluster in overview.clusters.values() {
            page.push_str(&palette.paint(Ink::Strong, &format!("cluster {}", printable(&cluster.id))));
            page.push_str(&format!("  {}\n", head(cluster)));
        }
        page.push_str(&format!("nodes that answer: {answered} of {asked}, waiting at them: {waiters}\n\n"));
        match &self.busiest {
            Ok(busiest) => page.push_str(&busiest.page()),
            Err(error) => page.push_str(&format!("{}\n", palette.paint(Ink::Bad, &error.to_string()))),
        }
        page
    }

    /// One line for programs.
    fn json(&self) -> String {
        let overview = Overview::of(&self.answers);
        let clusters = overview.clusters.values().map(|cluster| {
            json!({ "id": cluster.id, "leader": cluster.leader, "members": cluster.members, "tracked": cluster.tracked })
        });
        let nodes = self.answers.iter().flatten().map(
            |status| json!({ "node": status.node, "role": overview.role(&Ok(status.clone())).name(), "waiters": status.waiters }),
        );
        let mut object = json!({
            "clusters": clusters.collect::<Vec<_>>(),
            "nodes": nodes.collect::<Vec<_>>(),
            "unreachable": self.answers.iter().filter(|answer| answer.is_err()).count(),
        });
        let rest = match &self.busiest {
            Ok(busiest) => busiest.json(),
            Err(error) => json!({ "connections": [], "missing": [], "error": error.to_string() }),
        };
        if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest) {
            object.extend(rest);
        }
        format!("{object}\n")
    }
}

fn head(Cluster { leader, members, tracked, .. }: &Cluster) -> String {
    let leader = leader.as_ref().map_or_else(|| "nobody leads".to_owned(), |leader| format!("leader {}", printable(leader)));
    format!("{leader}, nodes that own connections: {}, connections tracked: {tracked}", members.len())
}
