//! What a router asks of an owner beside slots: adjustments, and how a request stands.

use std::sync::Arc;

use super::{Open, OwnerSays, Serving};
use crate::engine::grant::RequestId;
use crate::engine::key::ConnectionKey;
use crate::owner::{Message, Outcome};
use crate::wire::adjustment::{RoutedAdjustment, from_adjusted};
use crate::wire::explanation::from_explanation;
use crate::wire::peer::RoutedRefusal;

impl Serving<'_> {
    pub(super) fn adjust(&mut self, number: u64, routed: RoutedAdjustment) {
        let ticket = match self.admission.admit() {
            Ok(ticket) => Arc::new(ticket),
            Err(max_in_flight) => return self.refuse(number, &RoutedRefusal::TooManyInFlight(max_in_flight)),
        };
        let local = self.local.clone();
        let (reply, _) = self.reply(number);
        self.open.insert(number, Open::Aside);
        // It stands when its caller is gone.
        tokio::spawn(async move { reply.answer(local.adjust(&routed, ticket).await) });
    }

    pub(super) fn explain(&mut self, number: u64, (key, request): (ConnectionKey, RequestId)) {
        let Some(shard) = self.local.shard_of(&key) else {
            return self.refuse(number, &RoutedRefusal::Moved(self.local.epoch()));
        };
        let (reply, _) = self.reply(number);
        self.open.insert(number, Open::Aside);
        drop(shard.cast(Message::Explain(key, request, reply)));
    }

    pub(super) fn answered_aside(&mut self, number: u64, outcome: Option<&Outcome>) {
        match outcome {
            Some(Outcome::Explained(explained)) => {
                self.say(number, OwnerSays::Explained(from_explanation(explained.as_ref())));
            }
            Some(Outcome::Adjusted(adjusted)) => self.say(number, OwnerSays::Adjusted(from_adjusted(adjusted))),
            Some(Outcome::MovedBy(epoch)) => self.refuse(number, &RoutedRefusal::Moved(*epoch)),
            _ => self.refuse(number, &RoutedRefusal::Moved(self.local.epoch())),
        }
    }
}
