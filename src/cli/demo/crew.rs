//! The workers: tasks that call the platform through the throttler, and write down what happened.
//!
//! ```text
//! loop: pause ─► acquire ─► GET the platform ─► permit dropped ─► again
//!          └──────┴─ the run ends: stop issuing, drop what waits; a call in flight is finished
//! ```
//!
//! Promises: every task is joined or, past a deadline, aborted; its open requests then count as lost.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::StatusCode;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::journal::{Grant, Journal, Outcome};
use super::judge::{Sequence, Tenure};
use super::traffic::{self, Lane, Pace};
use crate::cli::connections::{ConnectionSpec, Limit};
use crate::cli::platform::REQUEST_ID;
use crate::cli::time;
use crate::{Connection, Niceness, Permit, RateLimit, Throttler};

/// How long one call may take.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// How long the workers may take to end: a call, and as much again.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// The pause after an error of the throttler, so that a broken one isn't asked in a tight loop.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Why the workers can't go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CrewError {
    /// A connection of the file is nothing the throttler takes.
    #[error("the throttler does not take {platform}/{connection}: {reason}")]
    Connection {
        /// The platform.
        platform: String,
        /// The connection.
        connection: String,
        /// Why.
        reason: String,
    },
    /// No HTTP client.
    #[error("cannot build an HTTP client")]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The emulator does not answer calls.
    #[error("the platform emulator did not answer a call within {CALL_DEADLINE:?}")]
    Call {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The emulator answers what it never should.
    #[error("the platform emulator answered {status} to {url}")]
    Answer {
        /// What.
        status: StatusCode,
        /// To which call.
        url: String,
    },
    /// A worker's task broke.
    #[error("a worker's task failed")]
    Task {
        /// Why.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// What all workers share.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// Shared access to the platforms.
    pub(crate) throttler: Throttler,
    /// Where the platforms are.
    pub(crate) address: SocketAddr,
    /// Where it is written down.
    pub(crate) journal: Arc<Journal>,
    /// What the run's randomness starts from.
    pub(crate) seed: u64,
}

/// The running workers.
#[derive(Debug)]
pub(crate) struct Crew {
    workers: JoinSet<Result<(), CrewError>>,
    stop: watch::Sender<bool>,
}

impl Crew {
    /// Starts `workers` tasks that share the load.
    ///
    /// # Errors
    /// When a connection or a client can't be made.
    pub(crate) fn start(site: &Site, specs: &[ConnectionSpec], workers: NonZeroU32) -> Result<Self, CrewError> {
        let lanes = traffic::plan(specs);
        let (stop, stopped) = watch::channel(false);
        let mut crew = JoinSet::new();
        for worker in 0..workers.get() {
            // A client of its own each, as processes would have.
            let client = reqwest::Client::builder()
                .no_proxy()
                .timeout(CALL_DEADLINE)
                .build()
                .map_err(|source| CrewError::Client { source })?;
            let mut loops = Vec::new();
            for (number, lane) in (0u64..).zip(&lanes) {
                let Some(spec) = specs.get(lane.place) else {
                    continue;
                };
                for place in traffic::share(lane.loops, worker, workers) {
                    let stream = (number << 32) | u64::from(place);
                    loops.push(Loop {
                        site: site.clone(),
                        client: client.clone(),
                        connection: connection(spec, lane)?,
                        url: url(site.address, spec),
                        lane: *lane,
                        place,
                        // Each loop has its own stream: what one does never shifts another's numbers.
                        random: StdRng::seed_from_u64(site.seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                        stopped: stopped.clone(),
                    });
                }
            }
            crew.spawn(work(loops));
        }
        Ok(Self { workers: crew, stop })
    }

    /// Returns when a worker can't go on; never while all is well. Cancel-safe.
    pub(crate) async fn failed(&mut self) -> CrewError {
        while let Some(ended) = self.workers.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(source) => return CrewError::Task { source },
            }
        }
        std::future::pending().await
    }

    /// Stops issuing, drops what waits and waits for the calls in flight.
    ///
    /// # Errors
    /// The first failure of a worker that hadn't been seen yet.
    pub(crate) async fn stop(mut self) -> Result<(), CrewError> {
        self.stop.send_replace(true);
        let workers = &mut self.workers;
        let ending = async move {
            while let Some(ended) = workers.join_next().await {
                ended.map_err(|source| CrewError::Task { source })??;
            }
            Ok(())
        };
        match time::timeout(END_DEADLINE, ending).await {
            Ok(ended) => ended,
            Err(_) => {
                // Whatever hangs stays without an end in the journal, and the judge calls it lost.
                self.workers.shutdown().await;
                Ok(())
            }
        }
    }
}

/// The connection's limits as the throttler takes them.
///
/// # Errors
/// When it does not take one.
pub(crate) fn rates(spec: &ConnectionSpec) -> Result<Vec<RateLimit>, CrewError> {
    let rate = |limit: &Limit| RateLimit::new(limit.requests.get(), limit.window);
    spec.limits.iter().map(|limit| rate(limit).map_err(|error| refused(spec, &error.to_string()))).collect()
}

