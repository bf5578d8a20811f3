//! The thread that owns the disk.
//!
//! ```text
//!   append ─┐                    ┌ everything queued: one write, one sync ─► done, done, done
//!   append ─┼─► bounded queue ─► │
//!   purge  ─┘                    └ vote, truncate, purge: alone, in order  ─► done
//! ```
//!
//! Promises: work is done in the order it was queued; `done` is called once, after the work is
//! durable or has failed; dropping the writer finishes what is queued and joins the thread.

use std::fmt;
use std::thread::{self, JoinHandle};

use metrics::Histogram;
use openraft::{LogId, Vote};
use tokio::sync::mpsc;

use super::disk::Disk;
use super::error::StorageError;
use super::record::Record;
use super::wal::WalResult;
use crate::clock::Clock;
use crate::telemetry;

/// Queued pieces of work; openraft itself has one under way, tests have more.
const QUEUE: usize = 256;

/// One thing to do on the disk.
#[derive(Debug)]
pub(super) enum Work {
    Append(Vec<Record>),
    TruncateFrom(u64),
    PurgeTo(LogId<u64>),
    SaveVote(Vote<u64>),
}

/// Is told how the work ended.
pub(super) type Done = Box<dyn FnOnce(WalResult) + Send>;

struct Job {
    work: Work,
    done: Done,
}

/// The handle of the thread.
pub(super) struct Writer {
    /// Taken by `drop`, to end the thread before it is joined.
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// A place in the queue: what is sent through it cannot be lost to a cancelled future.
pub(super) struct Place<'a>(mpsc::Permit<'a, Job>);

impl Writer {
    /// Starts the thread.
    pub(super) fn spawn(disk: Disk, path: &std::path::Path) -> Result<Self, StorageError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let builder = thread::Builder::new().name("turnstile-wal".to_owned());
        let thread = builder.spawn(move || run(disk, jobs)).map_err(StorageError::io("start a thread for", path))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Waits for a place in the queue.
    pub(super) async fn place(&self) -> Result<Place<'_>, StorageError> {
        let queue = self.queue.as_ref().ok_or(StorageError::WriterGone)?;
        queue.reserve().await.map(Place).map_err(|_closed| StorageError::WriterGone)
    }
}

impl Place<'_> {
    /// Queues the work.
    pub(super) fn send(self, work: Work, done: Done) {
        self.0.send(Job { work, done });
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the log panicked");
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Writer").field("thread", &self.thread).finish_non_exhaustive()
    }
}

/// Appends that wait for the same sync.
#[derive(Default)]
struct Group {
    records: Vec<Record>,
    done: Vec<Done>,
}

impl Group {
    fn commit(&mut self, disk: &mut Disk, meter: &Meter) {
        if self.done.is_empty() {
            return;
        }
        let began_at = meter.clock.now();
        let result = disk.append(&self.records);
        meter.latency.record(meter.clock.now().saturating_since(began_at));
        self.records.clear();
        self.done.drain(..).for_each(|done| done(result.clone()));
    }
}

/// How long writes take.
struct Meter {
    clock: Clock,
    latency: Histogram,
}

fn run(mut disk: Disk, mut jobs: mpsc::Receiver<Job>) {
    let meter = Meter { clock: Clock::start(), latency: telemetry::FSYNC.histogram() };
    let mut group = Group::default();
    while let Some(job) = jobs.blocking_recv() {
        let mut next = Some(job);
        // At most one queue's worth: a stream of appends must not put off the sync for ever.
        for _ in 0..QUEUE {
            let Some(Job { work, done }) = next.take() else {
                break;
            };
            match work {
                Work::Append(records) => {
                    group.records.extend(records);
                    group.done.push(done);
                }
                Work::TruncateFrom(index) => {
                    group.commit(&mut disk, &meter);
                    done(disk.truncate_from(index));
                }
                Work::PurgeTo(last) => {
                    group.commit(&mut disk, &meter);
                    done(disk.purge_to(last));
                }
                Work::SaveVote(vote) => {
                    group.commit(&mut disk, &meter);
                    done(disk.save_vote(&vote));
                }
            }
            next = jobs.try_recv().ok();
        }
        group.commit(&mut disk, &meter);
    }
}
