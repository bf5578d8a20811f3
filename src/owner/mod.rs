//! The owners of one node: a supervisor and its shards.
//!
//! A shard that crashes is respawned from the ledger. Its waiters learn it by their lost reply and come back with their ages; slots that
//! it had charged and not released leave with their window. When shards crash again and again the owners end, and the node with them.

mod adjust;
mod admission;
mod inquiry;
mod look;
mod message;
mod offer;
mod presence;
mod ranking;
mod said;
mod shard;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) use self::adjust::adjust;
pub(crate) use self::admission::{Admission, Ticket};
pub(crate) use self::inquiry::{Informant, Question, Told};
pub(crate) use self::message::Message;
pub use self::message::ShardReport;
pub(crate) use self::offer::{Caller, Offer, Outcome, RemoteOwner, Reply, Slot};
pub(crate) use self::presence::Presence;
use self::shard::{Arguments, Meter, Shard, Shared};
use crate::clock::Clock;
use crate::config::NodeConfig;
use crate::consensus::proposer::Proposer;
use crate::consensus::state_machine::LedgerReader;
use crate::engine::grant::{NodeId, ShardId, Tenure};
use crate::engine::time::Timestamp;

/// So many crashes within [`CRASHES_WITHIN`] are no accident: whoever waits would bring the cause back with every respawn.
const MAX_CRASHES: usize = 100;

/// How long a crash counts.
const CRASHES_WITHIN: Duration = Duration::from_secs(10);

/// The shards, by their index. Changes when one is respawned.
type Shards = Vec<ActorRef<Message>>;

/// The owners of this node.
#[derive(Debug)]
pub(crate) struct Owners {
    node: NodeId,
    shards: watch::Receiver<Shards>,
    supervisor: ActorRef<()>,
    supervisor_task: JoinHandle<()>,
}

/// The way to the owners of this node.
#[derive(Debug, Clone)]
pub(crate) struct OwnersHandle {
    node: NodeId,
    shards: watch::Receiver<Shards>,
}

impl Owners {
    /// Starts the supervisor and all shards.
    ///
    /// # Errors
    /// When an actor could not be spawned.
    pub(crate) async fn start(
        node: NodeId,
        config: NodeConfig,
        clock: Clock,
        proposer: Proposer,
        ledger: LedgerReader,
    ) -> Result<Self, SpawnErr> {
        let ids = (0..config.shards.get()).map(|index| ShardId { node, index }).collect();
        let shared = Arc::new(Shared { config, clock, proposer, ledger, resident: AtomicUsize::new(0), meter: Meter::new() });
        let table = watch::Sender::new(Vec::new());
        let shards = table.subscribe();
        let (supervisor, supervisor_task) = Actor::spawn(None, Supervisor, (shared, ids, table)).await?;
        Ok(Self { node, shards, supervisor, supervisor_task })
    }

    /// The way to the owners.
    pub(crate) fn handle(&self) -> OwnersHandle {
        OwnersHandle { node: self.node, shards: self.shards.clone() }
    }

    /// Stops all shards and waits until they have ended; whoever waits there loses their reply.
    pub(crate) async fn stop(mut self) {
        self.supervisor.stop(None);
        if let Err(error) = (&mut self.supervisor_task).await {
            tracing::warn!(%error, "the owners' supervisor ended abnormally");
        }
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        // An actor lives on when nobody holds it any more.
        self.supervisor.stop(None);
    }
}

impl OwnersHandle {
    /// The actor of this shard; `None` when it is another node's, or this one has none of that number.
    pub(crate) fn shard(&self, id: ShardId) -> Option<ActorRef<Message>> {
        if id.node != self.node {
            return None;
        }
        self.shards.borrow().get(usize::from(id.index)).cloned()
    }

    /// Waits until a shard other than `gone` has this id; `None` when the owners have ended. Cancel-safe.
    pub(crate) async fn successor(&mut self, id: ShardId, gone: &ActorRef<Message>) -> Option<ActorRef<Message>> {
        let has_changed =
            |shards: &Shards| shards.get(usize::from(id.index)).is_some_and(|shard| shard.get_id() != gone.get_id());
        let shards = self.shards.wait_for(has_changed).await.ok()?;
        shards.get(usize::from(id.index)).cloned()
    }

    /// All of them.
    fn all(&self) -> Shards {
        self.shards.borrow().clone()
    }

