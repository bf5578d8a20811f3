//! How a request stands, between nodes, as the engine's types.
//!
//! Promises: what a peer sends is parsed here, once; what doesn't parse is named by its field and the rule.

use super::fields::{BadField, from_key, key, request_id, request_id_bytes, span, to_span};
use super::v1;
use crate::engine::grant::RequestId;
use crate::engine::key::ConnectionKey;
use crate::engine::rate::Niceness;
use crate::engine::throttle::Explanation;

/// A question as it travels.
pub(crate) fn from_question(key: &ConnectionKey, request: RequestId) -> v1::RoutedQuestion {
    v1::RoutedQuestion { key: Some(from_key(key)), request_id: request_id_bytes(request) }
}

/// Parses a question.
///
/// # Errors
/// The first field that breaks its rule.
pub(crate) fn question(message: v1::RoutedQuestion) -> Result<(ConnectionKey, RequestId), BadField> {
    Ok((key("key", message.key)?, request_id("request_id", &message.request_id)?))
}

/// An explanation as it travels.
pub(crate) fn from_explanation(explanation: Option<&Explanation>) -> v1::RoutedExplanation {
    let Some(Explanation { position, ahead, estimated_wait, waited }) = explanation else {
        return v1::RoutedExplanation::default();
    };
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let ahead = ahead.iter().map(|(niceness, waiters)| v1::RoutedAhead { niceness: niceness.get(), count: count(*waiters) });
    v1::RoutedExplanation {
        position: count(*position),
        ahead: ahead.collect(),
        estimated_wait: estimated_wait.map(to_span),
        waited: Some(to_span(*waited)),
    }
}

/// Parses an explanation.
///
/// # Errors
/// The first field that breaks its rule.
pub(super) fn explanation(message: v1::RoutedExplanation) -> Result<Option<Explanation>, BadField> {
    if message.position == 0 {
        return Ok(None);
    }
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let waited = message.waited.ok_or_else(|| BadField::missing("waited"))?;
    Ok(Some(Explanation {
        position: count(message.position),
        ahead: message.ahead.iter().map(|ahead| (Niceness::new(ahead.niceness), count(ahead.count))).collect(),
        estimated_wait: message.estimated_wait.map(|wait| span("estimated_wait", wait)).transpose()?,
        waited: span("waited", waited)?,
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_explanation_comes_back_as_it_went_and_so_does_that_there_is_none() {
        let ahead = vec![(Niceness::URGENT, 2), (Niceness::new(7), 1)];
        let (estimated_wait, waited) = (Some(Duration::from_secs(3)), Duration::from_millis(5));
        let told = Explanation { position: 4, ahead, estimated_wait, waited };
        let never = Explanation { estimated_wait: None, ..told.clone() };
        for explained in [Some(told), Some(never), None] {
            assert_eq!(explanation(from_explanation(explained.as_ref())), Ok(explained));
        }
    }
}
