//! The commands that ask nodes over their public addresses how things are, and tell them what operators have to say.
//!
//! Promises: a node that doesn't answer within 2 s holds nobody up; what concerns the whole cluster is asked of one node after the other until one knows; a drain
//! takes the time that it was given.
//! Must not: decide anything about a cluster.

mod connections;
mod drain;
mod limits;
mod overview;
mod owner;
mod pause;
mod refuse_peers;
mod status;
mod top;

use super::ask::{Answer, ask_all};
use crate::wire::v1;

pub(crate) use self::connections::{ConnectionsArgs, queue, run as connections};
pub(crate) use self::drain::{DrainArgs, run as drain};
pub(crate) use self::limits::{LimitsCommand, run as limits};
pub(crate) use self::owner::{OwnerArgs, owners, run as owner};
pub(crate) use self::pause::{PauseArgs, PenalizeArgs, pause, penalize, resume};
pub(crate) use self::refuse_peers::{RefusePeersArgs, run as refuse_peers};
pub(crate) use self::status::{StatusArgs, run as status};
pub(crate) use self::top::{TopCommandArgs, run as top};

/// Asks all nodes how things stand.
pub(crate) async fn statuses(addresses: &[String]) -> Vec<Answer<v1::GetStatusResponse>> {
    ask_all(addresses, async |mut client| client.get_status(v1::GetStatusRequest {}).await).await
}
