"""The throttle by nodes, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType

from ._check import NANOS
from ._process import Lease
from ._slot import SessionSlot
from ._waiting import Waiting
from .permit import Slot
from .throttling import AsyncThrottling


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

    async def close(self) -> None:
        """As :meth:`~turnstile.Turnstile.close`."""
        await asyncio.to_thread(self._lease.close)

    async def __aenter__(self) -> AsyncTurnstile:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _take(self, waiting: Waiting) -> Slot:
        session = self._lease.session
        try:
            session.ask(waiting)
            held = await asyncio.wrap_future(waiting.future)
            # On its way to this task it may have become too old.
            while held.granted.is_stale:
                session.ask_again(waiting, held)
                held = await asyncio.wrap_future(waiting.future)
        except BaseException:
            # Also when it was cancelled, be it at the moment at which the slot came: that goes back.
            session.leave(waiting)
            raise
        return SessionSlot(session, held, waiting.waited_nanos() / NANOS)
