//! How each nemesis is done to a run, and whether it came about.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::nemesis::Nemesis;
use super::run::{Back, Run};
use super::{client, retries};
use crate::process::now;
use crate::recovery::recover;
use crate::tools::{delay_syncs, fail_syncs, jump};

/// How long somebody may be stopped or cut off.
const TROUBLE: Duration = Duration::from_secs(5);

/// How soon callers of one that was silent are served again when it no longer is, and when all have died.
const BACK: Duration = Duration::from_secs(2);
const ALL_BACK: Duration = Duration::from_secs(5);

/// How much longer a slow sync takes.
const SYNC_MICROS: u32 = 200_000;

/// How long something is waited for that must come.
const SOON: Duration = Duration::from_secs(25);

/// The unique connections of a flood, and what a process may take for them at most.
const KEYS: u32 = 1_000_000;
const MEMORY_MIB: u64 = 512;

/// What came of a nemesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Strike {
    Struck,
    /// It did not come about, though it could have.
    Missed(String),
    /// It can't be done here.
    Skipped(&'static str),
}

impl Run {
    /// Does it in the middle of the load, and notes it in the history.
    pub(crate) fn strike(&mut self, nemesis: Nemesis) -> Strike {
        match nemesis {
            Nemesis::Nothing => return Strike::Struck,
            Nemesis::Mixed => return self.strike_several(),
            Nemesis::LateRetries => return retries::say_again(self),
            _ => {}
        }
        let since = now();
        let strike = self.do_it(nemesis);
        if !matches!(strike, Strike::Skipped(_)) {
            self.fault(&format!("{nemesis:?}"), since, strike == Strike::Struck);
        }
        strike
    }

    fn do_it(&mut self, nemesis: Nemesis) -> Strike {
        match nemesis {
            Nemesis::KillOwner => {
                let owner = self.owner();
                self.kill(owner);
            }
            Nemesis::KillLeader => {
                let leader = self.leader();
                self.kill(leader);
            }
            Nemesis::KillFollower => {
                let leader = self.leader();
                self.kill((leader + 1) % 3);
            }
            Nemesis::KillAll => {
                (0..3).for_each(|index| self.kill(index));
                // From here on: what was granted before the last of them was dead says nothing.
                let since = now();
                self.restart(&[0, 1, 2]);
                self.backs.push(Back { workers: vec![0, 1, 2], since, within: ALL_BACK });
            }
            Nemesis::StopOwner => {
                let owner = self.owner();
                self.worker(owner).signal("STOP");
                self.wait(TROUBLE);
                self.worker(owner).signal("CONT");
                self.backs.push(Back { workers: vec![owner], since: now(), within: BACK });
            }
            Nemesis::CutOwner => {
                let owner = self.owner();
                self.cut(&[owner]);
            }
            Nemesis::CutLeader => {
                let leader = self.leader();
                self.cut(&[leader]);
            }
            Nemesis::CutAll => self.cut(&[0, 1, 2]),
            Nemesis::DeafOwner | Nemesis::MuteOwner => {
                let owner = self.owner();
                return self.cut_one_way(owner, nemesis == Nemesis::DeafOwner);
            }
            Nemesis::DeafLeader | Nemesis::MuteLeader => {
                let leader = self.leader();
                return self.cut_one_way(leader, nemesis == Nemesis::DeafLeader);
            }
            Nemesis::RollingRestart => {
                for index in 0..3 {
                    self.leave(index);
                    self.restart(&[index]);
                }
            }
            Nemesis::Join => self.join(),
            Nemesis::Drain => {
                let owner = self.owner();
                self.leave(owner);
            }
            Nemesis::Replace => {
                self.join();
                let owner = self.owner();
                self.leave(owner);
            }
            Nemesis::Recover => return self.recover(),
            Nemesis::JumpClock => return self.jump_clock(),
            Nemesis::SlowSyncs => return self.slow_syncs(),
            Nemesis::FailSyncs => return self.fail_syncs(),
            Nemesis::FullDisk => return self.fill_disk(),
            Nemesis::Flood => return self.flood(),
            Nemesis::KillClient => return self.kill_client(),
            Nemesis::MassCancel => return self.mass_cancel(),
            Nemesis::Nothing | Nemesis::LateRetries | Nemesis::Mixed => {}
        }
        Strike::Struck
    }

