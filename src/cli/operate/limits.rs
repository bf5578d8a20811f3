//! `turnstile limits`: what operators have said that connections may take.

use std::fmt::Write as _;

use crate::cli::ask::words::Rule;
use crate::cli::ask::{self, AskError, ConnectionArgs, LimitsArgs, NodesArgs, PatternArgs, ask_first, platform};
use crate::cli::table::{Row, table};
use crate::wire::fields::to_limits;
use crate::wire::v1;
use crate::wire::v1::admin_service_client::AdminServiceClient;

/// The subcommands of `turnstile limits`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum LimitsCommand {
    /// Set the limits of a connection, or of all whose names begin alike: they rule at once, over what callers say
    Set(SetArgs),
    /// Show the limits that were set and rule over a connection, and for which connections they were set; exit code 1 when none were
    Get(ConnectionArgs),
    /// Show all limits that were set
    List(ListArgs),
    /// Let limits that were set rule no more; exit code 1 when none were set for exactly this
    Delete(DeleteArgs),
}

/// Flags of `turnstile limits set`.
#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    pattern: PatternArgs,
    #[command(flatten)]
    limits: LimitsArgs,
    #[command(flatten)]
    nodes: NodesArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Flags of `turnstile limits list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Of this platform only
    #[arg(long, value_name = "NAME", value_parser = platform)]
    platform: Option<String>,
    #[command(flatten)]
    nodes: NodesArgs,
    /// Print a JSON object a line, one for each pattern
    #[arg(long)]
    json: bool,
}

/// Flags of `turnstile limits delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pattern: PatternArgs,
    #[command(flatten)]
    nodes: NodesArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Does what was asked, at the first node that can.
///
/// # Errors
/// [`AskError`]; of limits that nobody has set, too.
pub(crate) async fn run(command: LimitsCommand) -> Result<(), AskError> {
    match command {
        LimitsCommand::Set(args) => set(args).await,
        LimitsCommand::Get(args) => get(args).await,
        LimitsCommand::List(args) => list(args).await,
        LimitsCommand::Delete(args) => delete(args).await,
    }
}

async fn set(args: SetArgs) -> Result<(), AskError> {
    let addresses = args.nodes.addresses()?;
    let rule = v1::LimitRule { pattern: Some(args.pattern.message()), limits: to_limits(&args.limits.limits()?) };
    let request = v1::SetLimitsRequest { rule: Some(rule.clone()) };
    let set = ask_first(&addresses, request, async |channel, request| AdminServiceClient::new(channel).set_limits(request).await);
    let v1::SetLimitsResponse { has_replaced } = set.await?;
    let rule = Rule::read(&rule)?;
    ask::write(&if args.json {
        let mut object = rule.json();
        if let serde_json::Value::Object(object) = &mut object {
            object.insert("hasReplaced".to_owned(), has_replaced.into());
        }
        format!("{object}\n")
    } else {
        let before = if has_replaced { ", in place of others" } else { "" };
        format!("{} may take {}{before}\n", rule.pattern(), rule.limits())
    })
}

async fn get(args: ConnectionArgs) -> Result<(), AskError> {
    let addresses = args.nodes.addresses()?;
    let request = v1::GetLimitsRequest { key: Some(args.key.message()) };
    let rules =
        ask_first(&addresses, request, async |channel, request| AdminServiceClient::new(channel).get_limits(request).await);
    let rule = Rule::read(&rules.await?.rule.unwrap_or_default())?;
    ask::write(&if args.json { format!("{}\n", rule.json()) } else { format!("{}, set for {}\n", rule.limits(), rule.pattern()) })
}

async fn list(args: ListArgs) -> Result<(), AskError> {
    let addresses = args.nodes.addresses()?;
    let rules = pages(&addresses, args.platform.unwrap_or_default()).await?;
    let mut text = String::new();
    if args.json {
        for rule in &rules {
            // Writing to a string does not fail.
            writeln!(text, "{}", rule.json()).ok();
        }
    } else if rules.is_empty() {
        text.push_str("no limits are set: those of the callers rule\n");
    } else {
        let rows: Vec<Row<2>> = rules.iter().map(|rule| Row::Full([rule.pattern(), rule.limits()])).collect();
        text = table(["connections", "limits"], 2, &rows);
    }
    ask::write(&text)
}

/// All pages, one behind the other.
async fn pages(addresses: &[String], platform: String) -> Result<Vec<Rule>, AskError> {
    let mut rules = Vec::new();
    let mut request = v1::ListLimitsRequest { platform, page_size: 0, page_token: String::new() };
    loop {
        let page = ask_first(addresses, request.clone(), async |channel, request| {
            AdminServiceClient::new(channel).list_limits(request).await
        });
        let v1::ListLimitsResponse { rules: listed, next_page_token } = page.await?;
        for rule in &listed {
            rules.push(Rule::read(rule)?);
        }
        if next_page_token.is_empty() {
            return Ok(rules);
        }
        request.page_token = next_page_token;
    }
}

async fn delete(args: DeleteArgs) -> Result<(), AskError> {
    let addresses = args.nodes.addresses()?;
    let pattern = args.pattern.message();
    let request = v1::DeleteLimitsRequest { pattern: Some(pattern.clone()) };
    let deleted =
        ask_first(&addresses, request, async |channel, request| AdminServiceClient::new(channel).delete_limits(request).await);
    deleted.await?;
    ask::write(&if args.json {
        let v1::LimitPattern { platform, connection } = pattern;
        format!("{}\n", serde_json::json!({ "platform": platform, "connection": connection, "deleted": true }))
    } else {
        let name = ask::printable(&format!("{}/{}", pattern.platform, pattern.connection));
        format!("the limits that were set for {name} rule no more; they go on for one window beside those that rule now\n")
    })
}
