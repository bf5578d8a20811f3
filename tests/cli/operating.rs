//! `turnstile limits`, `connections`, `queue`, `pause`, `resume` and `penalize`, and `top` without a terminal, against a real node.

use serde_json::{Value, json};
use tonic::transport::Endpoint;
use turnstile::api::v1;
use turnstile::api::v1::admin_service_client::AdminServiceClient;

use crate::support::{Beside, Running, Said, nobody, run, turnstile, until};

/// The words of a command about a connection of `test`.
fn about<'a>(command: &[&'a str], connection: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [command, &["--platform", "test", "--connection", connection], more].concat()
}

fn lines(said: &Said) -> Vec<Value> {
    said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn limits_that_were_set_rule_until_they_are_deleted() {
    let node = Running::in_memory();
    assert_eq!(node.asked(&["limits", "list"]).stdout, "no limits are set: those of the callers rule\n");
    let set = about(&["limits", "set"], "a*", &["--limit", "2/1h", "--limit", "90/1m:tokens:token_bucket", "--json"]);
    assert_eq!(node.json(&set)["hasReplaced"], false);
    let said = node.asked(&about(&["limits", "set"], "a*", &["--limit", "2/1h", "--limit", "90/1m:tokens:token_bucket"]));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert!(said.stdout.starts_with("test/a* may take ") && said.stdout.ends_with(", in place of others\n"), "{}", said.stdout);
    assert_eq!(node.asked(&about(&["limits", "set"], "b", &["--limit", "7/1s"])).stdout, "test/b may take 7 per 1s\n");

    let rule = node.json(&about(&["limits", "get"], "abc", &["--json"]));
    let hourly = json!({ "requestCount": 2, "windowSeconds": 3600.0, "dimension": "units", "algorithm": "sliding_window" });
    let tokens = json!({ "requestCount": 90, "windowSeconds": 60.0, "dimension": "tokens", "algorithm": "token_bucket" });
    assert_eq!((&rule["platform"], &rule["connection"]), (&"test".into(), &"a*".into()));
    let limits = rule["rateLimits"].as_array().unwrap();
    assert!(limits.len() == 2 && limits.contains(&hourly) && limits.contains(&tokens), "{rule}");
    assert_eq!(node.asked(&about(&["limits", "get"], "b", &[])).stdout, "7 per 1s, set for test/b\n");
    let listed = lines(&node.asked(&["limits", "list", "--json"]));
    assert_eq!(listed.iter().map(|rule| &rule["connection"]).collect::<Vec<_>>(), ["a*", "b"]);
    assert!(lines(&node.asked(&["limits", "list", "--json", "--platform", "other"])).is_empty());
    let page = node.asked(&["limits", "list"]).stdout;
    assert!(page.starts_with("connections  limits\ntest/a*      ") && page.ends_with("\ntest/b       7 per 1s\n"), "{page}");

    // They rule over what the callers say, and a queue says who has set them.
    let tries: Vec<_> = (0..3).map(|_| node.asked(&about(&["try"], "abc", &["--limit", "100/1h"])).code).collect();
    assert_eq!(tries, [Some(0), Some(0), Some(1)]);
    let queue = node.asked(&about(&["queue"], "abc", &[])).stdout;
    assert!(queue.contains("set by an operator for test/a*") && queue.contains("2 of 2 per 3600s"), "{queue}");
    assert_eq!(node.json(&about(&["queue"], "abc", &["--json"]))["rule"]["connection"], "a*");

    assert_eq!(node.json(&about(&["limits", "delete"], "a*", &["--json"]))["deleted"], true);
    assert!(node.asked(&about(&["limits", "delete"], "b", &[])).stdout.starts_with("the limits that were set for test/b rule"));
    for command in ["get", "delete"] {
        let none = node.asked(&about(&["limits", command], "b", &[]));
        assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""), "{command}");
        assert!(none.stderr.ends_with(": no limits are set there\n"), "{}", none.stderr);
    }
}

#[tokio::test]
async fn a_list_of_limits_goes_on_page_by_page() {
    let node = Running::in_memory();
    let endpoint = Endpoint::from_shared(format!("http://{}", node.address)).unwrap();
    let mut client = AdminServiceClient::new(endpoint.connect().await.unwrap());
    let window = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    for number in 0..1_001 {
        let pattern = v1::LimitPattern { platform: "test".to_owned(), connection: format!("{number:04}") };
        let limits = vec![v1::RateLimit { request_count: 1, window, ..v1::RateLimit::default() }];
        let rule = Some(v1::LimitRule { pattern: Some(pattern), limits });
        client.set_limits(v1::SetLimitsRequest { rule }).await.unwrap();
    }
    let listed = lines(&node.asked(&["limits", "list", "--json"]));
    assert_eq!((listed.len(), &listed[1_000]["connection"]), (1_001, &"1000".into()));
}