    /// Cuts each of these off from both others, for a while.
    fn cut(&mut self, victims: &[usize]) {
        for index in 0..3 {
            let is_cut = |other: &usize| *other != index && (victims.contains(&index) || victims.contains(other));
            let refused: Vec<&str> = (0..3).filter(is_cut).map(|other| self.ids[other].as_str()).collect();
            let order = format!("refuse {}", refused.join(","));
            self.worker(index).ask(&order, "refusing");
        }
        self.wait(TROUBLE);
        (0..3).for_each(|index| drop(self.worker(index).ask("refuse ", "refusing")));
        self.backs.push(Back { workers: victims.to_vec(), since: now(), within: BACK });
    }

    /// For a while the victim hears nobody, or nobody hears it.
    fn cut_one_way(&mut self, victim: usize, is_deaf: bool) -> Strike {
        let cut = |run: &Self, is_cut| {
            let ways = run.setup.ways.as_ref().expect("the ways are its own");
            for other in (0..3).filter(|other| *other != victim) {
                let (from, to) = if is_deaf { (other, victim) } else { (victim, other) };
                ways.cut(from, to, is_cut);
            }
            ways.held()
        };
        cut(self, true);
        self.wait(TROUBLE);
        let held = cut(self, false);
        self.backs.push(Back { workers: vec![victim], since: now(), within: BACK });
        if held == 0 { Strike::Missed("nothing was said on the ways that were cut".to_owned()) } else { Strike::Struck }
    }

    /// Two disks are lost; the third node grants nothing, is recovered, and two new nodes come in the places of the lost ones.
    fn recover(&mut self) -> Strike {
        for index in [1, 2] {
            self.kill(index);
            std::fs::remove_dir_all(self.data(index)).unwrap();
        }
        self.wait(TROUBLE / 5);
        self.kill(0);
        let (code, said) = recover(&self.data(0), &["--yes"]);
        if code != Some(0) {
            return Strike::Missed(said);
        }
        let since = now();
        self.restart(&[0, 1, 2]);
        self.backs.push(Back { workers: vec![0, 1, 2], since, within: ALL_BACK });
        Strike::Struck
    }

    fn data(&self, index: usize) -> PathBuf {
        self.setup.homes[index].join(format!("node-{index}"))
    }

    fn jump_clock(&mut self) -> Strike {
        let leader = self.leader();
        let file = self.home.path().join(format!("clock-{leader}"));
        for by in ["+3600", "-3600", "+0"] {
            let read = |run: &mut Self, index: usize| run.worker(index).ask("wall", "wall").parse::<u64>().unwrap();
            jump(&file, by);
            let (jumped, real) = (read(self, leader), read(self, (leader + 1) % 3));
            if jumped.abs_diff(real.saturating_add_signed(by.parse().unwrap())) > 60 {
                return Strike::Missed(format!("the clock was not set by {by}: {jumped} and {real}"));
            }
            self.wait(TROUBLE / 4);
        }
        Strike::Struck
    }

    fn slow_syncs(&mut self) -> Strike {
        let leader = self.leader();
        let traces: Vec<_> = (0..2).map(|number| self.home.path().join(format!("syncs-{number}"))).collect();
        let pid = |place: usize| self.workers[(leader + place) % 3].as_ref().expect("it runs").pid();
        let watchers = traces.iter().enumerate().map(|(place, trace)| delay_syncs(pid(place), SYNC_MICROS, trace));
        let watchers: Option<Vec<_>> = watchers.collect();
        let Some(watchers) = watchers else { return Strike::Skipped("strace can't attach here") };
        self.wait(TROUBLE);
        drop(watchers);
        let delayed = |trace| std::fs::read_to_string(trace).unwrap_or_default().matches("DELAYED").count();
        let counts: Vec<usize> = traces.iter().map(delayed).collect();
        self.notes.push(format!("{counts:?} syncs were slow"));
        if counts.contains(&0) { Strike::Missed("no sync was slow".to_owned()) } else { Strike::Struck }
    }

    fn fail_syncs(&mut self) -> Strike {
        let owner = self.owner();
        let Some(watcher) = fail_syncs(self.worker(owner).pid()) else { return Strike::Skipped("strace can't attach here") };
        let has_stopped = self.until_said(owner, "stopped");
        drop(watcher);
        if !has_stopped {
            return Strike::Missed("the node goes on".to_owned());
        }
        self.wait(TROUBLE / 4);
        self.leave(owner);
        let since = now();
        self.restart(&[owner]);
        self.backs.push(Back { workers: vec![owner], since, within: ALL_BACK });
        Strike::Struck
    }

