//! `turnstile explain`: how a request stands that waits.

use serde_json::json;

use crate::cli::ask::words::{seconds, set_seconds, waiting, waiting_json};
use crate::cli::ask::{self, AskError, KeyArgs, NodesArgs, ask_first, request_id};
use crate::engine::grant::RequestId;
use crate::wire::fields::{request_id_bytes, required_span, span};
use crate::wire::v1;
use crate::wire::v1::throttle_service_client::ThrottleServiceClient;

/// Flags of `turnstile explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// The request's id, 32 hexadecimal digits or a UUID
    #[arg(long, value_name = "HEX", value_parser = request_id)]
    request_id: RequestId,
    #[command(flatten)]
    nodes: NodesArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints the request's place in the queue, who is before it, and how long it waits at least.
///
/// # Errors
/// [`AskError`]; of a request that does not wait, too.
pub(crate) async fn run(args: ExplainArgs) -> Result<(), AskError> {
    let addresses = args.nodes.addresses()?;
    let request = v1::ExplainRequest { key: Some(args.key.message()), request_id: request_id_bytes(args.request_id) };
    let explained =
        ask_first(&addresses, request, async |channel, request| ThrottleServiceClient::new(channel).explain(request).await);
    let v1::ExplainResponse { position, ahead, estimated_wait, waited } = explained.await?;
    let estimated = estimated_wait.map(|wait| span("estimated_wait", wait)).transpose()?;
    let (ahead, waited) = (waiting(&ahead), required_span("waited", waited)?);
    ask::write(&if args.json {
        let mut object = json!({ "position": position, "ahead": waiting_json(&ahead) });
        set_seconds(&mut object, "estimatedWaitSeconds", estimated);
        set_seconds(&mut object, "waitedSeconds", Some(waited));
        format!("{object}\n")
    } else {
        let ahead: Vec<String> = ahead.iter().map(|(niceness, count)| format!("{count} of niceness {niceness}")).collect();
        let ahead = if ahead.is_empty() { "nobody".to_owned() } else { ahead.join(", ") };
        let estimated = match estimated {
            Some(wait) => format!("{} at least", seconds(wait)),
            None => "as long as the connection is paused".to_owned(),
        };
        format!("position  {position}\nahead     {ahead}\nwaited    {}\nwaits     {estimated}\n", seconds(waited))
    })
}
