//! One node's consensus over its ends and restarts.

use std::num::NonZeroU64;

use super::*;
use crate::engine::grant::ShardCount;
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Action, Ask, Batch, BatchNumber, Proposal, Verdict};
use crate::engine::rate::{Cost, Limits, RateLimit};

struct Running {
    consensus: Consensus,
    committer: Committer,
    commits: tokio::task::JoinHandle<()>,
    incarnation: Incarnation,
    epoch: Epoch,
}

async fn start(directory: &std::path::Path) -> Running {
    let consensus = Consensus::start(&Storage::Disk(directory.to_owned()), None, Clock::start()).await.unwrap();
    let (committer, commits) = consensus.committer();
    let commits = tokio::spawn(commits);
    let incarnation = Incarnation { node: consensus.node(), run: NonZeroU64::new(rand::random()).unwrap() };
    let epoch = join(&committer, incarnation, ShardCount::MIN).await.unwrap();
    Running { consensus, committer, commits, incarnation, epoch }
}

impl Running {
    /// Charges one slot of each of these connections.
    async fn charge(&self, number: u64, names: std::ops::Range<u64>) {
        let limits = Limits::new([RateLimit::new(1, Duration::from_secs(3600)).unwrap()]).unwrap();
        let ask = Ask { limits, delivery: Duration::ZERO, least: Cost::ONE, most: Cost::ONE };
        let proposals = names.map(|name| Proposal {
            epoch: self.epoch,
            key: ConnectionKey::new("test", &format!("connection {name}")).unwrap(),
            action: Action::Slots { returns: Vec::new(), ask: Some(ask.clone()) },
        });
        let number = BatchNumber(NonZeroU64::new(number).unwrap());
        let batch = Batch { owner: self.incarnation, number, proposals: proposals.collect() };
        let Ok(Answer::Verdicts(verdicts)) = self.committer.submit(Command::Propose(batch)).await else {
            unreachable!("one leads here")
        };
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Charged { .. })));
    }

    async fn end(self) {
        self.consensus.shutdown().await;
        drop(self.committer);
        self.commits.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_waits_for_the_snapshot_that_is_being_written() {
    const BATCHES: u64 = 20;
    const BATCH: u64 = 2000;
    let parent = tempfile::tempdir().unwrap();
    let running = start(&parent.path().join("data")).await;
    for batch in 0..BATCHES {
        running.charge(batch + 1, batch * BATCH..(batch + 1) * BATCH).await;
    }
    running.consensus.raft.trigger().snapshot().await.unwrap();
    running.end().await;
    let again = start(&parent.path().join("data")).await;
    assert_eq!(u64::try_from(again.consensus.ledger().tracked()), Ok(BATCHES * BATCH));
    again.end().await;
}

#[tokio::test]
async fn ledger_time_goes_on_after_a_restart_where_it_was() {
    let parent = tempfile::tempdir().unwrap();
    let mut newest = crate::engine::time::LedgerTime::ZERO;
    for run in 0..5 {
        let running = start(&parent.path().join("data")).await;
        let (began, _) = running.consensus.ledger().newest_stamp();
        assert!(began > newest, "run {run} began at {began:?}, the one before had reached {newest:?}");
        assert!(began < newest + Duration::from_secs(20), "run {run} jumped from {newest:?} to {began:?}");
        running.charge(1, run * 10..run * 10 + 5).await;
        (newest, _) = running.consensus.ledger().newest_stamp();
        assert!(newest > began);
        running.end().await;
    }
}
