//! What is killed in the middle of a run.

use super::blow::Blow;
use super::cluster::{Cluster, ClusterError};
use super::journal::Journal;
use super::promises::name;
use crate::cli::connections::ConnectionSpec;

/// What to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kill {
    /// The node that owns the busiest connection
    Owner,
    /// The node that leads
    Leader,
    /// Nothing: the promises of a healthy cluster
    None,
}

/// Kills a node without a warning; what was done, and in words. `None` when nothing is to be killed.
///
/// # Errors
/// [`ClusterError`] when nobody says which node that is, or the system refuses.
pub(crate) async fn strike(
    kill: Kill,
    cluster: &mut Cluster,
    specs: &[ConnectionSpec],
    journal: &Journal,
) -> Result<Option<(Blow, String)>, ClusterError> {
    let owners = match kill {
        Kill::None => return Ok(None),
        Kill::Owner | Kill::Leader => cluster.owners(specs).await?,
    };
    let busiest = busiest(journal);
    let (node, why) = match kill {
        Kill::Leader => (cluster.leader().await?, "led".to_owned()),
        Kill::Owner | Kill::None => {
            let spec = specs.get(busiest).map(name).unwrap_or_default();
            (owners.get(busiest).copied().unwrap_or(1), format!("owned {spec}"))
        }
    };
    let owned = owners.iter().map(|owner| *owner == node).collect();
    let at = journal.now();
    cluster.kill(node).await?;
    Ok(Some((Blow { at, node, owned }, format!("node {node}, which {why}, was killed at {:.1} s", at.as_secs_f64()))))
}

/// The place of the connection that has the most callers so far, served or waiting.
fn busiest(journal: &Journal) -> usize {
    let glances = journal.glance();
    let callers = |place: &usize| glances.get(*place).map(|glance| glance.granted + glance.waiting.values().sum::<u64>());
    (0..glances.len()).max_by_key(callers).unwrap_or_default()
}
