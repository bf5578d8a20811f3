//! Histories with known verdicts: made by hand, by servers that keep the promises, and by servers that break one.

mod servers;

use serde_json::{Value, json};

use super::account::{Account, put_together};
use super::*;

const MILLI: u64 = 1_000_000;

/// Two a second of one connection.
pub(super) fn enqueue(request: u64, niceness: u32, at_millis: u64) -> String {
    enqueued(request, 0, niceness, at_millis, None).to_string()
}

pub(super) fn within(request: u64, at_millis: u64, timeout_seconds: f64) -> String {
    enqueued(request, 0, 0, at_millis, Some(timeout_seconds)).to_string()
}

fn enqueued(request: u64, attempt: u32, niceness: u32, at_millis: u64, timeout: Option<f64>) -> Value {
    json!({"event": "enqueue", "at_nanos": at_millis * MILLI, "request": request.to_string(), "attempt": attempt, "client": "c",
        "platform": "p", "connection": "c", "limits": [{"requests": 2, "window_seconds": 1.0}], "niceness": niceness,
        "timeout_seconds": timeout})
}

/// Enqueued and granted, with 30 ms kept for its way; the owner's numbers are (tenure, arrival, release).
pub(super) fn grant(
    request: u64,
    niceness: u32,
    from_millis: u64,
    at_millis: u64,
    numbers: Option<(u64, u64, u64)>,
) -> Vec<String> {
    vec![enqueue(request, niceness, from_millis), granted(request, 0, at_millis, numbers)]
}

/// The same for another try of a request.
pub(super) fn again(request: u64, attempt: u32, from_millis: u64, at_millis: u64) -> Vec<String> {
    vec![enqueued(request, attempt, 0, from_millis, None).to_string(), granted(request, attempt, at_millis, None)]
}

fn granted(request: u64, attempt: u32, at_millis: u64, numbers: Option<(u64, u64, u64)>) -> String {
    let mut line = json!({"event": "grant", "at_nanos": at_millis * MILLI, "request": request.to_string(), "attempt": attempt,
        "delivery_seconds": 0.02, "guard_seconds": 0.01});
    if let Some((tenure, arrival, release)) = numbers {
        (line["tenure"], line["arrival"], line["release"]) = (tenure.into(), arrival.into(), release.into());
    }
    line.to_string()
}

fn about(event: &str, request: u64, at_millis: u64) -> String {
    json!({"event": event, "at_nanos": at_millis * MILLI, "request": request.to_string()}).to_string()
}

pub(super) fn queued(request: u64, at_millis: u64) -> String {
    about("queued", request, at_millis)
}

pub(super) fn left(request: u64, at_millis: u64) -> String {
    about("cancel", request, at_millis)
}

pub(super) fn fault(at_millis: u64) -> String {
    json!({"event": "fault", "at_nanos": at_millis * MILLI, "what": "kill owner"}).to_string()
}

pub(super) fn end(at_millis: u64) -> String {
    json!({"event": "end", "at_nanos": at_millis * MILLI}).to_string()
}

pub(super) fn account(lines: &[String]) -> Account {
    put_together(history::parse(&lines.join("\n")).unwrap()).unwrap()
}

fn verdict(lines: &[String]) -> Verdict {
    judge(&lines.join("\n")).unwrap()
}

#[test]
fn a_history_in_which_everything_is_well_holds() {
    let lines = [grant(1, 0, 0, 5, Some((7, 1, 2))), grant(2, 0, 1, 9, Some((7, 3, 4))), vec![fault(500), end(2000)]].concat();
    let verdict = verdict(&lines);
    assert_eq!(verdict.judgement(), Judgement::Holds, "{verdict}");
    assert_eq!(verdict.summary().granted, 2);
}

#[test]
fn a_history_that_shows_nothing_is_inconclusive() {
    let served = grant(1, 0, 0, 5, None);
    let missed = r#"{"event":"fault","at_nanos":1,"what":"kill owner","struck":false}"#.to_owned();
    for (lines, why) in [
        (vec![end(9)], "nothing was granted"),
        (served.clone(), "no line of its end"),
        ([served, vec![missed, end(9)]].concat(), "\"kill owner\" was to be done"),
    ] {
        let verdict = verdict(&lines);
        assert_eq!(verdict.judgement(), Judgement::Inconclusive, "{verdict}");
        assert!(verdict.to_string().contains(why), "{verdict}");
    }
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let refused = |lines: &[String]| judge(&lines.join("\n")).map(|_| ()).unwrap_err().to_string();
    let begun = enqueue(1, 0, 0);
    assert!(refused(&[begun.clone(), "{".to_owned()]).starts_with("line 2: "));
    assert!(refused(&[begun.replace("niceness", "nicenes")]).contains("unknown field `nicenes`"));
    assert!(refused(&[begun.clone(), begun.clone()]).contains("has begun attempt 0 already"));
    assert!(refused(&[left(1, 5)]).contains("has not begun attempt 0 by then"));
    assert!(refused(&[begun.clone(), about("done", 1, 5)]).contains("is done and was not granted"));
    assert!(refused(&[begun.replace("1.0", "0.0")]).contains("window_seconds is 0: it takes a number above 0"));
    let half = granted(1, 0, 5, Some((1, 2, 3))).replace("\"release\":3,", "");
    assert!(refused(&[begun, half]).contains("come together or not at all"));
}

#[test]
fn a_broken_promise_is_named_with_its_moment() {
    let lines = [grant(1, 0, 0, 5, None), grant(2, 0, 0, 6, None), grant(3, 0, 0, 7, None), vec![end(99)]].concat();
    let verdict = verdict(&lines);
    assert_eq!(verdict.judgement(), Judgement::Violated);
    let told = verdict.to_string();
    assert!(
        told.contains("FAIL  I1 limit") && told.contains("at 0.007000 s  p/c: 3 units started within 1s, 2 are allowed"),
        "{told}"
    );
}
