//! `/metrics`: that it is what the table says, and that it moves with what happens.

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};
use turnstile::api::v1;
use turnstile::{METRICS, Metric, MetricKind};

use crate::client::{HOUR, SECOND, Scrape, acquire, asking, client, eventually, get, soon, sum, trying};
use crate::process::Cluster;

/// What a metric is, as people and scrapes say it.
fn kind(metric: &Metric) -> &'static str {
    match metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram(_) => "histogram",
        _ => panic!("a kind that this test does not know"),
    }
}

/// Its line in the README.
fn line(metric: &Metric) -> String {
    let label = metric.label.map_or_else(String::new, |label| {
        let values: Vec<_> = label.values.iter().map(|value| format!("`{value}`")).collect();
        // The release is another with each.
        let values = if label.name == "release" { String::new() } else { format!(": {}", values.join(", ")) };
        format!("`{}`{values}", label.name)
    });
    format!("| `{}` | {} | {label} | {} |", metric.name, kind(metric), metric.meaning).replace("|  |", "| |")
}

#[tokio::test]
async fn the_table_in_the_readme_is_what_a_node_lists_from_its_first_scrape_on() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let written: Vec<_> = readme.lines().filter(|line| line.starts_with("| `turnstile_")).collect();
    let table: Vec<String> = METRICS.iter().map(line).collect();
    assert_eq!(written.join("\n"), table.join("\n"), "the table should be\n{}", table.join("\n"));

    let cluster = Cluster::started(1).await;
    let scrape = Scrape::of(cluster.addresses[0]).await;
    let listed: Vec<_> = scrape.kinds.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    let mut expected: Vec<_> = METRICS.iter().map(|metric| (metric.name, kind(metric))).collect();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    for metric in METRICS {
        let begins = |value: &str| {
            let name = if kind(metric) == "histogram" { format!("{}_count", metric.name) } else { metric.name.to_owned() };
            metric.label.map_or(name.clone(), |label| format!("{name}{{{}=\"{value}\"}}", label.name))
        };
        let values = metric.label.map_or(&[""] as &[_], |label| label.values);
        let expected: BTreeSet<_> = values.iter().map(|value| begins(value)).collect();
        let own = |series: &&str| series.split('{').next() == begins("").split('{').next();
        assert_eq!(scrape.series().filter(own).map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    }
    assert_eq!(get(cluster.addresses[0], "/metrics").await.body.matches("# HELP ").count(), METRICS.len());
}

#[test]
fn the_rules_that_wake_people_are_about_metrics_that_there_are() {
    let rules = include_str!("../../deploy/alerts.yml");
    let words = rules.split(|letter: char| letter != '_' && !letter.is_ascii_alphanumeric());
    let named: BTreeSet<_> =
        words.filter(|word| word.starts_with("turnstile_")).map(|word| word.trim_end_matches("_bucket")).collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        assert!(METRICS.iter().any(|metric| metric.name == name), "{name}");
    }
}

