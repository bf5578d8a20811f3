//! What is asked for: the flags of every command that takes a slot.

use std::time::Duration;

use super::turn::{Turn, TurnId};
use crate::cli::ask::{AskError, KeyArgs, LimitsArgs, NodesArgs, longest_wait, request_id, timeout};
use crate::engine::grant::RequestId;
use crate::wire::fields::to_limits;
use crate::wire::v1;

/// A slot of what.
#[derive(Debug, clap::Args)]
pub(super) struct SlotArgs {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    limits: LimitsArgs,
    /// How far it steps back for others: 0 is served first
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_hyphen_values = true)]
    niceness: u32,
    /// Units that it takes
    #[arg(long, value_name = "UNITS", value_parser = clap::value_parser!(u32).range(1..), default_value_t = 1, allow_hyphen_values = true)]
    cost: u32,
    /// Tokens that it may take, for limits that count them
    #[arg(long, value_name = "TOKENS", conflicts_with_all = ["input_tokens", "output_tokens"])]
    tokens: Option<u32>,
    /// Those that go in, for limits that count them apart
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    input_tokens: u32,
    /// Those that come out, at most
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    output_tokens: u32,
    /// Its id, 32 hexadecimal digits or a UUID: one that is made again under it keeps its place [default: random]
    #[arg(long, value_name = "HEX", value_parser = request_id)]
    request_id: Option<RequestId>,
    #[command(flatten)]
    nodes: NodesArgs,
}

/// How long to wait for it.
#[derive(Debug, Default, clap::Args)]
pub(super) struct WaitArgs {
    /// How long it may wait before that is an error, such as 30 or 5m [default: for ever]
    #[arg(long, value_name = "SECONDS", value_parser = timeout, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// How long it is willing to wait: it ends at once when the wait is known to be longer [default: for ever]
    #[arg(long, value_name = "SECONDS", value_parser = longest_wait, allow_hyphen_values = true)]
    max_wait: Option<Duration>,
}

impl SlotArgs {
    /// The turn that they describe.
    ///
    /// # Errors
    /// [`AskError`] when they break a rule.
    pub(super) fn turn(self, wait: WaitArgs) -> Result<Turn, AskError> {
        let ask = v1::Acquire {
            key: Some(self.key.message()),
            limits: to_limits(&self.limits.limits()?),
            niceness: self.niceness,
            cost: Some(self.cost),
            tokens: self.tokens,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            ..v1::Acquire::default()
        };
        let id = self.request_id.map_or_else(TurnId::draw, TurnId::Said);
        Ok(Turn { addresses: self.nodes.addresses()?, ask, id, timeout: wait.timeout, max_wait: wait.max_wait })
    }
}
