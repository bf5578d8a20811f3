//! Every example of the README: Rust is a part of a program in `examples/`, which runs; settings are valid; what is typed into a shell does what stands below it.
//!
//! Of a command's output digits, ids and spaces may differ, `…` stands for anything, and lines between those that are shown may be missing. What `make` is told must be a
//! target, and starts nothing here.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where it finds what it did not expect"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const README: &str = include_str!("../README.md");

/// Where the README's commands find a node.
const DEFAULT_ADDRESS: &str = "127.0.0.1:7878";

/// What begins a command whose nodes are not the one that runs here, or that this machine can't run: it is looked at, and not run.
const ONLY_LOOKED_AT: [&str; 3] = ["grpcurl ", "turnstile node ", "turnstile recover "];

/// The blocks of a language, without their fences.
fn blocks(language: &str) -> Vec<Vec<&'static str>> {
    let (mut blocks, mut open): (Vec<Vec<&str>>, Option<bool>) = (Vec::new(), None);
    for line in README.lines() {
        match (line.trim_start().strip_prefix("```"), open) {
            (Some(said), None) => {
                open = Some(said == language);
                if said == language {
                    blocks.push(Vec::new());
                }
            }
            (Some(_), Some(_)) => open = None,
            (None, Some(true)) => blocks.last_mut().unwrap().push(line),
            (None, _) => {}
        }
    }
    blocks
}

fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_turnstile"))
}

#[test]
fn rust_is_a_part_of_an_example_and_every_example_runs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    let sources: Vec<Vec<String>> = files.iter().map(|file| lines(&std::fs::read_to_string(file).unwrap())).collect();
    let blocks = blocks("rust");
    assert!(blocks.len() >= 3, "{blocks:?}");
    for block in blocks {
        let block = lines(&block.join("\n"));
        let is_there = sources.iter().any(|source| source.windows(block.len()).any(|part| part == block));
        assert!(is_there, "no example has these lines: {block:#?}");
    }
    for file in files {
        let example = binary().parent().unwrap().join("examples").join(file.file_stem().unwrap());
        assert!(example.exists(), "{example:?} is built by cargo test, or by cargo build --examples");
        let said = Command::new(&example).stdin(Stdio::null()).output().unwrap();
        assert!(said.status.success(), "{example:?}: {}", String::from_utf8_lossy(&said.stderr));
    }
}

#[test]
fn settings_are_valid() {
    let home = tempfile::tempdir().unwrap();
    let blocks = blocks("toml");
    assert!(!blocks.is_empty());
    for block in blocks {
        let file = home.path().join("turnstile.toml");
        std::fs::write(&file, block.join("\n")).unwrap();
        let said = bash(home.path(), "", &format!("turnstile config check --config {}", file.display()));
        assert_eq!(said.1, Some(0), "{block:?}: {}", said.0);
    }
}

#[test]
fn what_is_typed_into_a_shell_does_what_stands_below_it() {
    let home = tempfile::tempdir().unwrap();
    let mut commands = 0;
    for block in blocks("") {
        // What one block has used up is there for the next.
        let node = Node::start();
        for (command, expected) in commands_of(&block) {
            commands += 1;
            if let Some(told) = command.strip_prefix("make ") {
                told.split("&&").for_each(|told| is_target(told.trim().trim_start_matches("make ")));
            } else if !ONLY_LOOKED_AT.iter().any(|begin| command.starts_with(begin)) {
                let (said, code) = bash(home.path(), &node.address, &command);
                expect(&command, &expected, &said, code);
            }
        }
    }
    assert!(commands >= 8, "only {commands}");
}

/// The commands of a block, which begin with `$ ` and go on in indented lines, each with what it says.
fn commands_of(block: &[&str]) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in block {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), Vec::new()));
        } else if let Some((command, said)) = commands.last_mut() {
            if line.starts_with("    ") && said.is_empty() && command.matches('\'').count() % 2 == 1 {
                command.push_str(&format!("\n{line}"));
            } else {
                said.push((*line).to_owned());
            }
        }
    }
    commands
}

fn is_target(told: &str) {
    let told: Vec<&str> = told.split_whitespace().collect();
    let said = Command::new("make").arg("-n").args(&told).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(said.status.success(), "make {told:?}: {}", String::from_utf8_lossy(&said.stderr));
}

/// What a command says on both outputs, and its exit code.
fn bash(home: &Path, address: &str, command: &str) -> (String, Option<i32>) {
    let path = format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TURNSTILE_") {
            bash.env_remove(name);
        }
    }
    if !address.is_empty() {
        bash.env("TURNSTILE_NODES", address);
    }
    let command = format!("exec 2>&1; {}", command.replace(DEFAULT_ADDRESS, address));
    let said = bash.args(["-c", &command]).env("PATH", path).current_dir(home).stdin(Stdio::null()).output().unwrap();
    (String::from_utf8_lossy(&said.stdout).into_owned(), said.status.code())
}

/// Fails unless every line that is expected is there, in order.
fn expect(command: &str, expected: &[String], said: &str, code: Option<i32>) {
    let mut lines = said.lines().map(shape);
    for line in expected.iter().filter(|line| !line.trim().is_empty()) {
        let wanted = shape(line);
        let parts: Vec<&str> = wanted.split('…').collect();
        let fits = |line: String| {
            let mut rest = line.as_str();
            parts.iter().all(|part| rest.find(part).map(|at| rest = &rest[at + part.len()..]).is_some())
        };
        assert!(lines.any(fits), "$ {command}\nexit code {code:?}, and no line like {line:?} in\n{said}");
    }
    assert!(code.is_some_and(|code| code < 2), "$ {command}\nexit code {code:?}\n{said}");
}

/// A line without what differs from run to run: numbers and ids become `#`, spaces one space, rules one dash.
fn shape(line: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_hexdigit() || letter == '.' || letter == '-';
    let words = line.split_inclusive(|letter: char| !is_part(letter) && !letter.is_alphanumeric() && letter != '_');
    let word = |word: &str| {
        let (body, end) = match word.chars().last() {
            Some(last) if !is_part(last) && !last.is_alphanumeric() && last != '_' => word.split_at(word.len() - last.len_utf8()),
            _ => (word, ""),
        };
        let is_id = body.len() >= 8 && body.chars().all(is_part);
        let has_digit = body.chars().any(|letter| letter.is_ascii_digit());
        format!("{}{end}", if is_id || has_digit { "#" } else { body })
    };
    words.map(word).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A node that serves; killed when it is dropped.
struct Node {
    process: Child,
    address: String,
}

impl Node {
    fn start() -> Self {
        let mut command = Command::new(binary());
        command.args(["node", "--memory", "--listen", "127.0.0.1:0", "--log", "warn"]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let address = ready.split("\"listening\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an address");
        Self { process, address: address.to_owned() }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
