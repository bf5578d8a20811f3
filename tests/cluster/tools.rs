//! Tools that start a process and make trouble for it.
//!
//! Each leaves the worker in the process that was started, so that a signal to that reaches the worker and a kill leaves nothing behind.
//! Where a tool does not work, whoever asked for it says that it was skipped.

use std::path::Path;
use std::process::{Command, Stdio};

/// A program and its arguments, to which the program that it starts is added.
#[derive(Debug, Clone)]
pub(crate) struct Tool(Vec<String>);

impl Tool {
    /// Nothing between.
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    /// Every sync takes this much longer.
    pub(crate) fn slow_syncs(micros: u32) -> Option<Self> {
        let inject = format!("inject=fsync,fdatasync:delay_exit={micros}");
        // Beside the process, not above it: one that strace has started would outlive it.
        Self::that_works(&["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", &inject])
    }

    /// The wall clock, and that alone, is ahead by what [`jump`] writes into this file.
    pub(crate) fn set_clock(file: &Path) -> Option<Self> {
        jump(file, "+0");
        let library =
            ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(|target| format!("/usr/lib/{target}/faketime/libfaketime.so.1"));
        let Some(library) = library.into_iter().find(|library| Path::new(library).exists()) else {
            eprintln!("SKIPPED, nothing was tested: libfaketime is not installed");
            return None;
        };
        let (preload, file) = (format!("LD_PRELOAD={library}"), format!("FAKETIME_TIMESTAMP_FILE={}", file.display()));
        Self::that_works(&["env", &preload, &file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"])
    }

    fn that_works(words: &[&str]) -> Option<Self> {
        let tool = Self(words.iter().map(|word| (*word).to_owned()).collect());
        let output = tool.command(Path::new("true")).stdin(Stdio::null()).output();
        let works = output.is_ok_and(|output| output.status.success());
        if !works {
            eprintln!("SKIPPED, nothing was tested: {words:?} does not work here");
        }
        works.then_some(tool)
    }

    /// This program, started by the tool.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let Some((tool, arguments)) = self.0.split_first() else { return Command::new(program) };
        let mut command = Command::new(tool);
        command.args(arguments).arg(program);
        command
    }
}

/// Sets the wall clock of those who were started by [`Tool::set_clock`] to this much from the real one: `+3600`, for an hour ahead.
pub(crate) fn jump(file: &Path, by: &str) {
    // As a whole: nobody reads half of it.
    let new = file.with_extension("new");
    std::fs::write(&new, by).and_then(|()| std::fs::rename(new, file)).unwrap();
}
