//! `turnstile top` on a terminal: one that `script` opens, which every Debian has.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use crate::support::{Running, turnstile};

/// To the other screen, without a cursor and without wrapping; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// More than any page that is waited for.
const MOST_BYTES: usize = 1 << 20;

/// A command at a terminal of its own.
struct Terminal {
    script: Child,
    /// What the terminal was sent and nobody has looked at.
    sent: String,
}

impl Terminal {
    /// A terminal of so many rows, in which `top` looks at a node.
    fn showing_top_of(node: &Running, rows: u16) -> Self {
        let top = turnstile(&["top", "--every", "0.1"]);
        let words = [top.get_program()].into_iter().chain(top.get_args()).map(|word| word.to_str().unwrap());
        let command = format!("stty rows {rows} cols 100 && exec '{}'", words.collect::<Vec<_>>().join("' '"));
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]).env("TURNSTILE_NODES", &node.address);
        let script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { script, sent: String::new() }
    }

    /// What it was sent up to this text, and with it.
    fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.sent.find(text) {
                let rest = self.sent.split_off(at + text.len());
                return std::mem::replace(&mut self.sent, rest);
            }
            assert!(self.sent.len() < MOST_BYTES, "{text:?} never came: {:?}", self.sent);
            let mut bytes = [0; 4096];
            let length = self.script.stdout.as_mut().unwrap().read(&mut bytes).unwrap();
            assert!(length > 0, "it ended before {text:?} came: {:?}", self.sent);
            self.sent.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    }

    fn press(&mut self, key: &str) {
        self.script.stdin.as_mut().unwrap().write_all(key.as_bytes()).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself; its command ends with its terminal.
        self.script.kill().ok();
        self.script.wait().ok();
    }
}

#[test]
fn a_page_is_drawn_in_place_until_ctrl_c_and_the_terminal_is_as_before() {
    let node = Running::in_memory();
    let try_one = |connection: &str| {
        let words = ["try", "--platform", "test", "--connection", connection, "--limit", "9/1h"];
        assert_eq!(node.asked(&words).code, Some(0));
    };
    try_one("first");
    let mut terminal = Terminal::showing_top_of(&node, 24);
    assert!(terminal.until("\x1b[1;1H").ends_with(&format!("{ENTER}\x1b[1;1H")));
    assert!(terminal.until("test/first").contains("nodes that answer: 1 of 1"));
    // The next look, drawn over the one before.
    try_one("second");
    let drawn = terminal.until("test/second");
    assert!(drawn.contains("\x1b[1;1H") && !drawn.contains('\n'), "{drawn:?}");
    terminal.press("\x03");
    let left = terminal.until(LEAVE);
    assert!(!left.contains(ENTER), "{left:?}");
    assert_eq!(terminal.script.wait().unwrap().code(), Some(0));
}

#[test]
fn a_page_ends_where_the_terminal_does() {
    let node = Running::in_memory();
    let mut terminal = Terminal::showing_top_of(&node, 2);
    terminal.until("\x1b[2;1H");
    let rest = terminal.until("\x1b[1;1H");
    assert!(!rest.contains("\x1b[3;1H") && rest.contains("\x1b[J"), "{rest:?}");
    terminal.press("\x03");
    terminal.until(LEAVE);
}
