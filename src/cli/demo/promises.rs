//! The promises, each with what the judge found and whether it holds.
//!
//! Must not: judge. It turns findings into sentences, for the report and for the exit code.

use super::blow::Blow;
use super::judge::{Failover, Findings, OVER_WITHIN, TOLERANCE, Verdict};
use super::traffic::is_saturated;
use crate::cli::connections::ConnectionSpec;

/// Whether a promise held in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// It did.
    Pass,
    /// It did not.
    Fail,
    /// The run was too short to tell.
    NotJudged,
}

impl Held {
    /// The word the report prints.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::NotJudged => "----",
        }
    }

    fn when(condition: bool) -> Self {
        if condition { Self::Pass } else { Self::Fail }
    }
}

/// One promise about a run.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    /// One word.
    pub(crate) name: &'static str,
    /// What was found.
    pub(crate) finding: String,
    /// Whether it held.
    pub(crate) held: Held,
}

/// Every promise, in the order of the documentation.
pub(crate) fn promises(specs: &[ConnectionSpec], verdict: &Verdict, blow: Option<&Blow>, failure: Option<&str>) -> Vec<Promise> {
    let total = &verdict.total;
    let promise = |name, held, finding| Promise { name, finding, held };
    let failover = blow.zip(verdict.failover.as_ref()).map(|(blow, failover)| survived(specs, blow, failover));
    let mut promises = vec![
        promise(
            "limit",
            Held::when(total.refused == 0),
            format!("the platforms refused {} of {} calls", total.refused, total.granted),
        ),
        promise(
            "priority",
            Held::when(total.priority_inversions == 0),
            format!("{} times a nicer request left while a more urgent one waited", total.priority_inversions),
        ),
        promise(
            "order",
            Held::when(total.fifo_inversions == 0),
            format!("{} times the later of two equals left first", total.fifo_inversions),
        ),
        promise("answer", answer(total), answered(total, failure)),
        promise("once", Held::when(total.duplicates == 0), format!("{} requests ran or were answered twice", total.duplicates)),
        no_waste(specs, verdict),
    ];
    promises.extend(failover);
    promises
}

/// Whether none failed; one that could not be judged did not.
pub(crate) fn all_hold(promises: &[Promise]) -> bool {
    promises.iter().all(|promise| promise.held != Held::Fail)
}

fn answer(total: &Findings) -> Held {
    // A run in which nothing was let go has shown nothing.
    Held::when(total.granted > 0 && total.lost == 0 && total.failed == 0)
}

fn answered(total: &Findings, failure: Option<&str>) -> String {
    let failed = match failure {
        None => String::new(),
        Some(first) => format!(", {} failed (the first: {first})", total.failed),
    };
    format!("{} granted, {} still waiting at the end and dropped, {} lost{failed}", total.granted, total.cancelled, total.lost)
}

fn survived(specs: &[ConnectionSpec], blow: &Blow, found: &Failover) -> Promise {
    let Failover { requeued, gap, longest, never_served, inversions } = *found;
    let killed = format!("node {} was killed at {:.1} s", blow.node, blow.at.as_secs_f64());
    let name = longest.and_then(|place| specs.get(place)).map(name).unwrap_or_default();
    let (held, finding) = match gap {
        _ if never_served > 0 => {
            (Held::Fail, format!("{killed}; {never_served} connections whose callers waited there were not served again"))
        }
        None => {
            (Held::NotJudged, format!("{killed}; of the {requeued} who waited there nobody could be served again before the end"))
        }
        Some(gap) => (
            Held::when(gap <= OVER_WITHIN && inversions == 0),
            format!(
                "{killed}; {requeued} waited there and were queued again, {inversions} times out of order; \
                 their next grants came within {:.2} s ({name} last; {:.1} s are allowed)",
                gap.as_secs_f64(),
                OVER_WITHIN.as_secs_f64()
            ),
        ),
    };
    Promise { name: "failover", finding, held }
}

fn no_waste(specs: &[ConnectionSpec], verdict: &Verdict) -> Promise {
    let saturated = specs.iter().filter(|spec| is_saturated(spec)).count();
    let judged = verdict.connections.iter().filter_map(|found| found.utilisation).count();
    let (held, finding) = match verdict.total.utilisation {
        None => (Held::NotJudged, "the run covered too few whole windows of any saturated connection".to_owned()),
        Some(furthest) => {
            let name = verdict.furthest.and_then(|place| specs.get(place)).map(name).unwrap_or_default();
            let finding = format!(
                "{judged} of {saturated} saturated connections judged; furthest from what its margins allow: \
                 {name} {:.4}, expected {:.4} (tolerance {TOLERANCE})",
                furthest.measured, furthest.expected
            );
            (Held::when(furthest.distance() <= TOLERANCE), finding)
        }
    };
    Promise { name: "no waste", finding, held }
}

/// A connection as people write it.
pub(crate) fn name(spec: &ConnectionSpec) -> String {
    format!("{}/{}", spec.platform, spec.connection)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::judge::Utilisation;
    use super::*;

    fn clean() -> Verdict {
        let total = Findings { granted: 7, ..Findings::default() };
        Verdict { total, ..Verdict::default() }
    }

    fn held(verdict: &Verdict) -> bool {
        all_hold(&promises(&[], verdict, Some(&Blow { at: Duration::ZERO, node: 1, owned: Vec::new() }), None))
    }

    #[test]
    fn each_finding_breaks_the_run() {
        assert!(held(&clean()));
        let breaks: [fn(&mut Findings); 8] = [
            |total| total.granted = 0,
            |total| total.refused = 1,
            |total| total.priority_inversions = 1,
            |total| total.fifo_inversions = 1,
            |total| total.lost = 1,
            |total| total.failed = 1,
            |total| total.duplicates = 1,
            |total| total.utilisation = Some(Utilisation { measured: 0.95, expected: 0.97 }),
        ];
        for broken in breaks {
            let mut verdict = clean();
            broken(&mut verdict.total);
            assert!(!held(&verdict), "{verdict:?}");
        }
    }

    #[test]
    fn a_failover_that_takes_long_or_mixes_the_order_breaks_the_run() {
        let survives = |failover| held(&Verdict { failover: Some(failover), ..clean() });
        let good = Failover { requeued: 3, gap: Some(OVER_WITHIN), longest: Some(0), never_served: 0, inversions: 0 };
        assert!(survives(good.clone()) && survives(Failover { gap: None, ..good.clone() }));
        assert!(!survives(Failover { gap: Some(OVER_WITHIN + Duration::from_millis(1)), ..good.clone() }));
        assert!(!survives(Failover { never_served: 1, ..good.clone() }));
        assert!(!survives(Failover { inversions: 1, ..good }));
    }

    #[test]
    fn what_could_not_be_judged_is_said() {
        let promises = promises(&[], &clean(), None, None);
        let unjudged = promises.iter().filter(|promise| promise.held == Held::NotJudged);
        assert_eq!(unjudged.map(|promise| promise.name).collect::<Vec<_>>(), ["no waste"]);
    }
}
