"""The thread that speaks with one node at a time, and goes to the next when it is gone.

```text
callers ── orders ──► Session (its thread) ──► Link ──► a node
        ◄─ futures ──┘  └─ Conversation: who waits
```

Nothing here takes a lock, and nothing is shared with a child that was forked: that abandons the session and begins one of its own.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from google.protobuf.message import DecodeError

from ._calls import fail
from ._conversation import Conversation
from ._grpc import Broken
from ._link import ANSWERS_WITHIN_SECONDS, Link, connect
from ._waiting import Call, Held, Waiting
from .errors import Closed, TurnstileError

_log = logging.getLogger("turnstile")

_NEXT_NODE_AFTER_SECONDS = 0.02
"""The pause between two nodes, so that a cluster that is gone is not asked in a tight loop."""

_LONGEST_PAUSE_SECONDS = 0.5
"""The pause grows up to this while all nodes are gone."""

_LONGEST_IDLE_PAUSE_SECONDS = 10.0
"""And up to this while nobody waits."""

# poll shares nothing with a forked process; epoll does: what a child takes out of it, its parent loses.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Session:
    """One session with one of several nodes. All methods may be called from any thread."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self.nodes = tuple(nodes)
        self._conversation = Conversation(len(self.nodes))
        self._orders: deque[tuple[Callable[[], None], Callable[[TurnstileError], object] | None]] = deque()
        """Each with what is done instead when the session has ended."""
        self._is_woken = False
        self._is_closing = False
        self._is_exiting = False
        self._error: TurnstileError | None = None
        self.has_failed = False
        """Whether its thread has ended by itself, by an error that was not foreseen."""
        self._woken, self._wakes = socket.socketpair()
        self._woken.setblocking(False)
        self._wakes.setblocking(False)
        self._selector: selectors.BaseSelector = _Selector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._link: Link | None = None
        self._attempt = 0
        self._attempts_failed = 0
        self._is_connecting = False
        self._attempt_at = 0.0
        self._gives_up_at = 0.0
        self._thread = threading.Thread(target=self._run, name="turnstile-session", daemon=True)

    def start(self) -> None:
        """Starts its thread."""
        self._thread.start()

    def ask(self, waiting: Waiting) -> None:
        """Waits for a slot: ``waiting.future`` has it, or the error."""
        self._post(partial(self._conversation.take, waiting), partial(fail, waiting.future))

    def ask_again(self, waiting: Waiting, held: Held) -> None:
        """Gives back a slot that came too late, and waits on at the old place."""
        waiting.future = Future()
        self._post(partial(self._conversation.again, waiting, held), partial(fail, waiting.future))

    def leave(self, waiting: Waiting) -> None:
        """Ends a wait that nobody is interested in any more. A slot that it has got already goes back."""
        if waiting.future.cancel():
            self._post(partial(self._conversation.leave, waiting))
        elif waiting.future.exception() is None:
            self.give_back(waiting.future.result())

    def done(self, held: Held) -> None:
        """Ends a granted request; its slot stays used."""
        self._post(partial(self._conversation.done, held))

    def give_back(self, held: Held) -> None:
        """Ends a granted request with which nothing was started."""
        self._post(partial(self._conversation.give_back, held))

    def call(self, call: Call) -> Future[bytes]:
        """Makes a unary call."""
        self._post(partial(self._conversation.call, call), partial(fail, call.future))
        return call.future

    def close(self, *, is_exiting: bool = False) -> None:
        """Ends the session: the node has a second at most to hear whatever was said, and whoever waits gets :class:`Closed`.

        Not when the process ``is_exiting``: then only threads wait that end with it, as they do wherever else they are.
        """
        self._is_exiting = is_exiting
        self._is_closing = True
        self._wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2 * ANSWERS_WITHIN_SECONDS)

    def abandon(self) -> None:
        """Lets go of it where its thread is not: in a forked child, while the parent's goes on, or when that could not be started."""
        self._error = Closed("the session has no thread in this process")
        # Unrefused: locks of these futures may be held by threads that are not here.
        self._orders.clear()
        for held in (self._link, self._woken, self._wakes):
            if held is not None:
                held.close()

    def _post(self, order: Callable[[], None], refuse: Callable[[TurnstileError], object] | None = None) -> None:
        # A deque and a flag, for callers include finalizers, which run at any moment: also while their own thread is in here.
        self._orders.append((order, refuse))
        if self._error is not None:
            self._refuse_orders(self._error)
        elif not self._is_woken:
            self._is_woken = True
            self._wake()

    def _wake(self) -> None:
        try:
            self._wakes.send(b"\0")
        except OSError:
            # Full: it wakes anyway. Closed: nobody is there to be woken, which `_error` tells.
            pass

    # From here on: its own thread.

    def _run(self) -> None:
        error: TurnstileError = Closed("the client was closed")
        try:
            while not self._is_closing:
                self._turn()
            self._finish()
        except BaseException as unforeseen:
            error = Closed(f"the session has failed: {unforeseen!r}")
            # Before anybody is told so, who may then ask for another session at once.
            self.has_failed = True
            raise
        finally:
            self._error = error
            if not self._is_exiting:
                self._conversation.fail_all(error)
                self._refuse_orders(error)
            for held in (self._link, self._woken, self._wakes, self._selector):
                if held is not None:
                    held.close()

    def _turn(self) -> None:
        self._take_orders()
        now = time.monotonic()
        next_at = self._conversation.tend(now)
        if self._link is None:
            next_at = min(next_at, self._reach(now))
        else:
            try:
                if not self._conversation.is_open and now >= self._gives_up_at:
                    raise Broken("the node does not take up the session")
                next_at = min(next_at, self._link.look_after(now) if self._conversation.is_open else self._gives_up_at)
                self._link.write()
                self._selector.modify(self._link.socket, self._link.interests())
            except Broken as gone:
                self._lose(str(gone))
                return
        self._listen(max(next_at - time.monotonic(), 0))

    def _listen(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._woken:
                try:
                    self._woken.recv(4096)
                except BlockingIOError:
                    pass
            elif self._link is not None:
                try:
                    for event in self._link.read():
                        self._conversation.hear(event)
                        if self._conversation.has_answered:
                            self._note_service(self._link.node)
                    # To take up a session is no service yet: a node does so that is about to stop. But nobody may wait for any other answer
                    # than the signs of life that it is asked for.
                    if self._conversation.is_open and time.monotonic() >= self._gives_up_at:
                        self._note_service(self._link.node)
                except (Broken, DecodeError) as gone:
                    self._lose(str(gone))

    def _take_orders(self) -> None:
        # Before they are taken: one that comes now wakes the thread again.
        self._is_woken = False
        for _ in range(len(self._orders)):
            self._orders.popleft()[0]()

    def _refuse_orders(self, error: TurnstileError) -> None:
        while self._orders:
            try:
                refuse = self._orders.popleft()[1]
            except IndexError:
                return
            if refuse is not None:
                refuse(error)

    def _reach(self, now: float) -> float:
        if self._is_connecting:
            if now >= self._gives_up_at:
                self._lose(f"{self._node}: no connection within {ANSWERS_WITHIN_SECONDS:g} s")
            return self._gives_up_at
        pause = _NEXT_NODE_AFTER_SECONDS
        rounds, tried = divmod(self._attempts_failed, len(self.nodes))
        if rounds and not tried and not self._conversation.is_hurried:
            # All are gone. Whoever waits has time, and nobody has more.
            longest = _LONGEST_IDLE_PAUSE_SECONDS if self._conversation.is_idle else _LONGEST_PAUSE_SECONDS
            pause = min(pause * 2 ** min(rounds, 10), longest)
        if now < self._attempt_at + pause:
            return self._attempt_at + pause
        self._attempt += 1
        self._attempt_at = now
        self._gives_up_at = now + ANSWERS_WITHIN_SECONDS
        self._is_connecting = True
        arguments = (self._attempt, self._node)
        try:
            threading.Thread(target=self._connect, args=arguments, name="turnstile-connect", daemon=True).start()
        except RuntimeError as error:
            # The process has as many threads as it may: that passes, as it does when a node is gone.
            self._lose(f"{self._node}: {error}")
            return now
        return self._gives_up_at

    @property
    def _node(self) -> str:
        return self.nodes[(self._attempt - 1) % len(self.nodes)]

    def _connect(self, attempt: int, node: str) -> None:
        """Runs in a thread of its own: looking up a name can't be hurried."""
        try:
            connected = connect(node, turn=(attempt - 1) // len(self.nodes))
        except OSError as error:
            self._post(partial(self._fail, attempt, f"{node}: {error}"))
        else:
            self._post(partial(self._begin, attempt, node, connected), lambda _: connected.close())

    def _fail(self, attempt: int, reason: str) -> None:
        if self._is_connecting and attempt == self._attempt:
            self._lose(reason)

    def _begin(self, attempt: int, node: str, connected: socket.socket) -> None:
        if not self._is_connecting or attempt != self._attempt:
            connected.close()
            return
        self._is_connecting = False
        self._gives_up_at = time.monotonic() + ANSWERS_WITHIN_SECONDS
        self._link = Link(connected, node)
        self._selector.register(connected, self._link.interests())
        self._conversation.begin(self._link)

    def _lose(self, reason: str) -> None:
        if self._link is not None:
            self._selector.unregister(self._link.socket)
            self._link.close()
            reason = f"{self._link.node}: {reason}"
        self._link = None
        self._is_connecting = False
        self._attempt_at = time.monotonic()
        self._attempts_failed += 1
        if self._attempts_failed == len(self.nodes):
            # Callers of decorated functions see no error, and who waits without a bound sees nothing at all.
            _log.warning("no node serves; %s", reason)
        self._conversation.lose(reason)

    def _note_service(self, node: str) -> None:
        if self._attempts_failed >= len(self.nodes):
            _log.info("%s serves", node)
        self._attempts_failed = 0

    def _finish(self) -> None:
        """Has the node hear what was said last: it ends the session when it has.

        A connection that is closed while something of the node is unread is reset, and what is on its way to the node is lost.
        """
        self._take_orders()
        link = self._link
        if link is None:
            return
        self._conversation.end()
        self._selector.unregister(self._woken)
        ends_at = time.monotonic() + ANSWERS_WITHIN_SECONDS
        try:
            link.write()
            while (self._conversation.is_open or not link.is_written) and time.monotonic() < ends_at:
                self._selector.modify(link.socket, link.interests())
                self._selector.select(max(ends_at - time.monotonic(), 0))
                for event in link.read():
                    self._conversation.hear(event)
                link.write()
        except (Broken, DecodeError):
            # Whoever waits is told so in any case.
            return
