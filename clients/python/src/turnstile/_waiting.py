"""What callers hand to the session, and what they get back."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeAlias

from . import _check
from ._check import to_nanos
from ._link import ANSWERS_WITHIN_SECONDS
from ._messages import Granted, to_acquire, to_span
from .connection import Connection
from .errors import DeadlineExceeded, TurnstileError, Unavailable
from .v1 import throttle_pb2 as v1

_GRACE_SECONDS = 0.5
"""How much longer than the timeout a node that is there may take to say that it has passed."""

_RELEASE_WITHIN_SECONDS = 10.0

NOT_TOLD = "no node has answered"


@dataclass(frozen=True, slots=True)
class Held:
    """A slot, and the session that it came by."""

    session: int
    request_id: bytes
    granted: Granted


@dataclass(slots=True, eq=False)
class Waiting:
    """An acquire, or a try, that has no answer yet."""

    connection: Connection
    """With its limits."""
    message: v1.Acquire
    """As it was asked; its id and how long it has waited are added when it is sent."""
    request_id: bytes
    has_own_id: bool
    """Whether the caller has chosen the id."""
    is_try: bool
    delivery_nanos: int
    """The tightest delivery bound of its limits; 0 when they accept any jitter."""
    timeout_seconds: float | None
    max_wait_seconds: float | None
    began_at: int = field(default_factory=time.monotonic_ns)
    """In nanoseconds of the monotonic clock."""
    asked_in: int = 0
    """The first session that it was asked in; 0 while it was in none."""
    is_held_back: bool = False
    """Whether it is not to be asked yet."""
    failures_before: int = 0
    """How many attempts to reach a node had failed when it began."""
    future: Future[Held] = field(default_factory=Future)

    @classmethod
    def of(
        cls,
        connection: Connection,
        *,
        is_try: bool = False,
        timeout: float | None = None,
        max_wait: float | None = None,
        niceness: int | None = None,
        cost: int = 1,
        tokens: int | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        request_id: object = None,
    ) -> Waiting:
        """Raises :class:`~turnstile.InvalidInput` that names the argument."""
        message = to_acquire(connection)
        message.cost = _check.integer("cost", cost, 1)
        if niceness is not None:
            message.niceness = _check.integer("niceness", niceness, 0)
        if tokens is not None:
            message.tokens = _check.integer("tokens", tokens, 0)
        message.input_tokens = _check.optional_integer("input_tokens", input_tokens, 0) or 0
        message.output_tokens = _check.optional_integer("output_tokens", output_tokens, 0) or 0
        bounds = [to_nanos(limit.delivery_bound) for limit in connection.rate_limits]
        return cls(
            connection=connection,
            message=message,
            request_id=_check.request_id("request_id", request_id),
            has_own_id=request_id is not None,
            is_try=is_try,
            delivery_nanos=min((bound for bound in bounds if bound), default=0),
            timeout_seconds=_check.optional_seconds("timeout", timeout, 1e-9, _check.MAX_WAIT_SECONDS),
            max_wait_seconds=_check.optional_seconds("max_wait", max_wait, 0, _check.MAX_WAIT_SECONDS),
        )

    def waited_nanos(self) -> int:
        """How long it has waited, at whichever nodes."""
        return time.monotonic_ns() - self.began_at

    def expires_at(self, is_served: bool) -> float | None:
        """When it ends without an answer, by ``time.monotonic``. ``is_served``: a node is there, which ends it itself."""
        began = self.began_at / _check.NANOS
        if self.is_try:
            return began + ANSWERS_WITHIN_SECONDS
        spans = [] if self.timeout_seconds is None else [self.timeout_seconds + (_GRACE_SECONDS if is_served else 0)]
        if self.max_wait_seconds is not None and not is_served:
            # How long it would wait is not known without a node, so one has its time to answer.
            spans.append(max(self.max_wait_seconds, ANSWERS_WITHIN_SECONDS))
        return began + min(spans) if spans else None

    def expired(self, reason: str) -> TurnstileError:
        """What it ends with when nobody has answered. ``reason``: why no node is there, or empty."""
        unavailable = Unavailable(f"{NOT_TOLD}: {reason}" if reason else f"{NOT_TOLD} within {ANSWERS_WITHIN_SECONDS:g} s")
        waited = self.waited_nanos() / _check.NANOS
        if self.is_try or self.timeout_seconds is None or waited < self.timeout_seconds:
            return unavailable
        error = DeadlineExceeded(f"the timeout of {self.timeout_seconds:g} s has passed" + (f"; {unavailable}" if reason else ""))
        error.__cause__ = unavailable if reason else None
        return error

    def asks(self, with_age: bool, now: int) -> v1.Acquire:
        """The message as it is sent at ``now``, in nanoseconds of the monotonic clock. By one reading several keep their order."""
        message = v1.Acquire()
        message.CopyFrom(self.message)
        message.request_id = self.request_id
        waited = now - self.began_at
        if with_age and waited > 0 and not self.is_try:
            message.waited.CopyFrom(to_span(waited))
        if self.timeout_seconds is not None:
            message.timeout.CopyFrom(to_span(max(to_nanos(self.timeout_seconds) - waited, 1)))
        if self.max_wait_seconds is not None:
            message.max_wait.CopyFrom(to_span(max(to_nanos(self.max_wait_seconds) - (waited if with_age else 0), 0)))
        return message


@dataclass(slots=True, eq=False)
class Call:
    """A unary call, which any node can answer, and which may be sent again."""

    method: str
    request: bytes
    expires_at: float
    """When it is given up, by ``time.monotonic``."""
    future: Future[bytes] = field(default_factory=Future)

    @classmethod
    def release(cls, held: Held) -> Call:
        """One that gives a slot back by its name."""
        request = v1.ReleaseRequest(permit=held.granted.permit)
        return cls("Release", request.SerializeToString(), time.monotonic() + _RELEASE_WITHIN_SECONDS)


Pending: TypeAlias = Waiting | Call
"""Whatever somebody waits for."""
