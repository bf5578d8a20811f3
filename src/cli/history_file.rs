//! A history on its way to a file, for `turnstile check`.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use super::check::history::Line;

/// Lines of a history, written down while it happens.
#[derive(Debug)]
pub(crate) struct HistoryFile {
    file: BufWriter<File>,
    /// The first failure; nothing is written after it.
    failure: Option<io::Error>,
}

impl HistoryFile {
    /// A history in a new file, or in place of the one that was there.
    ///
    /// # Errors
    /// When there can be no such file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create(path)?), failure: None })
    }

    /// Writes a line down; [`HistoryFile::finish`] tells if that failed.
    pub(crate) fn write(&mut self, line: &Line) {
        if self.failure.is_none() {
            let written = serde_json::to_writer(&mut self.file, line).map_err(io::Error::from);
            self.failure = written.and_then(|()| self.file.write_all(b"\n")).err();
        }
    }

    /// Ends the history of a run that lasted so long, and in which nobody waits any more.
    ///
    /// # Errors
    /// The first that there was.
    pub(crate) fn finish(mut self, lasted: Duration) -> io::Result<()> {
        self.write(&Line::End { at_nanos: nanos(lasted) });
        match self.failure {
            Some(failure) => Err(failure),
            None => self.file.flush(),
        }
    }
}

/// A moment of a history.
pub(crate) fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}
