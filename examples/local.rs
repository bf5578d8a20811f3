//! A limit for the threads and tasks of one process: no node, and no runtime unless tasks wait.

use std::time::Duration;

use turnstile::{Algorithm, LocalLimiter, RateLimit};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limiter = LocalLimiter::new(RateLimit::new(3, Duration::from_secs(1))?.by(Algorithm::TokenBucket));
    limiter.acquire(2)?; // waits its turn
    limiter.acquire_within(1, Duration::from_millis(500))?; // or gives up, and nothing is charged
    let answer = limiter.call(1, || "the platform's answer")?; // waits, and makes the call
    if let Ok(granted) = limiter.try_acquire(1) {
        granted.give_back(); // never waits; unused units go back
    }
    let granted = limiter.acquire_async(1).await?; // a task, in one queue with the threads (feature `local-async`)
    println!("{answer}, then {granted:?}");
    Ok(())
}
