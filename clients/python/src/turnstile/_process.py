"""The sessions of this process: one for each list of nodes, and none from before a fork."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import _check
from ._link import split_address
from ._session import Session
from .errors import Closed, InvalidInput, Unavailable, WrongType

DEFAULT_NODE = "127.0.0.1:7878"


@dataclass(slots=True)
class _Sessions:
    """Replaced as a whole in a forked child: locks that its parent's threads held there would never be released."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    open: dict[tuple[str, ...], tuple[Session, int]] = field(default_factory=dict)
    """With how many clients use each."""


_sessions = _Sessions()


class Lease:
    """A client's hold of the session with its nodes, which begins when it is first used in this process."""

    def __init__(self, nodes: Sequence[str] | None) -> None:
        """Raises :class:`~turnstile.InvalidInput` when these are no addresses."""
        self.nodes = _nodes(nodes)
        self._session: Session | None = None
        self._of: _Sessions | None = None
        self._is_closed = False

    @property
    def session(self) -> Session:
        """The session.

        Raises :class:`Closed` after :meth:`close`, and :class:`Unavailable` when the process has no thread or socket for it.
        """
        session = self._session
        if session is not None and self._of is _sessions and not session.has_failed:
            return session
        with _sessions.lock:
            if self._is_closed:
                raise Closed("the client was closed")
            is_new = self._session is None or self._of is not _sessions
            if self._session is None or is_new or self._session.has_failed:
                session, users = _sessions.open.get(self.nodes, (None, 0))
                if session is None or session.has_failed:
                    session = _begun(self.nodes)
                _sessions.open[self.nodes] = (session, max(users + is_new, 1))
                self._session, self._of = session, _sessions
            return self._session

    def __reduce__(self) -> tuple[type[Lease], tuple[tuple[str, ...]]]:
        # Pickled for a process that was not forked: a hold of a session there.
        return Lease, (self.nodes,)

    def close(self) -> None:
        """Ends the hold, and with the last one the session."""
        with _sessions.lock:
            session, self._session, self._is_closed = self._session, None, True
            # At exit all sessions are closed, and what is closed after that has none.
            if session is None or self._of is not _sessions or self.nodes not in _sessions.open:
                return
            # Not the one that it has used, which may have failed and been replaced since.
            session, users = _sessions.open[self.nodes]
            if users > 1:
                _sessions.open[self.nodes] = (session, users - 1)
                return
            del _sessions.open[self.nodes]
        session.close()


def _begun(nodes: tuple[str, ...]) -> Session:
    try:
        session = Session(nodes)
    except OSError as error:
        raise Unavailable(f"no session can be begun: {error}") from error
    try:
        session.start()
    except RuntimeError as error:
        # The process has as many threads as it may, or is about to exit.
        session.abandon()
        raise Unavailable(f"no session can be begun: {error}") from error
    return session


def _nodes(nodes: Sequence[str] | None) -> tuple[str, ...]:
    if nodes is None:
        named, field_name = os.environ.get("TURNSTILE_NODES", DEFAULT_NODE), "TURNSTILE_NODES"
        nodes = [node.strip() for node in named.split(",") if node.strip()]
    else:
        field_name = "nodes"
    if isinstance(nodes, (str, bytes)) or not isinstance(nodes, Sequence):
        raise WrongType(field_name, f"is {nodes!r}: it takes a sequence of HOST:PORT")
    if not nodes:
        raise InvalidInput(field_name, "is empty: it takes at least one HOST:PORT")
    for index, node in enumerate(nodes):
        try:
            split_address(_check.name(f"{field_name}[{index}]", node))
        except InvalidInput:
            raise
        except ValueError as error:
            raise InvalidInput(f"{field_name}[{index}]", str(error)) from error
    return tuple(nodes)


def _exit() -> None:
    with _sessions.lock:
        sessions = [session for session, _ in _sessions.open.values()]
        _sessions.open.clear()
    for session in sessions:
        session.close(is_exiting=True)


def _forked() -> None:
    global _sessions
    former, _sessions = _sessions, _Sessions()
    for session, _ in former.open.values():
        session.abandon()


atexit.register(_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
