//! Disks that fail for real: full, refusing to sync, read-only, or slow.
//!
//! Each test starts this test binary again under a tool that makes the disk fail, and runs its own
//! second half there. Where the tool cannot be used the test says so and proves nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{RaftLogReader, Vote};

use super::log_store::{entry, id};
use super::raft::TestConfig;
use crate::consensus::storage::disk::Disk;
use crate::consensus::storage::record::Record;
use crate::consensus::storage::writer::{Work, Writer};
use crate::consensus::storage::{DataDir, LogStore};

/// Set in the second half: the data directory to use.
const DIRECTORY: &str = "TURNSTILE_TEST_FAILING_DIRECTORY";

fn second_half() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

/// The tool, the test binary, and the arguments that make it run one test of this module.
fn again(tool: &[&str], test: &str, directory: &Path) -> Output {
    let (program, arguments) = tool.split_first().expect("a tool");
    let (_, module) = module_path!().split_once("::").expect("a module of a crate");
    let mut command = Command::new(program);
    command.args(arguments).arg(std::env::current_exe().expect("this binary"));
    command.args(["--exact", &format!("{module}::{test}"), "--nocapture", "--test-threads=1"]);
    command.env(DIRECTORY, directory).output().expect("started")
}

fn works(tool: &[&str]) -> bool {
    let Some((program, arguments)) = tool.split_first() else {
        return false;
    };
    let works = Command::new(program).args(arguments).arg("true").output().is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("SKIPPED, nothing was tested: {tool:?} does not work here");
    }
    works
}

fn assert_passed(output: &Output) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

fn open(path: &Path) -> LogStore<TestConfig> {
    let directory = Arc::new(DataDir::open(path, None).expect("opened"));
    LogStore::open(&directory).expect("the log is whole")
}

#[tokio::test]
async fn a_full_disk_stops_the_log_and_loses_nothing_acknowledged() {
    let Some(path) = second_half() else {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mount = format!("mount -t tmpfs -o size=1m tmpfs {} && exec \"$@\"", home.path().display());
        let tool = ["unshare", "-rm", "sh", "-c", &mount, "sh"];
        if works(&tool) {
            assert_passed(&again(&tool, "a_full_disk_stops_the_log_and_loses_nothing_acknowledged", home.path()));
        }
        return;
    };
    let mut store = open(&path);
    let mut acknowledged = 0;
    let refused = loop {
        match store.blocking_append([entry(acknowledged, vec![7; 50_000])]).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error.to_string(),
        }
    };
    assert!((10..30).contains(&acknowledged), "{acknowledged}");
    let segment = path.join("log-00000000000000000000.wal");
    assert!(refused.contains(&format!("cannot write {}: No space left on device", segment.display())), "{refused}");
    store.blocking_append([entry(acknowledged + 1, vec![])]).await.expect_err("the log has stopped");
    store.save_vote(&Vote::new(1, 1)).await.expect_err("the log has stopped");
    store.purge(id(1, 3)).await.expect_err("the log has stopped");
    let failure = store.failure().borrow().clone().expect("kept");
    assert!(refused.contains(&failure.to_string()), "{failure}");
    drop(store);
    let entries = open(&path).try_get_log_entries(..).await.expect("read");
    assert_eq!(u64::try_from(entries.len()), Ok(acknowledged));
}

#[tokio::test]
async fn nothing_is_acknowledged_after_a_failed_sync() {
    let Some(path) = second_half() else {
        let inject = "inject=fdatasync:error=EIO:when=3+";
        let tool = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject];
        if works(&tool) {
            let home = tempfile::tempdir().expect("a temporary directory");
            assert_passed(&again(&tool, "nothing_is_acknowledged_after_a_failed_sync", home.path()));
            let entries = open(home.path()).try_get_log_entries(..).await.expect("read");
            assert_eq!(entries.len(), 2, "what was not acknowledged is not read back from the page cache");
        }
        return;
    };
    let mut store = open(&path);
    let mut failure = store.failure();
    for index in 0..2 {
        store.blocking_append([entry(index, vec![7])]).await.expect("synced");
    }
    assert!(failure.borrow_and_update().is_none());
    let refused = store.blocking_append([entry(2, vec![7])]).await.expect_err("not synced").to_string();
    let segment = path.join("log-00000000000000000000.wal");
    assert!(refused.contains(&format!("cannot sync {}: Input/output error", segment.display())), "{refused}");
    assert!(failure.has_changed().expect("the store lives"));
    store.blocking_append([entry(3, vec![7])]).await.expect_err("the log has stopped");
    store.save_vote(&Vote::new(1, 1)).await.expect_err("the log has stopped");
    store.truncate(id(1, 1)).await.expect_err("the log has stopped");
    assert!(!path.join("vote").exists());
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_by_name() {
    let Some(path) = second_half() else {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mount = format!("mount -t tmpfs -o ro tmpfs {} && exec \"$@\"", home.path().display());
        let tool = ["unshare", "-rm", "sh", "-c", &mount, "sh"];
        if works(&tool) {
            assert_passed(&again(&tool, "a_directory_that_cannot_be_written_is_refused_by_name", home.path()));
        }
        return;
    };
    let refused = DataDir::open(&path, None).expect_err("read-only").to_string();
    let lock = path.join("lock");
    assert!(refused.contains(&format!("cannot create {}: Read-only file system", lock.display())), "{refused}");
}

#[tokio::test]
async fn queued_appends_share_a_sync_and_are_answered_in_order() {
    const APPENDS: u64 = 200;
    let Some(path) = second_half() else {
        let home = tempfile::tempdir().expect("a temporary directory");
        let trace = home.path().join("trace");
        // The first sync takes long enough for everything else to queue up behind it.
        let slow = "inject=fdatasync:delay_exit=300000:when=1";
        let trace_argument = trace.to_str().expect("a readable path");
        let tool = ["strace", "-f", "-qq", "-o", trace_argument, "-e", "trace=fdatasync", "-e", slow];
        if works(&tool) {
            let directory = home.path().join("node");
            assert_passed(&again(&tool, "queued_appends_share_a_sync_and_are_answered_in_order", &directory));
            let trace = std::fs::read_to_string(trace).expect("traced");
            let syncs = trace.lines().filter(|line| line.contains("fdatasync(")).count();
            assert!((1..20).contains(&syncs), "{syncs} syncs for {APPENDS} appends");
            let entries = open(&directory).try_get_log_entries(..).await.expect("read");
            assert_eq!(u64::try_from(entries.len()), Ok(APPENDS));
        }
        return;
    };
    let directory = Arc::new(DataDir::open(&path, None).expect("opened"));
    let (disk, _) = Disk::open(Arc::clone(&directory), tokio::sync::watch::channel(None).0).expect("empty");
    let writer = Writer::spawn(disk, &path).expect("started");
    let (answers, answered) = std::sync::mpsc::channel();
    for index in 0..APPENDS {
        let answers = answers.clone();
        let payload = crate::wire::codec::encode(&entry(index, vec![7; 50])).expect("encodes");
        let done = move |result: Result<(), _>| answers.send((index, result.is_ok())).expect("listened to");
        writer.place().await.expect("running").send(Work::Append(vec![Record { index, payload }]), Box::new(done));
    }
    drop((writer, answers));
    let expected: Vec<_> = (0..APPENDS).map(|index| (index, true)).collect();
    assert_eq!(answered.iter().collect::<Vec<_>>(), expected, "dropping the writer finishes what is queued");
}
