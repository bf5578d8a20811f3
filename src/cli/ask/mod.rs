//! What commands have in common that ask nodes: which nodes, their common flags, and how answers are put.
//!
//! Promises: what a node says can't steer a terminal; every failure is one line, with the address that it came from.

mod flags;
mod limit;
mod nodes;
pub(crate) mod words;

use std::io::{self, Write as _};

use tonic::Code;

use crate::wire::fields::BadField;

pub(crate) use self::flags::{
    ConnectionArgs, KeyArgs, LimitsArgs, PatternArgs, longest_wait, pause, platform, request_id, timeout,
};
pub(crate) use self::nodes::{
    ANSWERS_WITHIN, Answer, DEFAULT_NODE, NODES_VARIABLE, NodesArgs, address, ask_all, ask_first, ask_one, may_be_another,
    reach_and_listen, refused,
};

/// What keeps a command from being carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The variable has something else than addresses.
    #[error("{NODES_VARIABLE} has {entry:?}; each must be a host and a port, such as {DEFAULT_NODE}, separated by commas")]
    WrongVariable {
        /// What it has.
        entry: String,
    },
    /// Flags that don't go together.
    #[error("{reason}")]
    WrongUse {
        /// Which, and the rule.
        reason: String,
    },
    /// A node did not do what it was asked.
    #[error("{address}: {reason}")]
    Failed {
        /// Its address.
        address: String,
        /// What it said, or why it said nothing.
        reason: String,
    },
    /// A node has refused what it was asked, as any other would.
    #[error("{address}: {reason}")]
    Refused {
        /// Its address.
        address: String,
        /// The code of the refusal.
        code: Code,
        /// What it said.
        reason: String,
    },
    /// None of the nodes could do it.
    #[error("{reasons}")]
    Nobody {
        /// Each with its address.
        reasons: String,
    },
    /// A node has answered what it never should.
    #[error("a node's answer can't be read")]
    Answer(#[from] BadField),
    /// The system doesn't tell us about signals.
    #[error("cannot listen to signals")]
    Signals {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The answer can't be written.
    #[error("cannot write to standard output")]
    Write {
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl AskError {
    /// Whether what was asked for is wrong, whoever is asked.
    pub(crate) const fn is_wrong_use(&self) -> bool {
        matches!(self, Self::WrongVariable { .. } | Self::WrongUse { .. } | Self::Refused { code: Code::InvalidArgument, .. })
    }

    /// Whether the same may be done later.
    pub(crate) const fn is_temporary(&self) -> bool {
        matches!(self, Self::Nobody { .. } | Self::Refused { code: Code::DeadlineExceeded | Code::ResourceExhausted, .. })
    }
}

/// What a node has answered instead.
pub(crate) fn told(status: &tonic::Status) -> String {
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
pub(crate) fn printable(text: &str) -> String {
    text.chars().flat_map(|letter| if letter.is_control() { letter.escape_default().collect() } else { vec![letter] }).collect()
}

/// Writes an answer that is complete.
pub(crate) fn write(answer: &str) -> Result<(), AskError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(answer.as_bytes()).and_then(|()| stdout.flush()).map_err(|source| AskError::Write { source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_over_the_network_does_not_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jé\n"), "a\\u{1b}[2Jé\\n");
    }
}
