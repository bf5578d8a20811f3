//! Two processes of one node id: somebody has copied a data directory.
//!
//! Promises: of two runs of one node that are there at the same time, at two addresses, the one that was heard first counts; the other is refused
//! as long as that one is there.

use std::sync::Arc;

use thiserror::Error;

use super::link::{Heard, Link};
use crate::engine::grant::Incarnation;
use crate::engine::membership::THERE_WITHIN;
use crate::engine::time::Timestamp;

/// Another process uses the id of a node that is there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("two processes use the id of node {}: one at {first}, another at {second}, which is refused: its data directory was copied", .copy.node)]
pub(super) struct Copied {
    first: String,
    second: String,
    copy: Incarnation,
}

/// Whether another run of the node of this one is there: it has answered at its address lately, and nothing has gone wrong there since. So a copy is
/// refused from its first word, and a node that was restarted only until its address has been asked again.
pub(super) fn has_rival(links: &[Arc<Link>], by: Incarnation, now: Timestamp) -> bool {
    let is_rival = |heard: Heard| {
        let is_there = now.saturating_since(heard.at) < THERE_WITHIN;
        heard.by.node == by.node && heard.by.run != by.run && is_there
    };
    links.iter().filter(|link| link.trouble().is_none()).filter_map(|link| link.heard()).any(is_rival)
}

/// Notes who has answered at `link`, and returns who has before. For one caller at a time.
///
/// # Errors
/// When another run of the same node answers at another of the links.
pub(super) fn note(links: &[Arc<Link>], link: &Link, heard: Heard) -> Result<Option<Heard>, Copied> {
    let is_rival = |other: &Heard| {
        let is_there = heard.at.saturating_since(other.at) < THERE_WITHIN;
        other.by.node == heard.by.node && other.by.run != heard.by.run && is_there
    };
    let others = links.iter().filter(|other| other.address() != link.address());
    let rival = others.filter(|other| other.heard().is_some_and(|heard| is_rival(&heard))).map(|link| link.address()).next();
    if let Some(first) = rival {
        link.refuse_copy(Some(heard.by));
        return Err(Copied { first: first.to_owned(), second: link.address().to_owned(), copy: heard.by });
    }
    link.refuse_copy(None);
    Ok(link.hear(heard))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use super::*;
    use crate::engine::grant::NodeId;
    use crate::wire::standing::Standing;

    fn heard(node: u64, run: u64, millis: u64) -> Heard {
        let by = Incarnation { node: NodeId::new(node), run: NonZeroU64::new(run).unwrap() };
        let at = Timestamp::ZERO + Duration::from_millis(millis);
        Heard { by, cluster: None, standing: Standing::default(), at }
    }

    #[tokio::test]
    async fn of_two_runs_of_one_node_at_two_addresses_the_later_one_is_refused_while_the_first_is_there() {
        let links = ["first:1", "second:2", "third:3"].map(|address| Arc::new(Link::new(address)));
        let note = |index: usize, heard| note(&links, &links[index], heard);
        // (link, run, millisecond) -> whether it counts
        for (link, run, at, counts) in [
            (0, 1, 100, true),
            (1, 2, 150, false), // the copy
            (2, 2, 160, false), // by another name
            (0, 1, 200, true),
            (1, 2, 250, false),
            (1, 1, 260, true), // the first one, by another name
            (1, 2, 270, false),
            (1, 2, 1_199, false),
            (1, 2, 1_260, true),  // the first one is gone
            (0, 1, 1_300, false), // and is the later one when it comes back
        ] {
            assert_eq!(note(link, heard(7, run, at)).is_ok(), counts, "run {run} at {at} ms");
        }
        let copied = note(0, heard(7, 1, 1_301)).unwrap_err().to_string();
        assert!(copied.contains("first:1") && copied.contains("second:2"), "{copied}");
    }

    #[tokio::test]
    async fn who_speaks_under_the_id_of_a_node_that_is_there_is_refused_from_its_first_word() {
        let links = ["first:1", "second:2"].map(|address| Arc::new(Link::new(address)));
        note(&links, &links[0], heard(7, 1, 100)).unwrap();
        let at = |millis| heard(0, 1, millis).at;
        assert!(has_rival(&links, heard(7, 2, 0).by, at(1_099)));
        assert!(!has_rival(&links, heard(7, 1, 0).by, at(1_099)));
        // It has been silent since, or its address is found empty.
        assert!(!has_rival(&links, heard(7, 2, 0).by, at(1_100)));
        links[0].set_trouble(Some("nobody is there".to_owned()));
        assert!(!has_rival(&links, heard(7, 2, 0).by, at(150)));
    }

    #[tokio::test]
    async fn a_node_that_restarts_where_it_was_is_no_copy() {
        let links = ["first:1", "second:2"].map(|address| Arc::new(Link::new(address)));
        note(&links, &links[0], heard(7, 1, 100)).unwrap();
        note(&links, &links[1], heard(8, 1, 100)).unwrap();
        let former = note(&links, &links[0], heard(7, 2, 150)).unwrap();
        assert_eq!(former, Some(heard(7, 1, 100)));
        assert_eq!(links[0].copy(), None);
    }
}
