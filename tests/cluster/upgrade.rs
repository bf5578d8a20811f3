//! Two releases in one cluster: the one of this build, and one to come, of which the level of the ledger is a later one.
//!
//! From that level on a connection rests for a second after each charge: by that a test sees from outside which rules hold.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tonic::transport::Endpoint;
use turnstile::api::v1;
use turnstile::api::v1::throttle_service_client::ThrottleServiceClient;

use crate::support::free_addresses;

/// How long a change of the cluster may take.
const SOON: Duration = Duration::from_secs(30);

/// The binary of this release.
fn this_release() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_turnstile"))
}

/// The binary of the next one, built if it is not there yet: `make test` builds it before, for a build beside tests disturbs them.
fn next_release() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--features", "next-level", "--bin", "turnstile-next"]);
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
    assert!(built.success(), "the next release does not build");
    this_release().with_file_name("turnstile-next")
}

/// A node of either release; killed when it is dropped.
struct Member {
    process: Child,
    /// Where it serves clients.
    address: String,
    id: String,
}

impl Member {
    /// The process of a node at `peers[index]`, which may not come to serve.
    fn command(binary: &Path, home: &Path, peers: &[SocketAddr], index: usize) -> Command {
        let list: Vec<String> = peers.iter().map(ToString::to_string).collect();
        let mut command = Command::new(binary);
        command.args(["node", "--listen=127.0.0.1:0", "--cold-start-hold=0s"]);
        command.arg(format!("--peer-listen={}", peers[index])).arg(format!("--peers={}", list.join(",")));
        command.arg("--data").arg(home.join(index.to_string()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn start(binary: &Path, home: &Path, peers: &[SocketAddr], index: usize) -> Self {
        Self::serving(Self::command(binary, home, peers, index).stderr(Stdio::null()).spawn().unwrap())
    }

    /// A node that has been started, as soon as it serves.
    fn serving(mut process: Child) -> Self {
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self { process, address: text("listening"), id: text("node") }
    }

    /// Ends it in order.
    fn end(mut self) {
        let asked = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).status().unwrap();
        assert!(asked.success() && self.process.wait().unwrap().success());
    }

    /// Whether a slot of a connection that has a thousand each second is there at once.
    async fn tries(&self, connection: &str) -> v1::Outcome {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        let mut client = ThrottleServiceClient::new(endpoint.connect().await.unwrap());
        let key = v1::ConnectionKey { platform: "test".to_owned(), connection: connection.to_owned() };
        let window = prost_types::Duration { seconds: 1, nanos: 0 };
        let limit = v1::RateLimit { request_count: 1000, window: Some(window), ..v1::RateLimit::default() };
        let acquire = v1::Acquire { key: Some(key), limits: vec![limit], ..v1::Acquire::default() };
        let request = v1::TryAcquireRequest { acquire: Some(acquire) };
        client.try_acquire(request).await.unwrap().into_inner().outcome()
    }

    /// Whether two slots are there at once: by the rules of the first level.
    async fn grants_two(&self, connection: &str) -> bool {
        let began = Instant::now();
        // An owner that has just taken over waits for those who come back.
        while self.tries(connection).await != v1::Outcome::Granted {
            assert!(began.elapsed() < SOON, "no slot for {connection}");
        }
        self.tries(connection).await == v1::Outcome::Granted
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What `turnstile status` says of all of them, as people and as programs read it.
fn status(members: &[Member]) -> (String, Value) {
    let nodes: Vec<&str> = members.iter().map(|member| member.address.as_str()).collect();
    let say = |flags: &[&str]| {
        let mut command = Command::new(this_release());
        let output = command.args(["status", "--node", &nodes.join(",")]).args(flags).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    (say(&[]), serde_json::from_str(&say(&["--json"])).unwrap())
}

/// Waits until the cluster has so many members at this level.
fn await_level(members: &[Member], level: u64) {
    let began = Instant::now();
    loop {
        let (_, said) = status(members);
        let owners = said["clusters"][0]["members"].as_array().map_or(0, Vec::len);
        let is_known = |node: &Value| node["level"].as_u64() == Some(level);
        if owners == members.len() && said["nodes"].as_array().unwrap().iter().all(is_known) {
            return;
        }
        assert!(began.elapsed() < SOON, "not at level {level} with all members: {said:#}");
    }
}

/// What a node said that ended by itself.
fn refused(mut command: Command) -> String {
    let mut process = command.spawn().unwrap();
    let began = Instant::now();
    while process.try_wait().unwrap().is_none() {
        if began.elapsed() > SOON {
            drop(process.kill());
        }
        std::thread::yield_now();
    }
    let mut said = String::new();
    process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(1), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn two_releases_behave_alike_until_all_nodes_are_of_the_newer_and_the_older_one_is_told_then() {
    let (this, next, home) = (this_release(), next_release(), tempfile::tempdir().unwrap());
    let peers = free_addresses(4);
    let started: Vec<Child> = (0..3)
        .map(|index| Member::command(&this, home.path(), &peers[..3], index).stderr(Stdio::null()).spawn().unwrap())
        .collect();
    let mut members: Vec<Member> = started.into_iter().map(Member::serving).collect();
    await_level(&members, 1);
    for upgraded in 0..3 {
        for (index, member) in members.iter().enumerate() {
            assert!(member.grants_two(&format!("{upgraded} upgraded, at {index}")).await, "by the rules of the first level");
        }
        let (page, _) = status(&members);
        let waits = page.lines().find_map(|line| line.strip_prefix("its ledger is at level 1; level 2 waits for "));
        let behind = members[upgraded..].iter().filter(|member| waits.is_some_and(|whom| whom.contains(&member.address)));
        assert_eq!((waits.is_some(), behind.count()), (upgraded > 0, if upgraded > 0 { 3 - upgraded } else { 0 }), "{page}");
        let id = members[upgraded].id.clone();
        members.remove(upgraded).end();
        members.insert(upgraded, Member::start(&next, home.path(), &peers[..3], upgraded));
        assert_eq!(members[upgraded].id, id, "it is the same node");
        await_level(&members, if upgraded < 2 { 1 } else { 2 });
    }
    for (index, member) in members.iter().enumerate() {
        assert!(!member.grants_two(&format!("all upgraded, at {index}")).await, "by the rules of the second level");
    }

    let too_old = "the cluster's ledger is at level 2; this release knows levels up to 1: start a newer release";
    members.pop().unwrap().end();
    let said = refused(Member::command(&this, home.path(), &peers[..3], 2));
    assert!(said.contains(too_old), "of its own log: {said}");
    let said = refused(Member::command(&this, home.path(), &peers, 3));
    assert!(said.contains(too_old), "of the others' ledger: {said}");
    // The newer one goes on from there.
    members.push(Member::start(&next, home.path(), &peers[..3], 2));
    await_level(&members, 2);
}