    /// Lets those wait again whose routers are heard again.
    pub(crate) fn recall(&self) {
        for shard in self.shards.borrow().iter() {
            // One that has crashed has nobody to recall.
            drop(shard.cast(Message::Recall));
        }
    }

    /// Returns when the owners have ended, for whatever reason. Cancel-safe.
    pub(crate) async fn ended(mut self) {
        while self.shards.changed().await.is_ok() {}
    }

    /// What the shards have in memory, all together.
    pub(crate) async fn report(&self) -> ShardReport {
        let mut total = ShardReport::default();
        for shard in self.all() {
            let (reply, report) = oneshot::channel();
            if shard.cast(Message::Report(reply)).is_ok()
                && let Ok(report) = report.await
            {
                total.connections += report.connections;
                total.waiters += report.waiters;
            }
        }
        total
    }
}

/// The actor that respawns shards.
struct Supervisor;

/// What a shard has in common with those before it.
#[derive(Debug, Clone)]
struct Place {
    id: ShardId,
    tenure: Tenure,
    numbers: Arc<AtomicU64>,
}

struct Supervised {
    shared: Arc<Shared>,
    places: Vec<Place>,
    table: watch::Sender<Shards>,
    /// When the last [`MAX_CRASHES`] were, at most.
    crashes: VecDeque<Timestamp>,
}

impl Actor for Supervisor {
    type Msg = ();
    type State = Supervised;
    type Arguments = (Arc<Shared>, Vec<ShardId>, watch::Sender<Shards>);

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        (shared, ids, table): Self::Arguments,
    ) -> Result<Supervised, ActorProcessingErr> {
        let place = |id| Place { id, tenure: Tenure::new(rand::random()), numbers: Arc::new(AtomicU64::new(0)) };
        let places: Vec<_> = ids.into_iter().map(place).collect();
        let mut shards = Vec::with_capacity(places.len());
        for place in &places {
            shards.push(spawn(&myself, &shared, place, false).await?);
        }
        table.send_replace(shards);
        Ok(Supervised { shared, places, table, crashes: VecDeque::new() })
    }

    async fn post_stop(&self, myself: ActorRef<()>, _: &mut Supervised) -> Result<(), ActorProcessingErr> {
        // ractor would only kill them, and not wait for their end.
        myself.stop_children_and_wait(None, None).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        state: &mut Supervised,
    ) -> Result<(), ActorProcessingErr> {
        let (gone, cause) = match event {
            SupervisionEvent::ActorFailed(gone, error) => (gone, error.to_string()),
            SupervisionEvent::ActorTerminated(gone, _, reason) => (gone, reason.unwrap_or_else(|| "it was stopped".to_owned())),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let Some(index) = state.index_of(&gone) else { return Ok(()) };
        if state.crash_loops() {
            tracing::error!(shard = index, %cause, "shards crash again and again; the owners end");
            myself.stop(None);
            return Ok(());
        }
        tracing::error!(shard = index, %cause, "a shard crashed; starting it again from the ledger");
        let Some(place) = state.places.get(index) else { return Ok(()) };
        let shard = spawn(&myself, &state.shared, place, true).await?;
        state.table.send_modify(|shards| {
            if let Some(place) = shards.get_mut(index) {
                *place = shard;
            }
        });
        Ok(())
    }
}

impl Supervised {
    /// Notes a crash; whether there were too many lately.
    fn crash_loops(&mut self) -> bool {
        let now = self.shared.clock.now();
        self.crashes.push_back(now);
        if self.crashes.len() <= MAX_CRASHES {
            return false;
        }
        self.crashes.pop_front().is_some_and(|first| now.saturating_since(first) < CRASHES_WITHIN)
    }

    fn index_of(&self, gone: &ActorCell) -> Option<usize> {
        self.table.borrow().iter().position(|shard| shard.get_id() == gone.get_id())
    }
}

async fn spawn(
    supervisor: &ActorRef<()>,
    shared: &Arc<Shared>,
    place: &Place,
    is_respawn: bool,
) -> Result<ActorRef<Message>, SpawnErr> {
    let Place { id, tenure, numbers } = place.clone();
    let arguments = Arguments { id, shared: Arc::clone(shared), tenure, numbers, is_respawn };
    let (shard, _task) = Actor::spawn_linked(None, Shard, arguments, supervisor.get_cell()).await?;
    Ok(shard)
}
