//! Messages that can't be read: the library calls that INTERNAL or OUT_OF_RANGE; by the table of errors it is the client's fault.

use axum::response::Response;
use tonic::{Code, Status};

use crate::api::MAX_MESSAGE_BYTES;
use crate::api::problem::Problem;
use crate::wire::fields::BadField;

/// What begins what is said of bytes that are no message.
const NO_MESSAGE: &str = "failed to decode Protobuf message: ";

/// The same answer, unless it says that a message could not be read.
pub(super) async fn reword(response: Response) -> Response {
    match Status::from_header_map(response.headers()).as_ref().and_then(problem) {
        Some(problem) => Status::from(problem).into_http(),
        None => response,
    }
}

/// The same status, unless it says that a message could not be read.
pub(super) fn reworded(status: Status) -> Status {
    problem(&status).map_or(status, Status::from)
}

/// Nothing of ours is ever INTERNAL, so that it is what the client has sent.
fn problem(status: &Status) -> Option<Problem> {
    let is_too_large = status.code() == Code::OutOfRange;
    let unreadable = (status.code() == Code::Internal).then(|| bad_field(status.message()).into());
    unreadable.or_else(|| is_too_large.then(|| Problem::bound_reached("bytes of a message", MAX_MESSAGE_BYTES)))
}

/// The field, by its path from the outermost message to the innermost, and what is wrong with it. The library says it the other way round, as
/// `ConnectionKey.platform: Acquire.key: …`.
fn bad_field(message: &str) -> BadField {
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let field =
        |part: &'_ str| part.split_once('.').filter(|(of, name)| is_name(of) && is_name(name)).map(|(_, name)| name.to_owned());
    let mut path = Vec::new();
    let mut rest = message.strip_prefix(NO_MESSAGE).unwrap_or(message);
    while let Some((part, more)) = rest.split_once(": ")
        && let Some(name) = field(part)
    {
        path.insert(0, name);
        rest = more;
    }
    BadField::new(if path.is_empty() { "message".to_owned() } else { path.join(".") }, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_and_what_is_wrong_with_it_are_taken_from_what_the_library_says() {
        for (message, expected) in [
            (
                "failed to decode Protobuf message: ConnectionKey.platform: Acquire.key: AcquireRequest.acquire: invalid string value: data is not UTF-8 encoded",
                ("acquire.key.platform", "invalid string value: data is not UTF-8 encoded"),
            ),
            ("failed to decode Protobuf message: Acquire.cost: invalid varint", ("cost", "invalid varint")),
            ("failed to decode Protobuf message: buffer underflow", ("message", "buffer underflow")),
            ("Missing request message.", ("message", "Missing request message.")),
        ] {
            let BadField { field, rule } = bad_field(message);
            assert_eq!((field.as_str(), rule.as_str()), expected);
        }
    }
}
