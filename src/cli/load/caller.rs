//! One caller: a request, its grant, the next request.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;

use super::LoadArgs;
use super::tally::{Asked, Tally};
use crate::cli::remote::{Remote, RemoteError};
use crate::cli::time;
use crate::{Connection, Niceness};

/// The pause after a failure, so that a node that refuses isn't asked in a tight loop.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Makes one request after the other.
pub(super) struct Caller {
    name: u32,
    remote: Remote,
    connections: Arc<[Connection]>,
    niceness: Vec<u32>,
    /// From one request's beginning to the next one's, on average.
    apart: Option<Duration>,
    /// A stream of its own: what one caller does never shifts another's numbers.
    random: StdRng,
    tally: Arc<Tally>,
    stopped: watch::Receiver<bool>,
}

impl Caller {
    /// The caller of this number, from 0.
    pub(super) fn new(
        number: u32,
        args: &LoadArgs,
        remote: Remote,
        connections: Arc<[Connection]>,
        tally: Arc<Tally>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let seed = args.seed ^ u64::from(number).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let apart = args.rate.map(|rate| Duration::from_secs(args.concurrency.into()) / rate);
        let (niceness, random) = (args.niceness.clone(), StdRng::seed_from_u64(seed));
        Self { name: number + 1, remote, connections, niceness, apart, random, tally, stopped }
    }

    /// Goes on until it is told to stop; who waits then leaves the queue.
    pub(super) async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        let mut begins = Duration::ZERO;
        for number in 1_u64.. {
            if let Some(apart) = self.apart {
                begins += exponential(apart, self.random.random());
                let pause = begins.saturating_sub(self.tally.now());
                tokio::select! {
                    () = time::sleep(pause) => {}
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                }
            }
            let Some((connection, asked)) = self.draw(number) else { return };
            let began = self.tally.began(&asked, connection.key());
            let acquired = tokio::select! {
                biased;
                // Dropping the acquire leaves the queue.
                _ = stopped.wait_for(|stopped| *stopped) => {
                    self.tally.left(&asked);
                    return;
                }
                acquired = self.remote.acquire(&connection) => acquired,
            };
            match acquired {
                // Its request is over as soon as the permit is dropped.
                Ok(permit) => self.tally.granted(&asked, began, &permit),
                Err(error) => {
                    let has_ended = error == RemoteError::Ended;
                    self.tally.failed(&asked, &error.to_string());
                    if has_ended {
                        return;
                    }
                    time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// The next request.
    fn draw(&mut self, number: u64) -> Option<(Connection, Asked)> {
        let place = self.random.random_range(0..self.connections.len());
        let niceness = *self.niceness.get(self.random.random_range(0..self.niceness.len()))?;
        let connection = self.connections.get(place)?.clone().with_niceness(Niceness::new(niceness));
        Some((connection, Asked { caller: self.name, number, niceness }))
    }
}

/// An exponentially distributed time with this mean, from a uniform number in [0, 1).
fn exponential(mean: Duration, uniform: f64) -> Duration {
    // Cut off at ten means: rarer than one in twenty thousand, and a pause stays a pause.
    mean.mul_f64((-(1.0 - uniform).ln()).clamp(0.0, 10.0))
}
