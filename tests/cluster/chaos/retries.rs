//! Requests that were granted are said again by another worker: some while their slots are in the window, others long after that.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::callers::{AGAIN, WINDOW};
use super::run::{Run, nanos};
use super::strike::Strike;
use crate::process::now;

/// How many are said again soon, and late.
const SOON: usize = 20;
const LATE: usize = 60;

/// A request that one worker was granted once, and never said twice.
struct Once {
    request: String,
    connection: String,
    niceness: u64,
    granted_at: u64,
}

/// Those of the first worker, in the order of their grants.
fn said_once(run: &Run) -> Vec<Once> {
    let lines: Vec<Value> = run.history.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut tries = BTreeMap::<&str, usize>::new();
    let mut begun = BTreeMap::<&str, &Value>::new();
    let mut once = Vec::new();
    for line in &lines {
        let Some(request) = line["request"].as_str().filter(|request| request.starts_with("0-")) else { continue };
        match line["event"].as_str() {
            Some("enqueue") => {
                *tries.entry(request).or_default() += 1;
                begun.insert(request, line);
            }
            Some("grant") => once.extend(begun.get(request).map(|begun| Once {
                request: request.to_owned(),
                connection: begun["connection"].as_str().unwrap().to_owned(),
                niceness: begun["niceness"].as_u64().unwrap(),
                granted_at: line["at_nanos"].as_u64().unwrap(),
            })),
            _ => {}
        }
    }
    once.retain(|one| tries.get(one.request.as_str()) == Some(&1));
    once.sort_by_key(|one| one.granted_at);
    once
}

/// Says them again, the early ones before the fault is noted: nothing excuses a second charge of those. A late one is a new request by then, and
/// may be charged once more.
pub(crate) fn say_again(run: &mut Run) -> Strike {
    run.wait(2 * WINDOW);
    // Before the history is gone through, which takes a good part of a window.
    let read_at = now();
    let (soon, long_ago) = (nanos(read_at.saturating_sub(WINDOW / 2)), nanos(read_at.saturating_sub(2 * WINDOW)));
    let known = said_once(run);
    let early: Vec<&Once> = known.iter().rev().take_while(|one| one.granted_at > soon).take(SOON).collect();
    let late: Vec<&Once> = known.iter().filter(|one| one.granted_at < long_ago).take(LATE).collect();
    let say = |run: &mut Run, again: &[&Once]| {
        for Once { request, connection, niceness, .. } in again {
            run.worker(1).order(&format!("chaos again {request} {connection} {niceness}"));
        }
    };
    say(run, &early);
    run.wait(Duration::from_millis(500));
    let told = ends(run, &early, "error");
    let since = now();
    say(run, &late);
    // As long as they wait at most, and a little more.
    run.wait(Duration::from_millis(4500));
    run.fault("LateRetries", since, !early.is_empty() && !late.is_empty());
    let again = ends(run, &late, "grant");
    run.notes.push(format!(
        "{told} of {} told at once that they had been granted, {again} of {} granted anew",
        early.len(),
        late.len()
    ));
    if told < early.len() {
        run.failures.push(format!("{} early retries were not told that they had been granted", early.len() - told));
    }
    if early.is_empty() || late.is_empty() {
        Strike::Missed("nobody had been granted anything".to_owned())
    } else {
        Strike::Struck
    }
}

/// How many of these retries ended so.
fn ends(run: &Run, of: &[&Once], event: &str) -> usize {
    let lines = run.history.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ends = lines.filter(|line| line["event"] == event && line["attempt"] == AGAIN);
    ends.filter(|line| of.iter().any(|one| line["request"] == one.request.as_str())).count()
}
