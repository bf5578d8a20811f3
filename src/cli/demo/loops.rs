//! The loops of a worker: each makes one request after the other, of one connection at one niceness.
//!
//! ```text
//! pause ─► acquire ─► GET the platform ─► permit dropped ─► again
//!   └──────┴─ the run ends: stop issuing, drop what waits; a call in flight is finished
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::StatusCode;
use tokio::sync::{mpsc, watch};

use super::message::{Assignment, Event, Told, What};
use super::traffic::{self, Lane, Pace};
use crate::cli::connections::{ConnectionSpec, Limit};
use crate::cli::order::{Sequence, Tenure};
use crate::cli::platform::REQUEST_ID;
use crate::cli::remote::{Remote, RemotePermit};
use crate::cli::time::{self, Stopwatch};
use crate::{Connection, Niceness, RateLimit};

/// How long one call may take.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// The pause after an error of the throttler, so that a broken one isn't asked in a tight loop.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Why a loop can't go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoopError {
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
}

/// What all loops of a worker share.
#[derive(Debug, Clone)]
struct Site {
    throttle: Remote,
    client: reqwest::Client,
    clock: Stopwatch,
    /// Where it is written down.
    account: mpsc::UnboundedSender<Event>,
    requests: Arc<AtomicU64>,
    /// What the platform knows this worker's requests by.
    name: String,
    stopped: watch::Receiver<bool>,
}

