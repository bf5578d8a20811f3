"""When those who wait end without an answer.

Promises: whoever has had an answer is not kept for long, however late the expiry.
Must not: read a clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import count

from ._waiting import Pending

_LEAST = 64


class Expiries:
    """A heap of when they end; some have had their answers."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Pending]] = []
        self._most = _LEAST
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def are_too_many(self) -> bool:
        """Whether most of them may have had their answers: it is time to begin anew."""
        return len(self._heap) >= self._most

    @property
    def next_at(self) -> float | None:
        """When the next one ends; ``None`` when nobody does."""
        return self._heap[0][0] if self._heap else None

    def add(self, at: float | None, pending: Pending) -> None:
        """It ends then; ``None``: never."""
        if at is not None:
            heapq.heappush(self._heap, (at, next(self._numbers), pending))

    def begin_anew(self, ends: Iterable[tuple[float | None, Pending]]) -> None:
        """Only these wait."""
        self._heap = [(at, next(self._numbers), pending) for at, pending in ends if at is not None]
        heapq.heapify(self._heap)
        self._most = 2 * len(self._heap) + _LEAST

    def take(self, now: float) -> Iterator[Pending]:
        """Those whose end has come, until ``now``."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[2]
