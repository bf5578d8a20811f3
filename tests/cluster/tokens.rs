//! What calls have taken, said to an owner on another node, and to the one after it.

use std::time::Duration;

use turnstile::{Connection, Dimension, RateLimit};

use crate::support::{free_addresses, soon, start};

/// 1,000 tokens an hour, of a connection that the first of these nodes owns.
fn owned_by(node: &turnstile::Node) -> Connection {
    let limit = RateLimit::new(1000, Duration::from_secs(3600)).unwrap().counting(Dimension::Tokens);
    let connections = (0..).map(|number| Connection::new("llm", &format!("model-{number}"), limit).unwrap());
    let owned = |connection: &Connection| node.admin().owner(connection.key()).is_some_and(|(owner, _)| owner == node.id());
    connections.into_iter().find(owned).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconcile_counts_at_an_owner_elsewhere_and_at_the_one_that_has_taken_its_place() {
    let home = tempfile::tempdir().unwrap();
    let mut nodes = start(home.path(), &free_addresses(3)).await;
    let model = owned_by(&nodes[0]);
    let throttler = nodes[1].throttler();
    let [first, second] = [
        soon(throttler.request(&model).tokens(400).acquire()).await.unwrap(),
        soon(throttler.request(&model).tokens(600).acquire()).await.unwrap(),
    ];
    assert_eq!(soon(first.reconcile(100)).await.unwrap().refunded.tokens, 300);
    soon(nodes.remove(0).shutdown()).await;
    // Its permit was numbered by an owner that is no more.
    assert_eq!(soon(second.reconcile(700)).await.unwrap().owed.tokens, 100);
    let throttler = nodes[1].throttler();
    let tried = |tokens| throttler.request(&model).tokens(tokens).max_wait(Duration::from_secs(5)).acquire();
    assert!(soon(tried(201)).await.is_err(), "800 of 1,000 are taken");
    assert!(soon(tried(200)).await.is_ok());
    for node in nodes {
        soon(node.shutdown()).await;
    }
}
