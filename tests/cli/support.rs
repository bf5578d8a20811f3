//! The binary as a process that never outlives its test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

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
    child: Killed,
    pub(crate) node: String,
    pub(crate) address: String,
}

impl Running {
    /// Returns when the node has said that it serves.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut running = Self { child: Killed(child), node: String::new(), address: String::new() };
        let mut line = String::new();
        BufReader::new(running.child.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            panic!("the node did not start: {}", running.wait().stderr);
        }
        let ready: Value = serde_json::from_str(&line).unwrap();
        ready["node"].as_str().unwrap().clone_into(&mut running.node);
        ready["listening"].as_str().unwrap().clone_into(&mut running.address);
        running
    }

    /// A node without a log on disk, on a free port.
    pub(crate) fn in_memory() -> Self {
        Self::start(&mut turnstile(&["node", "--memory", "--listen", "127.0.0.1:0"]))
    }

    /// What it says to a command.
    pub(crate) fn asked(&self, words: &[&str]) -> Said {
        run(turnstile(words).env("TURNSTILE_NODES", &self.address))
    }

    /// The same as JSON.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let said = self.asked(words);
        serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{words:?}: {}{}", said.stdout, said.stderr))
    }

    /// A node on this directory, on a free port.
    pub(crate) fn on(data: &Path) -> Self {
        Self::start(turnstile(&["node", "--listen", "127.0.0.1:0", "--data"]).arg(data))
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        self.child.signal(name);
    }

    /// Makes every sync of its log fail from now on; nothing where that can't be done.
    pub(crate) fn fail_syncs(&self) -> Option<Killed> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO", "-p"]);
        strace.arg(self.child.0.id().to_string()).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut strace = Killed(strace.spawn().ok()?);
        let mut line = String::new();
        BufReader::new(strace.0.stderr.as_mut()?).read_line(&mut line).ok()?;
        line.contains("attached").then_some(strace)
    }

    /// Waits for its end; what it still said on both outputs.
    pub(crate) fn wait(&mut self) -> Said {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.0.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.child.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = self.child.0.wait().unwrap().code();
        Said { stdout, stderr, code }
    }
}

/// A command that goes on beside its test; killed when it is dropped.
pub(crate) struct Beside {
    child: Killed,
    /// What it has said so far on standard output.
    stdout: BufReader<ChildStdout>,
}

impl Beside {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = Killed(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let stdout = BufReader::new(child.0.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        self.child.signal(name);
    }

    /// Waits for its end; what it still said.
    pub(crate) fn wait(mut self) -> Said {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.child.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = self.child.0.wait().unwrap().code();
        Said { stdout, stderr, code }
    }
}

/// An address where nobody listens any more.
pub(crate) fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Looks again and again until what was looked for is there.
pub(crate) fn until(mut is_there: impl FnMut() -> bool) {
    // Each look is a process of its own, so this is no tight loop; together they have half a minute and more.
    assert!((0..2_000).any(|_| is_there()), "it never came");
}

/// Ends its process when it is dropped.
pub(crate) struct Killed(Child);

impl Killed {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
