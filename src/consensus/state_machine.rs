//! The ledger behind the log: applies committed entries, and makes and reads snapshots.

#![expect(clippy::result_large_err, reason = "the error is openraft's")]

use std::any::Any;
use std::io::Cursor;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use openraft::storage::RaftStateMachine;
use openraft::{
    EmptyNode, Entry, EntryPayload, LogId, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError, StorageIOError,
    StoredMembership,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::image::{self, ImageError};
use super::storage::{SavedSnapshot, SnapshotStore};
use super::types::TypeConfig;
use crate::clock::Clock;
use crate::engine::grant::{Incarnation, LogIndex, NodeId};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Answer, Ledger, Level, Policies};
use crate::engine::limiter::Limiter;
use crate::engine::ring::Ring;
use crate::engine::time::{LedgerTime, Timestamp};

type Meta = SnapshotMeta<u64, EmptyNode>;

/// What has been applied.
#[derive(Debug)]
struct Applied {
    ledger: Ledger,
    last: Option<LogId<u64>>,
    membership: StoredMembership<u64, EmptyNode>,
    /// When the newest stamp was applied, by this process's clock.
    applied_at: Timestamp,
}

/// Read access to the ledger as far as this node has applied it.
#[derive(Debug, Clone)]
pub(crate) struct LedgerReader {
    applied: Arc<Mutex<Applied>>,
    ring: watch::Receiver<Arc<Ring>>,
    policies: watch::Receiver<Arc<Policies>>,
    /// Gone when the state machine is, so that who waits for a ring learns it.
    rings: Weak<watch::Sender<Arc<Ring>>>,
    bytes_per_connection: Arc<AtomicU64>,
}

impl LedgerReader {
    /// The newest stamp, and when this process applied it.
    pub(crate) fn newest_stamp(&self) -> (LedgerTime, Timestamp) {
        let applied = self.applied.lock();
        (applied.ledger.now(), applied.applied_at)
    }

    /// A copy of a connection's limiter, or the number of tracked connections when it is not among them; and the stamp of the newest entry that it has seen.
    pub(crate) fn limiter(&self, key: &ConnectionKey) -> (Result<Limiter, usize>, LedgerTime) {
        let applied = self.applied.lock();
        (applied.ledger.limiter(key).ok_or_else(|| applied.ledger.tracked()), applied.ledger.now())
    }

    /// The runs that own keys.
    pub(crate) fn members(&self) -> Vec<Incarnation> {
        self.applied.lock().ledger.members().collect()
    }

    /// By which rules the next entry is applied.
    pub(crate) fn level(&self) -> Level {
        self.applied.lock().ledger.level()
    }

    /// How many connections are tracked.
    pub(crate) fn tracked(&self) -> usize {
        self.applied.lock().ledger.tracked()
    }

    /// Whether a tick would forget connections at once.
    pub(crate) fn has_expired(&self) -> bool {
        self.applied.lock().ledger.has_expired()
    }

    /// How long a snapshot would be now, judged by the one before; 0 before the first.
    pub(crate) fn next_snapshot_bytes(&self) -> u64 {
        let tracked = u64::try_from(self.tracked()).unwrap_or(u64::MAX);
        self.bytes_per_connection.load(Ordering::Relaxed).saturating_mul(tracked)
    }

    /// The limits that operators have set, as far as they are known here, and their changes.
    pub(crate) fn policies(&self) -> watch::Receiver<Arc<Policies>> {
        self.policies.clone()
    }

    /// How many charges were made that should not have been.
    pub(crate) fn over_grants(&self) -> u64 {
        self.applied.lock().ledger.over_grants()
    }

    /// The newest ring that is known here, and its changes.
    pub(crate) fn ring(&self) -> watch::Receiver<Arc<Ring>> {
        self.ring.clone()
    }

    /// Learns of a ring from a node that has applied it. One in which `own` is a member is learned from the log only: who owns must have seen every
    /// charge before it.
    pub(crate) fn follow(&self, own: NodeId, ring: Ring) {
        if let Some(rings) = self.rings.upgrade().filter(|_| !ring.has(own)) {
            publish(&rings, &ring);
        }
    }
}

