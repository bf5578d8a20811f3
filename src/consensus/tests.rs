//! One node's consensus over its ends and restarts.

use std::num::NonZeroU64;

use super::proposer::{Inbox, Ownership, Proposer};
use super::*;
use crate::engine::cost::Cost;
use crate::engine::grant::{Epoch, Incarnation, LogIndex, ShardCount};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Action, Answer, Ask, Batch, BatchNumber, Proposal, Verdict};
use crate::engine::rate::{Limits, RateLimit};
use crate::engine::ring::Ring;

/// A node that leads itself, as one of its runs has joined.
pub(super) struct Running {
    pub(super) consensus: Consensus,
    submitter: Submitter,
    commits: tokio::task::JoinHandle<()>,
    incarnation: Incarnation,
    epoch: Epoch,
}

pub(super) async fn start(directory: &std::path::Path) -> Running {
    let clock = Clock::start();
    let opened = open(&Storage::Disk(directory.to_owned()), None, clock).await.unwrap();
    let consensus = Consensus::start(opened, Arc::new(transport::Alone), clock).await.unwrap();
    consensus.found_alone().await.unwrap();
    let (submitter, commits) = consensus.submitter();
    let commits = tokio::spawn(commits);
    let incarnation = Incarnation { node: consensus.node(), run: NonZeroU64::new(rand::random()).unwrap() };
    let epoch = join(&submitter, incarnation, ShardCount::MIN).await.unwrap();
    Running { consensus, submitter, commits, incarnation, epoch }
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
        let Ok(Answer::Verdicts(verdicts)) = self.submitter.submit(&Command::Propose(batch)).await else {
            unreachable!("one leads here")
        };
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Charged { .. })));
    }

    pub(super) async fn end(self) {
        self.consensus.shutdown().await;
        drop(self.submitter);
        self.commits.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_while_a_snapshot_is_being_written_leaves_the_directory_free_and_whole() {
    const BATCHES: u64 = 20;
    const BATCH: u64 = 2000;
    let parent = tempfile::tempdir().unwrap();
    let running = start(&parent.path().join("data")).await;
    for batch in 0..BATCHES {
        running.charge(batch + 1, batch * BATCH..(batch + 1) * BATCH).await;
    }
    running.consensus.raft.trigger().snapshot().await.unwrap();
    let is_of_a_snapshot =
        |file: std::io::Result<std::fs::DirEntry>| file.unwrap().file_name().to_string_lossy().contains("snapshot");
    while !std::fs::read_dir(parent.path().join("data")).unwrap().any(is_of_a_snapshot) {
        tokio::task::yield_now().await;
    }
    running.end().await;
    let again = start(&parent.path().join("data")).await;
    assert_eq!(u64::try_from(again.consensus.ledger().tracked()), Ok(BATCHES * BATCH));
    again.end().await;
}

#[tokio::test]
async fn a_shutdown_returns_only_when_the_data_directory_is_free() {
    let parent = tempfile::tempdir().unwrap();
    let mut running = start(&parent.path().join("data")).await;
    let (held, in_use) = watch::channel(());
    running.consensus.in_use = in_use;
    let mut shutdown = std::pin::pin!(running.consensus.shutdown());
    tokio::select! {
        biased;
        () = &mut shutdown => unreachable!("the directory is held"),
        end = running.consensus.ended() => assert_eq!(end, "raft stopped"),
    }
    for _ in 0..100 {
        let poll = std::future::poll_fn(|context| std::task::Poll::Ready(shutdown.as_mut().poll(context))).await;
        assert!(poll.is_pending(), "the directory is held");
        tokio::task::yield_now().await;
    }
    drop(held);
    shutdown.await;
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

#[tokio::test]
async fn a_hold_is_committed_and_answered() {
    let parent = tempfile::tempdir().unwrap();
    let running = start(&parent.path().join("data")).await;
    hold(&running.submitter, Duration::from_secs(60)).await.unwrap();
    let (now, _) = running.consensus.ledger().newest_stamp();
    let name = ConnectionKey::new("test", "held back").unwrap();
    let limits = Limits::new([RateLimit::new(1, Duration::from_secs(1)).unwrap()]).unwrap();
    let ask = Ask { limits, delivery: Duration::ZERO, least: Cost::ONE, most: Cost::ONE };
    let action = Action::Slots { returns: Vec::new(), ask: Some(ask) };
    let proposals = vec![Proposal { epoch: running.epoch, key: name, action }];
    let batch = Batch { owner: running.incarnation, number: BatchNumber(NonZeroU64::MIN), proposals };
    let answer = running.submitter.submit(&Command::Propose(batch)).await.unwrap();
    let Answer::Verdicts(verdicts) = answer else { unreachable!("it is a batch") };
    assert!(matches!(verdicts[..], [Verdict::NotBefore { at, .. }] if at > now + Duration::from_secs(1)), "{verdicts:?}");
    running.end().await;
}

#[tokio::test]
async fn who_is_no_member_any_more_and_reaches_no_leader_sends_on_those_who_wait() {
    let parent = tempfile::tempdir().unwrap();
    let running = start(&parent.path().join("data")).await;
    let ledger = running.consensus.ledger().clone();
    let may_own = watch::Sender::new(true);
    let ownership = Ownership { may_own: may_own.subscribe(), cold_start_hold: Duration::ZERO };
    let member = running.incarnation.next();
    let (proposer, work) =
        Proposer::new(member, ShardCount::MIN, running.submitter.clone(), ledger.clone(), ownership, running.consensus.clock);
    let work = tokio::spawn(work);
    let joined = *proposer.joined().wait_for(Option::is_some).await.unwrap();
    // From now on nothing is written here, as if another led.
    let no_leader = running.consensus.check_quorum.stop_writing();
    let (told, mut verdicts) = tokio::sync::mpsc::unbounded_channel();
    let inbox: Inbox = Arc::new(move |settled| drop(told.send(settled)));
    let action = Action::Slots { returns: Vec::new(), ask: None };
    let key = ConnectionKey::new("test", "moved").unwrap();
    proposer.propose(Proposal { epoch: joined.unwrap(), key, action }, running.consensus.clock.now(), &inbox);
    // It has no log any more, and follows the ring of those who have.
    may_own.send_replace(false);
    let other = NodeId::new(member.node.get() ^ 1);
    let epoch = Epoch(LogIndex(1_000));
    ledger.follow(member.node, Ring::new(epoch, std::iter::once((other, ShardCount::MIN)).collect()));
    let settled = clock::timeout(Duration::from_secs(10), verdicts.recv()).await.unwrap().unwrap();
    assert!(matches!(settled[..], [ref one] if one.verdict == Verdict::Moved { epoch }));
    work.abort();
    drop((work.await, proposer, no_leader));
    running.end().await;
}
