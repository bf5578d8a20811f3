//! What can be wrong with the settings.

use std::io;
use std::path::PathBuf;

use super::key::{Key, Place};

/// One thing to correct.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The file can't be read.
    #[error("{named_by}: cannot read {}: {source}", path.display())]
    Unreadable {
        /// The flag or variable that names the file.
        named_by: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}, line {line}, column {column}: not TOML: {reason}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
        /// What the parser said.
        reason: String,
    },
    /// The file has a key that is no setting.
    #[error("{}: {name} is not a setting{}", path.display(), hint(suggestion.map(Key::name)))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key as written.
        name: String,
        /// What may be meant.
        suggestion: Option<Key>,
    },
    /// The environment has a variable of ours that is no setting.
    #[error("{name} in the environment is not a setting{}", hint(suggestion.map(Key::variable)))]
    UnknownVariable {
        /// The variable as written.
        name: String,
        /// What may be meant.
        suggestion: Option<Key>,
    },
    /// A variable that is not text.
    #[error("{name} is {value}; it must be UTF-8")]
    NotUtf8 {
        /// The variable.
        name: String,
        /// Its value, with what is no text escaped.
        value: String,
    },
    /// A value that breaks the setting's rule.
    #[error("{place} is {value}; it must be {rule}")]
    Value {
        /// Where it was said.
        place: Place,
        /// The value as written.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// Two places for one log.
    #[error("{data} and {memory} are both given; the log is kept in a directory or in memory, not in both")]
    TwoStorages {
        /// Where the directory was said.
        data: Place,
        /// Where memory was said.
        memory: Place,
    },
    /// No place for the log.
    #[error("nothing says where the log is kept; give --data DIRECTORY, or --memory if limits may be forgotten with the process")]
    NoStorage,
}

impl Problem {
    /// Whether a source couldn't be read, so that nobody knows what it says.
    pub(super) const fn hides_settings(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::NotToml { .. })
    }
}

fn hint(suggestion: Option<impl AsRef<str>>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean {}?", name.as_ref()))
}
