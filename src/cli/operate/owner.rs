//! `turnstile owner`: who owns a connection.

use serde_json::json;

use crate::cli::ask::{self, Answer, AskError, NodesArgs, ask_all, printable};
use crate::wire::v1;

/// Flags of `turnstile owner`.
#[derive(Debug, clap::Args)]
pub(crate) struct OwnerArgs {
    /// The platform, such as "slack"
    platform: String,
    /// The connection within it, such as a workspace
    connection: String,
    #[command(flatten)]
    nodes: NodesArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Asks all nodes who owns a connection; the answers are in the order of the addresses.
pub(crate) async fn owners(addresses: &[String], key: v1::ConnectionKey) -> Vec<Answer<v1::GetOwnerResponse>> {
    let request = v1::GetOwnerRequest { key: Some(key) };
    let answers = ask_all(addresses, |mut client| {
        let request = request.clone();
        async move { client.get_owner(request).await }
    });
    answers.await
}

/// Prints the node and the shard, by the newest ring that any of the nodes knows.
///
/// # Errors
/// [`AskError::Failed`] of the first node when none answers.
pub(crate) async fn run(args: OwnerArgs) -> Result<(), AskError> {
    let addresses = args.nodes.addresses()?;
    let key = v1::ConnectionKey { platform: args.platform, connection: args.connection };
    let answers = owners(&addresses, key);
    let (statuses, answers) = tokio::join!(super::statuses(&addresses), answers);
    let known = || addresses.iter().zip(&statuses).filter_map(|(address, status)| Some((address, status.as_ref().ok()?)));
    let epochs = statuses.iter().map(|status| status.as_ref().map_or(0, |status| status.epoch));
    let newest = answers.iter().zip(epochs).filter_map(|(answer, epoch)| Some((epoch, answer.as_ref().ok()?)));
    let Some((_, v1::GetOwnerResponse { node, shard })) = newest.max_by_key(|(epoch, _)| *epoch) else {
        let failed = |(address, answer): (&String, Result<_, String>)| {
            Some(AskError::Failed { address: address.clone(), reason: answer.err()? })
        };
        return addresses.iter().zip(answers).find_map(failed).map_or(Ok(()), Err);
    };
    let public = known().find(|(_, status)| status.node == *node).map(|(address, _)| address.clone());
    let for_peers = known().flat_map(|(_, status)| &status.peers).find(|peer| peer.node.as_ref() == Some(node));
    let for_peers = for_peers.map(|peer| peer.address.clone());
    ask::write(&if args.json {
        format!("{}\n", json!({ "node": node, "shard": shard, "address": public, "peer_address": for_peers }))
    } else {
        let place = match (public, for_peers) {
            (Some(address), _) => format!(" at {address}"),
            (None, Some(address)) => format!(" at {} for its peers", printable(&address)),
            (None, None) => String::new(),
        };
        format!("node {}{place}, shard {shard}\n", printable(node))
    })
}
