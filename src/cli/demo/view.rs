//! The run while it goes on: a page redrawn in place on a terminal, else a line every few seconds.
//!
//! Promises: the terminal is as before when the view is dropped, whatever ended the run. What can't be
//! written is left out: a closed pipe does not end a run.

use std::io::{self, IsTerminal as _};
use std::num::NonZeroU32;
use std::time::Duration;

use super::journal::{Glance, Journal};
use super::promises::name;
use super::style::{self, Ink, Palette};
use super::traffic::Kind;
use crate::cli::connections::ConnectionSpec;
use crate::cli::screen::Screen;
use crate::cli::time;

/// Between two drawings of the page.
const FRAME: Duration = Duration::from_millis(150);

/// Between two progress lines.
const LINE: Duration = Duration::from_secs(3);

const BAR_CELLS: u32 = 12;

/// What a run is, for its heading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heading {
    /// How long it is to take.
    pub(crate) duration: Duration,
    /// How many nodes the cluster has.
    pub(crate) nodes: u32,
    /// How many workers share the load.
    pub(crate) workers: NonZeroU32,
    /// Where its randomness starts.
    pub(crate) seed: u64,
}

/// Shows the run.
#[derive(Debug)]
pub(crate) struct View {
    heading: Heading,
    place: Place,
    /// What has been done to the cluster.
    remark: Option<String>,
}

#[derive(Debug)]
enum Place {
    Page(Palette, Screen),
    LinesOnStdout,
    LinesOnStderr,
}

impl View {
    /// Opens the page if standard output is a terminal and not reserved for the result.
    pub(crate) fn open(heading: Heading, stdout_is_reserved: bool) -> Self {
        let place = if stdout_is_reserved {
            Place::LinesOnStderr
        } else if io::stdout().is_terminal() {
            Place::Page(Palette::for_terminal(true), Screen::enter())
        } else {
            Place::LinesOnStdout
        };
        Self { heading, place, remark: None }
    }

    /// Shows the run until it is dropped. Cancel-safe.
    pub(crate) async fn follow(&self, specs: &[ConnectionSpec], journal: &Journal) {
        loop {
            let interval = match &self.place {
                Place::Page(..) => FRAME,
                Place::LinesOnStdout | Place::LinesOnStderr => LINE,
            };
            time::sleep(interval).await;
            let glances = journal.glance();
            let elapsed = journal.now();
            match &self.place {
                Place::Page(palette, screen) => screen.draw(&self.page(*palette, specs, &glances, elapsed)),
                Place::LinesOnStdout => write(&mut io::stdout(), &self.line(&glances, elapsed)),
                Place::LinesOnStderr => write(&mut io::stderr(), &self.line(&glances, elapsed)),
            }
        }
    }

    /// Shows from now on what has been done to the cluster, in a sentence.
    pub(crate) fn remark(&mut self, remark: String) {
        match &self.place {
            Place::Page(..) => {}
            Place::LinesOnStdout => write(&mut io::stdout(), &format!("{remark}\n")),
            Place::LinesOnStderr => write(&mut io::stderr(), &format!("{remark}\n")),
        }
        self.remark = Some(remark);
    }

    fn line(&self, glances: &[Glance], elapsed: Duration) -> String {
        let sum = Sum::of(glances);
        let waiting = Kind::ALL.map(|kind| format!("{} {}", sum.waiting(kind), kind.name()));
        format!(
            "{:>4} of {} s: {} granted, {} refused by the platforms, waiting: {}\n",
            elapsed.as_secs(),
            self.heading.duration.as_secs(),
            sum.granted,
            sum.refused,
            waiting.join(", "),
        )
    }

