//! What was logged of which connection lately, so that it is not said again with every request.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::key::ConnectionKey;
use crate::engine::time::Timestamp;

/// How long nothing more is said of a connection.
const SAID_FOR: Duration = Duration::from_secs(3600);

/// Of how many connections that is remembered. With more, some is said again.
const MAX_REMEMBERED: usize = 1024;

/// Of what something was said, and when.
#[derive(Debug, Default)]
pub(super) struct Said {
    at: BTreeMap<ConnectionKey, Timestamp>,
}

impl Said {
    /// Whether it is time to say it of this connection, which is noted.
    pub(super) fn is_news(&mut self, now: Timestamp, key: &ConnectionKey) -> bool {
        if self.at.get(key).is_some_and(|&at| now.saturating_since(at) < SAID_FOR) {
            return false;
        }
        if self.at.len() >= MAX_REMEMBERED {
            self.at.clear();
        }
        self.at.insert(key.clone(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_an_hour_of_each_connection() {
        let (mut said, start) = (Said::default(), Timestamp::ZERO);
        let key = |name: &str| ConnectionKey::new("test", name).unwrap();
        assert!(said.is_news(start, &key("a")) && said.is_news(start, &key("b")));
        assert!(!said.is_news(start + SAID_FOR / 2, &key("a")));
        assert!(said.is_news(start + SAID_FOR, &key("a")));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut said = Said::default();
        for number in 0..3 * MAX_REMEMBERED {
            assert!(said.is_news(Timestamp::ZERO, &ConnectionKey::new("test", &number.to_string()).unwrap()));
        }
        assert!(said.at.len() <= MAX_REMEMBERED);
    }
}
