//! The binary from outside: the platform emulator as a process, and the demo's last line.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reads the clock and stops where it finds what it did not expect"
)]
#![cfg(feature = "cli")]

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

type Outcome = Result<(), Box<dyn Error>>;

const CONNECTIONS: &str = r#"
    [[connection]]
    platform = "slack"
    connection = "acme"
    limits = [{ requests = 2, window_seconds = 3600 }]
"#;

/// Ends the emulator also when a test fails.
struct Emulator {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Emulator {
    fn start() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("connections.toml");
        std::fs::write(&file, CONNECTIONS)?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_turnstile"))
            .arg("platform")
            .arg("--limits")
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line)?;
        let address = ready.get("listening").and_then(Value::as_str).ok_or("no address")?;
        Ok(Self { address: address.to_owned(), child, _folder: folder })
    }

    /// The whole answer, headers and body.
    fn get(&self, path: &str, id: &str) -> Result<String, Box<dyn Error>> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: {id}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It has ended already when its test went well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn the_emulator_counts_refuses_and_notices_what_ran_twice() -> Outcome {
    let emulator = Emulator::start()?;
    for id in ["a", "a"] {
        assert!(emulator.get("/slack/acme/api/chat", id)?.starts_with("HTTP/1.1 200"));
    }
    let refused = emulator.get("/slack/acme", "b")?;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("retry-after: 3600"));
    assert!(emulator.get("/slack/nobody/api", "c")?.starts_with("HTTP/1.1 404"));

    let answer = emulator.get("/_report", "d")?;
    let body = answer.split("\r\n\r\n").nth(1).ok_or("no body")?;
    let report: Value = serde_json::from_str(body)?;
    let number = |name: &str| report.pointer(&format!("/connections/0/{name}")).and_then(Value::as_f64);
    let numbers = ["accepted", "refused", "duplicates", "worst_fill"].map(number);
    assert_eq!(numbers, [Some(2.0), Some(1.0), Some(1.0), Some(1.0)]);
    Ok(())
}

#[test]
fn the_emulator_ends_when_its_input_closes() -> Outcome {
    let mut emulator = Emulator::start()?;
    // A call that is kept open must not keep it alive.
    let _held = TcpStream::connect(&emulator.address)?;
    drop(emulator.child.stdin.take());
    assert!(emulator.child.wait()?.success());
    Ok(())
}

#[test]
fn the_demo_ends_with_one_json_object() -> Outcome {
    let flags = ["demo", "--seconds", "2", "--workers", "3", "--kill", "none", "--json"];
    let output = Command::new(env!("CARGO_BIN_EXE_turnstile")).args(flags).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout)?;
    let verdict: Value = serde_json::from_str(stdout.lines().last().ok_or("no line")?)?;
    for name in ["rejected_by_platform", "priority_inversions", "fifo_inversions", "lost", "duplicates"] {
        assert_eq!(verdict.get(name), Some(&Value::from(0)), "{name}");
    }
    assert!(verdict.get("granted").and_then(Value::as_u64) > Some(0));
    assert_eq!(verdict.get("failover_gap_seconds"), Some(&Value::Null));
    Ok(())
}

#[test]
fn the_demo_outlives_the_owner_of_its_busiest_connection() -> Outcome {
    let folder = tempfile::tempdir()?;
    let history = folder.path().join("history.jsonl").display().to_string();
    let flags = ["demo", "--seconds", "14", "--seed", "5", "--json", "--history", &history];
    let output = Command::new(env!("CARGO_BIN_EXE_turnstile")).args(flags).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains(", which owned hubspot/acme-crm, was killed at 7."), "{told}");
    let stdout = String::from_utf8(output.stdout)?;
    let verdict: Value = serde_json::from_str(stdout.lines().last().ok_or("no line")?)?;
    // How much of its limit a connection got depends on what else the machine does.
    for promise in ["limit", "priority", "order", "answer", "once", "failover"] {
        assert_eq!(verdict["promises"][promise], "pass", "{told}");
    }
    let gap = verdict.get("failover_gap_seconds").and_then(Value::as_f64).ok_or("no gap")?;
    println!("next grant after {gap} s, {} queued again", verdict["requeued"]);
    assert!(gap <= 1.5 && verdict["requeued"].as_u64() >= Some(20), "{verdict}");
    // Judged from outside, by what the workers wrote down.
    let checked = Command::new(env!("CARGO_BIN_EXE_turnstile")).args(["check", &history]).output()?;
    let told = String::from_utf8(checked.stdout)?;
    println!("{told}");
    assert!(checked.status.success() && told.contains(" 1 faults"), "{told}");
    Ok(())
}
