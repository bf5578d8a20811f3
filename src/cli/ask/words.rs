//! What nodes say, as types: for people in words, for programs in JSON with the names and units of HTTP/JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::printable;
use crate::engine::rate::RateLimit;
use crate::wire::fields::{self, BadField};
use crate::wire::v1;

/// Limits that an operator has set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    platform: String,
    connection: String,
    limits: Vec<RateLimit>,
}

/// How a connection is, by its owner.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Connection {
    /// As people write it.
    pub(crate) name: String,
    platform: String,
    connection: String,
    /// The id of the node that owns it.
    pub(crate) owner: String,
    /// How many wait, by niceness.
    pub(crate) waiting: Vec<(u32, u64)>,
    /// Its limits, and how much of each counts now.
    pub(crate) limits: Vec<(RateLimit, u64)>,
    pause: Pause,
    longest_wait: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    No,
    For(Duration),
    UntilResumed,
}

impl Rule {
    /// Reads a message.
    ///
    /// # Errors
    /// The field that breaks its rule.
    pub(crate) fn read(message: &v1::LimitRule) -> Result<Self, BadField> {
        let pattern = message.pattern.clone().unwrap_or_default();
        let limits = message.limits.iter().map(|limit| fields::limit(limit).map_err(|bad| bad.within("limits")));
        Ok(Self { platform: pattern.platform, connection: pattern.connection, limits: limits.collect::<Result<_, _>>()? })
    }

    /// Where it holds, as people write it.
    pub(crate) fn pattern(&self) -> String {
        printable(&format!("{}/{}", self.platform, self.connection))
    }

    /// What holds there, in words.
    pub(crate) fn limits(&self) -> String {
        self.limits.iter().map(RateLimit::to_string).collect::<Vec<_>>().join(", ")
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let limits: Vec<Value> = self.limits.iter().map(limit_json).collect();
        json!({ "platform": self.platform, "connection": self.connection, "rateLimits": limits })
    }
}

impl Connection {
    /// Reads a message.
    ///
    /// # Errors
    /// The field that breaks its rule.
    pub(crate) fn read(message: &v1::ConnectionReport) -> Result<Self, BadField> {
        let v1::ConnectionKey { platform, connection } = message.key.clone().unwrap_or_default();
        let fill = |fill: &v1::LimitFill| {
            let limit = fields::limit(&fill.limit.unwrap_or_default()).map_err(|bad| bad.within("limits"))?;
            Ok::<_, BadField>((limit, fill.used))
        };
        let pause = match message.paused_for {
            _ if message.is_paused => Pause::UntilResumed,
            Some(left) => Pause::For(fields::span("paused_for", left)?),
            None => Pause::No,
        };
        Ok(Self {
            name: printable(&format!("{platform}/{connection}")),
            platform,
            connection,
            owner: printable(&message.owner),
            waiting: waiting(&message.waiting),
            limits: message.limits.iter().map(fill).collect::<Result<_, _>>()?,
            pause,
            longest_wait: message.longest_wait.map(|wait| fields::span("longest_wait", wait)).transpose()?,
        })
    }

    /// How many wait.
    pub(crate) fn waiters(&self) -> u64 {
        self.waiting.iter().map(|(_, count)| count).sum()
    }

    /// Whether it is paused, for a while or until it is resumed.
    pub(crate) fn is_paused(&self) -> bool {
        self.pause != Pause::No
    }

    /// How long it is paused, in words.
    pub(crate) fn paused(&self) -> String {
        match self.pause {
            Pause::No => "-".to_owned(),
            Pause::For(left) => format!("for {}", seconds(left)),
            Pause::UntilResumed => "until resumed".to_owned(),
        }
    }

