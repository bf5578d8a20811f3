//! Which nodes are asked, and how: all at once, one of them, or one after the other until one knows.

use std::env::VarError;
use std::time::Duration;

use futures_util::future::join_all;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::{AskError, innermost, told};
use crate::cli::time::timeout;
use crate::discovery::host_and_port;
use crate::wire::v1::admin_service_client::AdminServiceClient;

/// The variable with the public addresses of the nodes to ask, separated by commas: for these commands, and no setting of a node.
pub(crate) const NODES_VARIABLE: &str = "TURNSTILE_NODES";

/// How long a node has for its answer, the way to it counted.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How long a node has for an answer that it may have to ask its cluster for, which takes it 5 s at most.
const CLUSTER_ANSWERS_WITHIN: Duration = Duration::from_secs(6);

/// How often a node that owes an answer is asked whether it is there, and how long its silence is borne.
const LISTENS_EVERY: Duration = Duration::from_secs(1);

/// The node that is asked when nobody says which.
pub(crate) const DEFAULT_NODE: &str = "127.0.0.1:7878";

/// Which nodes to ask.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NodesArgs {
    /// The public address of a node to ask, repeated or separated by commas [env: TURNSTILE_NODES] [default: 127.0.0.1:7878]
    #[arg(long = "node", value_name = "HOST:PORT", value_delimiter = ',', value_parser = address)]
    nodes: Vec<String>,
}

impl NodesArgs {
    /// The addresses, each once, in the order in which they were said.
    ///
    /// # Errors
    /// [`AskError::WrongVariable`].
    pub(crate) fn addresses(self) -> Result<Vec<String>, AskError> {
        let said = if self.nodes.is_empty() { nodes_variable(std::env::var(NODES_VARIABLE))? } else { self.nodes };
        let mut addresses: Vec<String> = Vec::new();
        for address in said {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }
}

fn nodes_variable(value: Result<String, VarError>) -> Result<Vec<String>, AskError> {
    let text = match value {
        Ok(text) => text,
        Err(VarError::NotPresent) => DEFAULT_NODE.to_owned(),
        Err(VarError::NotUnicode(text)) => {
            return Err(AskError::WrongVariable { entry: text.to_string_lossy().into_owned() });
        }
    };
    let entries = text.split(',').map(str::trim);
    entries.map(|entry| address(entry).map_err(|_| AskError::WrongVariable { entry: entry.to_owned() })).collect()
}

/// An address as a flag has it.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let rule = || format!("it must be a host and a port, such as {DEFAULT_NODE}");
    host_and_port(text).map(|_| text.to_owned()).ok_or_else(rule)
}

/// What one node was asked for, or why it did not answer, for people.
pub(crate) type Answer<T> = Result<T, String>;

/// Asks all nodes at once; the answers are in the order of the addresses.
pub(crate) async fn ask_all<T, F>(addresses: &[String], ask: impl Fn(AdminServiceClient<Channel>) -> F) -> Vec<Answer<T>>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    join_all(addresses.iter().map(|address| ask_one(address, ANSWERS_WITHIN, &ask))).await
}

/// Asks one node, and waits for its answer for so long, the way to it counted.
pub(crate) async fn ask_one<T, F>(address: &str, within: Duration, ask: &impl Fn(AdminServiceClient<Channel>) -> F) -> Answer<T>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let answered = async {
        let channel = reach(address).await?;
        ask(AdminServiceClient::new(channel)).await.map(tonic::Response::into_inner).map_err(|status| told(&status))
    };
    timeout(within, answered).await.unwrap_or_else(|_| Err(no_answer(within)))
}

/// Asks one node after the other until one does what it was asked, or refuses what no other would do.
///
/// # Errors
/// [`AskError::Refused`], or [`AskError::Nobody`].
pub(crate) async fn ask_first<Q: Clone, T, F>(
    addresses: &[String],
    request: Q,
    ask: impl Fn(Channel, Q) -> F,
) -> Result<T, AskError>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let mut reasons = Vec::new();
    for address in addresses {
        let channel = match timeout(ANSWERS_WITHIN, reach(address)).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(reason)) => {
                reasons.push(format!("{address}: {reason}"));
                continue;
            }
            Err(_) => {
                reasons.push(format!("{address}: {}", no_answer(ANSWERS_WITHIN)));
                continue;
            }
        };
        match timeout(CLUSTER_ANSWERS_WITHIN, ask(channel, request.clone())).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) if may_be_another(&status) => reasons.push(format!("{address}: {}", told(&status))),
            Ok(Err(status)) => return Err(refused(address, &status)),
            Err(_) => reasons.push(format!("{address}: {}", no_answer(CLUSTER_ANSWERS_WITHIN))),
        }
    }
    Err(AskError::Nobody { reasons: reasons.join("; ") })
}

/// A way to the node at this address.
pub(crate) async fn reach(address: &str) -> Answer<Channel> {
    connect(endpoint(address)?).await
}

/// A way to the node at this address that ends soon when the node falls silent, for answers that may take any time.
pub(crate) async fn reach_and_listen(address: &str) -> Answer<Channel> {
    let endpoint = endpoint(address)?.connect_timeout(ANSWERS_WITHIN);
    connect(endpoint.http2_keep_alive_interval(LISTENS_EVERY).keep_alive_timeout(LISTENS_EVERY)).await
}

fn endpoint(address: &str) -> Answer<Endpoint> {
    Endpoint::from_shared(format!("http://{address}")).map_err(|error| innermost(&error))
}

async fn connect(endpoint: Endpoint) -> Answer<Channel> {
    endpoint.connect().await.map_err(|error| innermost(&error))
}

/// Whether another node may do what this one has not done: it can't now, or its answer never came.
pub(crate) fn may_be_another(status: &Status) -> bool {
    status.code() == tonic::Code::Unavailable || std::error::Error::source(status).is_some()
}

/// What a node has refused.
pub(crate) fn refused(address: &str, status: &Status) -> AskError {
    AskError::Refused { address: address.to_owned(), code: status.code(), reason: told(status) }
}

fn no_answer(within: Duration) -> String {
    format!("no answer within {within:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_lists_addresses_and_without_it_there_is_one() {
        let read = |value: Result<&str, VarError>| nodes_variable(value.map(str::to_owned)).map_err(|error| error.to_string());
        assert_eq!(read(Err(VarError::NotPresent)), Ok(vec![DEFAULT_NODE.to_owned()]));
        assert_eq!(read(Ok("a:1, b:2")), Ok(vec!["a:1".to_owned(), "b:2".to_owned()]));
        assert!(read(Ok("a:1,b")).unwrap_err().starts_with("TURNSTILE_NODES has \"b\"; each must be a host and a port"));
    }
}
