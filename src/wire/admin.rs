//! What an operator asks and is told, as the node's types.
//!
//! Promises: what comes from outside is parsed here, once; what doesn't parse is named by its field, with its value and the rule.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::fields::{BadField, from_key, key, limits, required_span, to_limit, to_limits, to_span};
use super::throttle::to_waiting;
use super::v1;
use crate::engine::grant::NodeId;
use crate::engine::pattern::LimitPattern;
use crate::engine::rate::{Limits, RateLimit};
use crate::engine::shard::{ConnectionReport, Pause};

/// The most nodes that are refused at once: far more than a cluster has.
const MAX_REFUSED: usize = 1_000;

/// The longest that a drain may take.
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);

/// Parses a pattern, which is required.
///
/// # Errors
/// The name that breaks its rule.
pub(crate) fn pattern(field: &str, message: Option<v1::LimitPattern>) -> Result<LimitPattern, BadField> {
    let v1::LimitPattern { platform, connection } = message.ok_or_else(|| BadField::missing(field))?;
    // A pattern is written as a key is.
    key(field, Some(v1::ConnectionKey { platform: platform.clone(), connection: connection.clone() }))?;
    LimitPattern::new(&platform, &connection).map_err(|invalid| BadField::new(field, invalid))
}

/// Parses limits and where they are to rule, which is required.
///
/// # Errors
/// The first field that breaks its rule.
pub(crate) fn rule(field: &str, message: Option<v1::LimitRule>) -> Result<(LimitPattern, Limits), BadField> {
    let message = message.ok_or_else(|| BadField::missing(field))?;
    let parts = || Ok((pattern("pattern", message.pattern)?, limits("limits", &message.limits)?));
    parts().map_err(|bad: BadField| bad.within(field))
}

/// Limits and where they rule, as they travel.
pub(crate) fn to_rule((pattern, limits): (LimitPattern, Limits)) -> v1::LimitRule {
    let (platform, connection) = (pattern.platform().to_owned(), pattern.connection().to_owned());
    v1::LimitRule { pattern: Some(v1::LimitPattern { platform, connection }), limits: to_limits(&limits) }
}

/// Parses how many are wanted at most: 1 to `most`, and `default` when nobody says.
///
/// # Errors
/// When it is more than `most`.
pub(crate) fn at_most(field: &str, said: u32, default: usize, most: usize) -> Result<usize, BadField> {
    match usize::try_from(said).unwrap_or(usize::MAX) {
        0 => Ok(default),
        said if said <= most => Ok(said),
        said => Err(BadField::new(field, format!("is {said}: it takes 1 to {most}"))),
    }
}

/// How a connection is, as it travels.
pub(crate) fn to_connection((owner, report): (NodeId, ConnectionReport)) -> v1::ConnectionReport {
    let fill = |(limit, used): &(RateLimit, u64)| v1::LimitFill { limit: Some(to_limit(limit)), used: *used };
    v1::ConnectionReport {
        key: Some(from_key(&report.key)),
        owner: owner.to_string(),
        waiting: to_waiting(&report.waiting),
        limits: report.limits.iter().map(fill).collect(),
        paused_for: match report.pause {
            Some(Pause::For(span)) => Some(to_span(span)),
            Some(Pause::UntilResumed) | None => None,
        },
        is_paused: report.pause == Some(Pause::UntilResumed),
        longest_wait: report.longest_wait.map(to_span),
    }
}

/// Parses how long a drain may take.
///
/// # Errors
/// When that is missing, negative, or longer than [`LONGEST_DRAIN`].
pub(crate) fn drains_within(request: v1::DrainRequest) -> Result<Duration, BadField> {
    let within = required_span("within", request.within)?;
    if within > LONGEST_DRAIN {
        return Err(BadField::new("within", format!("is {within:?}: it may be at most {LONGEST_DRAIN:?}")));
    }
    Ok(within)
}

/// Parses the ids of nodes.
///
/// # Errors
/// The first that is none, or the list when it is too long.
pub(crate) fn nodes(field: &str, ids: &[String]) -> Result<Vec<NodeId>, BadField> {
    if ids.len() > MAX_REFUSED {
        return Err(BadField::new(field, format!("has {} ids: it takes at most {MAX_REFUSED}", ids.len())));
    }
    let parse = |(index, id): (usize, &String)| {
        let bad = || BadField::new(format!("{field}[{index}]"), format!("is {id:?}: a node's id is 16 hexadecimal digits"));
        NodeId::from_digits(id).ok_or_else(bad)
    };
    ids.iter().enumerate().map(parse).collect()
}

/// The most limits on one page.
const MAX_PAGE: usize = 1_000;

/// Which limits to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// Of this platform only.
    pub platform: Option<String>,
    /// Behind this pattern.
    pub after: Option<LimitPattern>,
    /// How many at most.
    pub size: usize,
}

/// Parses which limits to list. A page's token is the last pattern of the page before it, percent-encoded.
///
/// # Errors
/// The first field that breaks its rule.
pub(crate) fn page(platform: &str, size: u32, token: &str) -> Result<Page, BadField> {
    let size = at_most("page_size", size, MAX_PAGE, MAX_PAGE)?;
    let bad = || BadField::new("page_token", format!("is {token:?}: it takes what the page before it has said"));
    let after = match token {
        "" => None,
        token => {
            let (platform, connection) = token.split_once('/').ok_or_else(bad)?;
            let name = |part: &str| percent_decode_str(part).decode_utf8().map(Cow::into_owned).map_err(|_| bad());
            Some(LimitPattern::new(&name(platform)?, &name(connection)?).map_err(|_| bad())?)
        }
    };
    Ok(Page { platform: Some(platform.to_owned()).filter(|platform| !platform.is_empty()), after, size })
}

/// A page, as it travels.
pub(crate) fn to_page(rules: Vec<(LimitPattern, Limits)>, size: usize) -> v1::ListLimitsResponse {
    let next_page_token = next_page_token(&rules, size).unwrap_or_default();
    v1::ListLimitsResponse { rules: rules.into_iter().map(to_rule).collect(), next_page_token }
}

/// What to ask for the page behind this one with; `None` when there is none.
pub(crate) fn next_page_token(rules: &[(LimitPattern, Limits)], size: usize) -> Option<String> {
    let name = |part| utf8_percent_encode(part, NON_ALPHANUMERIC);
    let (last, _) = rules.last().filter(|_| rules.len() >= size)?;
    Some(format!("{}/{}", name(last.platform()), name(last.connection())))
}