    /// How long whoever waits longest has waited, in words.
    pub(crate) fn longest_wait(&self) -> String {
        self.longest_wait.map_or_else(|| "-".to_owned(), seconds)
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let limits = self.limits.iter().map(|(limit, used)| json!({ "rateLimit": limit_json(limit), "used": used }));
        let mut object = json!({
            "platform": self.platform,
            "connection": self.connection,
            "owner": self.owner,
            "waiters": self.waiters(),
            "waiting": waiting_json(&self.waiting),
            "limits": limits.collect::<Vec<_>>(),
            "isPaused": self.is_paused(),
        });
        if let Pause::For(left) = self.pause {
            set_seconds(&mut object, "pausedForSeconds", Some(left));
        }
        set_seconds(&mut object, "longestWaitSeconds", self.longest_wait);
        object
    }
}

/// How many wait, by niceness, in order.
pub(crate) fn waiting(messages: &[v1::WaitingCount]) -> Vec<(u32, u64)> {
    messages.iter().map(|waiting| (waiting.niceness, waiting.count)).collect()
}

/// The same for programs.
pub(crate) fn waiting_json(waiting: &[(u32, u64)]) -> Value {
    waiting.iter().map(|(niceness, count)| json!({ "niceness": niceness, "count": count })).collect()
}

fn limit_json(limit: &RateLimit) -> Value {
    let mut object = json!({
        "requestCount": limit.request_count(),
        "windowSeconds": limit.window().as_secs_f64(),
        "dimension": limit.dimension().name(),
        "algorithm": limit.algorithm().name(),
    });
    set_seconds(&mut object, "deliveryBoundSeconds", limit.own_delivery_bound());
    set_seconds(&mut object, "guardSeconds", limit.own_guard());
    object
}

/// Says a span in a JSON object, if there is one.
pub(crate) fn set_seconds(object: &mut Value, name: &str, span: Option<Duration>) {
    if let (Value::Object(object), Some(span)) = (object, span) {
        object.insert(name.to_owned(), json!(span.as_secs_f64()));
    }
}

/// A span for people: to the millisecond.
pub(crate) fn seconds(span: Duration) -> String {
    format!("{:.3} s", span.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> v1::ConnectionReport {
        let window = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let limit = v1::RateLimit { request_count: 3, window, ..v1::RateLimit::default() };
        v1::ConnectionReport {
            key: Some(v1::ConnectionKey { platform: "p".to_owned(), connection: "c\n".to_owned() }),
            owner: "0123".to_owned(),
            waiting: vec![v1::WaitingCount { niceness: 0, count: 2 }, v1::WaitingCount { niceness: 5, count: 1 }],
            limits: vec![v1::LimitFill { limit: Some(limit), used: 3 }],
            paused_for: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
            is_paused: false,
            longest_wait: None,
        }
    }

    #[test]
    fn a_report_is_told_to_people_and_to_programs() {
        let read = Connection::read(&report()).unwrap();
        assert_eq!((read.name.as_str(), read.waiters()), ("p/c\\n", 3));
        assert_eq!((read.paused(), read.longest_wait()), ("for 1.500 s".to_owned(), "-".to_owned()));
        let expected = json!({
            "platform": "p", "connection": "c\n", "owner": "0123", "waiters": 3,
            "waiting": [{ "niceness": 0, "count": 2 }, { "niceness": 5, "count": 1 }],
            "limits": [{ "rateLimit": { "requestCount": 3, "windowSeconds": 60.0, "dimension": "units", "algorithm": "sliding_window" }, "used": 3 }],
            "isPaused": true, "pausedForSeconds": 1.5,
        });
        assert_eq!(read.json(), expected);
        let until = Connection::read(&v1::ConnectionReport { is_paused: true, paused_for: None, ..report() }).unwrap();
        assert_eq!(until.paused(), "until resumed");
    }

    #[test]
    fn a_report_that_breaks_a_rule_is_refused_with_its_field() {
        let mut broken = report();
        broken.limits = vec![v1::LimitFill::default()];
        assert_eq!(Connection::read(&broken).unwrap_err().field, "limits.window");
    }
}
