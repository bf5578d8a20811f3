//! What the state machine keeps over a snapshot, and what it does when the ledger has a bug.

use std::num::NonZeroU64;
use std::time::Duration;

use openraft::CommittedLeaderId;

use super::*;
use crate::engine::cost::Cost;
use crate::engine::grant::{Charge, Incarnation, NodeId, ShardCount};
use crate::engine::ledger::{Action, Adjustment, Ask, Batch, BatchNumber, Command, LedgerEntry, Proposal, Return};
use crate::engine::rate::{Limits, RateLimit};

fn entry(index: u64, payload: EntryPayload<TypeConfig>) -> Entry<TypeConfig> {
    Entry { log_id: LogId::new(CommittedLeaderId::new(1, 0), index), payload }
}

fn owner() -> Incarnation {
    Incarnation { node: NodeId::new(7), run: NonZeroU64::MIN }
}

/// A log that touches everything a ledger keeps: members, differing limits, charges, returns, pauses, answers.
fn log() -> Vec<Entry<TypeConfig>> {
    let stamp = |index: u64| LedgerTime::from_nanos(index * 1_000_000);
    let join =
        Command::Join { incarnation: owner(), shards: ShardCount::new(2).unwrap(), seen: crate::engine::grant::Epoch::default() };
    let epoch = crate::engine::grant::Epoch(LogIndex(1));
    let mut log = vec![entry(1, EntryPayload::Normal(LedgerEntry { stamp: stamp(1), commands: vec![join] }))];
    for index in 2..400 {
        let key = ConnectionKey::new("test", &format!("connection {}", index * 7 % 61)).unwrap();
        let window = Duration::from_millis(50 + index % 3 * 1000);
        let limits = Limits::new([RateLimit::new(10, window).unwrap()]).unwrap();
        let delivery = Duration::from_millis(index % 5);
        let ask = Ask { limits, delivery, least: Cost::ONE, most: Cost::of(1 + index % 4) };
        let earlier = Charge { stamp: stamp(index.saturating_sub(61)), delivery: Duration::from_millis((index + 4) % 5) };
        let action = match index % 9 {
            8 => Action::Adjust(Adjustment::Penalize(Duration::from_millis(index))),
            _ => Action::Slots { returns: vec![Return { charge: earlier, cost: Cost::ONE }], ask: Some(ask) },
        };
        let number = BatchNumber(NonZeroU64::new(index).unwrap());
        let batch = Batch { owner: owner(), number, proposals: vec![Proposal { epoch, key, action }] };
        let commands = vec![Command::Propose(batch), Command::Tick];
        log.push(entry(index, EntryPayload::Normal(LedgerEntry { stamp: stamp(index), commands })));
    }
    log
}

async fn machine(entries: impl IntoIterator<Item = Entry<TypeConfig>, IntoIter: Send> + Send) -> StateMachine {
    let mut machine = StateMachine::load(SnapshotStore::in_memory(), Clock::start()).unwrap();
    machine.apply(entries).await.unwrap();
    machine
}

async fn snapshot(machine: &mut StateMachine) -> (Meta, Vec<u8>) {
    let built = machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    (built.meta, built.snapshot.into_inner())
}

#[tokio::test]
async fn the_same_log_gives_the_same_snapshot_bytes_also_by_way_of_a_snapshot() {
    let log = log();
    let mut straight = machine(log.clone()).await;
    let (meta, bytes) = snapshot(&mut straight).await;
    assert!(straight.reader().tracked() > 10, "there is something in it");
    assert_eq!(snapshot(&mut straight).await, (meta.clone(), bytes.clone()), "encoded twice");
    for cut in [1, 100, 250, log.len()] {
        let mut first = machine(log[..cut].to_vec()).await;
        let (meta_at_cut, bytes_at_cut) = snapshot(&mut first).await;
        let mut follower = machine([]).await;
        follower.install_snapshot(&meta_at_cut, Box::new(Cursor::new(bytes_at_cut))).await.unwrap();
        let saved = follower.snapshots.load().unwrap().unwrap();
        let store = SnapshotStore::in_memory();
        store.save(&saved).unwrap();
        let mut restarted = StateMachine::load(store, Clock::start()).unwrap();
        let bytes_at_cut = u64::try_from(saved.data.len()).unwrap();
        let [built, installed, loaded] = [&first, &follower, &restarted].map(|machine| machine.reader().next_snapshot_bytes());
        assert_eq!((installed, loaded), (built, built), "cut at {cut}");
        let tracked = u64::try_from(first.reader().tracked()).unwrap();
        assert!(tracked == 0 || (bytes_at_cut..bytes_at_cut + tracked).contains(&built), "cut at {cut}: {built}");
        restarted.apply(log[cut..].to_vec()).await.unwrap();
        assert_eq!(restarted.applied.lock().ledger, straight.applied.lock().ledger, "cut at {cut}");
        assert_eq!(snapshot(&mut restarted).await, (meta.clone(), bytes.clone()), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_ledger_that_panics_is_an_error_that_says_so() {
    let mut machine = machine(log()).await;
    let broken = std::iter::once_with(|| panic!("an index out of bounds"));
    let error = machine.apply(broken).await.unwrap_err().to_string();
    assert!(error.contains("the ledger panicked: an index out of bounds"), "{error}");
    assert!(machine.reader().tracked() > 10, "who reads is not hung up");
}
