//! Requests and tokens together: an estimate before the call, what it has taken after it.

use std::time::Duration;

use turnstile::{AcquireError, Connection, Dimension, Node, NodeConfig, ReconcileError};

use crate::support::bare_limit;

const HOUR: Duration = Duration::from_secs(3600);

/// 100 requests and 1,000 tokens an hour.
fn model(name: &str) -> Connection {
    let limit = |count| bare_limit(count, HOUR);
    Connection::new("llm", name, limit(100)).unwrap().and_limit(limit(1000).counting(Dimension::Tokens)).unwrap()
}

#[tokio::test]
async fn what_was_estimated_too_much_is_free_again_and_what_was_too_little_is_owed() {
    let node = Node::start(NodeConfig::in_memory()).await.unwrap();
    let (throttler, model) = (node.throttler(), model("gpt"));
    let first = throttler.request(&model).tokens(900).acquire().await.unwrap();
    assert!(throttler.request(&model).tokens(101).try_acquire().await.unwrap().is_none(), "900 of 1,000 are estimated");
    let reconciled = first.reconcile(300).await.unwrap();
    assert_eq!((reconciled.refunded.tokens, reconciled.refunded.units, reconciled.owed.tokens), (600, 0, 0));
    let second = throttler.request(&model).tokens(700).try_acquire().await.unwrap().expect("300 of 1,000 are taken");
    let reconciled = second.reconcile(2_000).await.unwrap();
    assert_eq!((reconciled.refunded.tokens, reconciled.owed.tokens), (0, 1_300));
    assert!(throttler.request(&model).tokens(1).try_acquire().await.unwrap().is_none(), "more is taken than there is");
    node.shutdown().await;
}

#[tokio::test]
async fn a_call_that_estimates_nothing_is_taken_for_one_token_and_too_high_an_estimate_is_refused() {
    let node = Node::start(NodeConfig::in_memory()).await.unwrap();
    let (throttler, model) = (node.throttler(), model("gpt"));
    let unsaid = throttler.acquire(&model).await.unwrap();
    assert!(throttler.request(&model).tokens(1000).try_acquire().await.unwrap().is_none());
    assert_eq!(unsaid.reconcile(500).await.unwrap().owed.tokens, 499);
    let over = throttler.request(&model).tokens(1001).acquire().await.unwrap_err();
    assert!(matches!(over, AcquireError::CostOverLimit { .. }), "{over}");
    assert_eq!(over.to_string(), "cost of 1 units and 1001 tokens is over the limit of 1000 tokens per 3600s");
    node.shutdown().await;
}

#[tokio::test]
async fn tokens_that_go_in_and_out_are_counted_apart_where_limits_say_so() {
    let node = Node::start(NodeConfig::in_memory()).await.unwrap();
    let throttler = node.throttler();
    let limit = |count, dimension| bare_limit(count, HOUR).counting(dimension);
    let claude = Connection::new("llm", "claude", limit(1000, Dimension::InputTokens)).unwrap();
    let claude = claude.and_limit(limit(100, Dimension::OutputTokens)).unwrap();
    let permit = throttler.request(&claude).tokens_apart(900, 90).acquire().await.unwrap();
    assert!(throttler.request(&claude).tokens_apart(100, 11).try_acquire().await.unwrap().is_none(), "90 of 100 may come out");
    let reconciled = permit.reconcile_apart(950, 20).await.unwrap();
    assert_eq!((reconciled.owed.input_tokens, reconciled.refunded.output_tokens), (50, 70));
    assert!(throttler.request(&claude).tokens_apart(50, 80).try_acquire().await.unwrap().is_some());
    node.shutdown().await;
}

#[tokio::test]
async fn a_permit_without_an_estimate_or_after_its_window_is_not_open() {
    let node = Node::start(NodeConfig::in_memory()).await.unwrap();
    let throttler = node.throttler();
    let plain = Connection::new("llm", "plain", bare_limit(10, HOUR)).unwrap();
    let refused = throttler.acquire(&plain).await.unwrap().reconcile(5).await;
    assert_eq!(refused, Err(ReconcileError::NotOpen));
    let short = bare_limit(10, Duration::from_millis(50)).counting(Dimension::Tokens);
    let short = Connection::new("llm", "short", short).unwrap();
    let permit = throttler.request(&short).tokens(10).acquire().await.unwrap();
    // The next ten are there when the first have left.
    drop(throttler.request(&short).tokens(10).acquire().await.unwrap());
    assert_eq!(permit.reconcile(5).await, Err(ReconcileError::NotOpen));
    node.shutdown().await;
}

#[tokio::test]
async fn what_is_open_survives_a_restart_of_the_node_as_its_windows_do() {
    let home = tempfile::tempdir().unwrap();
    let (node, model) = (Node::start(NodeConfig::on_disk(home.path())).await.unwrap(), model("gpt"));
    let permit = node.throttler().request(&model).tokens(900).acquire().await.unwrap();
    permit.reconcile(100).await.unwrap();
    node.shutdown().await;
    let node = Node::start(NodeConfig::on_disk(home.path())).await.unwrap();
    let throttler = node.throttler();
    assert!(throttler.request(&model).tokens(901).try_acquire().await.unwrap().is_none());
    assert!(throttler.request(&model).tokens(900).try_acquire().await.unwrap().is_some());
    node.shutdown().await;
}
