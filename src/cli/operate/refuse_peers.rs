//! `turnstile refuse-peers`: fault injection, a network that is cut.

use crate::cli::ask::{AskError, NodesArgs, ask_all};
use crate::engine::grant::NodeId;
use crate::wire::v1;

/// Flags of `turnstile refuse-peers`.
#[derive(Debug, clap::Args)]
pub(crate) struct RefusePeersArgs {
    /// The ids of the nodes to refuse, as `turnstile status` shows them; none to refuse nobody any more
    #[arg(value_name = "NODE_ID", value_parser = node_id)]
    refused: Vec<String>,
    #[command(flatten)]
    nodes: NodesArgs,
}

/// Tells every node whom to refuse from now on.
///
/// # Errors
/// [`AskError::Failed`] of the first node that doesn't.
pub(crate) async fn run(args: RefusePeersArgs) -> Result<(), AskError> {
    let addresses = args.nodes.addresses()?;
    let request = v1::RefusePeersRequest { nodes: args.refused };
    let answers = ask_all(&addresses, |mut client| {
        let request = request.clone();
        async move { client.refuse_peers(request).await }
    });
    let failed = |(address, answer): (String, Result<_, String>)| Some(AskError::Failed { address, reason: answer.err()? });
    addresses.iter().cloned().zip(answers.await).find_map(failed).map_or(Ok(()), Err)
}

fn node_id(text: &str) -> Result<String, String> {
    NodeId::from_digits(text).map(|node| node.to_string()).ok_or_else(|| "a node's id is 16 hexadecimal digits".to_owned())
}
