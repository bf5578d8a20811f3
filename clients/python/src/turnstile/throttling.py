"""What every throttle can do, by the one thing in which nodes and a fake differ: how a slot is taken."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, Literal, TypeVar

from . import _check
from ._waiting import Waiting
from .connection import Connection, ConnectionLike
from .errors import NotNow, Unavailable
from .permit import AsyncPermit, Permit, Slot

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
    def _take(self, waiting: Waiting) -> Slot:
        """Waits for a slot, or takes one that is free now if it is a try: :class:`~turnstile.NotNow` when there is none."""

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
        waiting = Waiting.of(
            Connection.of(connection),
            timeout=timeout,
            max_wait=max_wait,
            niceness=niceness,
            cost=cost,
            tokens=tokens,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            request_id=request_id,
        )
        return Permit(self._take(waiting))

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
        waiting = Waiting.of(
            Connection.of(connection),
            is_try=True,
            niceness=niceness,
            cost=cost,
            tokens=tokens,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            request_id=request_id,
        )
        try:
            return Permit(self._take(waiting))
        except NotNow:
            return None

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
        _check.blocking_function("fn", fn)
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
        _check.blocking_function("fn", fn)
        unthrottled = nullcontext() if is_open(on_unreachable) else None
        held: AbstractContextManager[object] | None
        try:
            held = self.try_acquire(connection, niceness=niceness, cost=cost, tokens=tokens)
        except Unavailable:
            held = unthrottled
        if held is None:
            return None
        with held:
            return fn()


class AsyncThrottling(ABC):
    """For asyncio. Whoever is cancelled leaves the queue, and costs no slot.

    The arguments and errors are those of :class:`BlockingThrottling`.
    """

    @abstractmethod
    async def _take(self, waiting: Waiting) -> Slot:
        """As that of :class:`BlockingThrottling`."""

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
        make = partial(
            Waiting.of,
            Connection.of(connection),
            timeout=timeout,
            max_wait=max_wait,
            niceness=niceness,
            cost=cost,
            tokens=tokens,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            request_id=request_id,
        )

        async def acquire() -> AsyncPermit:
            return AsyncPermit(await self._take(make()))

        return Acquiring(acquire())

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
        waiting = Waiting.of(
            Connection.of(connection),
            is_try=True,
            niceness=niceness,
            cost=cost,
            tokens=tokens,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            request_id=request_id,
        )
        try:
            return AsyncPermit(await self._take(waiting))
        except NotNow:
            return None

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
        _check.function("fn", fn)
        async with self.acquire(
            connection, timeout=timeout, max_wait=max_wait, niceness=niceness, cost=cost, tokens=tokens, request_id=request_id
        ):
            return await _result(fn())

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
        _check.function("fn", fn)
        unthrottled = nullcontext() if is_open(on_unreachable) else None
        held: AbstractAsyncContextManager[object] | None
        try:
            held = await self.try_acquire(connection, niceness=niceness, cost=cost, tokens=tokens)
        except Unavailable:
            held = unthrottled
        if held is None:
            return None
        async with held:
            return await _result(fn())


async def _result(returned: Awaitable[T] | T) -> T:
    # A function that is not async has made its call by now: what that returned is not lost.
    return await returned if isinstance(returned, Awaitable) else returned


class Acquiring(Coroutine[Any, Any, AsyncPermit]):
    """A wait that begins when it is awaited, made a task, or entered by ``async with``. Once.

    A coroutine, for ``asyncio.create_task`` takes nothing else.
    """

    def __init__(self, acquiring: Coroutine[Any, Any, AsyncPermit]) -> None:
        self._acquiring = acquiring
        self._permit: AsyncPermit | None = None

    def __await__(self) -> Generator[Any, Any, AsyncPermit]:
        return self._acquiring.__await__()

    def send(self, value: Any) -> Any:
        """Goes on, as a loop has it."""
        return self._acquiring.send(value)

    def throw(self, *error: Any) -> Any:
        """Goes on with an error, as a loop has it when its task is cancelled."""
        return self._acquiring.throw(*error)

    def close(self) -> None:
        """Ends it where it is."""
        self._acquiring.close()

    async def __aenter__(self) -> AsyncPermit:
        self._permit = await self._acquiring
        return self._permit

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._permit is not None:
            self._permit.done()


def is_open(on_unreachable: str) -> bool:
    """Whether a function is called unthrottled when no node answers."""
    return _check.one_of("on_unreachable", on_unreachable, ("closed", "open")) == "open"
