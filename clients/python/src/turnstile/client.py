"""The throttle by nodes, for threads."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from ._check import NANOS
from ._process import Lease
from ._slot import SessionSlot
from ._waiting import Waiting
from .aio import AsyncTurnstile
from .permit import Slot
from .throttling import BlockingThrottling


class Turnstile(BlockingThrottling):
    """Shares rate-limited connections with all workers that use the same nodes.

    ``nodes`` are addresses, ``HOST:PORT``, of which the first that can serves; without them those in the environment variable
    ``TURNSTILE_NODES``, separated by commas, or ``127.0.0.1:7878``. Nothing is connected before the first call. All clients of one process
    with the same nodes share one session, which ends with the last of them, and a process that was forked begins one of its own.
    """

    def __init__(self, nodes: Sequence[str] | None = None) -> None:
        self._lease = Lease(nodes)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The addresses of the nodes."""
        return self._lease.nodes

    @property
    def aio(self) -> AsyncTurnstile:
        """The same for asyncio. To close one of the two closes both."""
        return AsyncTurnstile.sharing(self._lease)

    def close(self) -> None:
        """Ends the client: whoever waits through it gets :class:`~turnstile.Closed` when no other client shares its session."""
        self._lease.close()

    def __enter__(self) -> Turnstile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _take(self, waiting: Waiting) -> Slot:
        session = self._lease.session
        try:
            session.ask(waiting)
            held = waiting.future.result()
            # On its way to this thread it may have become too old.
            while held.granted.is_stale:
                session.ask_again(waiting, held)
                held = waiting.future.result()
        except BaseException:
            # Also when it was interrupted: whoever does not wait any more leaves the queue.
            session.leave(waiting)
            raise
        return SessionSlot(session, held, waiting.waited_nanos() / NANOS)
