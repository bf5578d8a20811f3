//! A permit by name, as it travels: opaque to clients, and the same between nodes.
//!
//! Promises: what comes from outside is parsed here, once; what doesn't parse is named by its field and the rule.

#[cfg(feature = "cli")]
use prost::Message as _;

use super::charge::{charge, cost, from_cost};
use super::fields::{BadField, from_key, key, request_id, request_id_bytes, to_span};
use super::v1;
use crate::engine::grant::{ReleaseNumber, Tenure};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{PermitId, Release};

/// The longest token: two names of 256 bytes, and numbers.
#[cfg(feature = "cli")]
const MAX_TOKEN_BYTES: usize = 1024;

/// A permit as clients keep it.
#[cfg(feature = "cli")]
pub(crate) fn to_token(key: &ConnectionKey, slot: &Release) -> Vec<u8> {
    from_claim(key, slot).encode_to_vec()
}

/// Parses a client's token, which is required.
///
/// # Errors
/// When it is none.
#[cfg(feature = "cli")]
pub(crate) fn token(field: &str, bytes: &[u8]) -> Result<(ConnectionKey, Release), BadField> {
    let bad = || BadField::new(field, format!("has {} bytes that are no permit: it takes what came with a grant", bytes.len()));
    if bytes.is_empty() {
        return Err(BadField::missing(field));
    }
    let parsed = if bytes.len() > MAX_TOKEN_BYTES { None } else { v1::PermitToken::decode(bytes).ok() };
    claim(parsed.ok_or_else(bad)?).map_err(|_| bad())
}

/// A permit between nodes.
pub(super) fn from_claim(key: &ConnectionKey, slot: &Release) -> v1::PermitToken {
    let Release { permit, request, charge, cost } = slot;
    v1::PermitToken {
        key: Some(from_key(key)),
        request_id: request_id_bytes(*request),
        tenure: permit.tenure.get(),
        release: permit.release.get(),
        charged_at_nanos: charge.stamp.as_nanos(),
        delivery: Some(to_span(charge.delivery)),
        cost: Some(from_cost(*cost)),
    }
}

/// Parses a permit.
///
/// # Errors
/// The first field that breaks its rule.
pub(super) fn claim(message: v1::PermitToken) -> Result<(ConnectionKey, Release), BadField> {
    let permit = PermitId { tenure: Tenure::new(message.tenure), release: ReleaseNumber::from_wire(message.release) };
    let request = request_id("request_id", &message.request_id)?;
    let (charge, cost) = (charge(message.charged_at_nanos, message.delivery)?, cost("cost", message.cost)?);
    Ok((key("key", message.key)?, Release { permit, request, charge, cost }))
}

#[cfg(test)]
#[cfg(feature = "cli")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::cost::Cost;
    use crate::engine::grant::{Charge, RequestId};
    use crate::engine::time::LedgerTime;

    fn slot() -> (ConnectionKey, Release) {
        let charge = Charge { stamp: LedgerTime::from_nanos(7), delivery: Duration::from_millis(8) };
        let permit = PermitId { tenure: Tenure::new(u64::MAX), release: ReleaseNumber::from_wire(4) };
        let key = ConnectionKey::new(&"p".repeat(256), &"é".repeat(128)).expect("a key");
        (key, Release { permit, request: RequestId::new(9), charge, cost: Cost::ONE.with_tokens_apart(60, 30) })
    }

    #[test]
    fn a_token_comes_back_as_it_went_and_the_longest_is_short_enough() {
        let (key, slot) = slot();
        let bytes = to_token(&key, &slot);
        assert!(bytes.len() <= MAX_TOKEN_BYTES);
        assert_eq!(token("permit", &bytes), Ok((key, slot)));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let (key, slot) = slot();
        let whole = to_token(&key, &slot);
        for bytes in [&whole[..whole.len() - 3], b"\xff\xff\xff\xff", &[0; 2000], b"\x0a\x00"] {
            let refused = token("permit", bytes).map_err(|error| error.to_string()).expect_err("no token");
            assert_eq!(refused, format!("permit: has {} bytes that are no permit: it takes what came with a grant", bytes.len()));
        }
        assert_eq!(token("permit", &[]).map_err(|error| error.rule), Err("is not set: it is required".to_owned()));
    }
}