/// The loops of one worker, its share of all.
///
/// # Errors
/// When a connection or a client can't be made.
pub(crate) fn of(
    assignment: &Assignment,
    specs: &[ConnectionSpec],
    throttle: &Remote,
    account: &mpsc::UnboundedSender<Event>,
    stopped: &watch::Receiver<bool>,
) -> Result<Vec<Loop>, LoopError> {
    let &Assignment { platforms, seed, worker, workers, clock, .. } = assignment;
    let client = reqwest::Client::builder().no_proxy().timeout(CALL_DEADLINE).build();
    let site = Site {
        throttle: throttle.clone(),
        client: client.map_err(|source| LoopError::Client { source })?,
        clock,
        account: account.clone(),
        requests: Arc::default(),
        name: format!("{seed:x}-{worker}"),
        stopped: stopped.clone(),
    };
    let mut loops = Vec::new();
    for (number, lane) in (0u64..).zip(&traffic::plan(specs)) {
        let Some(spec) = specs.get(lane.place) else {
            continue;
        };
        for place in traffic::share(lane.loops, worker, workers) {
            let stream = (number << 32) | u64::from(place);
            loops.push(Loop {
                site: site.clone(),
                connection: connection(spec, lane)?,
                url: url(platforms, spec),
                lane: *lane,
                place,
                // Each loop has its own stream: what one does never shifts another's numbers.
                random: StdRng::seed_from_u64(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            });
        }
    }
    Ok(loops)
}

/// The connection's limits as the throttler takes them.
///
/// # Errors
/// When it does not take one.
pub(crate) fn rates(spec: &ConnectionSpec) -> Result<Vec<RateLimit>, LoopError> {
    let rate = |limit: &Limit| RateLimit::new(limit.requests.get(), limit.window).map(|rate| rate.by(limit.algorithm));
    spec.limits.iter().map(|limit| rate(limit).map_err(|error| refused(spec, &error.to_string()))).collect()
}

fn connection(spec: &ConnectionSpec, lane: &Lane) -> Result<Connection, LoopError> {
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

fn refused(spec: &ConnectionSpec, reason: &str) -> LoopError {
    LoopError::Connection { platform: spec.platform.clone(), connection: spec.connection.clone(), reason: reason.to_owned() }
}

fn url(address: SocketAddr, spec: &ConnectionSpec) -> String {
    format!("http://{address}/{}/{}/{}", spec.platform, spec.connection, spec.path)
}

/// One request after the other on one connection at one niceness.
#[derive(Debug)]
pub(crate) struct Loop {
    site: Site,
    connection: Connection,
    url: String,
    lane: Lane,
    /// Its number among the loops of its lane.
    place: u32,
    random: StdRng,
}

impl Loop {
    /// Makes requests until the run ends.
    ///
    /// # Errors
    /// [`LoopError`] of the platform; those of the throttle are part of the account.
    pub(crate) async fn run(mut self) -> Result<(), LoopError> {
        let mut pause = match self.lane.pace {
            Pace::Standing { apart, .. } => apart * self.place + apart.mul_f64(self.random.random()),
            Pace::Random { mean } => exponential(mean, self.random.random()),
        };
        loop {
            self.pause(pause).await;
            if *self.site.stopped.borrow() {
                return Ok(());
            }
            self.request().await?;
            pause = match self.lane.pace {
                Pace::Standing { rest, .. } => rest,
                Pace::Random { mean } => exponential(mean, self.random.random()),
            };
        }
    }

    async fn request(&mut self) -> Result<(), LoopError> {
        let request = self.site.requests.fetch_add(1, Ordering::Relaxed);
        self.tell(request, What::Issued { connection: self.lane.place, niceness: self.lane.kind.niceness() });
        let mut run = self.site.stopped.clone();
        let acquired = tokio::select! {
            // Dropping the acquire takes it out of the queue, or gives its slot back.
            acquired = self.site.throttle.acquire(&self.connection) => acquired,
            () = stopped(&mut run) => {
                self.tell(request, What::Dropped);
                return Ok(());
            }
        };
        match acquired {
            Ok(permit) => {
                self.tell(request, What::Granted(told(&permit)));
                let accepted = self.call(request).await?;
                // The permit is held during the call, as `throttle` would.
                drop(permit);
                self.tell(request, What::Called { accepted });
            }
            Err(error) => {
                self.tell(request, What::Failed { error: error.to_string() });
                self.pause(AFTER_FAILURE).await;
            }
        }
        Ok(())
    }

    fn tell(&self, request: u64, what: What) {
        // Nobody reads any more when the worker ends.
        self.site.account.send(Event { request, at: self.site.clock.elapsed(), what }).ok();
    }

    /// One real call, whether it was accepted; its deadline is the client's.
    async fn call(&self, request: u64) -> Result<bool, LoopError> {
        let id = format!("{}-{request}", self.site.name);
        let sent = self.site.client.get(&self.url).header(REQUEST_ID, id).send().await;
        let answer = sent.map_err(|source| LoopError::Call { source })?;
        let status = answer.status();
        // Read to the end, or the TCP connection could not be used again.
        answer.bytes().await.map_err(|source| LoopError::Call { source })?;
        match status {
            StatusCode::OK => Ok(true),
            StatusCode::TOO_MANY_REQUESTS => Ok(false),
            status => Err(LoopError::Answer { status, url: self.url.clone() }),
        }
    }

    /// Sleeps this long, or until the run ends.
    async fn pause(&mut self, pause: Duration) {
        tokio::select! {
            () = time::sleep(pause) => {}
            () = stopped(&mut self.site.stopped) => {}
        }
    }
}

/// Returns once the run has ended, which includes that nobody is left to end it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    stop.wait_for(|stop| *stop).await.ok();
}

fn told(permit: &RemotePermit) -> Told {
    Told {
        tenure: Tenure(permit.tenure.get()),
        arrival: Sequence(permit.arrival.get()),
        waits_since: Sequence(permit.waits_since.get()),
        release: Sequence(permit.release.get()),
        delivery: permit.margin.delivery,
        guard: permit.margin.guard,
    }
}

/// An exponentially distributed time with this mean, from a uniform number in [0, 1).
fn exponential(mean: Duration, uniform: f64) -> Duration {
    // Cut off at ten means: rarer than one in twenty thousand, and a pause stays a pause.
    mean.mul_f64((-(1.0 - uniform).ln()).clamp(0.0, 10.0))
}