/// The replicated state machine, as openraft drives it.
#[derive(Debug)]
pub(crate) struct StateMachine {
    applied: Arc<Mutex<Applied>>,
    ring: Arc<watch::Sender<Arc<Ring>>>,
    policies: watch::Sender<Arc<Policies>>,
    snapshots: Arc<SnapshotStore<EmptyNode>>,
    bytes_per_connection: Arc<AtomicU64>,
    clock: Clock,
}

impl StateMachine {
    /// Continues from the store's snapshot, or from nothing.
    ///
    /// # Errors
    /// When the snapshot can't be read.
    pub(crate) fn load(snapshots: SnapshotStore<EmptyNode>, clock: Clock) -> Result<Self, super::storage::StorageError> {
        let (meta, ledger, density) = match snapshots.load()? {
            Some(saved) => {
                let ledger = image::read(&saved.data).map_err(|error| match error {
                    ImageError::UnknownLevel(level) => level.into(),
                    ImageError::Codec(source) => snapshots.unreadable(source),
                })?;
                let density = bytes_per_connection(&saved.data, &ledger);
                (saved.meta, ledger, density)
            }
            None => (Meta::default(), Ledger::new(), 0),
        };
        let ring = Arc::new(watch::Sender::new(Arc::new(ledger.ring().clone())));
        let policies = watch::Sender::new(Arc::new(ledger.policies().0.clone()));
        let applied = Applied { ledger, last: meta.last_log_id, membership: meta.last_membership, applied_at: clock.now() };
        let (applied, bytes_per_connection) = (Arc::new(Mutex::new(applied)), Arc::new(AtomicU64::new(density)));
        Ok(Self { applied, ring, policies, snapshots: Arc::new(snapshots), bytes_per_connection, clock })
    }

    /// Read access to what has been applied.
    pub(crate) fn reader(&self) -> LedgerReader {
        let (applied, bytes_per_connection) = (Arc::clone(&self.applied), Arc::clone(&self.bytes_per_connection));
        let (ring, policies) = (self.ring.subscribe(), self.policies.subscribe());
        LedgerReader { applied, ring, policies, rings: Arc::downgrade(&self.ring), bytes_per_connection }
    }

    /// The last entry that the snapshot covers.
    pub(crate) fn snapshot_covers(&self) -> Option<LogId<u64>> {
        self.applied.lock().last
    }
}

/// Tells of a ring that is newer than all before it.
fn publish(rings: &watch::Sender<Arc<Ring>>, newest: &Ring) {
    rings.send_if_modified(|ring| {
        let is_newer = ring.epoch() < newest.epoch();
        if is_newer {
            *ring = Arc::new(newest.clone());
        }
        is_newer
    });
}

