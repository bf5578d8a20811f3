//! The way of a question to a connection's owner, and of its answer.

use super::place::Owner;
use super::{RouteError, Router, TRY_REACHES_WITHIN};
use crate::clock;
use crate::engine::grant::RequestId;
use crate::engine::key::ConnectionKey;
use crate::engine::throttle::Explanation;
use crate::owner::{Message, Outcome, Reply};

impl Router {
    /// How a request stands that waits for this connection; `None` when it does not wait.
    ///
    /// # Errors
    /// [`RouteError::TooManyInFlight`], [`RouteError::OutOfReach`], [`RouteError::Stopped`].
    pub(crate) async fn explain(&self, key: &ConnectionKey, request: RequestId) -> Result<Option<Explanation>, RouteError> {
        let _ticket = self.admit()?;
        let asked = clock::timeout(TRY_REACHES_WITHIN, self.ask(key, request)).await;
        match asked.unwrap_or(Err(RouteError::OutOfReach { waited: TRY_REACHES_WITHIN })) {
            Ok(explanation) => Ok(explanation),
            Err(error) => Err(self.explained(error).await),
        }
    }

    async fn ask(&self, key: &ConnectionKey, request: RequestId) -> Result<Option<Explanation>, RouteError> {
        loop {
            let answer = match self.owner_of(key).await? {
                Owner::Here(_, shard) => {
                    let (reply, answer) = Reply::channel();
                    drop(shard.cast(Message::Explain(key.clone(), request, reply)));
                    answer.await
                }
                Owner::There(session) => session.explain(key, request).await,
            };
            match answer {
                Ok(Outcome::Explained(explanation)) => return Ok(explanation),
                Ok(Outcome::TooManyInFlight { max_in_flight }) => return Err(RouteError::TooManyInFlight { max_in_flight }),
                Ok(Outcome::MovedBy(epoch)) => self.await_ring(epoch).await?,
                // Its owner has crashed, or the session has ended: another one is asked.
                Ok(_) | Err(_) => tokio::task::yield_now().await,
            }
        }
    }
}
