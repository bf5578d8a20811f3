//! `turnstile pause`, `turnstile resume` and `turnstile penalize`: lets nothing through for a connection, or again.

use std::time::Duration;

use serde_json::json;

use crate::cli::ask::words::{seconds, set_seconds};
use crate::cli::ask::{self, AskError, ConnectionArgs, ask_first, pause as pause_span, printable};
use crate::wire::fields::to_span;
use crate::wire::v1;
use crate::wire::v1::admin_service_client::AdminServiceClient;

/// Flags of `turnstile pause`.
#[derive(Debug, clap::Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    which: ConnectionArgs,
    /// Until so long from now, such as 30 or 5m; a longer pause is never shortened [default: until it is resumed]
    #[arg(long = "for", value_name = "SECONDS", value_parser = pause_span, allow_hyphen_values = true)]
    span: Option<Duration>,
}

/// Flags of `turnstile penalize`.
#[derive(Debug, clap::Args)]
pub(crate) struct PenalizeArgs {
    #[command(flatten)]
    which: ConnectionArgs,
    /// For so long from now, such as 30 or 5m: what the platform said in Retry-After; a longer pause is never shortened
    #[arg(long = "for", value_name = "SECONDS", value_parser = pause_span, allow_hyphen_values = true)]
    span: Duration,
}

/// Pauses a connection, for a while or until it is resumed.
///
/// # Errors
/// [`AskError`].
pub(crate) async fn pause(args: PauseArgs) -> Result<(), AskError> {
    if let Some(span) = args.span {
        return penalize(PenalizeArgs { which: args.which, span }).await;
    }
    let ConnectionArgs { key, nodes, json } = args.which;
    let (key, addresses) = (key.message(), nodes.addresses()?);
    let paused = ask_first(&addresses, v1::PauseConnectionRequest { key: Some(key.clone()) }, async |channel, request| {
        AdminServiceClient::new(channel).pause_connection(request).await
    });
    paused.await.map(drop)?;
    say(&key, json, true, None)
}

/// Pauses a connection for a while.
///
/// # Errors
/// [`AskError`].
pub(crate) async fn penalize(args: PenalizeArgs) -> Result<(), AskError> {
    let PenalizeArgs { which: ConnectionArgs { key, nodes, json }, span } = args;
    let (key, addresses) = (key.message(), nodes.addresses()?);
    let paused = ask_first(
        &addresses,
        v1::PenalizeConnectionRequest { key: Some(key.clone()), pause: Some(to_span(span)) },
        async |channel, request| AdminServiceClient::new(channel).penalize_connection(request).await,
    );
    paused.await.map(drop)?;
    say(&key, json, true, Some(span))
}

/// Ends a pause, of whatever kind.
///
/// # Errors
/// [`AskError`].
pub(crate) async fn resume(args: ConnectionArgs) -> Result<(), AskError> {
    let ConnectionArgs { key, nodes, json } = args;
    let (key, addresses) = (key.message(), nodes.addresses()?);
    let resumed = ask_first(&addresses, v1::ResumeConnectionRequest { key: Some(key.clone()) }, async |channel, request| {
        AdminServiceClient::new(channel).resume_connection(request).await
    });
    resumed.await.map(drop)?;
    say(&key, json, false, None)
}

fn say(key: &v1::ConnectionKey, is_json: bool, is_paused: bool, span: Option<Duration>) -> Result<(), AskError> {
    let v1::ConnectionKey { platform, connection } = key;
    let name = printable(&format!("{platform}/{connection}"));
    ask::write(&match span {
        _ if is_json => {
            let mut object = json!({ "platform": platform, "connection": connection, "isPaused": is_paused });
            set_seconds(&mut object, "pausedForSeconds", span);
            format!("{object}\n")
        }
        Some(span) => format!("{name} is paused for {} at least\n", seconds(span)),
        None if is_paused => format!("{name} is paused until it is resumed\n"),
        None => format!("{name} is paused no more\n"),
    })
}
