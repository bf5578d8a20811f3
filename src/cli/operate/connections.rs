//! `turnstile connections` and `turnstile queue`: the busiest connections of the cluster, and one of them.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::ask::words::{Connection, Rule};
use crate::cli::ask::{self, AskError, ConnectionArgs, NodesArgs, ask_first, printable};
use crate::cli::table::{Row, table};
use crate::wire::v1;
use crate::wire::v1::admin_service_client::AdminServiceClient;

/// What is above the columns.
const HEAD: [&str; 7] = ["connection", "owner", "paused", "limits", "by niceness", "waiting", "longest wait"];

/// The first column of numbers.
const NUMBERS: usize = 5;

/// How many connections are shown at most.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct TopArgs {
    /// How many connections to show at most
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000), default_value_t = 20)]
    top: u32,
}

/// Flags of `turnstile connections`.
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectionsArgs {
    #[command(flatten)]
    top: TopArgs,
    #[command(flatten)]
    nodes: NodesArgs,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// The busiest connections, and whose are missing.
#[derive(Debug)]
pub(super) struct Busiest {
    /// The busiest first.
    pub(super) connections: Vec<Connection>,
    /// Owners that have not answered in time.
    pub(super) missing: Vec<String>,
}

impl Busiest {
    /// Asks the first node that can tell.
    ///
    /// # Errors
    /// [`AskError`].
    pub(super) async fn ask(addresses: &[String], TopArgs { top }: TopArgs) -> Result<Self, AskError> {
        let answer = ask_first(addresses, v1::ListConnectionsRequest { top }, async |channel, request| {
            AdminServiceClient::new(channel).list_connections(request).await
        });
        let v1::ListConnectionsResponse { connections, missing } = answer.await?;
        Ok(Self { connections: connections.iter().map(Connection::read).collect::<Result<_, _>>()?, missing })
    }

    /// As a table, and whose are missing.
    pub(super) fn page(&self) -> String {
        let rows: Vec<Row<7>> = self.connections.iter().map(|connection| Row::Full(cells(connection))).collect();
        let mut page = table(HEAD, NUMBERS, &rows);
        if rows.is_empty() {
            page.push_str("(nobody waits, and every window is empty)\n");
        }
        if !self.missing.is_empty() {
            let missing: Vec<String> = self.missing.iter().map(|node| printable(node)).collect();
            // Writing to a string does not fail.
            writeln!(page, "\nwhat these nodes own is missing, for they have not answered: {}", missing.join(", ")).ok();
        }
        page
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let connections: Vec<Value> = self.connections.iter().map(Connection::json).collect();
        json!({ "connections": connections, "missing": self.missing })
    }
}

fn cells(connection: &Connection) -> [String; 7] {
    let fills: Vec<String> = connection.limits.iter().map(|(limit, used)| format!("{used} of {limit}")).collect();
    let waiting: Vec<String> = connection.waiting.iter().map(|(niceness, count)| format!("{niceness}: {count}")).collect();
    [
        connection.name.clone(),
        connection.owner.clone(),
        connection.paused(),
        if fills.is_empty() { "-".to_owned() } else { fills.join(", ") },
        if waiting.is_empty() { "-".to_owned() } else { waiting.join(", ") },
        connection.waiters().to_string(),
        connection.longest_wait(),
    ]
}

/// Prints the busiest connections. The exit code is 1 when those of an owner are missing.
///
/// # Errors
/// [`AskError`].
pub(crate) async fn run(args: ConnectionsArgs) -> Result<ExitCode, AskError> {
    let busiest = Busiest::ask(&args.nodes.addresses()?, args.top).await?;
    ask::write(&if args.json { format!("{}\n", busiest.json()) } else { busiest.page() })?;
    Ok(if busiest.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints how one connection is.
///
/// # Errors
/// [`AskError`].
pub(crate) async fn queue(args: ConnectionArgs) -> Result<(), AskError> {
    let addresses = args.nodes.addresses()?;
    let request = v1::GetConnectionRequest { key: Some(args.key.message()) };
    let answer =
        ask_first(&addresses, request, async |channel, request| AdminServiceClient::new(channel).get_connection(request).await);
    let v1::GetConnectionResponse { connection, rule } = answer.await?;
    let connection = Connection::read(&connection.unwrap_or_default())?;
    let rule = rule.as_ref().map(Rule::read).transpose()?;
    ask::write(&if args.json {
        let mut object = connection.json();
        if let Value::Object(object) = &mut object {
            object.insert("rule".to_owned(), rule.as_ref().map_or(Value::Null, Rule::json));
        }
        format!("{object}\n")
    } else {
        sheet(&connection, rule.as_ref())
    })
}

/// One connection, line by line.
fn sheet(connection: &Connection, rule: Option<&Rule>) -> String {
    let set = match rule {
        Some(rule) => format!("{}, set by an operator for {}", rule.limits(), rule.pattern()),
        None => "those that its callers say".to_owned(),
    };
    let mut lines = vec![("owner", format!("node {}", connection.owner)), ("limits", set)];
    lines.extend(connection.limits.iter().map(|(limit, used)| ("used", format!("{used} of {limit}"))));
    lines.push(("paused", if connection.is_paused() { connection.paused() } else { "no".to_owned() }));
    lines.push((
        "waiting",
        match connection.waiters() {
            0 => "nobody".to_owned(),
            waiters => format!("{waiters}, the longest for {}", connection.longest_wait()),
        },
    ));
    lines.extend(connection.waiting.iter().map(|(niceness, count)| ("", format!("{count} of niceness {niceness}"))));
    let lines = lines.into_iter().map(|(name, text)| format!("  {name:9}{text}\n"));
    std::iter::once(format!("{}\n", connection.name)).chain(lines).collect()
}
