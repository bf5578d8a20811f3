//! A disk without room: the node stops and says so, and has forgotten nothing when there is room again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::task::JoinSet;
use turnstile::{AcquireError, Connection, Node, NodeConfig, Throttler};

use crate::support::{connection, eventually, soon};

const THIS_TEST: &str = "full_disk::a_full_disk_stops_the_node_which_says_so_and_with_room_again_remembers_every_grant";
/// Set in the second half: where the small disk is.
const DISK: &str = "TURNSTILE_TEST_FULL_DISK";
const HOUR: Duration = Duration::from_secs(3600);
const COUNT: u32 = 1_000_000;

fn roomy() -> Connection {
    connection("roomy", COUNT, HOUR)
}

/// Takes slots until the node has none to give, and says how many it gave and what it said then.
async fn take_until_refused(throttler: &Throttler) -> (u32, AcquireError) {
    let mut granted = 0;
    loop {
        match soon(throttler.acquire(&roomy())).await {
            Ok(_) => granted += 1,
            Err(error) => return (granted, error),
        }
    }
}

async fn on_the_small_disk(disk: &Path) {
    let (data, padding) = (disk.join("data"), disk.join("padding"));
    std::fs::write(&padding, vec![7; 800 << 10]).unwrap();
    let node = Node::start(NodeConfig::on_disk(&data)).await.unwrap();
    let (throttler, full, mut waiting) = (node.throttler(), connection("full", 1, HOUR), JoinSet::new());
    drop(throttler.acquire(&full).await.unwrap());
    for _ in 0..20 {
        let (throttler, full) = (throttler.clone(), full.clone());
        waiting.spawn(async move { throttler.acquire(&full).await.map(drop) });
    }
    eventually("they wait", HOUR, || async { throttler.report().await.waiters == 20 }).await;
    let (granted, error) = take_until_refused(&throttler).await;
    let AcquireError::Stopped { reason } = &error else { unreachable!("{error:?}") };
    assert!(reason.contains("No space left on device") && reason.contains("data"), "{reason}");
    assert!(granted > 100, "{granted}");
    assert_eq!(&soon(node.stopped()).await, reason);
    for told in soon(waiting.join_all()).await {
        assert_eq!(told, Err(error.clone()));
    }
    assert_eq!(throttler.penalize(&full, HOUR).await, Err(error.clone()));
    node.shutdown().await;

    std::fs::remove_file(padding).unwrap();
    let node = Node::start(NodeConfig::on_disk(&data)).await.unwrap();
    let throttler = node.throttler();
    assert!(throttler.request(&full).try_acquire().await.unwrap().is_none(), "its one slot was taken");
    let one_too_many = throttler.request(&roomy()).cost(COUNT - granted + 1).try_acquire().await.unwrap();
    assert!(one_too_many.is_none(), "{granted} were granted");
    let most = throttler.request(&roomy()).cost(COUNT - granted - 10).try_acquire().await.unwrap();
    assert!(most.is_some(), "{granted} were granted, and few more charged");
    node.shutdown().await;
}

#[test]
fn a_full_disk_stops_the_node_which_says_so_and_with_room_again_remembers_every_grant() {
    if let Some(disk) = std::env::var_os(DISK).map(PathBuf::from) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(on_the_small_disk(&disk));
    }
    let disk = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=1m tmpfs {} && exec \"$@\"", disk.path().display());
    let tool = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", &mount, "sh"]).arg(program).stdin(Stdio::null());
        command
    };
    if !tool(Path::new("true")).output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED, nothing was tested: a small disk cannot be mounted here");
        return;
    }
    let mut again = tool(&std::env::current_exe().unwrap());
    let output = again.args([THIS_TEST, "--exact", "--nocapture"]).env(DISK, disk.path()).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{complained}");
}
