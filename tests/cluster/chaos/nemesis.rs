//! What is done to a cluster under load: what each needs, and how long callers may be without a slot because of it.

use std::path::Path;
use std::time::Duration;

use super::orders::MAX_CONNECTIONS;
use super::run::Setup;
use super::ways::Ways;
use crate::tools::Tool;

/// Connections that a node holds while it is flooded.
pub(crate) const FLOOD_BOUND: u32 = 20_000;

/// What is done to the cluster. The owner is that of the first connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nemesis {
    Nothing,
    KillOwner,
    KillLeader,
    KillFollower,
    KillAll,
    /// SIGSTOP for 5 s.
    StopOwner,
    /// Cut off from both others, and they from it.
    CutOwner,
    CutLeader,
    /// Each from each other: there is no majority.
    CutAll,
    /// Hears nobody, and is heard.
    DeafOwner,
    DeafLeader,
    /// Is not heard, and hears.
    MuteOwner,
    MuteLeader,
    RollingRestart,
    /// A fourth node comes, and its workers call.
    Join,
    /// The owner leaves in order, for good.
    Drain,
    /// A fourth node comes, and the owner leaves.
    Replace,
    /// Two nodes are gone for good; from what the third has left a new cluster is made, and two new nodes come to it.
    Recover,
    /// The wall clock of the leader: an hour ahead, an hour back, right again.
    JumpClock,
    /// 200 ms more for each sync of the leader and another one.
    SlowSyncs,
    /// Every sync of the owner fails: it stops, and is started again.
    FailSyncs,
    /// The disk of one node becomes full: it stops.
    FullDisk,
    /// A million connections, at one worker.
    Flood,
    /// A client without a node dies while its calls wait.
    KillClient,
    /// All who wait at one worker.
    MassCancel,
    /// Requests that were granted are said again by another worker: soon, and long after their slots have left the window.
    LateRetries,
    /// Three of the others, drawn from the seed.
    Mixed,
}

pub(crate) const ALL: [Nemesis; 27] = [
    Nemesis::Nothing,
    Nemesis::KillOwner,
    Nemesis::KillLeader,
    Nemesis::KillFollower,
    Nemesis::KillAll,
    Nemesis::StopOwner,
    Nemesis::CutOwner,
    Nemesis::CutLeader,
    Nemesis::CutAll,
    Nemesis::DeafOwner,
    Nemesis::DeafLeader,
    Nemesis::MuteOwner,
    Nemesis::MuteLeader,
    Nemesis::RollingRestart,
    Nemesis::Join,
    Nemesis::Drain,
    Nemesis::Replace,
    Nemesis::Recover,
    Nemesis::JumpClock,
    Nemesis::SlowSyncs,
    Nemesis::FailSyncs,
    Nemesis::FullDisk,
    Nemesis::Flood,
    Nemesis::KillClient,
    Nemesis::MassCancel,
    Nemesis::LateRetries,
    Nemesis::Mixed,
];

impl Nemesis {
    /// What its cluster is started with.
    ///
    /// # Errors
    /// Why it can't be done here.
    pub(crate) fn setup(self, home: &Path) -> Result<Setup, &'static str> {
        let mut setup = Setup::plain(home);
        match self {
            Self::DeafOwner | Self::DeafLeader | Self::MuteOwner | Self::MuteLeader => {
                let ways = Ways::open();
                setup.tools = ways.tools();
                setup.ways = Some(ways);
            }
            Self::JumpClock => {
                let clocks: Option<Vec<Tool>> =
                    (0..3).map(|index| Tool::set_clock(&home.join(format!("clock-{index}")))).collect();
                setup.tools = clocks.ok_or("faketime does not work here")?;
            }
            Self::SlowSyncs | Self::FailSyncs => {
                // Tried before the run, so that a row is skipped at once.
                Tool::slow_syncs(1).ok_or("strace does not work here")?;
            }
            Self::FullDisk => {
                let disk = home.join("disk");
                std::fs::create_dir(&disk).map_err(|_| "no directory")?;
                setup.tools[2] = Tool::small_disk(&disk, 1023).ok_or("a mount of its own is not allowed here")?;
                setup.homes[2] = disk;
            }
            Self::Flood => setup.tools.fill(Tool::environment(MAX_CONNECTIONS, &FLOOD_BOUND.to_string())),
            Self::Nothing
            | Self::KillOwner
            | Self::KillLeader
            | Self::KillFollower
            | Self::KillAll
            | Self::StopOwner
            | Self::CutOwner
            | Self::CutLeader
            | Self::CutAll
            | Self::RollingRestart
            | Self::Join
            | Self::Drain
            | Self::Replace
            | Self::Recover
            | Self::KillClient
            | Self::MassCancel
            | Self::LateRetries
            | Self::Mixed => {}
        }
        Ok(setup)
    }

    /// How long callers may wait with room in the window. Who comes back after a fault has a time of its own.
    pub(crate) const fn longest_gap(self) -> Duration {
        Duration::from_millis(match self {
            // A death costs the time until it is noticed, and an election; a hand-over in order costs less.
            Self::Nothing
            | Self::KillOwner
            | Self::KillLeader
            | Self::KillFollower
            | Self::RollingRestart
            | Self::Join
            | Self::Drain
            | Self::Replace
            | Self::JumpClock
            | Self::FailSyncs
            | Self::FullDisk
            | Self::MassCancel
            | Self::LateRetries => 1500,
            // One that is silent has to be given up by the others first.
            Self::StopOwner
            | Self::CutOwner
            | Self::CutLeader
            | Self::DeafOwner
            | Self::DeafLeader
            | Self::MuteOwner
            | Self::MuteLeader => 3000,
            // All share the cores with the flood.
            Self::Flood => 3000,
            // Two windows may have gone to the dead client, which no history of the living knows.
            Self::KillClient => 3000,
            Self::KillAll => 5000,
            // Nobody can be served for as long as it lasts.
            Self::CutAll => 7000,
            Self::Mixed => 7000,
            // Nobody is served before somebody has recovered what is left, which then holds everything back for a window.
            Self::Recover => 7000,
            // A commit waits for several slow syncs, one behind the other, and a vote for more.
            Self::SlowSyncs => 5000,
        })
    }
}
