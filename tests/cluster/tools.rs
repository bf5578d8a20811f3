//! Tools that start a process and make trouble for it.
//!
//! Each leaves the worker in the process that was started, so that a signal to that reaches the worker and a kill leaves nothing behind.
//! Where a tool does not work, whoever asked for it says that it was skipped.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

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

    /// Its environment says this as well.
    pub(crate) fn environment(name: &str, value: &str) -> Self {
        Self(vec!["env".to_owned(), format!("{name}={value}")])
    }

    /// This directory is a disk of its own, of 1 MiB, with this many KiB left on it.
    pub(crate) fn small_disk(directory: &Path, room_kib: u32) -> Option<Self> {
        let (disk, taken) = (directory.display(), 1024 - room_kib);
        let mount =
            format!("mount -t tmpfs -o size=1m tmpfs {disk} && head -c {taken}K /dev/zero >{disk}/padding && exec \"$@\"");
        Self::that_works(&["unshare", "-rm", "sh", "-c", &mount, "sh"])
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

/// From now on every sync of this process fails, until the watcher is dropped; nothing where that can't be done.
pub(crate) fn fail_syncs(pid: u32) -> Option<Watcher> {
    inject_syncs(pid, "error=EIO", Path::new("/dev/null"))
}

/// From now on every sync of this process takes this much longer, until the watcher is dropped; a line of each is added to the file.
pub(crate) fn delay_syncs(pid: u32, micros: u32, trace: &Path) -> Option<Watcher> {
    inject_syncs(pid, &format!("delay_exit={micros}"), trace)
}

fn inject_syncs(pid: u32, fault: &str, trace: &Path) -> Option<Watcher> {
    let inject = format!("inject=fsync,fdatasync:{fault}");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=fsync,fdatasync", "-e", &inject, "-o"]).arg(trace).arg("-p");
    let strace = strace.arg(pid.to_string()).stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut watcher = strace.ok().map(Watcher);
    let mut line = String::new();
    let said = watcher.as_mut().and_then(|watcher| watcher.0.stderr.as_mut());
    drop(said.map(|said| BufReader::new(said).read_line(&mut line)));
    if !line.contains("attached") {
        eprintln!("SKIPPED, nothing was tested: strace does not work here");
        return None;
    }
    watcher
}

/// A process beside another; ended when it is dropped.
pub(crate) struct Watcher(Child);

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
