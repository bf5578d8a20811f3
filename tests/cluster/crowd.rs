//! More nodes than keep the log: those who only follow the ring and route.

use std::time::{Duration, Instant};

use crate::growth::{await_replicas, join, load};
use crate::judge::{cluster, collect, gap, judge_order, judge_windows, owned_by};
use crate::process::{Start, Worker, now};

/// How long all may take to know of a change.
const SOON: Duration = Duration::from_secs(20);

/// So many workers of one cluster: the first three are voters, two more stand by, the rest observe.
fn crowd(home: &std::path::Path, size: usize) -> (Vec<Worker>, Vec<String>) {
    let (mut workers, ids, addresses) = cluster(home);
    for index in 3..size {
        // Spares one by one; it is known then who they are.
        let (worker, _) = join(home, &addresses, index);
        workers.push(worker);
        let spares = (workers.len() - 3).min(2);
        await_replicas(&mut workers[0], &format!("Voter 3 {spares}"));
    }
    (workers, ids)
}

/// Waits until a worker knows of so many owners.
fn await_owners(worker: &mut Worker, count: usize) {
    let began = Instant::now();
    while !worker.ask("status", "status").starts_with(&format!("{count} ")) {
        assert!(began.elapsed() < SOON, "worker {} does not know of {count} owners", worker.index);
    }
}

#[test]
fn callers_on_twelve_nodes_have_one_order_and_one_window_and_an_observers_death_disturbs_its_own_only() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, ids) = crowd(home.path(), 12);
    workers.iter_mut().for_each(|worker| await_owners(worker, 5));
    let observers =
        workers.iter_mut().filter_map(|worker| worker.ask("replicas", "replicas").starts_with("Observer").then_some(()));
    assert_eq!(observers.count(), 7);
    let names: Vec<String> = ids[..2].iter().map(|id| owned_by(&mut workers, id, "crowded")).collect();
    // Whose way to an owner is not there yet has its calls wait for that, in no order.
    for id in &ids[..2] {
        let warm = owned_by(&mut workers, id, "warm");
        workers.iter_mut().for_each(|worker| worker.order(&format!("chain {warm} 1")));
        workers.iter().for_each(|worker| assert_eq!(worker.starts(1, SOON).len(), 1, "the way to {id}"));
    }
    for worker in &mut workers {
        for name in &names {
            load(worker, name, 5, 4);
            load(worker, name, 0, 4);
        }
    }
    let (each, mut starts) = (2 * 2 * 4, Vec::new());
    collect(&workers, &mut starts, 40);
    let victim = workers.pop().unwrap();
    let killed_at = now();
    starts.extend(victim.kill());
    let of_the_dead = starts.iter().filter(|start| start.worker == 11).count();
    let all = 11 * each + of_the_dead;
    collect(&workers, &mut starts, all);
    assert_eq!(starts.len(), all, "everyone that lives is served once");
    for name in &names {
        let own: Vec<Start> = starts.iter().filter(|start| start.connection == *name).cloned().collect();
        judge_windows(&own);
        judge_order(&own);
        let gap = gap(&own, killed_at);
        println!("{name}: {gap:?} without a grant when the observer was killed");
        assert!(gap <= Duration::from_millis(500), "{gap:?}");
    }
}

#[test]
fn an_observer_follows_whichever_replica_it_can_reach() {
    let home = tempfile::tempdir().unwrap();
    let (mut workers, ids) = crowd(home.path(), 6);
    let mut observer = workers.pop().unwrap();
    await_owners(&mut observer, 5);
    let spare = workers.pop().unwrap();
    let other = workers[3].ask("replicas", "replicas");
    assert!(other.starts_with("Spare"), "{other}");
    // Of the three voters it reaches one only, and another one later: each time the ring moves, and it learns of that.
    let only = |observer: &mut Worker, reached: usize| {
        let refused: Vec<&str> = (0..3).filter(|index| *index != reached).map(|index| ids[index].as_str()).collect();
        observer.ask(&format!("refuse {}", refused.join(",")), "refusing");
    };
    only(&mut observer, 0);
    spare.kill();
    await_owners(&mut observer, 4);
    only(&mut observer, 1);
    workers.pop().unwrap().leave();
    await_owners(&mut observer, 3);
    observer.ask("refuse ", "refusing");
    load(&mut observer, "followed", 0, 20);
    assert_eq!(observer.starts(20, SOON).len(), 20, "it routes as before");
}
