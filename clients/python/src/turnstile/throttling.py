"""What every throttle can do, whether nodes or a fake stand behind it."""

from __future__ import annotations

import inspect
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Literal, TypeVar

from . import _check
from .connection import ConnectionLike
from .errors import Unavailable
from .permit import AsyncPermit, Permit

T = TypeVar("T")

OnUnreachable = Literal["closed", "open"]
"""What a try does when no node answers: ``"closed"`` does not call, ``"open"`` calls unthrottled."""

RequestId = uuid.UUID | bytes
"""What makes a retry the same request: a UUID, or 16 bytes."""


class BlockingThrottling(ABC):
    """For threads. All methods may be called from any thread.

    They raise :class:`~turnstile.TurnstileError`; wrong arguments are :class:`~turnstile.InvalidInput`, a ``ValueError``.
    """

    @property
    @abstractmethod
    def aio(self) -> AsyncThrottling:
        """The same for asyncio, by the same session."""

    @abstractmethod
    def acquire(
        self,
        connection: ConnectionLike,
        *,
        timeout: float | None = None,
        max_wait: float | None = None,
        niceness: int | None = None,
        cost: int = 1,
        tokens: int | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        request_id: RequestId | None = None,
    ) -> Permit:
        """Waits for a slot: ``with turnstile.acquire(connection) as permit:``.

        While no node can be reached it waits for one that can.

        :param timeout: how many seconds it may wait, at most 30 days; then :class:`~turnstile.DeadlineExceeded`.
        :param max_wait: how many seconds it is willing to wait, 0 to 30 days: :class:`~turnstile.NotNow` at once when the
            wait is known to be longer.
        :param niceness: instead of the connection's.
        :param cost: units that it takes, at least 1; :class:`~turnstile.CostOverLimit` when that is more than a limit's count.
        :param tokens: tokens that it is estimated to take, for limits that count them.
        :param input_tokens: those of them that go in, for limits that count them apart.
        :param output_tokens: those of them that come out, at most.
        :param request_id: what makes a retry the same request.
        """

    @abstractmethod
    def try_acquire(
        self,
        connection: ConnectionLike,
        *,
        niceness: int | None = None,
        cost: int = 1,
        tokens: int | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        request_id: RequestId | None = None,
    ) -> Permit | None:
        """Takes a slot if there is one now, and never queues. ``None`` when there is none.

        Raises :class:`~turnstile.Unavailable` when no node answers within 1 s, or at once when none can be reached.
        """

    def throttle(
        self,
        connection: ConnectionLike,
        fn: Callable[[], T],
        *,
        timeout: float | None = None,
        max_wait: float | None = None,
        niceness: int | None = None,
        cost: int = 1,
        tokens: int | None = None,
        request_id: RequestId | None = None,
    ) -> T:
        """Waits for a slot and calls ``fn`` once. Its result or error is the caller's; an error does not give the slot back."""
        with self.acquire(
            connection, timeout=timeout, max_wait=max_wait, niceness=niceness, cost=cost, tokens=tokens, request_id=request_id
        ):
            return fn()

    def try_throttle(
        self,
        connection: ConnectionLike,
        fn: Callable[[], T],
        *,
        niceness: int | None = None,
        cost: int = 1,
        tokens: int | None = None,
        on_unreachable: OnUnreachable = "closed",
    ) -> T | None:
        """Calls ``fn`` if there is a slot now; ``None`` when there is none.

        A real ``None`` of ``fn`` looks alike: :meth:`try_acquire` tells them apart.
        """
        is_open = check_on_unreachable(on_unreachable) == "open"
        try:
            permit = self.try_acquire(connection, niceness=niceness, cost=cost, tokens=tokens)
        except Unavailable:
            return fn() if is_open else None
        if permit is None:
            return None
        with permit:
            return fn()


class Acquiring:
    """A wait that begins when it is awaited, or entered by ``async with``. Once."""

    def __init__(self, acquire: Callable[[], Awaitable[AsyncPermit]]) -> None:
        self._acquire = acquire
        self._permit: AsyncPermit | None = None

    def __await__(self) -> Generator[None, None, AsyncPermit]:
        return self._acquire().__await__()

    async def __aenter__(self) -> AsyncPermit:
        self._permit = await self._acquire()
        return self._permit

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._permit is not None:
            self._permit.done()


class AsyncThrottling(ABC):
    """For asyncio. Whoever is cancelled leaves the queue, and costs no slot.

    The arguments and errors are those of :class:`BlockingThrottling`.
    """

    @abstractmethod
    def acquire(
        self,
        connection: ConnectionLike,
        *,
        timeout: float | None = None,
        max_wait: float | None = None,
        niceness: int | None = None,
        cost: int = 1,
        tokens: int | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        request_id: RequestId | None = None,
    ) -> Acquiring:
        """Waits for a slot: ``async with turnstile.acquire(connection) as permit:``, or ``await turnstile.acquire(connection)``."""

    @abstractmethod
    async def try_acquire(
        self,
        connection: ConnectionLike,
        *,
        niceness: int | None = None,
        cost: int = 1,
        tokens: int | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        request_id: RequestId | None = None,
    ) -> AsyncPermit | None:
        """As :meth:`BlockingThrottling.try_acquire`."""

    async def throttle(
        self,
        connection: ConnectionLike,
        fn: Callable[[], Awaitable[T]],
        *,
        timeout: float | None = None,
        max_wait: float | None = None,
        niceness: int | None = None,
        cost: int = 1,
        tokens: int | None = None,
        request_id: RequestId | None = None,
    ) -> T:
        """Waits for a slot and awaits ``fn()`` once. An error does not give the slot back."""
        async with self.acquire(
            connection, timeout=timeout, max_wait=max_wait, niceness=niceness, cost=cost, tokens=tokens, request_id=request_id
        ):
            return await fn()

    async def try_throttle(
        self,
        connection: ConnectionLike,
        fn: Callable[[], Awaitable[T]],
        *,
        niceness: int | None = None,
        cost: int = 1,
        tokens: int | None = None,
        on_unreachable: OnUnreachable = "closed",
    ) -> T | None:
        """Awaits ``fn()`` if there is a slot now; ``None`` when there is none."""
        is_open = check_on_unreachable(on_unreachable) == "open"
        try:
            permit = await self.try_acquire(connection, niceness=niceness, cost=cost, tokens=tokens)
        except Unavailable:
            return await fn() if is_open else None
        if permit is None:
            return None
        async with permit:
            return await fn()


def check_on_unreachable(value: str) -> str:
    """One of the two words."""
    return _check.one_of("on_unreachable", value, ("closed", "open"))


async def awaited(value: object) -> object:
    """The value, or what it comes to if it is to be awaited."""
    return await value if inspect.isawaitable(value) else value
