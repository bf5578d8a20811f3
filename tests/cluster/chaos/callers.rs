//! The load of a chaos run, in a worker's process: calls for many connections at twice their limit, of several niceness, some of which give up, run out of
//! time or are said twice. What happens to each is written down as a line of a history.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use turnstile::{AcquireError, Connection, Niceness, Permit, RateLimit, RequestId, Throttler};

use crate::process::now;

/// How many connections there are, and what each allows.
pub(crate) const CONNECTIONS: u64 = 20;
pub(crate) const COUNT: u32 = 5;
pub(crate) const WINDOW: Duration = Duration::from_secs(1);
/// Together the workers call for this many times what is allowed.
const OVERLOAD: f64 = 2.0;
const WORKERS: f64 = 3.0;
/// How long a call waits, and how long one in twenty does.
const PATIENCE: Duration = Duration::from_secs(4);
const IMPATIENCE: Duration = Duration::from_millis(500);

/// The attempt that [`again`] makes.
pub(crate) const AGAIN: u32 = 2;

/// Told when all who wait in this process give up at once.
pub(crate) static ALL_GIVE_UP: LazyLock<Notify> = LazyLock::new(Notify::new);

/// One try of a request, as the history knows it.
#[derive(Clone)]
struct Try {
    request: String,
    attempt: u32,
    id: RequestId,
    connection: Connection,
    timeout: Duration,
    gives_up_after: Option<Duration>,
}

/// Calls for so long, and then until everybody has an end.
pub(crate) async fn call(throttler: Throttler, worker: usize, lasts: Duration, seed: u64) {
    let salt: u64 = rand::random();
    let numbers = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for place in 0..CONNECTIONS {
        let (throttler, numbers) = (throttler.clone(), Arc::clone(&numbers));
        let random = StdRng::seed_from_u64(seed ^ (place << 8) ^ u64::try_from(worker).unwrap());
        callers.spawn(async move {
            let mut random = random;
            let mut calls = JoinSet::new();
            let until = Instant::now() + lasts;
            let mean = WINDOW.as_secs_f64() * WORKERS / (f64::from(COUNT) * OVERLOAD);
            while Instant::now() < until {
                tokio::time::sleep(Duration::from_secs_f64(-mean * (1.0 - random.random::<f64>()).ln())).await;
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                let niceness = Niceness::new(random.random_range(0..5));
                let first = Try {
                    request: format!("{worker}-{salt:x}-{number}"),
                    attempt: 0,
                    id: id(salt, number),
                    connection: connection(&format!("c-{place}")).with_niceness(niceness),
                    timeout: if random.random_ratio(1, 20) { IMPATIENCE } else { PATIENCE },
                    gives_up_after: random.random_ratio(1, 20).then(|| Duration::from_millis(random.random_range(0..1000))),
                };
                if random.random_ratio(1, 10) {
                    let second = Try { attempt: 1, ..first.clone() };
                    let (throttler, after) = (throttler.clone(), Duration::from_millis(random.random_range(0..500)));
                    calls.spawn(async move {
                        tokio::time::sleep(after).await;
                        one(&throttler, worker, second).await;
                    });
                }
                let throttler = throttler.clone();
                calls.spawn(async move { one(&throttler, worker, first).await });
            }
            calls.join_all().await;
        });
    }
    callers.join_all().await;
    println!("called");
}

/// One of the connections of the run.
fn connection(name: &str) -> Connection {
    Connection::new("chaos", name, RateLimit::new(COUNT, WINDOW).unwrap()).unwrap()
}

fn id(salt: u64, number: u64) -> RequestId {
    RequestId::new((u128::from(salt) << 64) | u128::from(number))
}

/// Says a request of a former caller again, in this worker.
pub(crate) async fn again(throttler: Throttler, worker: usize, request: &str, name: &str, niceness: u32) {
    let parts: Vec<&str> = request.split('-').collect();
    let id = id(u64::from_str_radix(parts[1], 16).unwrap(), parts[2].parse().unwrap());
    let connection = connection(name).with_niceness(Niceness::new(niceness));
    let (request, attempt) = (request.to_owned(), AGAIN);
    one(&throttler, worker, Try { request, attempt, id, connection, timeout: PATIENCE, gives_up_after: None }).await;
}

/// One try, from its beginning to its end.
async fn one(throttler: &Throttler, worker: usize, one: Try) {
    let Try { connection, id, timeout, gives_up_after, .. } = &one;
    one.tell("enqueue", |line| {
        line["client"] = format!("worker {worker}").into();
        line["platform"] = connection.key().platform().into();
        line["connection"] = connection.key().connection().into();
        line["limits"] = json!([{ "requests": COUNT, "window_seconds": WINDOW.as_secs_f64() }]);
        line["niceness"] = connection.niceness().get().into();
        line["timeout_seconds"] = timeout.as_secs_f64().into();
    });
    let acquired = throttler.request(connection).request_id(*id).timeout(*timeout).acquire();
    let gives_up = async {
        match gives_up_after {
            Some(after) => tokio::time::sleep(*after).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        acquired = acquired => match acquired {
            Ok(permit) => {
                one.granted(&permit);
                drop(permit);
                one.tell("done", |_| {});
            }
            Err(AcquireError::DeadlineExceeded { .. }) => one.tell("deadline", |_| {}),
            Err(error) => one.tell("error", |line| line["message"] = error.to_string().into()),
        },
        () = gives_up => one.tell("cancel", |_| {}),
        () = ALL_GIVE_UP.notified() => one.tell("cancel", |_| {}),
    }
}

impl Try {
    fn granted(&self, permit: &Permit) {
        let margin = permit.margin();
        self.tell("grant", |line| {
            line["tenure"] = permit.tenure().get().into();
            line["arrival"] = permit.arrival().get().into();
            line["waits_since"] = permit.waits_since().get().into();
            line["release"] = permit.release().get().into();
            line["delivery_seconds"] = margin.delivery.as_secs_f64().into();
            line["guard_seconds"] = margin.guard.as_secs_f64().into();
        });
    }

    fn tell(&self, event: &str, more: impl FnOnce(&mut Value)) {
        let at = u64::try_from(now().as_nanos()).unwrap();
        let mut line = json!({ "event": event, "at_nanos": at, "request": self.request, "attempt": self.attempt });
        more(&mut line);
        println!("history {line}");
    }
}
