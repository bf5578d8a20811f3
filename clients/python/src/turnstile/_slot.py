"""A slot that came by the session."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future

from ._session import Session
from ._waiting import Call, Held
from .permit import Reconciled, TokenCount, Usage
from .v1 import throttle_pb2 as v1

_RECONCILE_WITHIN_SECONDS = 10.0


class SessionSlot:
    """Ends by the session that it came by, or by its name at any node when that is gone."""

    def __init__(self, session: Session, held: Held, waited: float) -> None:
        self._session = session
        self._held = held
        self.request_id = held.request_id
        self.granted = held.granted
        self.waited = waited

    def done(self) -> None:
        """The call is over."""
        self._session.done(self._held)

    def give_back(self) -> None:
        """There was none, and there will be none."""
        self._session.give_back(self._held)

    def reconcile(self, usage: Usage) -> Reconciled:
        """Says what the call has taken, and waits until that counts."""
        return _reconciled(self._reconcile(usage).result())

    async def reconcile_async(self, usage: Usage) -> Reconciled:
        """As :meth:`reconcile`, for asyncio."""
        return _reconciled(await asyncio.wrap_future(self._reconcile(usage)))

    def _reconcile(self, usage: Usage) -> Future[bytes]:
        message = v1.ReconcileRequest(permit=self.granted.permit)
        for field in ("tokens", "input_tokens", "output_tokens"):
            said = getattr(usage, field)
            if said is not None:
                setattr(message.usage, field, said)
        self.done()
        # Not through the session: a call of its own may be sent again, to another node, when this one goes away in the middle.
        expires_at = time.monotonic() + _RECONCILE_WITHIN_SECONDS
        return self._session.call(Call("Reconcile", message.SerializeToString(), expires_at))


def _reconciled(answer: bytes) -> Reconciled:
    message = v1.ReconcileResponse.FromString(answer)
    return Reconciled(refunded=_tokens(message.refunded), owed=_tokens(message.owed))


def _tokens(message: v1.TokenCount) -> TokenCount:
    return TokenCount(message.tokens, message.input_tokens, message.output_tokens)