    /// What is left of the disk goes to a file that nobody needs. The disk is gone with its process: this node is not started again.
    fn fill_disk(&mut self) -> Strike {
        let disk = self.setup.homes[2].strip_prefix("/").unwrap().to_owned();
        let filler = format!("/proc/{}/root/{}/filler", self.worker(2).pid(), disk.display());
        let Ok(mut file) = std::fs::File::create(filler) else { return Strike::Skipped("the disk can't be reached from here") };
        while file.write_all(&[0; 1024]).is_ok() {}
        if self.until_said(2, "stopped") { Strike::Struck } else { Strike::Missed("the node goes on".to_owned()) }
    }

    fn flood(&mut self) -> Strike {
        self.worker(1).order(&format!("chaos flood {KEYS}"));
        if !self.until_said(1, "flooded") {
            return Strike::Missed("the flood has no end".to_owned());
        }
        let counts: Vec<u64> = self.worker(1).expect("flooded").split(' ').map(|count| count.parse().unwrap()).collect();
        let called: u64 = counts.iter().sum();
        let peaks: Option<Vec<u64>> = self.workers.iter().flatten().map(|worker| peak_mib(worker.pid())).collect();
        let Some(peak) = peaks.and_then(|peaks| peaks.into_iter().max()) else {
            return Strike::Skipped("no /proc to read memory from");
        };
        let [granted, full, other] = counts[..] else { return Strike::Missed("no counts".to_owned()) };
        self.notes.push(format!(
            "peak {peak} MiB of {MEMORY_MIB}; of {called} keys {granted} granted, {full} over the bound, {other} else"
        ));
        if peak > MEMORY_MIB {
            self.failures.push(format!("a process took {peak} MiB, at most {MEMORY_MIB}"));
        }
        if full == 0 { Strike::Missed(format!("the bound was never reached by {called} keys")) } else { Strike::Struck }
    }

    fn kill_client(&mut self) -> Strike {
        let port = self.worker(0).ask("chaos serve", "port");
        let client = client::spawn(&port);
        client.expect("waiting");
        self.wait(TROUBLE / 10);
        let answered = client.kill_and_tell("answered").len();
        self.notes.push(format!("{answered} of its {} calls had been granted", client::ALL_CALLS));
        let is_early = u64::try_from(answered).unwrap() < client::ALL_CALLS;
        if is_early { Strike::Struck } else { Strike::Missed("nobody waited any more".to_owned()) }
    }

    fn mass_cancel(&mut self) -> Strike {
        let cancels = |run: &Self| {
            let own = run.history.iter().filter(|line| line.contains("\"cancel\"") && line.contains("\"request\":\"1-"));
            own.count()
        };
        self.wait(TROUBLE / 50);
        let before = cancels(self);
        self.worker(1).ask("chaos give-up", "given up");
        self.wait(TROUBLE / 50);
        let gone = cancels(self) - before;
        self.notes.push(format!("{gone} gave up at once"));
        if gone < 20 { Strike::Missed(format!("only {gone} gave up")) } else { Strike::Struck }
    }

    /// Whoever is dead after one of them is started again before the next.
    fn strike_several(&mut self) -> Strike {
        let mut drawn_from = vec![
            Nemesis::KillOwner,
            Nemesis::KillLeader,
            Nemesis::KillFollower,
            Nemesis::StopOwner,
            Nemesis::CutOwner,
            Nemesis::CutLeader,
            Nemesis::CutAll,
            Nemesis::RollingRestart,
            Nemesis::MassCancel,
        ];
        let mut random = StdRng::seed_from_u64(self.seed);
        for _ in 0..3 {
            let nemesis = drawn_from.swap_remove(random.random_range(0..drawn_from.len()));
            self.notes.push(format!("{nemesis:?}"));
            let strike = self.strike(nemesis);
            if strike != Strike::Struck {
                return strike;
            }
            self.wait(TROUBLE / 5);
            let dead: Vec<usize> = (0..3).filter(|index| self.workers[*index].is_none()).collect();
            self.restart(&dead);
            self.wait(TROUBLE / 5);
        }
        Strike::Struck
    }

    /// Waits until a worker has said this word, and whether it has.
    fn until_said(&mut self, index: usize, word: &str) -> bool {
        let began = Instant::now();
        while !self.worker(index).has_said(word) && began.elapsed() < SOON {
            self.wait(Duration::from_millis(50));
        }
        self.worker(index).has_said(word)
    }
}

/// The most memory that a process has had, where the system tells.
fn peak_mib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib / 1024)
}
