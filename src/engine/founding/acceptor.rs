//! Who is asked: what a node without a cluster has promised, and what it has accepted.

use serde::{Deserialize, Serialize};

use super::{Ballot, Founding};

/// What a node without a cluster has given its word for.
///
/// It is on the node's disk before an answer leaves: a node that starts again and has forgotten what it said may say the opposite, and two
/// foundings are chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Acceptor {
    /// The highest ballot that it has heard of and not refused: it refuses what is lower.
    promised: Option<Ballot>,
    /// What it has accepted last, and under which ballot.
    accepted: Option<(Ballot, Founding)>,
}

/// The answer of an acceptor that was asked to prepare for a ballot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Promise {
    /// It accepts nothing any more under a lower ballot.
    Granted {
        /// What it has accepted last, under a lower ballot.
        accepted: Option<(Ballot, Founding)>,
    },
    /// It has promised another ballot, or has promised this one before.
    Refused {
        /// What has to be outbid.
        promised: Ballot,
    },
}

/// The answer of an acceptor that was asked to accept a founding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acceptance {
    /// It has accepted.
    Granted,
    /// It has promised a higher ballot.
    Refused {
        /// What has to be outbid.
        promised: Ballot,
    },
}

impl Acceptor {
    /// The highest ballot that it has promised.
    #[must_use]
    pub const fn promised(&self) -> Option<Ballot> {
        self.promised
    }

    /// What it has accepted last, and under which ballot.
    #[must_use]
    pub const fn accepted(&self) -> Option<&(Ballot, Founding)> {
        self.accepted.as_ref()
    }

    /// Promises to refuse whatever is lower than `ballot`, unless it has promised as much already.
    ///
    /// The same ballot is promised once: were it granted again, a proposer that has forgotten its attempt could make another under it.
    pub fn prepare(&mut self, ballot: Ballot) -> Promise {
        match self.promised {
            Some(promised) if promised >= ballot => Promise::Refused { promised },
            _ => {
                self.promised = Some(ballot);
                Promise::Granted { accepted: self.accepted.clone() }
            }
        }
    }

    /// Accepts `founding` under `ballot`, in place of what it has accepted before, unless it has promised a higher ballot. It may never have
    /// promised this one: others have, or nobody would be asked to accept.
    pub fn accept(&mut self, ballot: Ballot, founding: Founding) -> Acceptance {
        match self.promised {
            Some(promised) if promised > ballot => Acceptance::Refused { promised },
            _ => {
                self.promised = Some(ballot);
                self.accepted = Some((ballot, founding));
                Acceptance::Granted
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engine::grant::{ClusterId, NodeId};

    fn ballot(round: u64, node: u64) -> Ballot {
        Ballot { round, node: NodeId::new(node) }
    }

    fn founding(cluster: u128) -> Founding {
        Founding::of(ClusterId(cluster), &BTreeSet::from([NodeId::new(1)]))
    }

    /// An acceptor that has promised this ballot and accepted nothing.
    fn promised_to(ballot: Ballot) -> Acceptor {
        let mut acceptor = Acceptor::default();
        assert_eq!(acceptor.prepare(ballot), Promise::Granted { accepted: None });
        acceptor
    }

    #[test]
    fn a_ballot_is_promised_once_and_no_lower_one_after_it() {
        let mut acceptor = promised_to(ballot(2, 1));
        for refused in [ballot(1, 1), ballot(1, 2), ballot(2, 1)] {
            assert_eq!(acceptor.prepare(refused), Promise::Refused { promised: ballot(2, 1) }, "{refused:?}");
        }
        assert_eq!(acceptor, promised_to(ballot(2, 1)));
        assert_eq!(acceptor.prepare(ballot(2, 2)), Promise::Granted { accepted: None });
        assert_eq!(acceptor.promised(), Some(ballot(2, 2)));
    }

    #[test]
    fn who_has_promised_a_higher_ballot_accepts_nothing_under_a_lower_one() {
        let mut acceptor = promised_to(ballot(1, 2));
        assert_eq!(acceptor.accept(ballot(1, 1), founding(1)), Acceptance::Refused { promised: ballot(1, 2) });
        assert_eq!(acceptor, promised_to(ballot(1, 2)));
    }

    #[test]
    fn under_the_promised_ballot_a_founding_is_accepted_as_often_as_it_is_asked_for() {
        let mut acceptor = promised_to(ballot(1, 2));
        for _ in 0..2 {
            assert_eq!(acceptor.accept(ballot(1, 2), founding(2)), Acceptance::Granted);
            assert_eq!(acceptor.accepted(), Some(&(ballot(1, 2), founding(2))));
        }
    }

    #[test]
    fn who_accepts_has_promised_that_ballot_too() {
        let mut acceptor = promised_to(ballot(1, 1));
        assert_eq!(acceptor.accept(ballot(2, 1), founding(1)), Acceptance::Granted);
        let promised = ballot(2, 1);
        assert_eq!(acceptor.prepare(ballot(1, 2)), Promise::Refused { promised });
        assert_eq!(acceptor.accept(ballot(1, 2), founding(2)), Acceptance::Refused { promised });
        assert_eq!(acceptor.accepted(), Some(&(promised, founding(1))));
    }

    #[test]
    fn a_promise_tells_what_was_accepted_last() {
        let mut acceptor = Acceptor::default();
        acceptor.accept(ballot(1, 1), founding(1));
        acceptor.accept(ballot(1, 2), founding(2));
        assert_eq!(acceptor.prepare(ballot(2, 1)), Promise::Granted { accepted: Some((ballot(1, 2), founding(2))) });
    }
}
