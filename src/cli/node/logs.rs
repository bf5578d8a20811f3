//! The log of `turnstile node` and `turnstile recover`, on standard error: standard output is for what they have to say.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::cli::settings::LogFormat;

/// Sends the log to standard error from now on. As JSON each line is an object of `timestamp`, `level`, `target`, `message` and the fields of what is told, beside them:
/// no field may have one of those names.
///
/// # Errors
/// When this process has a log already.
pub(in crate::cli) fn start(filter: Targets, format: LogFormat) -> Result<(), TryInitError> {
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => {
            let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            lines.with_ansi(io::stderr().is_terminal() && !no_color).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()?;
    if format == LogFormat::Json {
        // Who reads lines of JSON reads no others.
        std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a thread has panicked")));
    }
    Ok(())
}
