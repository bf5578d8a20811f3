//! How patient Raft is, by how fast this node's disk is.
//!
//! A vote is saved by who asks for it and by who gives it, and an entry by who is sent it; who waits for less than that elects nobody, ever.

use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, ConfigError, SnapshotPolicy};

/// The shortest that a follower waits for a leader before it stands for election, with a fast disk.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(200);

/// How often a leader shows itself, with a fast disk; and how long it waits for the answer.
const HEARTBEAT: Duration = Duration::from_millis(50);

/// How long one piece of a snapshot may take; with the last one all of it is read and written.
const SNAPSHOT_PIECE: Duration = Duration::from_secs(10);

/// How long Raft waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    heartbeat: Duration,
    election_timeout: Duration,
}

impl Pace {
    /// The pace of a node whose disk replaces a small file, which takes two syncs, within this time.
    pub(super) fn of(replaces_within: Duration) -> Self {
        let pace = Self {
            // An entry takes one sync; the other is for the way.
            heartbeat: HEARTBEAT.max(replaces_within),
            // Two votes are saved one after the other, with as much again to spare.
            election_timeout: ELECTION_TIMEOUT.max(4 * replaces_within),
        };
        if pace.election_timeout > ELECTION_TIMEOUT {
            let election_timeout = pace.election_timeout;
            tracing::warn!(?replaces_within, ?election_timeout, "this disk is slow: a leader that dies is missed for longer");
        }
        pace
    }

    /// How long a follower waits at least before it stands for election.
    pub(super) const fn election_timeout(self) -> Duration {
        self.election_timeout
    }

    /// The longest that a follower waits for a leader; for so long it holds on to one that it has heard, too.
    pub(super) fn lease(self) -> Duration {
        self.election_timeout * 6 / 5
    }

    /// How long ago a quorum may have answered a leader that leads.
    pub(super) fn quorum_within(self) -> Duration {
        2 * self.election_timeout
    }

    /// The same for openraft.
    ///
    /// # Errors
    /// When it takes these for inconsistent.
    pub(super) fn config(self) -> Result<Arc<Config>, Box<ConfigError>> {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let config = Config {
            cluster_name: "turnstile".to_owned(),
            election_timeout_min: millis(self.election_timeout),
            // Far enough apart that two who miss the same leader seldom stand at the same moment.
            election_timeout_max: millis(self.lease()),
            heartbeat_interval: millis(self.heartbeat),
            install_snapshot_timeout: millis(SNAPSHOT_PIECE),
            // `upkeep` counts bytes, which bound memory; entries differ in size a thousandfold.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: 0,
            ..Config::default()
        };
        config.validate().map(Arc::new).map_err(Box::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_makes_raft_patient_and_a_fast_one_does_not() {
        // milliseconds: replaces within -> heartbeat, election timeouts
        for (disk, heartbeat, shortest, longest) in
            [(0, 50, 200, 240), (50, 50, 200, 240), (100, 100, 400, 480), (400, 400, 1600, 1920)]
        {
            let config = Pace::of(Duration::from_millis(disk)).config().unwrap();
            let found = (config.heartbeat_interval, config.election_timeout_min, config.election_timeout_max);
            assert_eq!(found, (heartbeat, shortest, longest), "a disk of {disk} ms");
        }
    }
}