#[test]
fn the_busiest_connections_are_shown_with_who_waits() {
    let node = Running::in_memory();
    let empty = node.asked(&["connections"]);
    assert_eq!(empty.code, Some(0));
    assert!(empty.stdout.ends_with("(nobody waits, and every window is empty)\n"), "{}", empty.stdout);
    for connection in ["a", "b"] {
        assert_eq!(node.asked(&about(&["try"], connection, &["--limit", "1/1h"])).code, Some(0));
    }
    let words = about(&["acquire"], "b", &["--limit", "1/1h", "--niceness", "5"]);
    let waiting = Beside::start(turnstile(&words).env("TURNSTILE_NODES", &node.address));
    until(|| node.json(&about(&["queue"], "b", &["--json"]))["waiters"] == 1);

    let all = node.json(&["connections", "--json"]);
    assert_eq!(all["missing"], json!([]));
    let busiest = &all["connections"][0];
    assert_eq!(
        (&busiest["connection"], &busiest["owner"], &busiest["waiters"]),
        (&"b".into(), &node.node.as_str().into(), &1.into())
    );
    assert_eq!(busiest["waiting"], json!([{ "niceness": 5, "count": 1 }]));
    assert_eq!((&busiest["limits"][0]["used"], &busiest["isPaused"]), (&1.into(), &false.into()));
    assert!(busiest["longestWaitSeconds"].as_f64() > Some(0.0), "{busiest}");
    assert_eq!(node.json(&["connections", "--json", "--top", "1"])["connections"].as_array().unwrap().len(), 1);
    let page = node.asked(&["connections"]).stdout;
    let row = page.lines().nth(1).unwrap();
    assert!(row.starts_with(&format!("test/b      {}  -       1 of 1 per 3600s  5: 1", node.node)), "{page}");
    let queue = node.asked(&about(&["queue"], "b", &[])).stdout;
    let expected = format!("test/b\n  owner    node {}\n  limits   those that its callers say\n", node.node);
    assert!(queue.starts_with(&expected) && queue.ends_with("1 of niceness 5\n"), "{queue}");
    waiting.signal("INT");
    waiting.wait();
    let none = node.asked(&["connections", "--top", "0"]);
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("1..=1000"), "{}", none.stderr);
}

#[test]
fn a_pause_lets_nothing_through_until_it_is_ended() {
    let node = Running::in_memory();
    let tried = || node.json(&about(&["try"], "a", &["--limit", "100/1s", "--json"]))["granted"].clone();
    let queue = || node.json(&about(&["queue"], "a", &["--json"]));
    assert_eq!(tried(), true);
    assert_eq!(node.asked(&about(&["pause"], "a", &[])).stdout, "test/a is paused until it is resumed\n");
    assert_eq!((tried(), &queue()["isPaused"]), (false.into(), &true.into()));
    assert_eq!(node.json(&about(&["resume"], "a", &["--json"]))["isPaused"], false);
    assert_eq!(tried(), true);
    let penalty = node.json(&about(&["penalize"], "a", &["--for", "1h", "--json"]));
    assert_eq!((&penalty["isPaused"], &penalty["pausedForSeconds"]), (&true.into(), &3600.0.into()));
    assert_eq!(tried(), false);
    assert!(queue()["pausedForSeconds"].as_f64() > Some(3_000.0));
    assert_eq!(node.asked(&about(&["resume"], "a", &[])).stdout, "test/a is paused no more\n");
    assert_eq!(node.asked(&about(&["pause"], "a", &["--for", "90"])).stdout, "test/a is paused for 90.000 s at least\n");
    assert_eq!(tried(), false);

    for (words, rule) in [
        (about(&["penalize"], "a", &[]), "--for <SECONDS>"),
        (about(&["penalize"], "a", &["--for", "0"]), "it must be more than 0s, at most 7 days"),
        (about(&["pause"], "a", &["--for", "169h"]), "it must be more than 0s, at most 7 days"),
        (about(&["resume"], "", &[]), "connection is empty"),
        (about(&["limits", "set"], "a", &[]), "--limit <COUNT/WINDOW>"),
    ] {
        let said = node.asked(&words);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{words:?}");
        assert!(said.stderr.contains(rule), "{}", said.stderr);
    }
}

#[test]
fn a_look_at_the_cluster_ends_where_there_is_no_terminal_unless_it_is_to_go_on() {
    let node = Running::in_memory();
    let page = node.asked(&["top"]);
    assert_eq!((page.code, page.stderr.as_str()), (Some(0), ""));
    assert!(page.stdout.contains(&format!("leader {}", node.node)) && !page.stdout.contains('\u{1b}'), "{}", page.stdout);
    let look = node.json(&["top", "--once", "--json"]);
    assert_eq!((&look["clusters"][0]["leader"], &look["nodes"][0]["role"]), (&node.node.as_str().into(), &"leader".into()));

    let mut looking = Beside::start(turnstile(&["top", "--json", "--every", "0.1"]).env("TURNSTILE_NODES", &node.address));
    for _ in 0..3 {
        assert_eq!(serde_json::from_str::<Value>(&looking.line()).unwrap()["unreachable"], 0);
    }
    looking.signal("TERM");
    assert_eq!(looking.wait().code, Some(0));

    let gone = nobody();
    let said = run(&mut turnstile(&["top", "--once", "--node", &gone]));
    let expected = format!("turnstile: {gone}: Connection refused (os error 111)\n");
    assert_eq!((said.code, said.stdout.as_str(), said.stderr), (Some(1), "", expected));
    for flags in [["--every", "0"], ["--every", "x"], ["--top", "1001"]] {
        assert_eq!(run(turnstile(&["top"]).args(flags)).code, Some(2), "{flags:?}");
    }
}

#[test]
fn what_concerns_the_cluster_is_asked_of_the_next_node_when_one_is_gone() {
    let node = Running::in_memory();
    let nodes = format!("{},{}", nobody(), node.address);
    for words in [about(&["limits", "set"], "a", &["--limit", "1/1s"]), about(&["queue"], "a", &[]), vec!["connections"]] {
        let said = run(turnstile(&words).env("TURNSTILE_NODES", &nodes));
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{words:?}");
    }
}
