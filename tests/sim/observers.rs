//! Nodes without the log: they follow the ring of a replica, and of another one when that is gone or cut off. By the same rules as the product's.

use std::sync::Arc;

use turnstile::engine::grant::Epoch;
use turnstile::engine::membership::Role;
use turnstile::engine::ring::Ring;

use crate::clock::{MILLISECOND, Moment};
use crate::world::{Datagram, World};

const SAYS_EVERY: Moment = 500 * MILLISECOND;
const SILENT_FOR: Moment = 1_500 * MILLISECOND;

/// A stream from a replica: both of its ends.
#[derive(Debug)]
pub struct Following {
    pub replica: usize,
    /// Of the replica's process.
    run: u64,
    /// What was said last, and when.
    said: Option<(Epoch, Moment)>,
    heard_at: Moment,
    is_heard: bool,
}

impl World {
    /// Follows a replica while this node is none.
    pub fn follow(&mut self, n: usize) {
        if self.nodes[n].role() != Role::Observer {
            self.nodes[n].following = None;
            return;
        }
        match &self.nodes[n].following {
            Some(following) if self.now - following.heard_at < SILENT_FOR => {}
            Some(_) => {
                self.nodes[n].following = None;
                self.nodes[n].turn += 1;
            }
            None => {
                let serving = self.serving(n);
                let Some(&replica) = self.nodes[n].turn.checked_rem(serving.len()).and_then(|place| serving.get(place)) else {
                    return;
                };
                let run = self.nodes[replica].run;
                let following = Following { replica, run, said: None, heard_at: self.now, is_heard: false };
                self.nodes[n].following = Some(following);
            }
        }
    }

    /// The replicas that say that they are in touch with a quorum.
    fn serving(&self, n: usize) -> Vec<usize> {
        let node = &self.nodes[n];
        let says_so = |other: &usize| node.heard[other].standing.serves && node.role_of(self.nodes[*other].id) != Role::Observer;
        let mut serving: Vec<usize> =
            node.heard.keys().copied().filter(|&other| self.is_there(n, other)).filter(says_so).collect();
        serving.sort_unstable_by_key(|&other| self.nodes[other].id);
        serving
    }

    /// Tells those who follow this node its ring, as long as it is in touch with a quorum.
    pub fn tell_followers(&mut self, n: usize) {
        if !self.nodes[n].standing.serves {
            return;
        }
        let (run, ring) = (self.nodes[n].run, Arc::clone(&self.nodes[n].ring));
        for follower in 0..self.nodes.len() {
            if follower == n || !self.nodes[follower].is_up || !self.network.connects(n, follower) {
                continue;
            }
            let Some(following) = &mut self.nodes[follower].following else { continue };
            let is_said = following.said.is_some_and(|(epoch, at)| epoch == ring.epoch() && self.now - at < SAYS_EVERY);
            if (following.replica, following.run) == (n, run) && !is_said {
                following.said = Some((ring.epoch(), self.now));
                self.send(n, follower, Datagram::Ring(Arc::clone(&ring)));
            }
        }
    }

    /// What a replica has said. Who is a member owns by its own log only.
    pub fn hear_ring(&mut self, n: usize, from: usize, ring: &Arc<Ring>) {
        let node = &mut self.nodes[n];
        let Some(following) = node.following.as_mut().filter(|following| following.replica == from) else { return };
        following.heard_at = self.now;
        let is_first = !std::mem::replace(&mut following.is_heard, true);
        if is_first && node.followed.replace(from).is_some_and(|former| former != from) {
            self.witness.seen.followed_another += 1;
        }
        let is_news = ring.epoch() > node.ring.epoch() && !ring.has(node.id);
        if is_news && node.role() == Role::Observer {
            let former = std::mem::replace(&mut node.ring, Arc::clone(ring));
            self.ring_changed(n, &former);
        }
    }
}
