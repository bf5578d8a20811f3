//! Colours, bars and durations as the terminal shows them.

use std::time::Duration;

use crate::cli::connections::Limit;

/// Paints or leaves text alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Palette {
    colours: bool,
}

/// What a piece of text is, which decides its colour.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ink {
    /// A title.
    Strong,
    /// Less important than the rest.
    Faint,
    /// As it should be.
    Good,
    /// As it should not be.
    Bad,
    /// Undecided, or attracting attention.
    Notable,
}

impl Palette {
    /// Colours for a terminal, unless the environment asks for none (no-color.org).
    pub(crate) fn for_terminal(is_terminal: bool) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: is_terminal && !unwanted }
    }

    /// The text in its colour. Widths must be applied before: escapes have none.
    pub(crate) fn paint(self, ink: Ink, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Strong => "1",
            Ink::Faint => "2",
            Ink::Good => "32",
            Ink::Bad => "1;31",
            Ink::Notable => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// A bar of `cells` characters, filled to `part` of `whole` in steps of an eighth of a character.
pub(crate) fn bar(part: u32, whole: u32, cells: u32) -> String {
    let eighths = (u64::from(part) * u64::from(cells) * 8).checked_div(u64::from(whole)).unwrap_or(0);
    (0..u64::from(cells))
        .map(|cell| match eighths.saturating_sub(cell * 8) {
            0 => '·',
            1 => '▏',
            2 => '▎',
            3 => '▍',
            4 => '▌',
            5 => '▋',
            6 => '▊',
            7 => '▉',
            _ => '█',
        })
        .collect()
}

/// "20 per 2 s", and by which algorithm unless it is the default one.
pub(crate) fn limit(limit: &Limit) -> String {
    let by = if limit.algorithm.is_bucket() { format!(" by {}", limit.algorithm) } else { String::new() };
    format!("{} per {} s{by}", limit.requests, limit.window.as_secs_f64())
}

/// Seconds with as many digits as are of interest.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        format!("{:.3}", duration.as_secs_f64())
    } else {
        format!("{:.1}", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_by_eighths_and_never_overflows() {
        assert_eq!(bar(0, 5, 4), "····");
        assert_eq!(bar(5, 5, 4), "████");
        assert_eq!(bar(1, 2, 3), "█▌·");
        assert_eq!(bar(9, 5, 2), "██");
        assert_eq!(bar(1, 0, 2), "··");
    }
}
