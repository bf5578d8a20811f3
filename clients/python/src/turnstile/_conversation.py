"""Who waits, and what is said about it with the one node that is spoken with.

Promises: one answer for each acquire, whichever nodes die; a grant that may be too old is not handed out, but asked for again.
Must not: read a socket, start a thread, or be used by two.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter

from ._calls import SERVICE, Calls, fail
from ._check import NANOS
from ._expiries import Expiries
from ._grpc import Broken, Ended, Event, Message, Opened
from ._link import Link
from ._messages import ABORTED, ALREADY_EXISTS, NOT_FOUND, Granted, is_out_of_service, to_error, to_seconds
from ._waiting import NOT_TOLD, Call, Held, Pending, Waiting
from .errors import NotNow, RequestIdReused, Superseded, TurnstileError, Unavailable
from .v1 import throttle_pb2 as v1

_SLOWEST_STAMPS_SECONDS = 0.25
_FASTEST_STAMPS_SECONDS = 0.001


class Conversation:
    """Those who wait, and the session with a node while there is one."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._waiting: dict[bytes, Waiting] = {}
        self._tries = 0
        """How many of them are tries."""
        self._ended: Counter[bytes] = Counter()
        """How often it was said of an id that its request is over, without an answer yet: until then the node speaks of that request."""
        self._open: set[bytes] = set()
        """The ids of its callers' own that are held through this session."""
        self._bounds: Counter[int] = Counter()
        """How many wait with each delivery bound."""
        self._calls = Calls()
        self._expiries = Expiries()
        self._link: Link | None = None
        self._stream = 0
        self._session = 0
        """How many sessions there were."""
        self._stamped_at = 0.0
        self._is_open = False
        self.has_answered = False
        """Whether the node has answered anything in this session, other than that it can't serve."""
        self._failures = 0
        self._reason = ""

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for anything."""
        return not (self._waiting or self._calls)

    @property
    def is_hurried(self) -> bool:
        """Whether somebody is in a hurry: a try."""
        return self._tries > 0

    @property
    def is_open(self) -> bool:
        """Whether a node has taken up the session."""
        return self._is_open

    # What callers say.

    def take(self, waiting: Waiting) -> None:
        """Somebody waits from now on."""
        if waiting.request_id in self._waiting or waiting.request_id in self._open:
            fail(waiting.future, RequestIdReused("a request with this id is open in this process"))
            return
        waiting.failures_before = self._failures
        self._keep(waiting)
        self._expire(waiting)
        # Whoever began while there was no node yet has an age, and those who come after the first session keep their order by it.
        self._ask(waiting, with_age=False)

    def leave(self, waiting: Waiting) -> None:
        """Who has waited has gone away."""
        if self._waiting.get(waiting.request_id) is waiting:
            self._drop(waiting)
            self._say_over(waiting.request_id, v1.SessionRequest(cancel=v1.Cancel(request_id=waiting.request_id)))

    def again(self, waiting: Waiting, held: Held) -> None:
        """Who has waited has got a slot too late, gives it back, and waits on."""
        self._open.discard(held.request_id)
        waiting.delivery_nanos = held.granted.delivery_nanos
        release = None if self._is_of_now(held) else self._release(held)
        if release is None:
            self._give_back(held.request_id)
        elif not waiting.has_own_id:
            # The session that ended took the slot for used: under the former id there is no other.
            waiting.request_id = uuid.uuid4().bytes
        elif waiting.request_id in self._waiting:
            fail(waiting.future, Superseded("a retry under the same request id has taken the place"))
            return
        else:
            # Under an id of the caller's own there is no other before that one is back.
            waiting.is_held_back = True
            release.future.add_done_callback(lambda _: self._hold_back_no_more(waiting))
        self._keep(waiting)
        self._expire(waiting)
        self._ask(waiting, with_age=True)

    def done(self, held: Held) -> None:
        """A call is over. What was held through a session that is gone ended with it."""
        if held.session == self._session:
            self._open.discard(held.request_id)
            self._say(v1.SessionRequest(done=v1.Done(request_id=held.request_id)))

    def give_back(self, held: Held) -> None:
        """Nothing was started with a slot, and nothing will be."""
        if self._is_of_now(held):
            self._open.discard(held.request_id)
            self._give_back(held.request_id)
        else:
            self._release(held)

    def call(self, call: Call) -> None:
        """Somebody waits for the answer to a unary call."""
        self._calls.take(call)
        self._expire(call)
        self._send_calls()

    # The node.

    def begin(self, link: Link) -> None:
        """Begins a session by this connection. Whoever waits goes there, and those who began first go first."""
        with_age = self._session > 0
        self._ended.clear()
        self._link, self._is_open, self.has_answered = link, False, False
        self._session += 1
        self._stream = link.grpc.open(SERVICE + "Session")
        now = time.monotonic_ns()
        for waiting in sorted(self._waiting.values(), key=lambda waiting: waiting.began_at):
            self._ask(waiting, with_age, now)

    def lose(self, reason: str) -> None:
        """There is no session any more, or an attempt to begin one has failed."""
        was_served = self._link is not None
        self._link, self._is_open, self._reason = None, False, reason
        self._open.clear()
        self._calls.lose()
        self._failures += 1
        for waiting in [waiting for waiting in self._waiting.values() if waiting.is_try]:
            if self._failures - waiting.failures_before >= self._nodes:
                self._drop(waiting)
                fail(waiting.future, waiting.expired(reason))
        if was_served:
            # Nobody else ends them now.
            self._reckon()

    def hear(self, event: Event) -> None:
        """Takes what the node says.

        Raises :class:`Broken` when another node is to be asked.
        """
        if event.stream != self._stream:
            self._calls.hear(event)
            self.has_answered |= not isinstance(event, Opened)
            self._send_calls()
            return
        match event:
            case Opened():
                self._is_open = True
                self._send_calls()
            case Ended():
                raise Broken(f"the node has ended the session: {event.message} (gRPC code {event.code})")
            case Message():
                self._hear_answer(v1.SessionResponse.FromString(event.data))
                self.has_answered = True

    def end(self) -> None:
        """Says that nobody waits any more, and that no more is said."""
        if self._link is not None:
            for request_id in self._waiting:
                self._say_over(request_id, v1.SessionRequest(cancel=v1.Cancel(request_id=request_id)))
            self._link.grpc.close(self._stream)

    def fail_all(self, error: TurnstileError) -> None:
        """Nobody waits any more."""
        pending_ones: list[Pending] = [*self._waiting.values(), *self._calls]
        for pending in pending_ones:
            fail(pending.future, error)
        self._waiting.clear()
        self._calls.clear()

    # Time.

    def tend(self, now: float) -> float:
        """Says what is to be said by now, and ends what has waited for too long. When to look again."""
        next_at = now + 60
        if self._waiting and self._link is not None:
            every = max(min([_SLOWEST_STAMPS_SECONDS, *(bound / 4 / NANOS for bound in self._bounds)]), _FASTEST_STAMPS_SECONDS)
            if now >= self._stamped_at + every:
                self._say(v1.SessionRequest())
            next_at = self._stamped_at + every
        for pending in self._expiries.take(now):
            self._give_up(pending, now)
        expires_at = self._expiries.next_at
        return next_at if expires_at is None else min(next_at, expires_at)

    def _expire(self, pending: Pending) -> None:
        self._expiries.add(self._expires_at(pending), pending)
        if self._expiries.are_too_many:
            self._reckon()

    def _reckon(self) -> None:
        """Begins the expiries anew with those who wait."""
        pending_ones: list[Pending] = [*self._waiting.values(), *self._calls]
        self._expiries.begin_anew((self._expires_at(pending), pending) for pending in pending_ones)

    def _expires_at(self, pending: Pending) -> float | None:
        return pending.expires_at if isinstance(pending, Call) else pending.expires_at(self._link is not None)

    def _give_up(self, pending: Pending, now: float) -> None:
        if isinstance(pending, Call):
            # Of one whose caller has gone away nobody knows whether it was told.
            if not pending.future.done() or pending.future.cancelled():
                self._calls.drop(pending)
                fail(pending.future, Unavailable(f"{NOT_TOLD}: {self._reason}" if self._reason else NOT_TOLD))
        elif self._waiting.get(pending.request_id) is pending:
            is_served = self._link is not None
            at = pending.expires_at(is_served)
            if at is None or at > now:
                # A node has come meanwhile, which ends it itself.
                self._expire(pending)
                return
            self.leave(pending)
            fail(pending.future, pending.expired("" if is_served else self._reason))

    # What is said.

    def _say(self, request: v1.SessionRequest) -> None:
        if self._link is not None:
            now = time.monotonic_ns()
            request.stamp_nanos = now
            self._stamped_at = now / NANOS
            self._link.grpc.send(self._stream, request.SerializeToString())

    def _ask(self, waiting: Waiting, with_age: bool, now: int | None = None) -> None:
        if self._link is None or waiting.is_held_back:
            return
        asks = waiting.asks(with_age, time.monotonic_ns() if now is None else now)
        waiting.asked_in = waiting.asked_in or self._session
        self._say(v1.SessionRequest(try_acquire=asks) if waiting.is_try else v1.SessionRequest(acquire=asks))

    def _hold_back_no_more(self, waiting: Waiting) -> None:
        waiting.is_held_back = False
        if self._waiting.get(waiting.request_id) is waiting and not waiting.future.done():
            self._ask(waiting, with_age=True)

    def _is_of_now(self, held: Held) -> bool:
        """Whether it came by the session that there is."""
        return held.session == self._session and self._link is not None

    def _release(self, held: Held) -> Call:
        """Gives a slot back by its name, at any node."""
        call = Call.release(held)
        self.call(call)
        return call

    def _give_back(self, request_id: bytes) -> None:
        self._say_over(request_id, v1.SessionRequest(give_back=v1.GiveBack(request_id=request_id)))

    def _say_over(self, request_id: bytes, request: v1.SessionRequest) -> None:
        if self._link is not None:
            self._ended[request_id] += 1
            self._say(request)

    def _send_calls(self) -> None:
        # How many calls a node takes is known when it has said something.
        if self._link is not None and self._is_open:
            self._calls.send(self._link)

    def _keep(self, waiting: Waiting) -> None:
        self._waiting[waiting.request_id] = waiting
        self._tries += waiting.is_try
        if waiting.delivery_nanos:
            self._bounds[waiting.delivery_nanos] += 1

    def _drop(self, waiting: Waiting) -> None:
        del self._waiting[waiting.request_id]
        self._tries -= waiting.is_try
        if waiting.delivery_nanos:
            self._bounds[waiting.delivery_nanos] -= 1
            if not self._bounds[waiting.delivery_nanos]:
                del self._bounds[waiting.delivery_nanos]

    # What is heard.

    def _hear_answer(self, answer: v1.SessionResponse) -> None:
        said = answer.WhichOneof("message")
        if answer.request_id in self._ended:
            # A grant that has crossed a cancel is not for whoever asks by the same id next: the node takes it back.
            if said == "ended" or (said == "failed" and answer.failed.code == NOT_FOUND):
                self._ended[answer.request_id] -= 1
                if not self._ended[answer.request_id]:
                    del self._ended[answer.request_id]
            return
        waiting = self._waiting.get(answer.request_id)
        if waiting is None:
            # Of a call that is over.
            return
        match said:
            case "granted":
                self._hear_granted(waiting, Granted.of(answer.granted))
            case "throttled":
                self._drop(waiting)
                fail(waiting.future, NotNow(to_seconds(answer.throttled.retry_after)))
            case "failed":
                self._hear_failed(waiting, answer.failed)
            case _:
                raise Broken(f"the node answers an acquire by {said}")

    def _hear_granted(self, waiting: Waiting, granted: Granted) -> None:
        if granted.is_stale:
            self._give_back(waiting.request_id)
            self._drop(waiting)
            # An operator's limits may be tighter than the caller's, and the next grant is to be in time by them.
            waiting.delivery_nanos = granted.delivery_nanos
            self._keep(waiting)
            self._ask(waiting, with_age=True)
            return
        self._drop(waiting)
        if waiting.future.set_running_or_notify_cancel():
            if waiting.has_own_id:
                self._open.add(waiting.request_id)
            waiting.future.set_result(Held(self._session, waiting.request_id, granted))
        else:
            self._give_back(waiting.request_id)

    def _hear_failed(self, waiting: Waiting, failed: v1.Failed) -> None:
        if is_out_of_service(failed.code, failed.status_details):
            raise Broken(f"the node can't serve: {failed.message}")
        self._drop(waiting)
        was_known = waiting.asked_in != self._session
        if was_known and not waiting.has_own_id and failed.code in (ALREADY_EXISTS, ABORTED):
            # Granted through a session that broke before it said so, or taken over there: it is another request from now on. Not where the
            # caller has chosen the id, which may be that of a call that another process has made.
            waiting.request_id = uuid.uuid4().bytes
            self._keep(waiting)
            self._ask(waiting, with_age=True)
        else:
            fail(waiting.future, to_error(failed.code, failed.message, failed.status_details))
