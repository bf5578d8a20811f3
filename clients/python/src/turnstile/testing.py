"""A throttle without nodes and without waiting, for tests of programs that use one.

>>> from turnstile import Connection, RateLimit
>>> fake = FakeTurnstile()
>>> slack = Connection("slack", "acme", rate_limit=RateLimit(1, 60))
>>> fake.try_throttle(slack, lambda: "called"), fake.try_throttle(slack, lambda: "called")
('called', None)
>>> fake.clock.advance(60)
>>> fake.try_throttle(slack, lambda: "called")
'called'
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import RLock

from ._check import to_nanos
from ._messages import Granted
from ._waiting import Waiting
from .connection import RateLimit
from .decorator import replace_default_client
from .errors import CostOverLimit, DeadlineExceeded, InvalidInput, NotNow, NotOpen, Unavailable
from .permit import Reconciled, Slot, TokenCount, Usage
from .throttling import AsyncThrottling, BlockingThrottling

__all__ = ["FakeTurnstile", "ManualClock", "installed"]

_TOKENS = ("tokens", "input_tokens", "output_tokens")


class ManualClock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self._nanos = 0

    @property
    def now(self) -> float:
        """Seconds since it was made."""
        return self._nanos / 1e9

    @property
    def nanos(self) -> int:
        """Nanoseconds since it was made."""
        return self._nanos

    def advance(self, seconds: float) -> None:
        """Goes on by so many seconds, at least 0."""
        if seconds < 0:
            raise InvalidInput("seconds", f"is {seconds}: it takes 0 or more")
        self._nanos += to_nanos(seconds)


@dataclass(slots=True, eq=False)
class _Charge:
    at: int
    until: int
    """When it counts no more by any limit that it was made by."""
    units: int
    tokens: int
    input_tokens: int
    output_tokens: int

    def of(self, limit: RateLimit) -> int:
        amount: int = getattr(self, limit.dimension)
        return amount


@dataclass(slots=True)
class _Slot:
    """A slot of the fake."""

    fake: FakeTurnstile
    limits: tuple[RateLimit, ...]
    charges: list[_Charge]
    charge: _Charge
    request_id: bytes
    granted: Granted
    waited: float

    def done(self) -> None:
        """Its charge stays."""

    def give_back(self) -> None:
        """Its charge goes."""
        with self.fake._lock:
            if self.charge in self.charges:
                self.charges.remove(self.charge)

    def reconcile(self, usage: Usage) -> Reconciled:
        """What was estimated too much goes, and what was estimated too little is a charge from now on."""
        with self.fake._lock:
            self.fake._check_reachable()
            now = self.fake.clock.nanos
            counted = [limit.dimension for limit in self.limits if self.charge.at + to_nanos(limit.window_seconds) > now]
            if not any(dimension in _TOKENS for dimension in counted):
                raise NotOpen("the connection has no limit on tokens, or the estimate's window has passed")
            if usage.tokens is None and usage.input_tokens is not None and usage.output_tokens is not None:
                usage = Usage(usage.input_tokens + usage.output_tokens, usage.input_tokens, usage.output_tokens)
            refunded, owed = dict.fromkeys(_TOKENS, 0), dict.fromkeys(_TOKENS, 0)
            for dimension in _TOKENS:
                estimated, used = getattr(self.charge, dimension), getattr(usage, dimension)
                if used is None:
                    continue
                owed[dimension] = max(used - estimated, 0)
                if dimension in counted:
                    refunded[dimension] = max(estimated - used, 0)
                    setattr(self.charge, dimension, min(estimated, used))
            if any(owed.values()):
                self.charges.append(_Charge(at=now, until=now + self.charge.until - self.charge.at, units=0, **owed))
            return Reconciled(refunded=TokenCount(**refunded), owed=TokenCount(**owed))

    async def reconcile_async(self, usage: Usage) -> Reconciled:
        """As :meth:`reconcile`."""
        return self.reconcile(usage)


@dataclass(slots=True, eq=False)
class FakeTurnstile(BlockingThrottling):
    """Counts as nodes do, by rolling windows without margins, for one process and by :attr:`clock`.

    Who would wait moves the clock on by the wait instead, so that nothing blocks. Limits of every algorithm count by a rolling window.
    """

    clock: ManualClock = field(default_factory=ManualClock)
    """The time."""
    is_reachable: bool = True
    """Whether there are nodes: else every call raises :class:`~turnstile.Unavailable`."""
    _charges: dict[tuple[str, str], list[_Charge]] = field(default_factory=lambda: defaultdict(list))
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _lock: RLock = field(default_factory=RLock)

    @property
    def aio(self) -> FakeAsyncTurnstile:
        """The same for asyncio, by the same clock."""
        return FakeAsyncTurnstile(self)

    def _take(self, waiting: Waiting) -> Slot:
        connection = waiting.connection
        with self._lock:
            self._check_reachable()
            charge = _charge_of(waiting)
            charges = self._charges[connection.platform, connection.connection]
            wait = max(_wait(charges, charge, limit, self.clock.nanos) for limit in connection.rate_limits) / 1e9
            longest_wait = 0 if waiting.is_try else waiting.max_wait_seconds
            if longest_wait is not None and wait > longest_wait:
                raise NotNow(wait)
            if waiting.timeout_seconds is not None and wait > waiting.timeout_seconds:
                self.clock.advance(waiting.timeout_seconds)
                raise DeadlineExceeded(f"the timeout of {waiting.timeout_seconds:g} s has passed")
            self.clock.advance(wait)
            charge.at = self.clock.nanos
            charge.until = charge.at + max(to_nanos(limit.window_seconds) for limit in connection.rate_limits)
            charges[:] = [past for past in charges if past.until > charge.at]
            charges.append(charge)
            arrival, release = next(self._numbers), next(self._numbers)
            granted = Granted(tenure=1, arrival=arrival, release=release, permit=b"fake", delivery_nanos=0, born_at=0)
            return _Slot(self, connection.rate_limits, charges, charge, waiting.request_id, granted, wait)

    def _check_reachable(self) -> None:
        if not self.is_reachable:
            raise Unavailable("no node has answered: the fake is out of reach")


class FakeAsyncTurnstile(AsyncThrottling):
    """A :class:`FakeTurnstile` for asyncio."""

    def __init__(self, fake: FakeTurnstile) -> None:
        self._fake = fake

    async def _take(self, waiting: Waiting) -> Slot:
        # Others have their turn, as they would.
        await asyncio.sleep(0)
        return self._fake._take(waiting)


@contextmanager
def installed(fake: FakeTurnstile | None = None) -> Iterator[FakeTurnstile]:
    """Has decorated functions that name no client use a fake while the ``with`` block runs."""
    fake = fake or FakeTurnstile()
    former = replace_default_client(fake)
    try:
        yield fake
    finally:
        replace_default_client(former)


def _charge_of(waiting: Waiting) -> _Charge:
    message = waiting.message
    tokens = message.tokens if message.HasField("tokens") else message.input_tokens + message.output_tokens
    charge = _Charge(0, 0, message.cost, tokens, message.input_tokens, message.output_tokens)
    for limit in waiting.connection.rate_limits:
        # What is not said is 1 where a limit counts it, as at a node.
        setattr(charge, limit.dimension, charge.of(limit) or 1)
    return charge


def _wait(charges: list[_Charge], charge: _Charge, limit: RateLimit, now: int) -> int:
    """How many nanoseconds it takes until this limit has room."""
    amount, room = charge.of(limit), limit.request_count
    if amount > room:
        raise CostOverLimit("cost" if limit.dimension == "units" else limit.dimension, f"is {amount}: the limit allows {room}")
    window = to_nanos(limit.window_seconds)
    # A charge that is exactly one window old has left.
    live = [(past.at + window, past.of(limit)) for past in charges if past.at + window > now]
    used = sum(units for _, units in live)
    wait = 0
    for leaves_at, units in sorted(live):
        if used + amount <= room:
            break
        used, wait = used - units, leaves_at - now
    return wait
