//! The run as a history, for `turnstile check`.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::blow::Blow;
use super::message::{Event, What};
use crate::cli::check::history::{Enqueue, Failed, Fault, Granted, Happened, Limit, Line};
use crate::cli::connections::ConnectionSpec;
use crate::cli::history_file::{HistoryFile, nanos};

/// Writes a history down while it happens.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: HistoryFile,
    specs: Vec<ConnectionSpec>,
}

impl Recorder {
    /// A history in a new file, or in place of the one that was there.
    ///
    /// # Errors
    /// When there can be no such file.
    pub(crate) fn create(path: &Path, specs: &[ConnectionSpec]) -> io::Result<Self> {
        Ok(Self { file: HistoryFile::create(path)?, specs: specs.to_vec() })
    }

    /// Writes down what a worker says.
    pub(crate) fn note(&mut self, worker: u32, event: &Event) {
        let client = format!("worker {}", worker + 1);
        let (at_nanos, request) = (nanos(event.at), format!("{}-{}", worker + 1, event.request));
        let happened = || Happened { at_nanos, request: request.clone(), attempt: 0 };
        let line = match &event.what {
            What::Issued { connection, niceness } => {
                let Some(spec) = self.specs.get(*connection) else { return };
                let limit = |limit: &crate::cli::connections::Limit| Limit {
                    requests: limit.requests.get(),
                    window_seconds: limit.window.as_secs_f64(),
                    algorithm: limit.algorithm,
                };
                Line::Enqueue(Enqueue {
                    at_nanos,
                    request,
                    attempt: 0,
                    client,
                    platform: spec.platform.clone(),
                    connection: spec.connection.clone(),
                    limits: spec.limits.iter().map(limit).collect(),
                    niceness: *niceness,
                    cost: 1,
                    timeout_seconds: None,
                })
            }
            What::Granted(told) => Line::Grant(Granted {
                at_nanos,
                request,
                attempt: 0,
                tenure: Some(told.tenure.0),
                arrival: Some(told.arrival.0),
                waits_since: Some(told.waits_since.0),
                release: Some(told.release.0),
                delivery_seconds: Some(told.delivery.as_secs_f64()),
                guard_seconds: Some(told.guard.as_secs_f64()),
            }),
            What::Called { .. } => Line::Done(happened()),
            What::Dropped => Line::Cancel(happened()),
            What::Failed { error } => Line::Error(Failed { at_nanos, request, attempt: 0, message: error.clone() }),
        };
        self.file.write(&line);
    }

    /// Ends the history of a run that lasted so long; what was done to the cluster is part of it.
    ///
    /// # Errors
    /// The first that there was.
    pub(crate) fn finish(mut self, blow: Option<&Blow>, lasted: Duration) -> io::Result<()> {
        if let Some(Blow { at, node, .. }) = blow {
            let what = format!("kill node {node}");
            self.file.write(&Line::Fault(Fault { at_nanos: nanos(*at), what, until_nanos: None, struck: true }));
        }
        self.file.finish(lasted)
    }
}
