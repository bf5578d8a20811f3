//! One cluster under load, from its first node to the verdict on its history.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ways::Ways;
use crate::judge::await_all;
use crate::process::{Worker, now};
use crate::support::free_addresses;
use crate::tools::Tool;

/// What a run is started with.
pub(crate) struct Setup {
    pub(crate) tools: Vec<Tool>,
    /// Where each node has its data.
    pub(crate) homes: Vec<PathBuf>,
    /// The ways between the nodes, where they are to be cut one by one.
    pub(crate) ways: Option<Ways>,
}

impl Setup {
    pub(crate) fn plain(home: &Path) -> Self {
        Self { tools: vec![const { Tool::none() }; 3], homes: vec![home.to_path_buf(); 3], ways: None }
    }
}

/// Callers of these workers must be served again within so long after a moment.
pub(crate) struct Back {
    pub(crate) workers: Vec<usize>,
    pub(crate) since: Duration,
    pub(crate) within: Duration,
}

/// A run, and what is written down of it.
pub(crate) struct Run {
    pub(crate) home: tempfile::TempDir,
    pub(crate) setup: Setup,
    pub(crate) workers: Vec<Option<Worker>>,
    pub(crate) ids: Vec<String>,
    addresses: Vec<SocketAddr>,
    pub(crate) seed: u64,
    pub(crate) until: Instant,
    pub(crate) history: Vec<String>,
    pub(crate) backs: Vec<Back>,
    /// What else is to be known of it, and what was not as it must be.
    pub(crate) notes: Vec<String>,
    pub(crate) failures: Vec<String>,
}

impl Run {
    pub(crate) fn start(home: tempfile::TempDir, setup: Setup, lasts: Duration, seed: u64) -> Self {
        let addresses = setup.ways.as_ref().map_or_else(|| free_addresses(3), |ways| ways.addresses.clone());
        let spawn = |index: usize| Worker::spawn_under(&setup.tools[index], &setup.homes[index], &addresses, index);
        let mut workers: Vec<Worker> = (0..3).map(spawn).collect();
        let ids = await_all(&mut workers);
        let (workers, until) = (workers.into_iter().map(Some).collect(), Instant::now() + lasts);
        let (history, backs, notes, failures) = Default::default();
        let mut run = Self { home, setup, workers, ids, addresses, seed, until, history, backs, notes, failures };
        (0..3).for_each(|index| run.call(index));
        run
    }

    /// Has a worker call until the run is over.
    pub(crate) fn call(&mut self, index: usize) {
        let (left, seed) = (self.until.saturating_duration_since(Instant::now()), self.seed);
        self.worker(index).order(&format!("chaos callers {} {seed}", left.as_millis()));
    }

    pub(crate) fn worker(&mut self, index: usize) -> &mut Worker {
        self.workers[index].as_mut().expect("it runs")
    }

    pub(crate) fn owner(&mut self) -> usize {
        let id = self.worker(0).ask("owner chaos c-0", "owner");
        self.ids.iter().position(|own| *own == id).unwrap()
    }

    /// Who leads, as soon as anybody does.
    pub(crate) fn leader(&mut self) -> usize {
        let asked = Instant::now();
        loop {
            let status = self.worker(0).ask("status", "status");
            if let Some(leader) = self.ids.iter().position(|id| status.ends_with(id.as_str())) {
                return leader;
            }
            assert!(asked.elapsed() < Duration::from_secs(10), "nobody leads");
        }
    }

    /// Kills a worker. Whoever waited there is gone with it.
    pub(crate) fn kill(&mut self, index: usize) {
        let at = nanos(now());
        let lines = self.workers[index].take().expect("it runs").kill_and_tell("history ");
        self.history.extend(lines);
        let own = format!("worker {index}");
        let gone = open(&self.history).into_iter().filter(|(_, _, client)| *client == own);
        let gone: Vec<String> = gone.map(|(request, attempt, _)| cancel(at, &request, attempt)).collect();
        self.history.extend(gone);
    }

    /// Has a worker leave in order: it hands over first, and whoever calls there is told.
    pub(crate) fn leave(&mut self, index: usize) {
        let lines = self.workers[index].take().expect("it runs").leave_and_tell("history ");
        self.history.extend(lines);
    }

    /// Starts these workers again, without a tool, and has them call when they serve.
    pub(crate) fn restart(&mut self, indices: &[usize]) {
        for index in indices {
            self.workers[*index] = Some(Worker::spawn(&self.setup.homes[*index], &self.addresses, *index));
        }
        for index in indices {
            self.worker(*index).expect("serving");
            self.call(*index);
        }
    }

