//! What survives a recovery, what is gone after it, and what one that was interrupted leaves.

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;

use openraft::EmptyNode;
use openraft::storage::RaftLogStorageExt;

use super::*;
use crate::clock;
use crate::consensus::image;
use crate::consensus::tests::{Running, start};
use crate::engine::cost::Cost;
use crate::engine::grant::{Epoch, Incarnation, LogIndex, ShardCount};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Action, Answer, Ask, Batch, BatchNumber, Ledger, Proposal, Verdict};
use crate::engine::rate::{Limits, RateLimit};
use crate::engine::time::LedgerTime;

const TERM: u64 = 5;
const OTHERS: [u64; 2] = [11, 12];
const CONNECTIONS: u64 = 20;

fn hourly() -> RateLimit {
    RateLimit::new(1, Duration::from_secs(3600)).unwrap()
}

fn run_of(node: u64) -> Incarnation {
    Incarnation { node: NodeId::new(node), run: NonZeroU64::MIN }
}

fn key(name: u64) -> ConnectionKey {
    ConnectionKey::new("test", &format!("connection {name}")).unwrap()
}

/// One slot of this connection, in a batch of its own.
fn batch(owner: Incarnation, number: u64, epoch: Epoch, name: u64) -> Command {
    let ask = Ask { limits: Limits::new([hourly()]).unwrap(), delivery: Duration::ZERO, least: Cost::ONE, most: Cost::ONE };
    let action = Action::Slots { returns: Vec::new(), ask: Some(ask) };
    let number = BatchNumber(NonZeroU64::new(number).unwrap());
    Command::Propose(Batch { owner, number, proposals: vec![Proposal { epoch, key: key(name), action }] })
}

/// The log of a cluster of three, in which each connection's owner has charged one slot.
fn log_of_three(node: u64) -> Vec<Entry<TypeConfig>> {
    let nodes = [node, OTHERS[0], OTHERS[1]];
    let mut ledger = Ledger::new();
    let log_id = |index| LogId::new(CommittedLeaderId::new(TERM, OTHERS[0]), index);
    let voters = Membership::new(vec![BTreeSet::from(nodes)], ());
    let mut entries = vec![Entry { log_id: log_id(0), payload: EntryPayload::Membership(voters) }];
    let mut add = |ledger: &mut Ledger, commands: Vec<Command>| {
        let index = u64::try_from(entries.len()).unwrap();
        let entry = LedgerEntry { stamp: LedgerTime::from_nanos(index * 1_000_000), commands };
        ledger.apply(LogIndex(index), &entry);
        entries.push(Entry { log_id: log_id(index), payload: EntryPayload::Normal(entry) });
    };
    for node in nodes {
        let join = Command::Join { incarnation: run_of(node), shards: ShardCount::MIN, seen: ledger.ring().epoch() };
        add(&mut ledger, vec![join]);
    }
    for name in 0..CONNECTIONS {
        let owner = ledger.ring().owner(&key(name)).unwrap().node;
        let epoch = ledger.ring().epoch();
        add(&mut ledger, vec![batch(run_of(owner.get()), name + 1, epoch, name)]);
    }
    assert_eq!(u64::try_from(ledger.tracked()), Ok(CONNECTIONS));
    entries
}

/// The directory of a node whose cluster has lost its other two.
async fn survivor(path: &Path) -> Identity {
    let directory = Arc::new(DataDir::open(path, None).unwrap());
    let identity = Identity { is_bound: true, ..directory.identity() };
    directory.write_identity(identity).unwrap();
    let mut log = LogStore::<TypeConfig>::open(&directory).unwrap();
    log.save_vote(&Vote::new_committed(TERM, OTHERS[0])).await.unwrap();
    log.blocking_append(log_of_three(identity.node)).await.unwrap();
    identity
}

async fn remains(path: &Path) -> Result<Remains, RecoveryError> {
    Remains::open(path.to_owned(), None, Clock::start()).await
}

async fn recover(path: &Path) -> ClusterId {
    remains(path).await.unwrap().recover().await.unwrap()
}

async fn refused(path: &Path) -> String {
    remains(path).await.err().unwrap().to_string()
}

/// The ledger as the directory's snapshot has it.
fn ledger_in(path: &Path) -> Ledger {
    let directory = Arc::new(DataDir::open(path, None).unwrap());
    let saved = SnapshotStore::<EmptyNode>::on_disk(directory).load().unwrap().unwrap();
    image::read(&saved.data).unwrap()
}

async fn goes_on_alone(path: &Path) -> Running {
    let running = clock::timeout(Duration::from_secs(20), start(path)).await.expect("it leads itself");
    assert_eq!(running.consensus.standing().voters, BTreeSet::from([running.consensus.node()]));
    assert_eq!(u64::try_from(running.consensus.ledger().tracked()), Ok(CONNECTIONS));
    running
}

