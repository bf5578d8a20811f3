"""Unary calls, and which of them have no answer yet. Any node can give it, so they may be sent again.

Promises: what a call says is told, also when whoever waited for the answer has gone away.
Must not: read a socket, start a thread, or be used by two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from ._grpc import Broken, Ended, Event, Message, Opened
from ._link import Link
from ._messages import is_out_of_service, to_error
from ._waiting import Call
from .errors import TurnstileError

SERVICE = "/turnstile.v1.ThrottleService/"


class Calls:
    """The calls that have no answer yet."""

    def __init__(self) -> None:
        self._sent: dict[int, Call] = {}
        """By their streams."""
        self._unsent: deque[Call] = deque()
        """While there is no node, or it has no room for them."""

    def __bool__(self) -> bool:
        return bool(self._sent or self._unsent)

    def __iter__(self) -> Iterator[Call]:
        yield from self._sent.values()
        yield from self._unsent

    def take(self, call: Call) -> None:
        """Somebody waits for its answer from now on."""
        self._unsent.append(call)

    def drop(self, call: Call) -> None:
        """It is told no more."""
        self._unsent = deque(other for other in self._unsent if other is not call)
        self._sent = {stream: other for stream, other in self._sent.items() if other is not call}

    def clear(self) -> None:
        """Nobody waits any more."""
        self._sent.clear()
        self._unsent.clear()

    def send(self, link: Link) -> None:
        """Sends as many as the node has room for."""
        while self._unsent and link.grpc.has_room:
            call = self._unsent.popleft()
            stream = link.grpc.open(SERVICE + call.method)
            link.grpc.send(stream, call.request)
            link.grpc.close(stream)
            self._sent[stream] = call

    def lose(self) -> None:
        """The node is gone: what it has not answered is for the next one."""
        self._unsent.extendleft(reversed(self._sent.values()))
        self._sent.clear()

    def hear(self, event: Event) -> None:
        """Takes what the node says to a call.

        Raises :class:`Broken` when another node is to be asked.
        """
        match event:
            case Message():
                # It is over with its answer: the end of its stream, which tells no more, may never come.
                call = self._sent.pop(event.stream, None)
                if call is not None and call.future.set_running_or_notify_cancel():
                    call.future.set_result(event.data)
            case Ended():
                call = self._sent.pop(event.stream, None)
                if call is None:
                    return
                if is_out_of_service(event.code, event.details):
                    self._unsent.append(call)
                    raise Broken(f"the node can't serve: {event.message}")
                fail(call.future, to_error(event.code, event.message, event.details))
            case Opened():
                pass


def fail(future: Future[Any], error: TurnstileError) -> None:
    """Ends it with an error, unless whoever waited has gone away."""
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_exception(error)
