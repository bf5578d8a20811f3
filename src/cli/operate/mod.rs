//! The commands that ask nodes over their public addresses: `turnstile status`, `owner`, `drain` and `refuse-peers`.
//!
//! Promises: all nodes are asked at once, and one that doesn't answer within 2 s holds nobody up; a drain takes the time that it was given.
//! Must not: retry, or decide anything about a cluster.

mod drain;
mod overview;
mod owner;
mod refuse_peers;
mod status;
mod table;

use std::env::VarError;
use std::io::{self, Write as _};
use std::time::Duration;

use futures_util::future::join_all;
use tonic::transport::{Channel, Endpoint};

use super::time::timeout;
use crate::discovery::host_and_port;
use crate::wire::v1;
use crate::wire::v1::admin_service_client::AdminServiceClient;

pub(crate) use self::drain::DrainArgs;
pub(crate) use self::owner::{OwnerArgs, owners};
pub(crate) use self::refuse_peers::RefusePeersArgs;
pub(crate) use self::status::StatusArgs;
pub(crate) use self::{drain::run as drain, owner::run as owner, refuse_peers::run as refuse_peers, status::run as status};

/// The variable with the public addresses of the nodes to ask, separated by commas: for these commands, and no setting of a node.
pub(super) const NODES_VARIABLE: &str = "TURNSTILE_NODES";

/// How long a node has for its answer, the way to it counted.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// The node that is asked when nobody says which.
const DEFAULT_NODE: &str = "127.0.0.1:7878";

/// What keeps a command from being carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperateError {
    /// The variable has something else than addresses.
    #[error("{NODES_VARIABLE} has {entry:?}; each must be a host and a port, such as {DEFAULT_NODE}, separated by commas")]
    WrongVariable {
        /// What it has.
        entry: String,
    },
    /// A node did not do what it was asked.
    #[error("{address}: {reason}")]
    Failed {
        /// Its address.
        address: String,
        /// What it said, or why it said nothing.
        reason: String,
    },
    /// The answer can't be written.
    #[error("cannot write to standard output")]
    Write {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Which nodes to ask.
#[derive(Debug, clap::Args)]
pub(crate) struct NodesArgs {
    /// The public address of a node to ask, repeated or separated by commas [env: TURNSTILE_NODES] [default: 127.0.0.1:7878]
    #[arg(long = "node", value_name = "HOST:PORT", value_delimiter = ',', value_parser = address)]
    nodes: Vec<String>,
}

impl NodesArgs {
    /// The addresses, each once, in the order in which they were said.
    fn addresses(self) -> Result<Vec<String>, OperateError> {
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

fn nodes_variable(value: Result<String, VarError>) -> Result<Vec<String>, OperateError> {
    let text = match value {
        Ok(text) => text,
        Err(VarError::NotPresent) => DEFAULT_NODE.to_owned(),
        Err(VarError::NotUnicode(text)) => {
            return Err(OperateError::WrongVariable { entry: text.to_string_lossy().into_owned() });
        }
    };
    let entries = text.split(',').map(str::trim);
    entries.map(|entry| address(entry).map_err(|_| OperateError::WrongVariable { entry: entry.to_owned() })).collect()
}

/// An address as a flag has it.
fn address(text: &str) -> Result<String, String> {
    let rule = || format!("it must be a host and a port, such as {DEFAULT_NODE}");
    host_and_port(text).map(|_| text.to_owned()).ok_or_else(rule)
}

/// What one node was asked for, or why it did not answer, for people.
pub(crate) type Answer<T> = Result<T, String>;

/// Asks all nodes at once; the answers are in the order of the addresses.
async fn ask_all<T, F>(addresses: &[String], ask: impl Fn(AdminServiceClient<Channel>) -> F) -> Vec<Answer<T>>
where
    F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
{
    join_all(addresses.iter().map(|address| ask_one(address, ANSWERS_WITHIN, &ask))).await
}

/// Asks one node, and waits for its answer for so long, the way to it counted.
async fn ask_one<T, F>(address: &str, within: Duration, ask: &impl Fn(AdminServiceClient<Channel>) -> F) -> Answer<T>
where
    F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
{
    let answered = async {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| innermost(&error))?;
        let channel = endpoint.connect().await.map_err(|error| innermost(&error))?;
        ask(AdminServiceClient::new(channel)).await.map(tonic::Response::into_inner).map_err(|status| told(&status))
    };
    timeout(within, answered).await.unwrap_or_else(|_| Err(format!("no answer within {within:?}")))
}

/// Asks all nodes how things stand.
pub(crate) async fn statuses(addresses: &[String]) -> Vec<Answer<v1::GetStatusResponse>> {
    ask_all(addresses, async |mut client| client.get_status(v1::GetStatusRequest {}).await).await
}

/// What a node has answered instead.
fn told(status: &tonic::Status) -> String {
    let message = if status.message().is_empty() { status.code().description() } else { status.message() };
    printable(message)
}

/// The cause of all causes: those around it only say that there was no connection.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    printable(&innermost.to_string())
}

/// What came over the network, without what could steer a terminal.
fn printable(text: &str) -> String {
    text.chars().flat_map(|letter| if letter.is_control() { letter.escape_default().collect() } else { vec![letter] }).collect()
}

/// Writes an answer that is complete.
fn write(answer: &str) -> Result<(), OperateError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(answer.as_bytes()).and_then(|()| stdout.flush()).map_err(|source| OperateError::Write { source })
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

    #[test]
    fn what_comes_over_the_network_does_not_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jé\n"), "a\\u{1b}[2Jé\\n");
    }
}