#[tokio::test]
async fn what_was_charged_still_counts_who_was_a_member_is_none_and_all_is_held_back_for_a_whole_window() {
    let home = tempfile::tempdir().unwrap();
    let former = survivor(home.path()).await;
    recover(home.path()).await;
    let mut ledger = ledger_in(home.path());
    assert_eq!(u64::try_from(ledger.tracked()), Ok(CONNECTIONS));
    assert_eq!(ledger.members().count(), 0);
    assert!(ledger.ring().epoch() > Epoch(LogIndex(3)), "the ring has moved");

    let (since, epoch) = (ledger.now(), ledger.ring().epoch());
    let own = Incarnation { node: NodeId::new(former.node), run: NonZeroU64::MAX };
    let mut index = 100;
    let mut apply = |stamp: LedgerTime, command: Command| {
        index += 1;
        ledger.apply(LogIndex(index), &LedgerEntry { stamp, commands: vec![command] }).pop().unwrap()
    };
    for gone in [former.node, OTHERS[0], OTHERS[1]] {
        assert_eq!(apply(since, batch(run_of(gone), 99, epoch, 7)), Answer::NotMember);
    }
    let Answer::Joined { epoch } = apply(since, Command::Join { incarnation: own, shards: ShardCount::MIN, seen: epoch }) else {
        unreachable!()
    };
    let free_at = since + hourly().delivery_bound() + hourly().span();
    for (number, name) in [(1, 7), (2, CONNECTIONS + 7)] {
        let stamp = free_at.saturating_sub(Duration::from_secs(1)) + Duration::from_nanos(number);
        let verdicts = Answer::Verdicts(vec![Verdict::NotBefore { stamp, at: free_at }]);
        assert_eq!(apply(stamp, batch(own, number, epoch, name)), verdicts);
    }
    let verdicts = Answer::Verdicts(vec![Verdict::Charged { stamp: free_at, cost: Cost::ONE }]);
    assert_eq!(apply(free_at, batch(own, 3, epoch, 7)), verdicts);
}

#[tokio::test]
async fn a_node_that_was_recovered_is_the_whole_of_another_cluster_and_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let former = survivor(home.path()).await;
    let found = remains(home.path()).await.unwrap().summary().clone();
    let node = NodeId::new(former.node);
    let voters = BTreeSet::from([node, NodeId::new(OTHERS[0]), NodeId::new(OTHERS[1])]);
    let (cluster, tracked) = (former.cluster, usize::try_from(CONNECTIONS).unwrap());
    assert_eq!(found, Summary { node, cluster, voters, last_index: CONNECTIONS + 3, last_term: TERM, tracked });

    let cluster = recover(home.path()).await;
    assert_ne!(cluster, former.cluster);
    assert_eq!(DataDir::open(home.path(), None).unwrap().identity(), Identity { cluster, ..former });
    for _ in 0..2 {
        let running = goes_on_alone(home.path()).await;
        assert_eq!((running.consensus.node(), running.consensus.belonging().cluster()), (node, cluster));
        running.end().await;
    }
    let refused = refused(home.path()).await;
    assert!(refused.contains("stands alone and has lost nobody"), "{refused}");
}

#[tokio::test]
async fn whoever_recovers_twice_has_another_cluster_and_nothing_else_has_changed() {
    let home = tempfile::tempdir().unwrap();
    survivor(home.path()).await;
    let first = recover(home.path()).await;
    assert_ne!(recover(home.path()).await, first);
    goes_on_alone(home.path()).await.end().await;
}

#[tokio::test]
async fn a_recovery_that_is_interrupted_has_changed_nothing_or_is_to_be_done_again_or_is_done() {
    // What could not be written, whether the cluster is another then, and of how many nodes.
    for (file, is_another, voters) in [("identity", false, 3), ("vote", true, 3), ("snapshot", true, 3), ("purged", true, 1)] {
        let home = tempfile::tempdir().unwrap();
        let former = survivor(home.path()).await;
        let interrupted = remains(home.path()).await.unwrap();
        let in_the_way = home.path().join(format!("{file}.tmp"));
        fs::create_dir(&in_the_way).unwrap();
        let error = interrupted.recover().await.unwrap_err().to_string();
        assert!(error.contains(in_the_way.to_str().unwrap()), "{error}");
        fs::remove_dir(&in_the_way).unwrap();

        let left = remains(home.path()).await.unwrap().summary().clone();
        assert_eq!((left.cluster != former.cluster, left.voters.len()), (is_another, voters), "{file}");
        if left.voters.len() > 1 {
            recover(home.path()).await;
        }
        goes_on_alone(home.path()).await.end().await;
    }
}

#[tokio::test]
async fn what_is_no_nodes_directory_is_refused_and_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("missing");
    for path in [&missing, home.path()] {
        assert_eq!(refused(path).await, format!("{} is not the data directory of a node", path.display()));
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_node_without_a_log_and_one_that_runs_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let held = DataDir::open(home.path(), None).unwrap();
    let in_use = refused(home.path()).await;
    assert!(in_use.contains("in use by another node"), "{in_use}");
    drop(held);
    let no_log = refused(home.path()).await;
    assert!(no_log.contains("has no log, so there is nothing to recover"), "{no_log}");
}

#[tokio::test]
async fn a_damaged_log_is_refused_by_file_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    survivor(home.path()).await;
    let segment = home.path().join("log-00000000000000000000.wal");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let refused = refused(home.path()).await;
    assert!(refused.contains(&format!("{} is corrupt", segment.display())), "{refused}");
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}
