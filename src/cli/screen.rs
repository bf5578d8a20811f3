//! The terminal's other screen, for pages that are drawn again and again in place.
//!
//! Promises: the terminal is as before when the screen is dropped, whatever ended its page. What can't be written is left out.

use std::io::{self, Write as _};

/// The other screen, no cursor, and lines cut off instead of wrapped.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Standard output as a page, until it is dropped.
#[derive(Debug)]
pub(crate) struct Screen(());

impl Screen {
    /// Goes to the other screen.
    pub(crate) fn enter() -> Self {
        write(ENTER);
        Self(())
    }

    /// Draws a page in place of the one before, as much of it as there is room for.
    pub(crate) fn draw(&self, page: &str) {
        write(&in_place(page, height()));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        write(LEAVE);
    }
}

/// How many lines the terminal has, if it says.
fn height() -> usize {
    let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_row);
    if rows == 0 { usize::MAX } else { rows.into() }
}

/// The page with each line at its own row, so that a screen of any height neither scrolls nor flickers.
fn in_place(page: &str, height: usize) -> String {
    let lines = (1..).zip(page.lines().take(height));
    let mut drawn: String = lines.map(|(row, line)| format!("\x1b[{row};1H{line}\x1b[K")).collect();
    drawn.push_str("\x1b[J");
    drawn
}

fn write(text: &str) {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_row_and_what_has_no_room_is_left_out() {
        assert_eq!(in_place("a\nb\nc\n", 2), "\x1b[1;1Ha\x1b[K\x1b[2;1Hb\x1b[K\x1b[J");
    }
}
