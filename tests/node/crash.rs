//! A node that is killed in mid-window, again and again, in front of a platform that counts.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turnstile::{Connection, Node, NodeConfig, RateLimit};

const THIS_TEST: &str = "crash::killed_in_mid_window_and_restarted_on_its_data_the_platform_refuses_no_call";
const DATA: &str = "TURNSTILE_TEST_DATA";
const PLATFORM: &str = "TURNSTILE_TEST_PLATFORM";
const LIMIT: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);

/// A process that is killed when the test ends, however it ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Process {
    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let stdout = self.0.stdout.take().expect("its output is piped");
        BufReader::new(stdout).lines().map_while(Result::ok)
    }
}

/// The platform, and its address.
fn start_platform(directory: &Path) -> (Process, String) {
    let limits = directory.join("limits.toml");
    let text = format!(
        "[[connection]]\nplatform = \"test\"\nconnection = \"crash\"\nlimits = [{{ requests = {LIMIT}, window_seconds = {} }}]\n",
        WINDOW.as_secs()
    );
    std::fs::write(&limits, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnstile"));
    command.arg("platform").arg("--limits").arg(&limits).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut platform = Process(command.spawn().unwrap());
    let ready = platform.lines().next().expect("the platform says where it listens");
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    (platform, ready["listening"].as_str().unwrap().to_owned())
}

/// This very test as the worker: a node on `DATA`, calls to `PLATFORM`, a line for each.
fn start_worker(data: &Path, platform: &str) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([THIS_TEST, "--exact", "--nocapture"]).env(DATA, data).env(PLATFORM, platform);
    Process(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
}

async fn get(address: &str, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn work(data: &str, platform: &str) {
    let node = Node::start(NodeConfig::on_disk(data)).await.unwrap();
    let throttler = node.throttler();
    let connection = Connection::new("test", "crash", RateLimit::new(LIMIT, WINDOW).unwrap()).unwrap();
    loop {
        let answer = throttler.throttle(&connection, || get(platform, "/test/crash/call")).await.unwrap();
        println!("called {}", answer.lines().next().unwrap_or_default());
    }
}

#[tokio::test]
async fn killed_in_mid_window_and_restarted_on_its_data_the_platform_refuses_no_call() {
    if let (Ok(data), Ok(platform)) = (std::env::var(DATA), std::env::var(PLATFORM)) {
        return work(&data, &platform).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let (_platform, address) = start_platform(directory.path());
    for round in 0..5_usize {
        let mut worker = start_worker(&directory.path().join("data"), &address);
        // Into a window, further each time: kills at 10, 13, … calls into it.
        let calls = usize::try_from(LIMIT).unwrap() + 10 + 3 * round;
        let called = worker.lines().filter(|line| line.contains("called ")).take(calls).collect::<Vec<_>>();
        assert_eq!(called.len(), calls, "round {round}: the worker ended after {called:?}");
        drop(worker); // SIGKILL
    }
    let report = get(&address, "/_report").await;
    let body = report.split("\r\n\r\n").nth(1).unwrap();
    let report: serde_json::Value = serde_json::from_str(body).unwrap();
    let connection = &report["connections"][0];
    assert_eq!(connection["refused"], 0, "{report}");
    assert!(connection["accepted"].as_u64().unwrap() >= 5 * u64::from(LIMIT), "{report}");
}
