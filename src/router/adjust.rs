//! The way of an adjustment to its connection's owner: a pause, a reconcile. It is said again until the ledger has answered; none of them counts twice for that.

use std::sync::Arc;

use super::place::Owner;
use super::{RouteError, Router, lost};
use crate::engine::key::ConnectionKey;
use crate::engine::ledger::{Adjusted, Adjustment};
use crate::owner::{self, Outcome, Ticket};

impl Router {
    /// Has this committed, and says what became of it.
    ///
    /// # Errors
    /// [`RouteError::TooManyInFlight`], [`RouteError::Stopped`].
    pub(crate) async fn adjust(&self, key: &ConnectionKey, adjustment: Adjustment) -> Result<Adjusted, RouteError> {
        let ticket = Arc::new(self.admit()?);
        let mut stopped = self.stopped.clone();
        let adjusted = tokio::select! {
            answer = self.attempt_adjust(key, adjustment, &ticket) => answer,
            _ = stopped.wait_for(Option::is_some) => Err(lost("it was shut down")),
        };
        match adjusted {
            Ok(adjusted) => Ok(adjusted),
            Err(error) => Err(self.explained(error).await),
        }
    }

    async fn attempt_adjust(
        &self,
        key: &ConnectionKey,
        adjustment: Adjustment,
        ticket: &Arc<Ticket>,
    ) -> Result<Adjusted, RouteError> {
        loop {
            let owner = self.owner_of(key).await?;
            let epoch = self.ring.borrow().epoch();
            match owner {
                Owner::Here(_, shard) => {
                    let ticket = Arc::clone(ticket);
                    let answer = owner::adjust(&self.proposer, self.clock, epoch, key, adjustment, &shard, ticket).await;
                    match answer.ok_or_else(|| lost("its consensus has ended"))? {
                        Ok(adjusted) => return Ok(adjusted),
                        Err(epoch) => self.await_ring(epoch).await?,
                    }
                }
                Owner::There(session) => match session.adjust(key, epoch, adjustment, Arc::clone(ticket)).await {
                    Ok(Outcome::Adjusted(adjusted)) => return Ok(adjusted),
                    Ok(Outcome::Refused(refusal)) => return Err(RouteError::Refused(refusal)),
                    Ok(Outcome::TooManyInFlight { max_in_flight }) => return Err(RouteError::TooManyInFlight { max_in_flight }),
                    Ok(Outcome::MovedBy(epoch)) => self.await_ring(epoch).await?,
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }
}
