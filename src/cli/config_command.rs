//! `turnstile config`: what a node would run with, without starting it.

use std::io::{self, Write as _};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::settings::{self, Loaded, Origin, Problem, SettingsArgs, Stated};

/// The subcommands of `turnstile config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print "ok", or everything that is wrong, one problem a line, and end with exit code 2
    #[command(after_help = settings::SOURCES)]
    Check(SettingsArgs),
    /// Print each setting, its value, and where it came from
    #[command(after_help = settings::SOURCES)]
    Show(ShowArgs),
}

/// Flags of `turnstile config show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Why `turnstile config` did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The settings are wrong.
    #[error("{} problems with the settings", problems.len())]
    Wrong {
        /// What is wrong.
        problems: Vec<Problem>,
    },
    /// The answer can't be written.
    #[error("cannot write to standard output")]
    Write {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Does what the subcommand says.
///
/// # Errors
/// See [`ConfigError`].
pub(crate) fn run(command: ConfigCommand) -> Result<(), ConfigError> {
    let (answer, loaded) = match command {
        ConfigCommand::Check(args) => {
            let loaded = settings::load(&args, &settings::environment());
            (loaded.settings.as_ref().map_or("", |_| "ok\n").to_owned(), loaded)
        }
        ConfigCommand::Show(args) => {
            let loaded = settings::load(&args.settings, &settings::environment());
            (if args.json { object(&loaded) } else { table(&loaded) }, loaded)
        }
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(answer.as_bytes()).and_then(|()| stdout.flush()).map_err(|source| ConfigError::Write { source })?;
    loaded.settings.map(|_| ()).map_err(|problems| ConfigError::Wrong { problems })
}

fn table(loaded: &Loaded) -> String {
    let rows = loaded.stated.iter().map(|stated| [stated.place.key.name().to_owned(), value(stated), source(stated)]);
    let rows: Vec<[String; 3]> = rows.collect();
    let width = |cell: fn(&[String; 3]) -> &String| rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0);
    let (keys, values) = (width(|[key, _, _]| key), width(|[_, value, _]| value));
    let line = |[key, value, source]: &[String; 3]| format!("{key:keys$}  {value:values$}  {source}\n");
    rows.iter().map(line).collect()
}

fn object(loaded: &Loaded) -> String {
    let rows = loaded.stated.iter().map(|stated| {
        let key = stated.place.key;
        let mut row = match &stated.place.origin {
            Origin::Default => json!({ "source": "default" }),
            Origin::File(path) => json!({ "source": "file", "name": path.to_string_lossy() }),
            Origin::Environment => json!({ "source": "environment", "name": key.variable() }),
            Origin::Flag => json!({ "source": "flag", "name": key.flag() }),
        };
        if let Value::Object(row) = &mut row {
            row.insert("value".to_owned(), stated.value.clone().unwrap_or(Value::Null));
            if let Some(place) = &stated.overruled_by {
                row.insert("overruled_by".to_owned(), place.to_string().into());
            }
        }
        (key.name().to_owned(), row)
    });
    format!("{:#}\n", Value::Object(rows.collect::<Map<String, Value>>()))
}

fn value(stated: &Stated) -> String {
    match &stated.value {
        None => "-".to_owned(),
        // Control characters of a file must not reach the terminal.
        Some(Value::String(text)) => text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'"),
        Some(other) => other.to_string(),
    }
}

fn source(stated: &Stated) -> String {
    let key = stated.place.key;
    let source = match &stated.place.origin {
        Origin::Default => "default".to_owned(),
        Origin::File(path) => format!("file {}", path.display()),
        Origin::Environment => format!("environment {}", key.variable()),
        Origin::Flag => format!("flag {}", key.flag()),
    };
    match &stated.overruled_by {
        Some(place) => format!("{source}, overruled by {place}"),
        None => source,
    }
}
