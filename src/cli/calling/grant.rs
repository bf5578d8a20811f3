//! A grant, and "not now", as they are printed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::turn::Ended;
use crate::cli::ask::AskError;
use crate::cli::ask::words::{seconds, set_seconds};
use crate::wire::fields::{required_span, span};
use crate::wire::v1;

/// How a turn ended, for programs: one line.
///
/// # Errors
/// When the grant lacks what it must have.
pub(super) fn json_line(ended: &Ended) -> Result<String, AskError> {
    let object = match ended {
        Ended::NotNow(retry_after) => {
            let mut object = json!({ "granted": false });
            set_seconds(&mut object, "retryAfterSeconds", Some(*retry_after));
            object
        }
        Ended::Granted(grant) => {
            let Grant { waited, start_within, request_id, permit } = Grant::read(grant)?;
            let mut object = json!({
                "granted": true,
                "permit": permit,
                "arrival": grant.arrival,
                "release": grant.release,
                "requestId": request_id,
            });
            set_seconds(&mut object, "waitedSeconds", Some(waited));
            set_seconds(&mut object, "startWithinSeconds", start_within);
            object
        }
    };
    Ok(format!("{}\n", Value::to_string(&object)))
}

/// The same for people.
///
/// # Errors
/// As for [`json_line`].
pub(super) fn page(ended: &Ended) -> Result<String, AskError> {
    match ended {
        Ended::NotNow(retry_after) => Ok(not_now(*retry_after) + "\n"),
        Ended::Granted(grant) => {
            let Grant { waited, start_within, request_id, permit } = Grant::read(grant)?;
            let start = start_within.map_or_else(|| "at any time".to_owned(), |span| format!("within {}", seconds(span)));
            Ok(format!("granted after {}: start {start}\nrequest {request_id}\npermit  {permit}\n", seconds(waited)))
        }
    }
}

/// When to come back, in words.
pub(super) fn not_now(retry_after: Duration) -> String {
    format!("no slot now; not before {} from now", seconds(retry_after))
}

struct Grant {
    waited: Duration,
    start_within: Option<Duration>,
    request_id: String,
    permit: String,
}

impl Grant {
    fn read(grant: &v1::Grant) -> Result<Self, AskError> {
        Ok(Self {
            waited: required_span("waited", grant.waited)?,
            start_within: grant.start_within.map(|within| span("start_within", within)).transpose()?,
            request_id: grant.request_id.iter().map(|byte| format!("{byte:02x}")).collect(),
            permit: URL_SAFE_NO_PAD.encode(&grant.permit),
        })
    }
}
