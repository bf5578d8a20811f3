//! The workers as the demo sees them: processes whose accounts become one journal.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::child::{ChildError, ChildProcess};
use super::journal::Journal;
use super::message::{Assignment, Event};
use crate::cli::time;

/// How long the workers may take to end: longer than each has for its own calls.
const END_DEADLINE: Duration = Duration::from_secs(15);

/// Why the workers can't go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CrewError {
    /// A worker isn't.
    #[error(transparent)]
    Process(#[from] ChildError),
    /// Its assignment can't be written down.
    #[error("cannot tell a worker what to do")]
    Assignment {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The task that reads a worker's account broke.
    #[error("a worker's account could not be read")]
    Task {
        /// Why.
        #[source]
        source: JoinError,
    },
}

/// The running workers.
#[derive(Debug)]
pub(crate) struct Crew {
    readers: JoinSet<Result<(), CrewError>>,
    stop: watch::Sender<bool>,
}

impl Crew {
    /// Starts the workers that share the load; `assignment` is that of the first. Each begins with another of the nodes.
    ///
    /// # Errors
    /// When a process can't be started.
    pub(crate) fn start(assignment: &Assignment, folder: &Path, journal: &Arc<Journal>) -> Result<Self, CrewError> {
        let (stop, stopped) = watch::channel(false);
        let mut readers = JoinSet::new();
        let mut assignment = assignment.clone();
        for worker in 0..assignment.workers.get() {
            assignment.worker = worker;
            let json = serde_json::to_string(&assignment).map_err(|source| CrewError::Assignment { source })?;
            let process = ChildProcess::start(&format!("worker {}", worker + 1), folder, &["worker".to_owned(), json])?;
            readers.spawn(read(worker, process, Arc::clone(journal), stopped.clone()));
            assignment.nodes.rotate_left(1);
        }
        Ok(Self { readers, stop })
    }

    /// Returns when a worker can't go on; never while all is well. Cancel-safe.
    pub(crate) async fn failed(&mut self) -> CrewError {
        while let Some(ended) = self.readers.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(source) => return CrewError::Task { source },
            }
        }
        std::future::pending().await
    }

    /// Has them stop issuing, drop what waits and finish the calls in flight, and waits for their ends.
    ///
    /// # Errors
    /// The first failure of a worker that hadn't been seen yet.
    pub(crate) async fn stop(mut self) -> Result<(), CrewError> {
        self.stop.send_replace(true);
        let readers = &mut self.readers;
        let ending = async move {
            while let Some(ended) = readers.join_next().await {
                ended.map_err(|source| CrewError::Task { source })??;
            }
            Ok(())
        };
        match time::timeout(END_DEADLINE, ending).await {
            Ok(ended) => ended,
            Err(_) => {
                // Whatever hangs stays without an end in the journal, and the judge calls it lost.
                self.readers.shutdown().await;
                Ok(())
            }
        }
    }
}

/// Returns when the workers are to end, or nobody is left to say so.
async fn told(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}

/// Reads a worker's account until it ends, which it should not before it is told to.
async fn read(
    worker: u32,
    mut process: ChildProcess,
    journal: Arc<Journal>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), CrewError> {
    let mut is_told = false;
    loop {
        tokio::select! {
            // Cancel-safe: a line is read whole or stays.
            event = process.hear::<Event>() => match event? {
                Some(event) => journal.note(worker, event),
                None if is_told => break,
                None => return Err(process.ended().await.into()),
            },
            // Cancel-safe: it only looks.
            () = told(&mut stopped), if !is_told => {
                is_told = true;
                process.ask_to_end();
            }
        }
    }
    process.stop().await;
    Ok(())
}