    fn page(&self, palette: Palette, specs: &[ConnectionSpec], glances: &[Glance], elapsed: Duration) -> String {
        let Heading { duration, nodes, workers, seed } = self.heading;
        let sum = Sum::of(glances);
        let done = style::bar(millis(elapsed.min(duration)), millis(duration), BAR_CELLS);
        let mut page = String::new();
        let title = palette.paint(Ink::Strong, "turnstile demo");
        let of = format!("{:5.1} of {} s", elapsed.as_secs_f64(), duration.as_secs());
        let crew = palette.paint(Ink::Faint, &format!("{nodes} nodes, {workers} workers, seed {seed}"));
        add(&mut page, format_args!(" {title}  {of}  {done}  {crew}\n\n"));
        let columns = format!(
            " {:<21}{:<14}{:>7}  {:<22}{:>7}{:>7}{:>8}{:>8}",
            "connection", "limit", "granted", "rolling window", "urgent", "normal", "garbage", "refused"
        );
        add(&mut page, format_args!("{}\n", palette.paint(Ink::Faint, &columns)));
        for (spec, glance) in specs.iter().zip(glances) {
            rows(&mut page, palette, spec, glance);
        }
        let waiting: u64 = Kind::ALL.iter().map(|kind| sum.waiting(*kind)).sum();
        let refused = refusals(palette, sum.refused, 0);
        let per_second = f64::from(u32::try_from(sum.granted).unwrap_or(u32::MAX)) / elapsed.as_secs_f64().max(0.1);
        add(
            &mut page,
            format_args!(
                "\n {} granted, {per_second:.0} a second   {waiting} waiting   {refused} refused by the platforms\n",
                sum.granted
            ),
        );
        if let Some(remark) = &self.remark {
            add(&mut page, format_args!(" {}\n", palette.paint(Ink::Notable, remark)));
        }
        let hint = palette.paint(Ink::Faint, " urgent, normal, garbage: how many wait now.  Ctrl-C ends the run and judges it.");
        add(&mut page, format_args!("{hint}\n"));
        page
    }
}

/// One row for each limit; the first also carries the connection's numbers.
fn rows(page: &mut String, palette: Palette, spec: &ConnectionSpec, glance: &Glance) {
    for (number, (limit, held)) in spec.limits.iter().zip(&glance.in_window).enumerate() {
        let most = limit.requests.get();
        let bar = style::bar(*held, most, BAR_CELLS);
        let ink = if *held >= most { Ink::Good } else { Ink::Notable };
        let bar = palette.paint(ink, &bar);
        let share = palette.paint(Ink::Faint, &format!("{:<9}", format!("{held}/{most}")));
        let limit = style::limit(limit);
        if number > 0 {
            add(page, format_args!(" {:<21}{limit:<14}{:>7}  {bar} {share}\n", "", ""));
            continue;
        }
        let name = format!("{:<21}", name(spec));
        let granted = glance.granted;
        add(page, format_args!(" {name}{limit:<14}{granted:>7}  {bar} {share}"));
        for (kind, width) in Kind::ALL.into_iter().zip([7, 7, 8]) {
            let waiting = glance.waiting.get(&kind.niceness()).copied().unwrap_or(0);
            let text = format!("{waiting:>width$}");
            let ink = if waiting == 0 { Ink::Faint } else { Ink::Strong };
            page.push_str(&palette.paint(ink, &text));
        }
        let refused = refusals(palette, glance.refused, 8);
        add(page, format_args!("{refused}\n"));
    }
}

fn refusals(palette: Palette, refused: u64, width: usize) -> String {
    let ink = if refused == 0 { Ink::Good } else { Ink::Bad };
    palette.paint(ink, &format!("{refused:>width$}"))
}

/// All connections together.
#[derive(Default)]
struct Sum {
    granted: u64,
    refused: u64,
    waiting: std::collections::BTreeMap<u32, u64>,
}

impl Sum {
    fn of(glances: &[Glance]) -> Self {
        let mut sum = Self::default();
        for glance in glances {
            sum.granted += glance.granted;
            sum.refused += glance.refused;
            for (niceness, waiting) in &glance.waiting {
                *sum.waiting.entry(*niceness).or_default() += waiting;
            }
        }
        sum
    }

    fn waiting(&self, kind: Kind) -> u64 {
        self.waiting.get(&kind.niceness()).copied().unwrap_or(0)
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.push_str(&text.to_string());
}

fn write(to: &mut dyn io::Write, text: &str) {
    to.write_all(text.as_bytes()).and_then(|()| to.flush()).ok();
}
