//! The binary as a process that never outlives its test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The binary with these words, and none of our variables from outside.
pub(crate) fn turnstile(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnstile"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TURNSTILE_") {
            command.env_remove(name);
        }
    }
    command.args(words).stdin(Stdio::null());
    command
}

/// What the binary said and how it ended.
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

pub(crate) fn run(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { stdout: text(stdout), stderr: text(stderr), code: status.code() }
}

/// A node that serves; killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) node: String,
    pub(crate) address: String,
}

impl Running {
    /// Returns when the node has said that it serves.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut running = Self { child, node: String::new(), address: String::new() };
        let mut line = String::new();
        BufReader::new(running.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            panic!("the node did not start: {}", running.wait().stderr);
        }
        let ready: Value = serde_json::from_str(&line).unwrap();
        ready["node"].as_str().unwrap().clone_into(&mut running.node);
        ready["listening"].as_str().unwrap().clone_into(&mut running.address);
        running
    }

    /// A node on this directory, on a free port.
    pub(crate) fn on(data: &Path) -> Self {
        Self::start(turnstile(&["node", "--listen", "127.0.0.1:0", "--data"]).arg(data))
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; what it still said on both outputs.
    pub(crate) fn wait(&mut self) -> Said {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code();
        Said { stdout, stderr, code }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
