//! The verdict as people read it.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::judge::{Findings, Verdict, Waits};
use super::promises::{Held, Promise, all_hold, name};
use super::style::{self, Ink, Palette};
use super::traffic::{Kind, is_saturated};
use super::view::Heading;
use crate::cli::connections::ConnectionSpec;

/// Everything the report shows; printed by its `Display`.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// In the order of the findings.
    pub(crate) specs: &'a [ConnectionSpec],
    /// What was found.
    pub(crate) verdict: &'a Verdict,
    /// What that means.
    pub(crate) promises: &'a [Promise],
    /// How long the load lasted.
    pub(crate) lasted: Duration,
    /// What it was.
    pub(crate) heading: Heading,
    /// With or without colours.
    pub(crate) palette: Palette,
}

impl Display for Report<'_> {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let title = format!(
            "turnstile demo: {:.1} s, {} nodes, {} workers, seed {}",
            self.lasted.as_secs_f64(),
            self.heading.nodes,
            self.heading.workers,
            self.heading.seed
        );
        writeln!(to, "{}\n", self.palette.paint(Ink::Strong, &title))?;
        self.connections(to)?;
        writeln!(to)?;
        self.waits(to)?;
        writeln!(to)?;
        self.promises(to)
    }
}

impl Report<'_> {
    fn connections(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let columns = format!(
            "  {:<22}{:<29}{:>8}{:>9}{:>13}{:>10}",
            "connection", "limits", "granted", "refused", "utilisation", "expected"
        );
        writeln!(to, "{}", self.palette.paint(Ink::Faint, &columns))?;
        for (spec, found) in self.specs.iter().zip(&self.verdict.connections) {
            let limits: Vec<_> = spec.limits.iter().map(style::limit).collect();
            let (measured, expected) = shares(spec, found);
            let row = format!(
                "  {:<22}{:<29}{:>8}{:>9}{measured:>13}{expected:>10}",
                name(spec),
                limits.join(" and "),
                found.granted,
                found.refused
            );
            writeln!(to, "{}", row.trim_end())?;
        }
        let total = &self.verdict.total;
        let sum = format!("  {:<51}{:>8}{:>9}", "together", total.granted, total.refused);
        writeln!(to, "{}", self.palette.paint(Ink::Strong, &sum))
    }

    fn waits(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let heads = Kind::ALL.map(|kind| format!("{:>19}", format!("{} ({})", kind.name(), kind.niceness())));
        let columns = format!("  {:<25}{}", "seconds in the queue", heads.concat());
        writeln!(to, "{}", self.palette.paint(Ink::Faint, &columns))?;
        let columns = format!("  {:<25}{}", "", format!("{:>10}{:>9}", "p50", "p99").repeat(Kind::ALL.len()));
        writeln!(to, "{}", self.palette.paint(Ink::Faint, &columns))?;
        let saturated = self.specs.iter().zip(&self.verdict.connections);
        for (spec, found) in saturated.filter(|(spec, _)| is_saturated(spec)) {
            writeln!(to, "  {:<25}{}", name(spec), percentiles(found))?;
        }
        let sum = format!("  {:<25}{}", "all with short windows", percentiles(&self.verdict.total));
        writeln!(to, "{}", self.palette.paint(Ink::Strong, &sum))
    }

    fn promises(&self, to: &mut Formatter<'_>) -> fmt::Result {
        for promise in self.promises {
            let ink = match promise.held {
                Held::Pass => Ink::Good,
                Held::Fail => Ink::Bad,
                Held::NotJudged => Ink::Notable,
            };
            let word = self.palette.paint(ink, promise.held.word());
            writeln!(to, "  {word}  {:<9} {}", promise.name, promise.finding)?;
        }
        let unjudged = self.promises.iter().any(|promise| promise.held == Held::NotJudged);
        let (ink, words) = match (all_hold(self.promises), unjudged) {
            (true, false) => (Ink::Good, "every promise held"),
            (true, true) => (Ink::Notable, "no promise was broken; the run was too short to judge all"),
            (false, _) => (Ink::Bad, "a promise was broken"),
        };
        writeln!(to, "\n{}", self.palette.paint(ink, words))
    }
}

fn shares(spec: &ConnectionSpec, found: &Findings) -> (String, String) {
    match found.utilisation {
        Some(share) => (format!("{:.4}", share.measured), format!("{:.4}", share.expected)),
        None if is_saturated(spec) => ("too short".to_owned(), String::new()),
        None => (String::new(), String::new()),
    }
}

fn percentiles(found: &Findings) -> String {
    let columns = Kind::ALL.map(|kind| match found.waits.get(&kind.niceness()) {
        Some(Waits { p50, p99 }) => {
            format!("{:>10}{:>9}", style::seconds(*p50), style::seconds(*p99))
        }
        None => format!("{:>10}{:>9}", "-", "-"),
    });
    columns.concat()
}
