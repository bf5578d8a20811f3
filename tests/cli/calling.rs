//! `turnstile acquire`, `try`, `exec` and `explain`, against a real node.

use serde_json::Value;

use crate::support::{Beside, Running, nobody, run, turnstile, until};

const ID: &str = "0123456789abcdef0123456789abcdef";

/// The words of a command about a connection of `test`, which may take one an hour.
fn hourly<'a>(command: &'a str, connection: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = [command, "--platform", "test", "--connection", connection, "--limit", "1/1h"];
    [words.as_slice(), more].concat()
}

fn waiters(node: &Running, connection: &str) -> Value {
    node.json(&["queue", "--json", "--platform", "test", "--connection", connection])["waiters"].clone()
}

#[test]
fn a_slot_is_printed_and_what_can_not_be_had_now_says_when_to_come_back() {
    let node = Running::in_memory();
    let granted = node.asked(&hourly("acquire", "a", &["--json", "--request-id", ID]));
    assert_eq!((granted.code, granted.stderr.as_str()), (Some(0), ""));
    let granted: Value = serde_json::from_str(&granted.stdout).unwrap();
    assert_eq!((&granted["granted"], &granted["requestId"]), (&true.into(), &ID.into()));
    assert!(granted["release"].as_u64() > granted["arrival"].as_u64(), "{granted}");
    assert!(granted["startWithinSeconds"].as_f64() > granted["waitedSeconds"].as_f64(), "{granted}");
    let permit = granted["permit"].as_str().unwrap();
    assert!(permit.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-_".contains(&letter)), "{permit}");

    for command in ["try", "acquire"] {
        let more: &[&str] = if command == "try" { &["--json"] } else { &["--json", "--max-wait", "1"] };
        let refused = node.asked(&hourly(command, "a", more));
        let told: Value = serde_json::from_str(&refused.stdout).unwrap();
        assert_eq!((refused.code, &told["granted"]), (Some(1), &false.into()));
        assert!((3_000.0..3_700.0).contains(&told["retryAfterSeconds"].as_f64().unwrap()), "{told}");
    }
    let page = node.asked(&hourly("try", "a", &[]));
    assert_eq!(page.code, Some(1));
    assert!(page.stdout.starts_with("no slot now; not before 36"), "{}", page.stdout);
    let page = node.asked(&hourly("acquire", "b", &[]));
    assert!(page.stdout.starts_with("granted after 0.0") && page.stdout.contains("\npermit  "), "{}", page.stdout);
    let late = node.asked(&hourly("acquire", "a", &["--timeout", "200ms"]));
    assert_eq!((late.code, late.stdout.as_str()), (Some(1), ""));
    assert!(late.stderr.contains("deadline passed after 2"), "{}", late.stderr);
}

#[test]
fn tokens_and_several_limits_are_charged_together() {
    let node = Running::in_memory();
    let both = ["--limit", "9/1h", "--limit", "100/1h:tokens", "--limit", "50/1h:output_tokens:token_bucket"];
    let words = |more: &[&'static str]| {
        let words = ["try", "--json", "--platform", "test", "--connection", "llm"];
        [words.as_slice(), &both, more].concat()
    };
    assert_eq!(node.json(&words(&["--input-tokens", "60", "--output-tokens", "30"]))["granted"], true);
    assert_eq!(node.json(&words(&["--tokens", "11"]))["granted"], false);
    assert_eq!(node.json(&words(&["--tokens", "10"]))["granted"], true);
    let over = node.asked(&words(&["--tokens", "101"]));
    assert_eq!((over.code, over.stdout.as_str()), (Some(2), ""));
    assert!(over.stderr.contains("is over the limit of 100 tokens per 3600s"), "{}", over.stderr);
    let queue = node.json(&["queue", "--json", "--platform", "test", "--connection", "llm"]);
    let used: Vec<_> =
        queue["limits"].as_array().unwrap().iter().map(|limit| (&limit["rateLimit"]["dimension"], &limit["used"])).collect();
    assert!(used.contains(&(&"tokens".into(), &100.into())) && used.contains(&(&"units".into(), &2.into())), "{queue}");
}

#[test]
fn who_waits_can_be_explained_and_leaves_when_it_is_told_to_end() {
    let node = Running::in_memory();
    assert_eq!(node.asked(&hourly("try", "a", &[])).code, Some(0));
    let wait =
        |more: &[&'static str]| Beside::start(turnstile(&hourly("acquire", "a", more)).env("TURNSTILE_NODES", &node.address));
    let first = wait(&[]);
    until(|| waiters(&node, "a") == 1);
    let second = wait(&["--niceness", "5", "--request-id", ID]);
    until(|| waiters(&node, "a") == 2);
    let explain = ["explain", "--platform", "test", "--connection", "a", "--request-id", ID];
    let explained = node.json(&[&explain[..], &["--json"]].concat());
    assert_eq!(explained["position"], 2);
    assert_eq!(explained["ahead"], serde_json::json!([{ "niceness": 0, "count": 1 }]));
    assert!(explained["estimatedWaitSeconds"].as_f64() > explained["waitedSeconds"].as_f64(), "{explained}");
    let page = node.asked(&explain);
    assert!(page.stdout.starts_with("position  2\nahead     1 of niceness 0\nwaited    "), "{}", page.stdout);
    for (caller, signal, left) in [(first, "INT", 1), (second, "TERM", 0)] {
        caller.signal(signal);
        let said = caller.wait();
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
        until(|| waiters(&node, "a") == left);
    }
    let gone = node.asked(&explain);
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains("no request of this id waits"), "{}", gone.stderr);
}

#[test]
fn a_node_that_is_gone_is_followed_by_the_next_under_the_same_request() {
    let (first, second) = (Running::in_memory(), Running::in_memory());
    let nodes = format!("{},{},{}", nobody(), first.address, second.address);
    assert_eq!(first.asked(&hourly("try", "a", &[])).code, Some(0));
    let words = hourly("acquire", "a", &["--json", "--request-id", ID, "--timeout", "60"]);
    let waiting = Beside::start(turnstile(&words).env("TURNSTILE_NODES", &nodes));
    until(|| waiters(&first, "a") == 1);
    first.signal("KILL");
    let said = waiting.wait();
    let granted: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}", said.stderr));
    assert_eq!((said.code, &granted["granted"], &granted["requestId"]), (Some(0), &true.into(), &ID.into()));

    let (one, other) = (nobody(), nobody());
    for command in ["acquire", "try"] {
        let said = run(&mut turnstile(&hourly(command, "a", &["--node", &one, "--node", &other])));
        let reason = "Connection refused (os error 111)";
        let expected = format!("turnstile: {one}: {reason}; {other}: {reason}\n");
        assert_eq!((said.code, said.stdout.as_str(), said.stderr), (Some(1), "", expected), "{command}");
    }
}

