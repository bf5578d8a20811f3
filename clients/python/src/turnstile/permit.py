"""The right to make one request now."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from . import _check
from ._check import NANOS
from ._messages import Granted
from .errors import InvalidInput, NotOpen


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens of a connection's limits, by what those count."""

    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What came of a reconcile."""

    refunded: TokenCount
    """What does not count any more: at most what was estimated too much."""
    owed: TokenCount
    """What counts beside the estimate."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that a call has taken; at least one of the three is said."""

    tokens: int | None
    input_tokens: int | None
    output_tokens: int | None

    def __post_init__(self) -> None:
        for field in ("tokens", "input_tokens", "output_tokens"):
            _check.optional_integer(field, getattr(self, field), 0)
        if self.tokens is None and self.input_tokens is None and self.output_tokens is None:
            raise InvalidInput("tokens", "is not set: it takes tokens, input_tokens or output_tokens")


class Slot(Protocol):
    """A slot that was granted, wherever it came from."""

    request_id: bytes
    granted: Granted
    waited: float
    """How many seconds the request has waited."""

    def done(self) -> None:
        """The call is over."""

    def give_back(self) -> None:
        """There was none, and there will be none."""

    def reconcile(self, usage: Usage) -> Reconciled:
        """Says what the call has taken, and waits until that counts."""

    async def reconcile_async(self, usage: Usage) -> Reconciled:
        """As :meth:`reconcile`, for asyncio."""


class BasePermit:
    """What the permits of both kinds have in common."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._is_over = False

    @property
    def waited(self) -> float:
        """How many seconds the request has waited."""
        return self._slot.waited

    @property
    def request_id(self) -> uuid.UUID:
        """By which the nodes know the request."""
        return uuid.UUID(bytes=self._slot.request_id)

    @property
    def start_within(self) -> float | None:
        """How many seconds are left, from now on, to start the call within the limit.

        0 when it is too late, and the slot is to be given back.

        ``None`` when the limits accept any jitter.
        """
        left = self._slot.granted.left_nanos()
        return None if left is None else max(left, 0) / NANOS

    @property
    def arrival(self) -> int:
        """The request's place in its owner's order of arrival. Numbers of one connection compare within one :attr:`tenure`."""
        return self._slot.granted.arrival

    @property
    def release(self) -> int:
        """The slot's place in its owner's order of release, drawn from the same counter as arrivals."""
        return self._slot.granted.release

    @property
    def tenure(self) -> int:
        """Which run of which owner has numbered it."""
        return self._slot.granted.tenure

    @property
    def permit(self) -> bytes:
        """What names the slot at any node: opaque."""
        return self._slot.granted.permit

    def done(self) -> None:
        """Ends the request; the slot stays used. Leaving the ``with`` block and dropping the permit do so, too."""
        if self._end():
            self._slot.done()

    def give_back(self) -> None:
        """Gives the slot to the next: only when nothing was started with it, and nothing will be.

        Does not wait, and does nothing when the request has ended.
        """
        if self._end():
            self._slot.give_back()

    def _end_by(self, tokens: int | None, input_tokens: int | None, output_tokens: int | None) -> Usage:
        """Ends the request, unless what it has used is nothing that can be said."""
        usage = Usage(tokens, input_tokens, output_tokens)
        if not self._end():
            raise NotOpen("the permit has ended: reconcile before the with block ends")
        return usage

    def _end(self) -> bool:
        was_over, self._is_over = self._is_over, True
        return not was_over

    def __del__(self) -> None:
        self.done()


class Permit(BasePermit):
    """The right to make one request now, while it is held: in its ``with`` block.

    Start the request within :attr:`start_within`, or :meth:`give_back` the slot unstarted.
    """

    def reconcile(self, tokens: int | None = None, *, input_tokens: int | None = None, output_tokens: int | None = None) -> Reconciled:
        """Says how many tokens the call has taken that were estimated, and ends the request.

        Fewer: the difference is free again. More: it counts from now on. It counts once, at
        whichever node, for it is sent again when one goes away.

        Raises :class:`~turnstile.NotOpen` when there is nothing to reconcile any more, and :class:`~turnstile.Unavailable` after 10 s
        without an answer.
        """
        usage = self._end_by(tokens, input_tokens, output_tokens)
        return self._slot.reconcile(usage)

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.done()


class AsyncPermit(BasePermit):
    """The right to make one request now, while it is held: in its ``async with`` block.

    Start the request within :attr:`start_within`, or :meth:`give_back` the slot unstarted.
    """

    async def reconcile(
        self, tokens: int | None = None, *, input_tokens: int | None = None, output_tokens: int | None = None
    ) -> Reconciled:
        """As :meth:`Permit.reconcile`."""
        usage = self._end_by(tokens, input_tokens, output_tokens)
        return await self._slot.reconcile_async(usage)

    async def __aenter__(self) -> AsyncPermit:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.done()
