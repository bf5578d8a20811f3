//! What the checker has found, and how it says it.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde::Serialize;

use super::account::Account;
use super::finding::Finding;
use super::gap::{self, Gap};
use super::waste::{self, Waste};
use super::{answer, limit, turn};

/// How many findings of one promise are shown.
const SHOWN: usize = 5;

/// What a history says of the promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Judgement {
    /// All hold.
    Holds,
    /// One was broken.
    Violated,
    /// It shows nothing: see the reasons.
    Inconclusive,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    promises: Vec<(&'static str, &'static str, Vec<Finding>)>,
    requests: usize,
    granted: usize,
    connections: usize,
    faults: usize,
    longest_gap: Option<Gap>,
    waste: Waste,
    doubts: Vec<String>,
}

/// A verdict for programs.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    verdict: Judgement,
    requests: usize,
    pub(super) granted: usize,
    connections: usize,
    faults: usize,
    over_the_limit: usize,
    priority_inversions: usize,
    fifo_inversions: usize,
    unanswered: usize,
    duplicates: usize,
    wasted: usize,
    longest_gap_seconds: Option<f64>,
    waste_percent: Option<f64>,
    inconclusive_because: Vec<String>,
}

/// Judges a history.
pub(super) fn judge(account: &Account) -> Verdict {
    let mut verdict = Verdict { connections: account.connections.len(), ..Verdict::default() };
    let (mut limits, mut urgent, mut order, mut answers, mut once, mut pauses) = Default::default();
    for connection in &account.connections {
        let pushed = |findings: &mut Vec<Finding>, more: Vec<Finding>| findings.extend(more);
        pushed(&mut limits, limit::over_the_limit(connection));
        let (priority, fifo) = turn::inversions(connection);
        let pairs = |count: u64, what: &str| {
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(MOST_PAIRS);
            let what = format!("{}: {what}, by their owner's numbers", connection.name);
            vec![Finding { at: Duration::ZERO, what }; count]
        };
        pushed(&mut urgent, pairs(priority, "a nicer request left before a more urgent one that waited"));
        pushed(&mut urgent, turn::passed_over(account, connection));
        pushed(&mut order, pairs(fifo, "the later of two equals left first"));
        pushed(&mut answers, answer::unanswered(account, connection));
        pushed(&mut once, answer::repeated(account, connection));
        let (gap, finding) = gap::longest(account, connection);
        verdict.longest_gap = verdict.longest_gap.max(gap);
        pushed(&mut pauses, finding.into_iter().collect());
        verdict.waste = verdict.waste.and(waste::of(connection));
        verdict.requests += connection.tries.len();
        verdict.granted += connection.tries.iter().filter(|one| one.grant().is_some()).count();
    }
    verdict.promises = vec![
        ("I1 limit", "calls over their limit", limits),
        ("I2 priority", "times a more urgent request was passed over", urgent),
        ("I3 order", "times the later of two equals left first", order),
        ("I4 answer", "requests without an answer in time", answers),
        ("I5 once", "answers or charges too many", once),
        ("I6 no waste", "times nobody was let go although there was room", pauses),
    ];
    verdict.faults = account.faults.iter().filter(|fault| fault.struck).count();
    if verdict.granted == 0 {
        verdict.doubts.push("nothing was granted".to_owned());
    }
    if account.ended_at.is_none() {
        verdict.doubts.push("it has no line of its end: whoever has no answer may get one".to_owned());
    }
    let missed = account.faults.iter().filter(|fault| !fault.struck);
    verdict.doubts.extend(missed.map(|fault| format!("{:?} was to be done to the cluster and was not", fault.what)));
    verdict
}

/// More pairs in the wrong order than this say no more.
const MOST_PAIRS: usize = 1_000_000;

impl Verdict {
    /// Whether the promises hold.
    pub(crate) fn judgement(&self) -> Judgement {
        if self.promises.iter().any(|(_, _, findings)| !findings.is_empty()) {
            Judgement::Violated
        } else if self.doubts.is_empty() {
            Judgement::Holds
        } else {
            Judgement::Inconclusive
        }
    }

    /// The same for programs.
    pub(crate) fn summary(&self) -> Summary {
        let count = |place: usize| self.promises.get(place).map_or(0, |(_, _, findings)| findings.len());
        Summary {
            verdict: self.judgement(),
            requests: self.requests,
            granted: self.granted,
            connections: self.connections,
            faults: self.faults,
            over_the_limit: count(0),
            priority_inversions: count(1),
            fifo_inversions: count(2),
            unanswered: count(3),
            duplicates: count(4),
            wasted: count(5),
            longest_gap_seconds: self.longest_gap.map(|gap| gap.span.as_secs_f64()),
            waste_percent: self.waste.percent(),
            inconclusive_because: self.doubts.clone(),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let Self { requests, granted, connections, faults, .. } = self;
        writeln!(to, "{requests} requests on {connections} connections, {granted} granted, {faults} faults\n")?;
        for (name, what, findings) in &self.promises {
            let word = if findings.is_empty() { "PASS" } else { "FAIL" };
            writeln!(to, "  {word}  {name:<12} {} {what}", findings.len())?;
            for Finding { at, what } in findings.iter().take(SHOWN) {
                writeln!(to, "          at {:.6} s  {what}", at.as_secs_f64())?;
            }
            if findings.len() > SHOWN {
                writeln!(to, "          and {} more", findings.len() - SHOWN)?;
            }
        }
        if let Some(gap) = self.longest_gap {
            writeln!(to, "\nlongest time without a grant although there was room: {:.3} s", gap.span.as_secs_f64())?;
        }
        if let Some(percent) = self.waste.percent() {
            writeln!(to, "slots that nobody had while somebody waited: {percent:.1} %")?;
        }
        for doubt in &self.doubts {
            writeln!(to, "inconclusive: {doubt}")?;
        }
        let words = match self.judgement() {
            Judgement::Holds => "every promise holds",
            Judgement::Violated => "a promise was broken",
            Judgement::Inconclusive => "no promise was broken, but the history does not show that they hold",
        };
        writeln!(to, "\n{words}")
    }
}
