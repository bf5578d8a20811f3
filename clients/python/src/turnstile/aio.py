"""The throttle by nodes, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from types import TracebackType

from ._check import NANOS
from ._process import Lease
from ._session import Session
from ._slot import SessionSlot
from ._waiting import Held, Waiting
from .connection import Connection, ConnectionLike
from .errors import NotNow
from .permit import AsyncPermit
from .throttling import Acquiring, AsyncThrottling, RequestId


class AsyncTurnstile(AsyncThrottling):
    """As :class:`~turnstile.Turnstile`, for asyncio. It shares the process's session, and may be used by any loop."""

    def __init__(self, nodes: Sequence[str] | None = None) -> None:
        self._lease = Lease(nodes)

    @classmethod
    def sharing(cls, lease: Lease) -> AsyncTurnstile:
        """One that ends with another client."""
        made = cls.__new__(cls)
        made._lease = lease
        return made

    @property
    def nodes(self) -> tuple[str, ...]:
        """The addresses of the nodes."""
        return self._lease.nodes

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
        return Acquiring(lambda: self._wait(make()))

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
            return await self._wait(waiting)
        except NotNow:
            return None

    async def close(self) -> None:
        """As :meth:`~turnstile.Turnstile.close`."""
        await asyncio.to_thread(self._lease.close)

    async def __aenter__(self) -> AsyncTurnstile:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _wait(self, waiting: Waiting) -> AsyncPermit:
        session = self._lease.session
        session.ask(waiting)
        held = await _result(session, waiting)
        # On its way to this task it may have become too old.
        while held.granted.is_stale:
            session.ask_again(waiting, held)
            held = await _result(session, waiting)
        return AsyncPermit(SessionSlot(session, held), waiting.waited_nanos() / NANOS)


async def _result(session: Session, waiting: Waiting) -> Held:
    try:
        return await asyncio.wrap_future(waiting.future)
    except BaseException:
        # Also when it was cancelled, be it at the moment at which the slot came: that goes back.
        session.leave(waiting)
        raise
