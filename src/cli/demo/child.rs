//! The processes of the demo: this same program with other arguments, each started, watched and ended in the same way.
//!
//! Promises: none outlives the demo, however that ends: each reads its standard input, whose other end is held here, and ends with it. Every
//! wait has a deadline.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::cli::settings::PREFIX;
use crate::cli::time;

/// How long one may take to become ready: nodes wait for each other.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long it may take to end by itself; calls in flight have five seconds.
const ENDS_WITHIN: Duration = Duration::from_secs(7);

/// How much of what it complained about is passed on, in bytes.
const COMPLAINT: usize = 2048;

/// Why a process of the demo is of no use. `who` is what people call it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChildError {
    /// It can't be started.
    #[error("cannot start {who}")]
    Start {
        /// Which.
        who: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It did not become ready.
    #[error("{who} was not ready within {READY_WITHIN:?}")]
    NotReady {
        /// Which.
        who: String,
    },
    /// It ended by itself.
    #[error("{who} ended ({status}): {complaint}")]
    Ended {
        /// Which.
        who: String,
        /// How.
        status: ExitStatus,
        /// The end of what it wrote on standard error.
        complaint: String,
    },
    /// It can't be watched.
    #[error("lost sight of {who}")]
    Watch {
        /// Which.
        who: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It says what it never should.
    #[error("{who} said {line:?}")]
    Babble {
        /// Which.
        who: String,
        /// What it said.
        line: String,
    },
}

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    who: String,
    child: Child,
    /// Held open: its end is the child's.
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    complaints: PathBuf,
}

impl ChildProcess {
    /// Starts this same program with these arguments; what it writes on standard error goes into a file in the folder.
    ///
    /// # Errors
    /// [`ChildError::Start`].
    pub(crate) fn start(who: &str, folder: &Path, arguments: &[String]) -> Result<Self, ChildError> {
        let starting = |source| ChildError::Start { who: who.to_owned(), source };
        let complaints = folder.join(format!("{}.log", who.replace(' ', "-")));
        let stderr = std::fs::File::create(&complaints).map_err(starting)?;
        let mut command = Command::new(std::env::current_exe().map_err(starting)?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
        // What the user has set for a node of their own is not meant for these.
        let names = std::env::vars_os().map(|(name, _)| name);
        for name in names.filter(|name| name.to_string_lossy().starts_with(PREFIX)) {
            command.env_remove(name);
        }
        // Ctrl-C goes to the whole group of the terminal; these must stay until they are told.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(starting)?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| starting(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { who: who.to_owned(), child, stdin, lines: BufReader::new(stdout).lines(), complaints })
    }

    /// Its first line, which it writes when it is ready.
    ///
    /// # Errors
    /// When there is none in time, or another one.
    pub(crate) async fn ready<T: DeserializeOwned>(&mut self) -> Result<T, ChildError> {
        match time::timeout(READY_WITHIN, self.hear()).await {
            Ok(Ok(Some(said))) => Ok(said),
            Ok(Ok(None)) => Err(self.ended().await),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ChildError::NotReady { who: self.who.clone() }),
        }
    }

    /// Its next line; `None` when it says no more. Cancel-safe.
    ///
    /// # Errors
    /// [`ChildError::Babble`], [`ChildError::Watch`].
    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ChildError> {
        let line = self.lines.next_line().await.map_err(|source| ChildError::Watch { who: self.who.clone(), source })?;
        let Some(line) = line else { return Ok(None) };
        serde_json::from_str(&line).map(Some).map_err(|_| ChildError::Babble { who: self.who.clone(), line })
    }

    /// Returns when it has ended, which it should not by itself. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> ChildError {
        let who = self.who.clone();
        match self.child.wait().await {
            Ok(status) => ChildError::Ended { who, status, complaint: complaint(&self.complaints) },
            Err(source) => ChildError::Watch { who, source },
        }
    }

    /// SIGKILL: it has no time for a word.
    ///
    /// # Errors
    /// [`ChildError::Watch`] when the system refuses.
    pub(crate) async fn kill(&mut self) -> Result<(), ChildError> {
        self.child.kill().await.map_err(|source| ChildError::Watch { who: self.who.clone(), source })
    }

    /// Tells it to end, by closing its standard input.
    pub(crate) fn ask_to_end(&mut self) {
        drop(self.stdin.take());
    }

    /// Ends it: by closing its input, and by force if that isn't enough.
    pub(crate) async fn stop(mut self) {
        self.ask_to_end();
        if time::timeout(ENDS_WITHIN, self.child.wait()).await.is_err() {
            // It may have ended this moment; then there is nothing left to kill.
            self.child.kill().await.ok();
        }
    }
}

/// The end of what a process wrote on standard error.
fn complaint(file: &Path) -> String {
    // What can't be read of a complaint is not worth an error of its own.
    let bytes = std::fs::read(file).unwrap_or_default();
    let end = bytes.get(bytes.len().saturating_sub(COMPLAINT)..).unwrap_or_default();
    match String::from_utf8_lossy(end).trim() {
        "" => "without a word".to_owned(),
        words => words.to_owned(),
    }
}
