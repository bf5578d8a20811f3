//! The emulator of the platforms, as a process that is asked for its account of the run.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::child::{ChildError, ChildProcess};
use crate::cli::platform::{Ready, Report};

/// How long it may take to report.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the emulator is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EmulatorError {
    /// Its process isn't.
    #[error(transparent)]
    Process(#[from] ChildError),
    /// It gives no report.
    #[error("the platform emulator gave no report")]
    Report {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

/// A running emulator. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Emulator {
    process: ChildProcess,
    address: SocketAddr,
}

impl Emulator {
    /// Starts an emulator of the connections in the file, and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, ends, or is not ready in time.
    pub(crate) async fn start(folder: &Path, connections: &Path) -> Result<Self, EmulatorError> {
        let arguments = ["platform".to_owned(), "--limits".to_owned(), connections.display().to_string()];
        let mut process = ChildProcess::start("the platform emulator", folder, &arguments)?;
        let ready: Ready = process.ready().await?;
        Ok(Self { process, address: ready.listening })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when the process has ended, which it should not by itself. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> EmulatorError {
        self.process.ended().await.into()
    }

    /// The platform's own account of the run.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub(crate) async fn report(&self) -> Result<Report, EmulatorError> {
        let failed = |source| EmulatorError::Report { source };
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().map_err(failed)?;
        let url = format!("http://{}/_report", self.address);
        let answer = client.get(url).send().await.map_err(failed)?;
        let answer = answer.error_for_status().map_err(failed)?;
        answer.json().await.map_err(failed)
    }

    /// Ends it.
    pub(crate) async fn stop(self) {
        self.process.stop().await;
    }
}
