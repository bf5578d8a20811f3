//! `turnstile algorithms`: grant times side by side.

use serde_json::{Value, json};

use crate::support::{Said, run, turnstile};

fn said(flags: &[&str]) -> Said {
    run(turnstile(&["algorithms"]).args(flags))
}

fn shown(flags: &[&str]) -> Value {
    let said = run(turnstile(&["algorithms", "--json"]).args(flags));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&said.stdout).unwrap()
}

const BUCKETS: [&str; 4] = ["token_bucket", "leaky_bucket", "gcra_virtual", "gcra_continuous"];

#[test]
fn every_algorithm_has_its_grant_times_in_exact_seconds() {
    let rows: [(&[&str], &[&str], &[&str]); 4] = [
        (
            &["--capacity", "4", "--period", "2s", "--count", "6"],
            &["0", "0", "0", "0", "0.5", "1"],
            &["0", "0", "0", "0", "2", "2"],
        ),
        (
            &["--capacity", "4", "--period", "2000ms", "--amounts", "1", "--gaps", "0.3", "--count", "10"],
            &["0", "0.3", "0.6", "0.9", "1.2", "1.5", "1.8", "2.1", "2.5", "3"],
            &["0", "0.3", "0.6", "0.9", "2", "2.3", "2.6", "2.9", "4", "4.3"],
        ),
        (&["--capacity", "3", "--period", "1", "--amounts", "3,1"], &["0", "0.333333334"], &["0", "1"]),
        (
            &["--capacity", "4", "--period", "2s", "--amounts", "1,2,1", "--gaps", "0.3,0,0.1"],
            &["0", "0.3", "0.3"],
            &["0", "0.3", "0.3"],
        ),
    ];
    for (flags, buckets, window) in rows {
        let shown = shown(flags);
        assert_eq!(shown.as_object().unwrap().len(), 5);
        for name in BUCKETS {
            assert_eq!(shown[name], json!(buckets), "{name}: {flags:?}");
        }
        assert_eq!(shown["sliding_window"], json!(window), "{flags:?}");
    }
}

#[test]
fn only_the_algorithms_that_are_named_are_shown() {
    let one = shown(&["--capacity", "1", "--period", "1s", "--algorithm", "gcra_virtual"]);
    assert_eq!(one, json!({ "gcra_virtual": ["0"] }));
    let two = said(&["--capacity", "1", "--period", "1s", "--algorithm", "gcra_virtual,leaky_bucket"]);
    assert!(two.stdout.contains("leaky_bucket") && two.stdout.contains("gcra_virtual"), "{}", two.stdout);
    assert!(!two.stdout.contains("token_bucket"), "{}", two.stdout);
}

#[test]
fn people_get_a_table_and_a_strip_of_time_without_colours() {
    let said = said(&[
        "--capacity",
        "2",
        "--period",
        "1s",
        "--count",
        "4",
        "--algorithm",
        "sliding_window",
        "--algorithm",
        "token_bucket",
    ]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    let expected = [
        "2 per 1s, 4 calls",
        "",
        "call  units  gap  sliding_window  token_bucket",
        "   1      1    0               0             0",
        "   2      1    0               0             0",
        "   3      1    0               1           0.5",
        "   4      1    0               1             1",
        "",
        &format!("{:14}  0 s{:>57}", "", "1 s"),
        &format!("sliding_window  2{}2", "·".repeat(58)),
        &format!("token_bucket    2{}1{}1", "·".repeat(28), "·".repeat(29)),
    ];
    assert_eq!(said.stdout.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn what_breaks_a_rule_is_refused_with_its_value_and_the_rule() {
    let span = "it must be a number of seconds from 0";
    let rows: [(&[&str], &str, &str); 20] = [
        (&["--capacity", "0", "--period", "1s"], "'0' for '--capacity", "it must be a whole number from 1 to 4294967295"),
        (&["--capacity", "-1", "--period", "1s"], "'-1' for '--capacity", "it must be a whole number from 1"),
        (&["--capacity", "4294967296", "--period", "1s"], "'4294967296'", "it must be a whole number from 1"),
        (&["--capacity", "1", "--period", "0"], "'0' for '--period", "it must be 1ms to 7 days"),
        (&["--capacity", "1", "--period", "8h", "--gaps", "-0.5"], "'-0.5' for '--gaps", span),
        (&["--capacity", "1", "--period", "169h"], "'169h'", "it must be 1ms to 7 days"),
        (&["--capacity", "1", "--period", "-2s"], "'-2s'", span),
        (&["--capacity", "1", "--period", "NaN"], "'NaN'", span),
        (&["--capacity", "1", "--period", "inf"], "'inf'", span),
        (&["--capacity", "1", "--period", "99999999999999999999s"], "'99999999999999999999s'", "it must be at most"),
        (&["--capacity", "1", "--period", "1s", "--gaps", "0,NaN"], "'NaN' for '--gaps", span),
        (&["--capacity", "1", "--period", "1s", "--gaps", ""], "--gaps", span),
        (
            &["--capacity", "1", "--period", "1s", "--amounts", ""],
            "--amounts",
            "it must be a whole number from 0 to the capacity",
        ),
        (&["--capacity", "1", "--period", "1s", "--amounts", "1,-1"], "'-1' for '--amounts", "it must be a whole number from 0"),
        (&["--capacity", "1", "--period", "1s", "--amounts", "1.5"], "'1.5'", "it must be a whole number from 0"),
        (&["--capacity", "4", "--period", "1s", "--amounts", "1,5"], "amount is 5", "it takes at most the capacity of 4"),
        (&["--capacity", "1", "--period", "1s", "--count", "0"], "0", "1..=1000000"),
        (
            &["--capacity", "1", "--period", "1s", "--algorithm", "fixed"],
            "\"fixed\"",
            "sliding_window, token_bucket, leaky_bucket",
        ),
        (&["--capacity", "1", "--period", "1s", "--gaps", "18446744073", "--count", "3"], "call 3", "choose shorter gaps"),
        (&["--period", "1s"], "--capacity", "required"),
    ];
    for (flags, value, rule) in rows {
        let said = said(flags);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{flags:?}: {}", said.stderr);
        assert!(said.stderr.contains(value) && said.stderr.contains(rule), "{flags:?}: {}", said.stderr);
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    }
}

#[test]
fn the_largest_numbers_are_counted_without_a_panic() {
    let large = shown(&["--capacity", "4294967295", "--period", "168h", "--amounts", "4294967295", "--count", "100"]);
    for name in BUCKETS {
        assert_eq!(large[name][99], json!((99_u64 * 604_800).to_string()), "{name}");
    }
    let late = shown(&["--capacity", "1", "--period", "168h", "--gaps", "18446000000", "--count", "2"]);
    assert_eq!(late["gcra_virtual"], json!(["0", "18446000000"]));
}
