//! `turnstile drain`: has a node leave its cluster in order.

use std::time::Duration;

use crate::cli::ask::{self, ANSWERS_WITHIN, AskError, DEFAULT_NODE, address, ask_one};
use crate::wire::fields::to_span;
use crate::wire::v1;

/// Flags of `turnstile drain`.
#[derive(Debug, clap::Args)]
pub(crate) struct DrainArgs {
    /// The public address of the node that is to go
    #[arg(long, value_name = "HOST:PORT", value_parser = address, default_value = DEFAULT_NODE)]
    node: String,
    /// How long it may take, in seconds; when it takes longer the node stays
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600), default_value_t = 30)]
    timeout: u32,
}

/// Has the node hand over whatever it has, and says when it has; its process ends then.
///
/// # Errors
/// [`AskError::Failed`] when it does not.
pub(crate) async fn run(args: DrainArgs) -> Result<(), AskError> {
    let DrainArgs { node, timeout } = args;
    let within = Duration::from_secs(timeout.into());
    let request = v1::DrainRequest { within: Some(to_span(within)) };
    let drained = ask_one(&node, within + ANSWERS_WITHIN, &async |mut client| client.drain(request).await).await;
    drained.map_err(|reason| AskError::Failed { address: node.clone(), reason })?;
    ask::write(&format!("{node} has handed over whatever it had, and ends\n"))
}
