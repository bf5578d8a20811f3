//! How many acquires a node has begun and not ended: what bounds its owners' mailboxes, which have no bound of their own.
//!
//! A ticket travels with whatever its acquire leaves in a mailbox: an acquire that was dropped counts until its owner has read so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Hands out tickets, up to a bound.
#[derive(Debug)]
pub(crate) struct Admission {
    in_flight: Arc<AtomicUsize>,
    max_in_flight: usize,
}

/// A place among the acquires in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    in_flight: Arc<AtomicUsize>,
}

impl Admission {
    /// At most `max_in_flight` tickets at once.
    pub(crate) fn new(max_in_flight: usize) -> Self {
        Self { in_flight: Arc::default(), max_in_flight }
    }

    /// A ticket.
    ///
    /// # Errors
    /// The bound, when as many are out.
    pub(crate) fn admit(&self) -> Result<Ticket, usize> {
        let ticket = Ticket { in_flight: Arc::clone(&self.in_flight) };
        let before = self.in_flight.fetch_add(1, Ordering::AcqRel);
        if before >= self.max_in_flight { Err(self.max_in_flight) } else { Ok(ticket) }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
