//! What comes in a request's path and query: text, percent-encoded.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::error::Error;
use crate::wire::fields::BadField;

/// The parameters of a query, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default())?)
    }
}

impl Query {
    fn parse(query: &str) -> Result<Self, BadField> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode("query", &name.replace('+', " "))?;
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(BadField::new(name, "is set twice: it takes one value"));
            }
            let value = decode(&name, &value.replace('+', " "))?;
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The same, if it has no other parameters than these.
    ///
    /// # Errors
    /// The first that it has beside them.
    pub(super) fn only(self, names: &[&str]) -> Result<Self, BadField> {
        let known = || if names.is_empty() { "takes no parameters".to_owned() } else { format!("takes {}", names.join(", ")) };
        match self.0.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, _)) => Err(BadField::new(name.clone(), format!("is not known: this path {}", known()))),
            None => Ok(self),
        }
    }

    /// The parameter of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The same, which is required.
    ///
    /// # Errors
    /// When it is missing.
    pub(super) fn required(&self, name: &str) -> Result<&str, BadField> {
        self.get(name).ok_or_else(|| BadField::missing(name))
    }

    /// A number from 1 to `most`; `default` when it is not there.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) fn number(&self, name: &str, default: u32, most: u32) -> Result<u32, BadField> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let number = value.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| BadField::new(name, format!("is {value:?}: it takes 1 to {most}")))
    }
}

/// The parts of a path that its route leaves open.
#[derive(Debug)]
pub(super) struct Segments<const COUNT: usize>(pub(super) [String; COUNT]);

impl<S: Sync, const COUNT: usize> FromRequestParts<S> for Segments<COUNT> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        // They follow the two that every path here begins with, as they were written: an id may hold an encoded slash.
        let mut written = parts.uri.path().split('/').skip(3);
        let mut segments = [const { String::new() }; COUNT];
        for (segment, name) in segments.iter_mut().zip(["platform", "connection"]) {
            *segment = decode(name, written.next().unwrap_or_default())?;
        }
        Query::parse(parts.uri.query().unwrap_or_default())?.only(&[])?;
        Ok(Self(segments))
    }
}

fn decode(name: &str, written: &str) -> Result<String, BadField> {
    let decoded = percent_decode_str(written).decode_utf8();
    decoded.map(String::from).map_err(|_| BadField::new(name, format!("is {written:?}: it must be UTF-8, percent-encoded")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_once_and_known_by_name() {
        let query = Query::parse("platform=a%2Fb&connection=x+y%25&empty").unwrap();
        assert_eq!((query.get("platform"), query.get("connection"), query.get("empty")), (Some("a/b"), Some("x y%"), Some("")));
        let wrong = |query: &str| Query::parse(query).and_then(|query| query.only(&["top"])?.number("top", 20, 100));
        assert_eq!(wrong(""), Ok(20));
        assert_eq!(wrong("top=100"), Ok(100));
        for (query, field) in
            [("top=0", "top"), ("top=x", "top"), ("top=1&top=2", "top"), ("tap=1", "tap"), ("top=%ff", "top"), ("%ff=1", "query")]
        {
            assert_eq!(wrong(query).unwrap_err().field, field, "{query}");
        }
    }
}
