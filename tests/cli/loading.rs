//! `turnstile load`, and `turnstile check` on what it has written down.

use serde_json::Value;

use crate::support::{Beside, Running, nobody, run, turnstile, until};

const LOAD: [&str; 7] = ["load", "--platform", "test", "--connection", "busy", "--limit", "20/500ms"];

#[test]
fn a_load_counts_what_it_was_granted_and_its_history_holds() {
    let node = Running::in_memory();
    let directory = tempfile::tempdir().unwrap();
    let history = directory.path().join("run.jsonl");
    let history = history.to_str().unwrap();
    let more = ["--seconds", "2", "--concurrency", "10", "--niceness", "0,5", "--history", history, "--seed", "7"];
    let said = node.asked(&[&LOAD[..], &more].concat());
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
    for part in ["10 callers, 1 connection, 1 node, seed 7\n", "niceness  granted", "0 failed; ", "     all  "] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    assert!(said.stdout.ends_with(&format!("`turnstile check {history}` judges what happened\n")), "{}", said.stdout);
    let checked = run(&mut turnstile(&["check", history]));
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains("PASS  I1 limit"), "{}", checked.stdout);
}

#[test]
fn programs_get_one_object_and_a_rate_is_kept_over_several_connections() {
    let node = Running::in_memory();
    let more = ["--seconds", "1", "--rate", "50", "--connections", "3", "--concurrency", "5", "--json"];
    let load = node.json(&[&["load", "--platform", "test", "--connection", "c", "--limit", "1000/1s"], &more[..]].concat());
    let granted = load["granted"].as_u64().unwrap();
    assert!((15..=120).contains(&granted), "{load}");
    assert_eq!((&load["failed"], &load["byNiceness"][0]["granted"]), (&0.into(), &granted.into()));
    assert!(load["waitSeconds"]["p50"].as_f64() <= load["waitSeconds"]["max"].as_f64(), "{load}");
    let connections = node.json(&["connections", "--json"]);
    let names = connections["connections"].as_array().unwrap().iter().map(|one| one["connection"].as_str().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, ["c-1", "c-2", "c-3"]);
}

#[test]
fn a_load_that_is_told_to_end_reports_and_leaves_nobody_in_the_queue() {
    let node = Running::in_memory();
    let words = ["load", "--platform", "test", "--connection", "one", "--limit", "1/1h", "--seconds", "1h", "--json"];
    let loading = Beside::start(turnstile(&words).env("TURNSTILE_NODES", &node.address));
    let queue = ["queue", "--json", "--platform", "test", "--connection", "one"];
    until(|| {
        let queue = node.json(&queue);
        queue["waiters"] == 50 && queue["limits"][0]["used"] == 1
    });
    loading.signal("INT");
    let said = loading.wait();
    let load: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &load["granted"], &load["left"]), (Some(0), &1.into(), &50.into()), "{}", said.stderr);
    until(|| node.json(&queue)["waiters"] == 0);
}

#[test]
fn a_load_that_can_not_be_is_refused_before_it_begins() {
    let gone = nobody();
    let said = run(&mut turnstile(&[&LOAD[..], &["--node", &gone]].concat()));
    let expected = format!("turnstile: {gone}: Connection refused (os error 111)\n");
    assert_eq!((said.code, said.stdout.as_str(), said.stderr), (Some(1), "", expected));
    let node = Running::in_memory();
    let unwritable = node.asked(&[&LOAD[..], &["--history", "/does/not/exist/run.jsonl"]].concat());
    assert_eq!(unwritable.code, Some(1));
    let expected = "turnstile: cannot write the history /does/not/exist/run.jsonl: No such file or directory (os error 2)\n";
    assert_eq!(unwritable.stderr, expected);
    for (flags, rule) in [
        (["--seconds", "0"], "it must be 0.1s to 24h"),
        (["--concurrency", "0"], "1..=10000"),
        (["--niceness", "0,-1"], "'-1' for '--niceness"),
        (["--rate", "0"], "1..=1000000"),
        (["--connections", "0"], "1..=100000"),
        (["--seed", "x"], "'x' for '--seed"),
        (["--limit", "1/1y"], "its window is \"1y\""),
    ] {
        let said = run(turnstile(&LOAD).args(flags));
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{flags:?}");
        assert!(said.stderr.contains(rule), "{flags:?}: {}", said.stderr);
    }
}