#[tokio::test]
async fn each_end_of_an_acquire_is_counted_and_whoever_waits_is_seen() {
    let cluster = Cluster::started(1).await;
    let all = &cluster.addresses[..];
    let mut caller = client(all[0]).await;
    let one_an_hour = || acquire("one an hour", 1, HOUR);
    let results = |result: &str| format!("turnstile_requests_total{{result=\"{result}\"}}");

    let granted = soon(caller.acquire(asking(v1::Acquire { niceness: 3, ..one_an_hour() }))).await.unwrap().into_inner();
    assert_eq!(granted.outcome(), v1::Outcome::Granted);
    let throttled = soon(caller.try_acquire(trying(one_an_hour()))).await.unwrap().into_inner();
    assert_eq!(throttled.outcome(), v1::Outcome::Throttled);
    let hasty = v1::Acquire { timeout: Some((SECOND / 20).try_into().unwrap()), ..one_an_hour() };
    assert_eq!(soon(caller.acquire(asking(hasty))).await.unwrap_err().code(), Code::DeadlineExceeded);
    let scrape = Scrape::of(all[0]).await;
    let seen =
        ["granted", "throttled", "deadline", "refused", "unavailable", "cancelled"].map(|result| scrape.value(&results(result)));
    assert_eq!(seen, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    assert_eq!(scrape.value("turnstile_grants_total"), 1.0);
    assert_eq!(scrape.value("turnstile_time_in_queue_seconds_count{niceness_band=\"1-9\"}"), 1.0);
    assert_eq!((scrape.value("turnstile_window_fill_max"), scrape.value("turnstile_full_windows")), (1.0, 1.0));
    assert_eq!((scrape.value("turnstile_connections"), scrape.value("turnstile_tracked_connections")), (1.0, 1.0));
    assert_eq!((scrape.value("turnstile_is_leader"), scrape.value("turnstile_sessions")), (1.0, 0.0));
    for latency in ["commit", "fsync"] {
        assert!(scrape.value(&format!("turnstile_{latency}_latency_seconds_count")) >= 1.0, "{latency}");
    }

    // Two wait in a session, one of them beyond a bound of the same request id; then all of them go.
    let (requests, outgoing) = mpsc::channel(4);
    let answers = soon(caller.session(ReceiverStream::new(outgoing))).await.unwrap().into_inner();
    for (id, niceness) in [(1_u128, 0), (2, 10)] {
        let waits = v1::Acquire { request_id: id.to_be_bytes().to_vec(), niceness, ..one_an_hour() };
        let message = Some(v1::session_request::Message::Acquire(waits));
        requests.send(v1::SessionRequest { stamp_nanos: None, message }).await.unwrap();
    }
    let queued = |scrape: &Scrape| {
        ["0", "1-9", "10+"].map(|band| scrape.value(&format!("turnstile_queued_requests{{niceness_band=\"{band}\"}}")))
    };
    eventually("two wait", || async { queued(&Scrape::of(all[0]).await) == [1.0, 0.0, 1.0] }).await;
    let used = v1::Acquire { request_id: 1_u128.to_be_bytes().to_vec(), niceness: 7, ..one_an_hour() };
    assert_eq!(soon(caller.acquire(Request::new(asking(used)))).await.unwrap_err().code(), Code::AlreadyExists);
    assert_eq!((sum(all, &results("refused")).await, sum(all, "turnstile_sessions").await), (1.0, 1.0));
    drop((answers, requests));
    eventually("both are gone", || async {
        let scrape = Scrape::of(all[0]).await;
        queued(&scrape) == [0.0; 3] && scrape.value(&results("cancelled")) == 2.0 && scrape.value("turnstile_sessions") == 0.0
    })
    .await;

    let permit = granted.grant.unwrap().permit;
    soon(caller.release(v1::ReleaseRequest { permit })).await.unwrap();
    eventually("the slot is back", || async { sum(all, "turnstile_returned_slots_total").await == 1.0 }).await;
    eventually("the window is empty", || async { sum(all, "turnstile_window_fill_max").await == 0.0 }).await;
}

#[tokio::test]
async fn nothing_is_granted_over_a_limit_when_a_node_dies_and_its_return_is_a_handover() {
    let mut cluster = Cluster::started(3).await;
    let all = cluster.addresses.clone();
    let load = |addresses: &[std::net::SocketAddr]| {
        let addresses = addresses.to_vec();
        async move {
            for round in 0..4 {
                for name in 0..30 {
                    let mut caller = client(addresses[(round + name) % addresses.len()]).await;
                    // Answered or not: the owner may have died just now.
                    drop(soon(caller.try_acquire(trying(acquire(&format!("connection {name}"), 2, HOUR)))).await);
                }
            }
        }
    };
    load(&all).await;
    assert_eq!(sum(&all, "turnstile_requests_total{result=\"granted\"}").await, 60.0);
    assert_eq!(sum(&all, "turnstile_grants_total").await, 60.0);
    assert_eq!(sum(&all, "turnstile_connections").await, 30.0);
    assert_eq!(sum(&all, "turnstile_is_leader").await, 1.0);
    let epoch = Scrape::of(all[0]).await.value("turnstile_epoch");

    cluster.kill(2);
    let left = &all[..2];
    load(left).await;
    eventually("both have missed it", || async { sum(left, "turnstile_peers{state=\"silent\"}").await == 2.0 }).await;
    eventually("the ring has moved", || async { Scrape::of(all[0]).await.value("turnstile_epoch") > epoch }).await;
    load(left).await;
    assert_eq!(sum(left, "turnstile_over_grants_total").await, 0.0);
    assert_eq!(sum(left, "turnstile_handovers_total").await, 0.0);

    cluster.start(2);
    cluster.until_all_are_in().await;
    eventually("what the third owns is handed over", || async { sum(left, "turnstile_handovers_total").await > 0.0 }).await;
    load(&all).await;
    assert_eq!(sum(&all, "turnstile_over_grants_total").await, 0.0);
    assert!(sum(&all, "turnstile_requests_total{result=\"throttled\"}").await > 60.0);
}
