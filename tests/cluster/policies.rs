//! Limits that an operator sets, at a node that has no log; and what every node sees of connections.

use std::time::{Duration, Instant};

use turnstile::{LimitPattern, Limits, Node, RateLimit, Role};

use crate::support::{config, connection, free_addresses, soon, start};

const HOUR: Duration = Duration::from_secs(3600);

/// Waits until the node sees this limit rule over the connection `ruled`.
async fn await_ruling(node: &Node, expected: Option<u32>) {
    let (key, began) = (connection("ruled", 1, HOUR).key().clone(), Instant::now());
    loop {
        let ruling = soon(node.admin().limits(&key)).await.unwrap();
        let count = ruling.as_ref().and_then(|(_, limits)| limits.iter().next()).map(|limit| limit.request_count().get());
        if count == expected {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{} sees {ruling:?}", node.id());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_sets_limits_for_all_and_sees_the_connections_of_all() {
    let home = tempfile::tempdir().unwrap();
    let addresses = free_addresses(6);
    let mut nodes = start(home.path(), &addresses[..3]).await;
    for index in 3..6 {
        nodes.push(soon(Node::start(config(home.path(), &addresses, index))).await.unwrap());
    }
    let began = Instant::now();
    let observer = loop {
        let mut found = None;
        for node in &nodes {
            let status = node.admin().status().await;
            let is_settled = status.voters.len() == 3 && status.spares.len() == 2 && status.members.len() == 5;
            if is_settled && status.role == Role::Observer {
                found = Some(node);
            }
        }
        if let Some(found) = found {
            break found;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "nobody observes");
    };
    let pattern = || LimitPattern::new("test", "*").unwrap();
    let limits = |count| Limits::from(RateLimit::new(count, HOUR).unwrap());
    assert!(!soon(observer.admin().set_limits(pattern(), limits(2))).await.unwrap());
    assert!(soon(observer.admin().set_limits(pattern(), limits(3))).await.unwrap(), "it had another");
    for node in &nodes {
        await_ruling(node, Some(3)).await;
    }
    // Whatever callers say.
    let looser = connection("ruled", 9, HOUR);
    let mut granted = 0;
    for node in nodes.iter().cycle().take(9) {
        let tried = soon(node.throttler().request(&looser).max_wait(Duration::from_secs(1)).try_acquire()).await.unwrap();
        granted += u32::from(tried.is_some());
    }
    assert_eq!(granted, 3);
    for node in &nodes {
        let seen = soon(node.admin().busiest(10)).await;
        assert_eq!((seen.connections.len(), seen.missing.len()), (1, 0), "{seen:?}");
        assert_eq!(seen.connections[0].1.limits[0].1, 3);
        let (owner, one) = soon(node.admin().connection(looser.key())).await.unwrap();
        assert_eq!((owner, one.limits[0].1), (seen.connections[0].0, 3));
    }
    assert!(soon(observer.admin().delete_limits(pattern())).await.unwrap());
    for node in &nodes {
        await_ruling(node, None).await;
    }
    for node in nodes {
        soon(node.shutdown()).await;
    }
}