fn connection(spec: &ConnectionSpec, lane: &Lane) -> Result<Connection, CrewError> {
    let mut made: Option<Connection> = None;
    for rate in rates(spec)? {
        let next = match made {
            None => Connection::new(&spec.platform, &spec.connection, rate),
            Some(connection) => connection.and_limit(rate),
        };
        made = Some(next.map_err(|error| refused(spec, &error.to_string()))?);
    }
    let made = made.ok_or_else(|| refused(spec, "it has no limit"))?;
    Ok(made.with_niceness(Niceness::new(lane.kind.niceness())))
}

fn refused(spec: &ConnectionSpec, reason: &str) -> CrewError {
    CrewError::Connection { platform: spec.platform.clone(), connection: spec.connection.clone(), reason: reason.to_owned() }
}

fn url(address: SocketAddr, spec: &ConnectionSpec) -> String {
    format!("http://{address}/{}/{}/{}", spec.platform, spec.connection, spec.path)
}

/// One worker: all its loops, until they end or one fails.
async fn work(loops: Vec<Loop>) -> Result<(), CrewError> {
    let mut running = JoinSet::new();
    for one in loops {
        running.spawn(one.run());
    }
    while let Some(ended) = running.join_next().await {
        ended.map_err(|source| CrewError::Task { source })??;
    }
    Ok(())
}

/// One request after the other on one connection at one niceness.
struct Loop {
    site: Site,
    client: reqwest::Client,
    connection: Connection,
    url: String,
    lane: Lane,
    /// Its number among the loops of its lane.
    place: u32,
    random: StdRng,
    stopped: watch::Receiver<bool>,
}

impl Loop {
    async fn run(mut self) -> Result<(), CrewError> {
        let mut pause = match self.lane.pace {
            Pace::Standing { apart, .. } => apart * self.place + apart.mul_f64(self.random.random()),
            Pace::Random { mean } => exponential(mean, self.random.random()),
        };
        loop {
            self.pause(pause).await;
            if *self.stopped.borrow() {
                return Ok(());
            }
            self.request().await?;
            pause = match self.lane.pace {
                Pace::Standing { rest, .. } => rest,
                Pace::Random { mean } => exponential(mean, self.random.random()),
            };
        }
    }

    async fn request(&mut self) -> Result<(), CrewError> {
        let journal = Arc::clone(&self.site.journal);
        let id = journal.issued(self.lane.place, self.lane.kind.niceness());
        let acquired = tokio::select! {
            // Dropping the acquire takes it out of the queue, or gives its permit back.
            acquired = self.site.throttler.acquire(&self.connection) => acquired,
            () = stopped(&mut self.stopped) => {
                journal.ended(id, Outcome::Cancelled);
                return Ok(());
            }
        };
        match acquired {
            Ok(permit) => {
                journal.granted(id, |now| grant(&permit, now));
                let outcome = self.call(id.number()).await?;
                // The permit is held during the call, as `throttle` would.
                drop(permit);
                journal.ended(id, outcome);
            }
            Err(error) => {
                journal.failed(id, &error);
                self.pause(AFTER_FAILURE).await;
            }
        }
        Ok(())
    }

    /// One real call; its deadline is the client's.
    async fn call(&self, number: usize) -> Result<Outcome, CrewError> {
        let id = format!("{:x}-{number}", self.site.seed);
        let sent = self.client.get(&self.url).header(REQUEST_ID, id).send().await;
        let answer = sent.map_err(|source| CrewError::Call { source })?;
        let status = answer.status();
        // Read to the end, or the TCP connection could not be used again.
        answer.bytes().await.map_err(|source| CrewError::Call { source })?;
        match status {
            StatusCode::OK => Ok(Outcome::Accepted),
            StatusCode::TOO_MANY_REQUESTS => Ok(Outcome::Refused),
            status => Err(CrewError::Answer { status, url: self.url.clone() }),
        }
    }

    /// Sleeps this long, or until the run ends.
    async fn pause(&mut self, pause: Duration) {
        tokio::select! {
            () = time::sleep(pause) => {}
            () = stopped(&mut self.stopped) => {}
        }
    }
}

/// Returns once the run has ended, which includes that nobody is left to end it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    stop.wait_for(|stop| *stop).await.ok();
}

fn grant(permit: &Permit, granted: Duration) -> Grant {
    let margin = permit.margin();
    Grant {
        // One node that stays up is one owner with one counter.
        tenure: Tenure(0),
        arrival: Sequence(permit.arrival().get()),
        release: Sequence(permit.release().get()),
        delivery: margin.delivery,
        guard: margin.guard,
        granted,
    }
}

/// An exponentially distributed time with this mean, from a uniform number in [0, 1).
fn exponential(mean: Duration, uniform: f64) -> Duration {
    // Cut off at ten means: rarer than one in twenty thousand, and a pause stays a pause.
    mean.mul_f64((-(1.0 - uniform).ln()).clamp(0.0, 10.0))
}
