//! The gate around the pure engine bites: an engine that names the shell does not compile without the shell.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "a test stops where it finds what it did not expect"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A copy of the library and its engine, without anything that stands beside them.
struct Copy(tempfile::TempDir);

impl Copy {
    fn new() -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        fs::write(copy.path("Cargo.toml"), library_only(&manifest)).unwrap();
        fs::copy(root.join("Cargo.lock"), copy.path("Cargo.lock")).unwrap();
        fs::create_dir(copy.path("src")).unwrap();
        fs::copy(root.join("src/lib.rs"), copy.path("src/lib.rs")).unwrap();
        copy_folder(&root.join("src/engine"), &copy.path("src/engine"));
        copy
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The check that guards the engine, as `make verify` runs it.
    fn check(&self) -> Output {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["check", "--lib", "--no-default-features", "--offline", "--quiet"]).current_dir(self.0.path());
        // Its own folder, kept between runs: the first run takes a few seconds longer, and no other build waits for it.
        cargo.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("pure-gate"));
        cargo.output().unwrap()
    }
}

/// The manifest without the targets whose files are not copied.
fn library_only(manifest: &str) -> String {
    let is_target = |table: &str| ["bin", "test", "bench", "example"].iter().any(|kind| table.starts_with(&format!("[{kind}]]")));
    let tables = manifest.split("\n[").filter(|table| !is_target(table));
    let kept = tables.collect::<Vec<_>>().join("\n[");
    kept.lines().filter(|line| !line.starts_with("build =")).map(|line| format!("{line}\n")).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn the_engine_compiles_without_the_shell_and_no_longer_when_it_names_tokio() {
    let copy = Copy::new();
    let pure = copy.check();
    assert!(pure.status.success(), "{}", String::from_utf8_lossy(&pure.stderr));

    let ring = copy.path("src/engine/ring.rs");
    let text = fs::read_to_string(&ring).unwrap();
    let impure = text.replacen("\nuse ", "\nuse tokio as _;\nuse ", 1);
    assert_ne!(impure, text);
    fs::write(&ring, impure).unwrap();
    let refused = copy.check();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("tokio") && told.contains("ring.rs"), "{told}");
}
