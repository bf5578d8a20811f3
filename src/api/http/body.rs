//! What comes in a request's body: JSON of a bounded size, in time, and nothing that nobody asked for.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::header;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::error::Error;
use super::value::Object;
use crate::api::MAX_MESSAGE_BYTES;
use crate::clock;
use crate::wire::fields::BadField;

/// How long a body may take.
const COMES_WITHIN: Duration = Duration::from_secs(10);

/// A body that was read.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let essence = kind.and_then(|kind| kind.to_str().ok()).and_then(|kind| kind.split(';').next()).map(str::trim);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
            return Err(Error::wrong_type(kind));
        }
        let body = Limited::new(request.into_body(), MAX_MESSAGE_BYTES).collect();
        let body = clock::timeout(COMES_WITHIN, body).await.map_err(|_| Error::slow_body(COMES_WITHIN))?;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Error::too_large(MAX_MESSAGE_BYTES)
            } else {
                // Whoever has broken it off does not read this.
                BadField::new("body", format!("was broken off: {error}")).into()
            }
        })?;
        Ok(Self(parse(&body.to_bytes())?))
    }
}

/// Reads a value, and says of one that can't be read which field is wrong.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadField> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Object(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let (path, rule) = (error.path().to_string(), error.inner().to_string());
        BadField::new(field(&path, &rule), rule)
    })?;
    reader.end().map_err(|error| BadField::new("body", error))?;
    Ok(value)
}

/// The field that is meant: of one that is missing or unknown the path leads to its parent only, and the error names it.
fn field(path: &str, rule: &str) -> String {
    let named = ["unknown field `", "missing field `", "duplicate field `"].iter().find_map(|begin| rule.strip_prefix(begin));
    let name = named.and_then(|rest| rest.split('`').next()).unwrap_or_default();
    match (path.trim_start_matches('.'), name) {
        ("", "") => "body".to_owned(),
        ("", name) => name.to_owned(),
        (path, "") => path.to_owned(),
        (path, name) if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        (path, name) => format!("{path}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::AcquireBody;
    use super::*;

    fn wrong(text: &str) -> String {
        parse::<AcquireBody>(text.as_bytes()).expect_err("it is wrong").field
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        let with = |more: &str| {
            format!(r#"{{"platform":"p","connection":"c","rateLimit":{{"requestCount":1,"windowSeconds":1}}{more}}}"#)
        };
        assert!(parse::<AcquireBody>(with("").as_bytes()).is_ok());
        assert_eq!(wrong(r#"{"platform":7}"#), "platform");
        assert_eq!(wrong(r#"{"connection":"c"}"#), "platform");
        assert_eq!(wrong(&with(r#","niceness":-1"#)), "niceness");
        assert_eq!(wrong(&with(r#","nicenes":1"#)), "nicenes");
        assert_eq!(wrong(&with(r#","cost":1,"cost":1"#)), "cost");
        assert_eq!(wrong(&with(r#","rateLimits":[{"requestCount":1}]"#)), "rateLimits[0].windowSeconds");
        assert_eq!(wrong(&with(r#","rateLimits":[{"requestCount":"3"}]"#)), "rateLimits[0].requestCount");
        assert_eq!(wrong(&with(r#","timeoutSeconds":1e999"#)), "timeoutSeconds");
        assert_eq!(wrong(""), "body");
        assert_eq!(wrong("[]"), "body");
        assert_eq!(wrong(r#"["p","c"]"#), "body");
        assert_eq!(wrong(&with(r#","rateLimits":[[1,1]]"#)), "rateLimits[0]");
        assert_eq!(wrong(&format!("{} {{}}", with(""))), "body");
        assert_eq!(wrong(&"[".repeat(5000)), "body");
        let not_utf8 = [br#"{"platform":""#.as_slice(), &[0xff, 0xfe], b"\"}"].concat();
        assert_eq!(parse::<AcquireBody>(&not_utf8).expect_err("it is no text").field, "platform");
    }
}
