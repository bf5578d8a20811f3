//! The sessions in the world: how they begin and end, and what an owner's end does with what it hears.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use rand::RngExt as _;
use turnstile::engine::grant::Epoch;
use turnstile::engine::membership::Role;
use turnstile::engine::ring::Ring;

use crate::clock::{MILLISECOND, Moment, SECOND};
use crate::session::{Asked, Frame, Open, OwnerEnd, RouterEnd, Session, Stream, ToOwner, ToRouter};
use crate::world::{Event, World};

/// How long a session lives that nothing is heard of.
const KEPT_FOR: Moment = 2 * SECOND;
const STAMPS_EVERY: Moment = 5 * MILLISECOND;
const IDLE_STAMPS_EVERY: Moment = SECOND;
const PARKED_FOR: Duration = Duration::from_secs(1);

impl World {
    /// Sends to the owner.
    pub fn down(&mut self, id: u64, message: ToOwner) {
        let Some(router) = self.sessions.get(&id).map(|session| session.router) else { return };
        let stamp = self.local(router);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.at_router.stamped_at = self.now;
        }
        self.carry(id, Frame::Down(stamp, message));
    }

    /// Sends to the router.
    pub fn up(&mut self, id: u64, message: ToRouter) {
        self.carry(id, Frame::Up(message));
    }

    fn carry(&mut self, id: u64, frame: Frame) {
        let delay = self.network.delay(&mut self.random);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let is_down = matches!(frame, Frame::Down(..));
        let (from, to) = if is_down { (session.router, session.owner) } else { (session.owner, session.router) };
        let stream = if is_down { &mut session.down } else { &mut session.up };
        if self.network.is_cut(from, to) || !stream.held_up.is_empty() {
            stream.held_up.push_back(frame);
            return;
        }
        let at = (self.now + delay).max(stream.last);
        stream.last = at;
        self.schedule(at - self.now, Event::Frame(id, frame));
    }

    /// What was held up goes on, where a way is open again; and what is cut does not live for long.
    pub fn network_changed(&mut self) {
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        for id in ids {
            let session = self.sessions.get_mut(&id).unwrap();
            let (router, owner) = (session.router, session.owner);
            if !self.network.connects(router, owner) {
                let until = self.now + KEPT_FOR + self.random.random_range(0..SECOND);
                session.at_router.ends_at.get_or_insert(until);
                session.at_owner.ends_at.get_or_insert(until + self.random.random_range(0..SECOND));
            } else if !session.at_router.is_over && !session.at_owner.is_over {
                (session.at_router.ends_at, session.at_owner.ends_at) = (None, None);
            }
            let is_open = |from, to| !self.network.is_cut(from, to);
            let mut frames = Vec::new();
            if is_open(router, owner) {
                frames.extend(session.down.held_up.drain(..));
            }
            if is_open(owner, router) {
                frames.extend(session.up.held_up.drain(..));
            }
            frames.into_iter().for_each(|frame| self.carry(id, frame));
        }
    }

    /// A node is gone: the other ends find out.
    pub fn break_sessions(&mut self, n: usize) {
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        for id in ids {
            let session = self.sessions.get_mut(&id).unwrap();
            let (router, owner) = (session.router, session.owner);
            if router != n && owner != n {
                continue;
            }
            let finds_out = if self.network.connects(router, owner) { 50 * MILLISECOND } else { KEPT_FOR };
            let at = self.now + self.random.random_range(MILLISECOND..=finds_out);
            if router == n {
                session.at_router.is_over = true;
                session.at_router.open.clear();
                session.at_owner.ends_at = Some(session.at_owner.ends_at.map_or(at, |before| before.min(at)));
            } else {
                session.at_owner.is_over = true;
                session.at_owner.open.clear();
                session.at_owner.parked.clear();
                session.at_router.ends_at = Some(session.at_router.ends_at.map_or(at, |before| before.min(at)));
            }
        }
        self.sessions.retain(|_, session| !session.at_router.is_over || !session.at_owner.is_over);
    }

    /// A node stands still: nobody waits for it for ever.
    pub fn stands_still(&mut self, n: usize) {
        let until = self.now + KEPT_FOR;
        for session in self.sessions.values_mut() {
            if session.owner == n {
                session.at_router.ends_at.get_or_insert(until);
            } else if session.router == n {
                session.at_owner.ends_at.get_or_insert(until);
            }
        }
    }

    /// It goes on before anybody has given it up.
    pub fn goes_on(&mut self, n: usize) {
        for session in self.sessions.values_mut().filter(|session| session.owner == n || session.router == n) {
            if self.network.connects(session.router, session.owner) && !session.at_router.is_over && !session.at_owner.is_over {
                (session.at_router.ends_at, session.at_owner.ends_at) = (None, None);
            }
        }
    }

    /// Ends the sessions with nodes that have left the ring.
    pub fn end_with_departures(&mut self, n: usize, former: &Ring) {
        let has_left = |session: &Session| {
            let owner = self.nodes[session.owner].id;
            session.router == n && former.has(owner) && !self.nodes[n].ring.has(owner)
        };
        let ids: Vec<u64> = self.sessions.iter().filter(|(_, session)| has_left(session)).map(|(&id, _)| id).collect();
        ids.into_iter().for_each(|id| self.end_at_router(id));
    }

    fn end_at_router(&mut self, id: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if std::mem::replace(&mut session.at_router.is_over, true) {
            return;
        }
        let (router, owner) = (session.router, session.owner);
        let calls: Vec<usize> = std::mem::take(&mut session.at_router.open).into_values().collect();
        if self.network.connects(router, owner) && !session.at_owner.is_over {
            session.at_owner.ends_at = Some(self.now + 10 * MILLISECOND);
        }
        for call in calls {
            self.comes_back(router, call);
        }
        self.forget_if_over(id);
    }

    fn end_at_owner(&mut self, id: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if std::mem::replace(&mut session.at_owner.is_over, true) {
            return;
        }
        let (router, owner) = (session.router, session.owner);
        let open = std::mem::take(&mut session.at_owner.open);
        session.at_owner.parked.clear();
        if self.network.connects(router, owner) && !session.at_router.is_over {
            session.at_router.ends_at = Some(self.now + 10 * MILLISECOND);
        }
        for open in open.into_values() {
            if let Open::Waiting { asked, shard, is_gone } = open {
                is_gone.set(true);
                self.with_shard(owner, shard, |shard, local, _| shard.cancel(local, &asked.key, asked.request));
            }
        }
        self.forget_if_over(id);
        self.drain(owner);
    }

    fn forget_if_over(&mut self, id: u64) {
        if self.sessions.get(&id).is_some_and(|session| session.at_router.is_over && session.at_owner.is_over) {
            self.sessions.remove(&id);
        }
    }

    /// Begins, stamps and ends a node's sessions.
    pub fn look_after_sessions(&mut self, n: usize) {
        self.begin_sessions(n);
        let is_its = |session: &Session| session.router == n || session.owner == n;
        let ids: Vec<u64> = self.sessions.iter().filter(|(_, session)| is_its(session)).map(|(&id, _)| id).collect();
        for id in ids {
            let Some(session) = self.sessions.get(&id) else { continue };
            let is_due = |ends_at: Option<Moment>| ends_at.is_some_and(|at| at <= self.now);
            let (ends_router, ends_owner) = (is_due(session.at_router.ends_at), is_due(session.at_owner.ends_at));
            if session.router == n && !session.at_router.is_over {
                let every = if session.at_router.open.is_empty() { IDLE_STAMPS_EVERY } else { STAMPS_EVERY };
                if ends_router {
                    self.end_at_router(id);
                } else if self.now - session.at_router.stamped_at >= every {
                    self.down(id, ToOwner::Nothing);
                }
            } else if session.owner == n && !session.at_owner.is_over && ends_owner {
                self.end_at_owner(id);
            }
        }
        self.unpark(n);
    }

    fn begin_sessions(&mut self, n: usize) {
        if !self.nodes[n].serves() {
            return;
        }
        let is_open = |session: &&Session| session.router == n && !session.at_router.is_over;
        let open: BTreeSet<usize> = self.sessions.values().filter(is_open).map(|session| session.owner).collect();
        for owner in (0..self.nodes.len()).filter(|owner| *owner != n && !open.contains(owner)) {
            let there = &self.nodes[owner];
            let is_there = there.serves() && !there.is_stopped && self.network.connects(n, owner);
            // Only replicas own anything.
            if is_there && self.nodes[n].role_of(there.id) != Role::Observer {
                self.begin_session(n, owner);
            }
        }
    }

    pub fn session_with(&self, router: usize, owner: usize) -> Option<u64> {
        let mut sessions = self.sessions.iter();
        sessions
            .find(|(_, session)| (session.router, session.owner) == (router, owner) && !session.at_router.is_over)
            .map(|(&id, _)| id)
    }

    fn begin_session(&mut self, router: usize, owner: usize) {
        self.last_session += 1;
        let at_owner = OwnerEnd::new(self.local(owner), self.local(router));
        let at_router = RouterEnd { stamped_at: self.now, ..RouterEnd::default() };
        let session = Session { router, owner, down: Stream::default(), up: Stream::default(), at_router, at_owner };
        self.sessions.insert(self.last_session, session);
        self.house(router);
    }

    pub fn hear(&mut self, id: u64, frame: Frame) {
        match frame {
            Frame::Up(message) => self.told(id, message),
            Frame::Down(stamp, message) => {
                let Some(owner) = self.sessions.get(&id).filter(|session| !session.at_owner.is_over).map(|session| session.owner)
                else {
                    return;
                };
                let local = self.local(owner);
                if self.sessions.get_mut(&id).unwrap().at_owner.hear(local, stamp) {
                    for shard in 0..self.nodes[owner].shards.len() {
                        self.with_shard(owner, shard, |shard, local, _| shard.recall(local));
                    }
                }
                self.asked_to(id, owner, message);
                self.drain(owner);
            }
        }
    }

    fn asked_to(&mut self, id: u64, owner: usize, message: ToOwner) {
        let until = self.local(owner) + PARKED_FOR;
        let knows = |epoch: Epoch| epoch <= self.nodes[owner].ring.epoch();
        let end = &mut self.sessions.get_mut(&id).unwrap().at_owner;
        match message {
            ToOwner::Acquire(number, asked) if knows(asked.epoch) => self.enqueue(id, owner, number, asked),
            ToOwner::Acquire(number, asked) => end.parked.push((number, asked, until)),
            ToOwner::Cancel(number) => {
                end.parked.retain(|(parked, ..)| *parked != number);
                match end.open.remove(&number) {
                    Some(Open::Waiting { asked, shard, is_gone }) => {
                        is_gone.set(true);
                        self.with_shard(owner, shard, |shard, local, _| shard.cancel(local, &asked.key, asked.request));
                    }
                    Some(Open::Granted { asked, shard, grant }) => {
                        self.with_shard(owner, shard, |shard, local, _| {
                            shard.give_back(local, &asked.key, asked.request, &grant)
                        });
                    }
                    None => {}
                }
            }
            ToOwner::TooLate(number) => {
                if let Some(Open::Granted { asked, shard, grant }) = end.open.remove(&number) {
                    self.requeue(id, owner, number, (asked, shard, grant));
                }
            }
            ToOwner::GiveBack(number) => {
                if let Some(Open::Granted { asked, shard, grant }) = end.open.remove(&number) {
                    self.with_shard(owner, shard, |shard, local, _| shard.give_back(local, &asked.key, asked.request, &grant));
                }
            }
            ToOwner::Done(number) => drop(end.open.remove(&number)),
            ToOwner::Nothing => {}
        }
    }

    fn enqueue(&mut self, id: u64, owner: usize, number: u64, asked: Asked) {
        let Some(shard) = self.shard_of(owner, &asked.key) else {
            let epoch = self.epoch(owner);
            return self.up(id, ToRouter::MovedBy(number, epoch));
        };
        let (local, reply) = (self.local(owner), self.reply_there(id, number));
        let end = &mut self.sessions.get_mut(&id).unwrap().at_owner;
        let waited = asked.began_at.map(|at| end.waited_since(at, local)).unwrap_or_default();
        let acquire = asked.to_acquire(local, waited, reply.clone());
        let key = asked.key.clone();
        end.open.insert(number, Open::Waiting { asked, shard, is_gone: Rc::clone(&reply.is_gone) });
        self.with_shard(owner, shard, |shard, local, view| shard.acquire(local, &key, acquire, view));
    }

    fn requeue(
        &mut self,
        id: u64,
        owner: usize,
        number: u64,
        (asked, shard, grant): (Asked, usize, turnstile::engine::grant::Grant),
    ) {
        let Some(to) = self.shard_of(owner, &asked.key) else {
            self.with_shard(owner, shard, |shard, local, _| shard.give_back(local, &asked.key, asked.request, &grant));
            let epoch = self.epoch(owner);
            return self.up(id, ToRouter::MovedBy(number, epoch));
        };
        let (local, reply) = (self.local(owner), self.reply_there(id, number));
        let acquire = asked.to_acquire(local, local.saturating_since(grant.arrived_at), reply.clone());
        let (key, is_gone) = (asked.key.clone(), Rc::clone(&reply.is_gone));
        let end = &mut self.sessions.get_mut(&id).unwrap().at_owner;
        end.open.insert(number, Open::Waiting { asked, shard: to, is_gone });
        self.with_shard(owner, to, |shard, local, view| shard.requeue(local, &key, &grant, acquire, view));
    }

    /// Takes those in whose ring has come, and refuses those whose ring does not come.
    pub fn unpark(&mut self, n: usize) {
        let (local, epoch) = (self.local(n), self.epoch(n));
        let has_parked = |session: &Session| session.owner == n && !session.at_owner.parked.is_empty();
        let ids: Vec<u64> = self.sessions.iter().filter(|(_, session)| has_parked(session)).map(|(&id, _)| id).collect();
        for id in ids {
            let end = &mut self.sessions.get_mut(&id).unwrap().at_owner;
            let parked = std::mem::take(&mut end.parked);
            let (due, stay) = parked.into_iter().partition(|(_, asked, until)| asked.epoch <= epoch || *until <= local);
            end.parked = stay;
            for (number, asked, _) in due {
                if asked.epoch <= epoch {
                    self.enqueue(id, n, number, asked);
                } else {
                    self.up(id, ToRouter::MovedBy(number, epoch));
                }
            }
        }
        self.drain(n);
    }
}
