//! What goes in and comes out of a call, whatever protocol it came by.

use std::time::Duration;

use crate::client::{AcquireError, Connection, Permit, Throttler};
use crate::wire::throttle::ParsedAcquire;

/// How an acquire ended: "not now" is an answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// A slot.
    Granted(Box<Permit>),
    /// None, and when there may be one.
    Throttled(Duration),
}

/// Whether a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// As long as its acquire says.
    Wait,
    /// It does not.
    Try,
}

/// Makes a parsed acquire. Dropping the future leaves the queue.
///
/// # Errors
/// Never [`AcquireError::NotNow`].
pub(super) async fn answer(throttler: Throttler, parsed: ParsedAcquire, mode: Mode) -> Result<Answer, AcquireError> {
    let connection = Connection::from_parts(parsed.key, parsed.limits);
    let mut request = throttler.request(&connection).niceness(parsed.niceness).taking(parsed.cost);
    request = request.waited(parsed.waited);
    if let Some(id) = parsed.id {
        request = request.request_id(id);
    }
    if let Some(timeout) = parsed.waits.timeout {
        request = request.timeout(timeout);
    }
    if let Some(max_wait) = parsed.waits.max_wait {
        request = request.max_wait(max_wait);
    }
    let permit = match mode {
        Mode::Wait => request.acquire().await,
        Mode::Try => request.acquire_now().await,
    };
    match permit {
        Ok(permit) => Ok(Answer::Granted(Box::new(permit))),
        Err(AcquireError::NotNow { retry_after }) => Ok(Answer::Throttled(retry_after)),
        Err(error) => Err(error),
    }
}