    /// Starts one more worker, which knows where the others are, and has it call when it serves.
    pub(crate) fn join(&mut self) {
        let index = self.workers.len();
        let mut addresses = self.addresses.clone();
        addresses.extend(free_addresses(1));
        self.workers.push(Some(Worker::spawn(self.home.path(), &addresses, index)));
        let id = self.worker(index).expect("serving");
        self.ids.push(id);
        self.call(index);
    }

    pub(crate) fn wait(&mut self, span: Duration) {
        let until = Instant::now() + span;
        while Instant::now() < until {
            for worker in self.workers.iter().flatten() {
                // A worker under load is never quiet for long, and the others are to be heard meanwhile.
                self.history.extend(worker.told("history ", Duration::from_millis(1)));
            }
        }
    }

    /// Notes what was done, or was to be.
    pub(crate) fn fault(&mut self, what: &str, since: Duration, struck: bool) {
        let (at, until) = (nanos(since), nanos(now()));
        let fault = json!({ "event": "fault", "at_nanos": at, "what": what, "until_nanos": until, "struck": struck });
        self.history.push(fault.to_string());
    }

    /// Waits until everybody has an end, and has the history judged.
    pub(crate) fn judge(&mut self) -> Value {
        for worker in self.workers.iter().flatten() {
            worker.expect("called");
            self.history.extend(worker.told("history ", Duration::from_millis(20)));
        }
        self.history.push(json!({ "event": "end", "at_nanos": nanos(now()) }).to_string());
        let file = self.home.path().join("history.jsonl");
        std::fs::File::create(&file).and_then(|mut file| file.write_all(self.history.join("\n").as_bytes())).unwrap();
        let check =
            |flags: &[&str]| Command::new(env!("CARGO_BIN_EXE_turnstile")).arg("check").arg(&file).args(flags).output().unwrap();
        let summary: Value = serde_json::from_slice(&check(&["--json"]).stdout).unwrap();
        if summary["verdict"] != "holds" {
            self.history.iter().filter(|line| line.contains("\"fault\"")).for_each(|fault| println!("{fault}"));
            println!("{}", String::from_utf8_lossy(&check(&[]).stdout));
        }
        summary
    }

    /// How long after that moment the last of these workers' callers were served again, if all were.
    pub(crate) fn back_after(&self, back: &Back) -> Option<Duration> {
        let (mut clients, since) = (std::collections::BTreeMap::new(), nanos(back.since));
        let mut first = std::collections::BTreeMap::<u64, u64>::new();
        for line in self.history.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            let about = (line["request"].as_str().unwrap_or_default().to_owned(), line["attempt"].as_u64());
            let at = line["at_nanos"].as_u64().unwrap();
            match line["event"].as_str() {
                Some("enqueue") => drop(clients.insert(about, line["client"].as_str().unwrap_or_default().to_owned())),
                Some("grant") if at >= since => {
                    let worker = clients.get(&about).and_then(|client| client.strip_prefix("worker ")?.parse().ok());
                    let first = first.entry(worker.unwrap_or(u64::MAX)).or_insert(at);
                    *first = at.min(*first);
                }
                _ => {}
            }
        }
        let back = back.workers.iter().map(|worker| first.get(&u64::try_from(*worker).unwrap()).map(|at| at - since));
        back.collect::<Option<Vec<u64>>>()?.into_iter().max().map(Duration::from_nanos)
    }
}

pub(crate) fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap()
}

/// The tries of these lines that have no end, and whose they are.
fn open(lines: &[String]) -> BTreeSet<(String, u64, String)> {
    let mut open = std::collections::BTreeMap::new();
    for line in lines {
        let line: Value = serde_json::from_str(line).unwrap();
        let (Some(request), Some(attempt)) = (line["request"].as_str(), line["attempt"].as_u64()) else { continue };
        let about = (request.to_owned(), attempt);
        match line["client"].as_str() {
            Some(client) => drop(open.insert(about, client.to_owned())),
            None => drop(open.remove(&about)),
        }
    }
    open.into_iter().map(|((request, attempt), client)| (request, attempt, client)).collect()
}

fn cancel(at: u64, request: &str, attempt: u64) -> String {
    json!({ "event": "cancel", "at_nanos": at, "request": request, "attempt": attempt }).to_string()
}