#[test]
fn a_command_runs_with_a_slot_and_its_exit_code_is_ours() {
    let node = Running::in_memory();
    let exec = |connection: &str, more: &[&str]| node.asked(&[&hourly("exec", connection, &[])[..], more].concat());
    let said = exec("a", &["--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(7), "out\n", "err\n"));
    assert_eq!(exec("b", &["--json", "--", "sh", "-c", "kill -9 $$"]).code, Some(137));

    let now = exec("a", &["--try", "--", "echo", "never"]);
    assert_eq!((now.code, now.stdout.as_str()), (Some(75), ""));
    assert!(now.stderr.starts_with("turnstile: no slot now; not before 36"), "{}", now.stderr);
    let json: Value = serde_json::from_str(&exec("a", &["--try", "--json", "--", "echo", "never"]).stderr).unwrap();
    assert_eq!(json["granted"], false);
    let late = exec("a", &["--timeout", "0.1", "--", "echo", "never"]);
    assert_eq!((late.code, late.stdout.as_str()), (Some(75), ""));

    // Nothing was started: the slot is there again.
    let missing = exec("c", &["--", "/does/not/exist"]);
    assert_eq!(missing.code, Some(127));
    assert_eq!(missing.stderr, "turnstile: cannot run \"/does/not/exist\": No such file or directory (os error 2)\n");
    let directory = exec("c", &["--try", "--", "/"]);
    assert_eq!(directory.code, Some(126), "{}", directory.stderr);
    assert_eq!(exec("c", &["--try", "--", "true"]).code, Some(0));
}

#[test]
fn signals_reach_the_command_and_end_a_wait() {
    let node = Running::in_memory();
    let start = |connection: &'static str, script: &'static str| {
        let words = hourly("exec", connection, &["--", "sh", "-c", script]);
        Beside::start(turnstile(&words).env("TURNSTILE_NODES", &node.address))
    };
    for (connection, signal) in [("a", "TERM"), ("b", "INT")] {
        let mut running = start(connection, "trap 'kill $p; exit 9' TERM INT; sleep 60 & p=$!; echo ready; wait");
        assert_eq!(running.line(), "ready\n");
        running.signal(signal);
        assert_eq!(running.wait().code, Some(9), "{signal}");
    }
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let waiting = start("a", "echo never");
        until(|| waiters(&node, "a") == 1);
        waiting.signal(signal);
        let said = waiting.wait();
        assert_eq!((said.code, said.stdout.as_str()), (Some(code), ""), "{}", said.stderr);
        until(|| waiters(&node, "a") == 0);
    }
}

#[test]
fn what_breaks_a_rule_is_refused_with_its_value_and_the_rule() {
    let at = |words: &[&str]| run(turnstile(&["acquire", "--platform", "p", "--connection", "c"]).args(words));
    let long = "x".repeat(257);
    let rows: [(&[&str], &str, &str); 13] = [
        (&[], "--limit <COUNT/WINDOW>", "required"),
        (&["--limit", "3"], "'3' for '--limit", "it must be COUNT/WINDOW, such as 3/60s"),
        (&["--limit", "0/1s"], "'0/1s'", "a limit allows at least 1 per window"),
        (&["--limit", "-1/1s"], "'-1/1s'", "its count is \"-1\""),
        (&["--limit", "1/8d"], "'1/8d'", "its window is \"8d\""),
        (&["--limit", "1/1s:request"], "'1/1s:request'", "\"request\" is no word of a limit"),
        (&["--limit", "1/1s", "--cost", "0"], "0", "1..=4294967295"),
        (&["--limit", "1/1s", "--niceness", "-1"], "'-1' for '--niceness", "0..=4294967295"),
        (&["--limit", "1/1s", "--timeout", "0"], "'0' for '--timeout", "it must be more than 0s, at most 30 days"),
        (&["--limit", "1/1s", "--max-wait", "-1"], "'-1' for '--max-wait", "it must be a number of seconds from 0"),
        (&["--limit", "1/1s", "--request-id", "1"], "'1' for '--request-id", "it must be 32 hexadecimal digits, or a UUID"),
        (&["--limit", "1/1s", "--tokens", "1", "--input-tokens", "1"], "--tokens", "cannot be used with"),
        (&["--limit", "1/1s", "--node", "here"], "'here' for '--node", "it must be a host and a port"),
    ];
    for (words, value, rule) in rows {
        let said = at(words);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(value) && said.stderr.contains(rule), "{words:?}: {}", said.stderr);
    }
    let nine: Vec<String> = (1..=9).map(|count| format!("--limit={count}/1s")).collect();
    let nine = at(&nine.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((nine.code, nine.stderr.as_str()), (Some(2), "turnstile: --limit: connection has 9 limits: it takes 1 to 8\n"));
    for (platform, rule) in [("", "platform is empty: it takes 1 to 256 bytes"), (&long, "platform has 257 bytes")] {
        let said = run(&mut turnstile(&["try", "--platform", platform, "--connection", "c", "--limit", "1/1s"]));
        assert_eq!(said.code, Some(2));
        assert!(said.stderr.contains(rule), "{}", said.stderr);
    }
    let no_command = run(&mut turnstile(&hourly("exec", "a", &["--"])));
    assert_eq!(no_command.code, Some(2), "{}", no_command.stderr);
    let both = run(&mut turnstile(&hourly("exec", "a", &["--try", "--timeout", "1", "--", "true"])));
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}