impl Applied {
    fn apply(&mut self, entry: Entry<TypeConfig>, now: Timestamp) -> Vec<Answer> {
        self.last = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => Vec::new(),
            EntryPayload::Normal(entry_of_ledger) => {
                self.applied_at = now;
                self.ledger.apply(LogIndex(entry.log_id.index), &entry_of_ledger)
            }
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
                Vec::new()
            }
        }
    }

    fn meta(&self) -> Meta {
        let (last_log_id, last_membership) = (self.last, self.membership.clone());
        // Equal states have equal snapshots, so the last entry names one.
        let snapshot_id =
            last_log_id.map_or_else(|| "empty".to_owned(), |last| format!("{}-{}", last.leader_id.term, last.index));
        Meta { last_log_id, last_membership, snapshot_id }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId<u64>>, StoredMembership<u64, EmptyNode>), StorageError<u64>> {
        let applied = self.applied.lock();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Vec<Answer>>, StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + Send,
        I::IntoIter: Send,
    {
        let now = self.clock.now();
        let mut unknown = None;
        let known = entries.into_iter().map_while(|entry| {
            let check = if let EntryPayload::Normal(body) = &entry.payload { body.check() } else { Ok(()) };
            check.map_err(|level| unknown = Some(level)).is_ok().then_some(entry)
        });
        let mut applied = self.applied.lock();
        let (_, policies_changed) = applied.ledger.policies();
        // openraft would wait for ever for a state machine that has panicked; what is half applied is not used any more.
        let answers = panic::catch_unwind(AssertUnwindSafe(|| known.map(|entry| applied.apply(entry, now)).collect()));
        let answers = answers.map_err(|panic| StorageIOError::write_state_machine(&LedgerPanicked::of(&*panic)))?;
        publish(&self.ring, applied.ledger.ring());
        if applied.ledger.policies().1 != policies_changed {
            self.policies.send_replace(Arc::new(applied.ledger.policies().0.clone()));
        }
        if let Some(level) = unknown {
            return Err(StorageIOError::write_state_machine(&level).into());
        }
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let applied = self.applied.lock();
        let (ledger, meta) = (applied.ledger.clone(), applied.meta());
        let (snapshots, told) = (Arc::clone(&self.snapshots), Arc::clone(&self.bytes_per_connection));
        SnapshotBuilder { ledger, meta, snapshots, bytes_per_connection: told }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError<u64>> {
        Ok(Box::default())
    }

    async fn install_snapshot(&mut self, meta: &Meta, snapshot: Box<Cursor<Vec<u8>>>) -> Result<(), StorageError<u64>> {
        let data = Arc::new(snapshot.into_inner());
        let ledger = image::read(&data).map_err(|error| StorageIOError::read_snapshot(Some(meta.signature()), &error))?;
        let density = bytes_per_connection(&data, &ledger);
        save(&self.snapshots, SavedSnapshot { meta: meta.clone(), data }).await?;
        self.bytes_per_connection.store(density, Ordering::Relaxed);
        let mut applied = self.applied.lock();
        publish(&self.ring, ledger.ring());
        self.policies.send_replace(Arc::new(ledger.policies().0.clone()));
        let (last, membership) = (meta.last_log_id, meta.last_membership.clone());
        *applied = Applied { ledger, last, membership, applied_at: self.clock.now() };
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError<u64>> {
        let snapshots = Arc::clone(&self.snapshots);
        let saved =
            blocking(move || snapshots.load().map_err(|error| StorageIOError::read_snapshot(None, &error).into())).await?;
        Ok(saved.map(|saved| Snapshot { meta: saved.meta, snapshot: Box::new(Cursor::new(owned(saved.data))) }))
    }
}

/// The ledger has a bug. No replica can apply the entry.
#[derive(Debug, thiserror::Error)]
#[error("the ledger panicked: {message}")]
struct LedgerPanicked {
    message: String,
}

impl LedgerPanicked {
    fn of(panic: &(dyn Any + Send)) -> Self {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(|message| (*message).to_owned()));
        Self { message: message.unwrap_or_else(|| "no message".to_owned()) }
    }
}

/// A copy of the state machine that becomes a snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotBuilder {
    ledger: Ledger,
    meta: Meta,
    snapshots: Arc<SnapshotStore<EmptyNode>>,
    /// Where the state machine is told how long it became.
    bytes_per_connection: Arc<AtomicU64>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError<u64>> {
        let (ledger, meta) = (std::mem::take(&mut self.ledger), self.meta.clone());
        let signature = meta.signature();
        let encoded = blocking(move || {
            let data = image::write(&ledger).map_err(|error| StorageIOError::write_snapshot(Some(signature), &error))?;
            let density = bytes_per_connection(&data, &ledger);
            Ok((data, density))
        });
        let (data, density) = encoded.await?;
        let data = Arc::new(data);
        save(&self.snapshots, SavedSnapshot { meta: meta.clone(), data: Arc::clone(&data) }).await?;
        self.bytes_per_connection.store(density, Ordering::Relaxed);
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(owned(data))) })
    }
}

/// The bytes, copied only if they are kept elsewhere, too.
fn owned(data: Arc<Vec<u8>>) -> Vec<u8> {
    Arc::try_unwrap(data).unwrap_or_else(|shared| shared.to_vec())
}

/// What a snapshot took for each connection: by that the next one is judged, for connections come and go.
fn bytes_per_connection(data: &[u8], ledger: &Ledger) -> u64 {
    u64::try_from(data.len().div_ceil(ledger.tracked().max(1))).unwrap_or(u64::MAX)
}

async fn save(snapshots: &Arc<SnapshotStore<EmptyNode>>, saved: SavedSnapshot<EmptyNode>) -> Result<(), StorageError<u64>> {
    let snapshots = Arc::clone(snapshots);
    let signature = saved.meta.signature();
    blocking(move || snapshots.save(&saved).map_err(|error| StorageIOError::write_snapshot(Some(signature), &error).into())).await
}

/// Runs what blocks on the disk, or takes long, where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError<u64>> + Send + 'static,
) -> Result<T, StorageError<u64>> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StorageIOError::read_state_machine(&error).into()),
    }
}

#[cfg(test)]
mod tests;
