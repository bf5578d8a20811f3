//! The emulator as a child process: started, asked, and ended with the demo.
//!
//! Promises: it never outlives the demo, however that ends: it holds the other end of the child's
//! standard input. Every wait on it has a deadline.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};

use crate::cli::platform::{Ready, Report};
use crate::cli::time;

/// How long it may take to start and to report.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to end by itself; it gives its own calls in flight one second.
const ENDING: Duration = Duration::from_secs(2);

/// How much of what it complained about is passed on, in bytes.
const COMPLAINT: u64 = 2048;

/// Why the emulator is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EmulatorError {
    /// The process can't be started.
    #[error("cannot start the platform emulator")]
    Start {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It did not become ready.
    #[error("the platform emulator was not ready within {PATIENCE:?}")]
    NotReady,
    /// It ended by itself.
    #[error("the platform emulator ended ({status}): {complaint}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// What it wrote on standard error.
        complaint: String,
    },
    /// Its process can't be watched.
    #[error("lost sight of the platform emulator")]
    Watch {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its first line is not the ready line.
    #[error("the platform emulator said {line:?} instead of its address")]
    Babble {
        /// What it said.
        line: String,
    },
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
    child: Child,
    /// Held open: its end is the child's.
    stdin: Option<ChildStdin>,
    stderr: Option<ChildStderr>,
    address: SocketAddr,
}

impl Emulator {
    /// Starts this same program as an emulator of the connections in the file, and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, ends, or is not ready in time.
    pub(crate) async fn start(connections: &Path) -> Result<Self, EmulatorError> {
        let starting = |source| EmulatorError::Start { source };
        let program = std::env::current_exe().map_err(starting)?;
        let mut command = Command::new(program);
        command
            .arg("platform")
            .arg("--limits")
            .arg(connections)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C goes to the whole group of the terminal; the emulator must stay until it was asked to report.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(starting)?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let mut emulator = Self { child, stdin, stderr, address: SocketAddr::from(([127, 0, 0, 1], 0)) };

        let mut line = String::new();
        if let Some(stdout) = stdout {
            // Bounded, for a program of another version may say anything.
            let mut lines = BufReader::new(stdout.take(COMPLAINT));
            let read = time::timeout(PATIENCE, lines.read_line(&mut line)).await;
            read.map_err(|_| EmulatorError::NotReady)?.map_err(starting)?;
        }
        if line.is_empty() {
            return Err(emulator.ended().await);
        }
        let ready: Ready = serde_json::from_str(&line).map_err(|_| EmulatorError::Babble { line })?;
        emulator.address = ready.listening;
        Ok(emulator)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when the process has ended, which it should not by itself. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> EmulatorError {
        let status = match self.child.wait().await {
            Ok(status) => status,
            Err(source) => return EmulatorError::Watch { source },
        };
        let mut bytes = Vec::new();
        if let Some(stderr) = self.stderr.take() {
            let mut stderr = stderr.take(COMPLAINT);
            // What can't be read of a complaint is not worth an error of its own.
            time::timeout(PATIENCE, stderr.read_to_end(&mut bytes)).await.ok();
        }
        let complaint = match String::from_utf8_lossy(&bytes).trim() {
            "" => "without a word".to_owned(),
            words => words.to_owned(),
        };
        EmulatorError::Ended { status, complaint }
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

    /// Ends it: by closing its input, and by force if that isn't enough.
    pub(crate) async fn stop(mut self) {
        drop(self.stdin.take());
        if time::timeout(ENDING, self.child.wait()).await.is_err() {
            // It may have ended this moment; then there is nothing left to kill.
            time::timeout(PATIENCE, self.child.kill()).await.ok();
        }
    }
}
