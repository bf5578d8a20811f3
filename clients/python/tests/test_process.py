"""The sessions of a process, without nodes."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator

import pytest

from turnstile import Unavailable, _process
from turnstile._process import Lease
from turnstile._session import Session
from turnstile._waiting import Call


@pytest.fixture(autouse=True)
def sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Those of other tests are left alone."""
    monkeypatch.setattr(_process, "_sessions", _process._Sessions())
    yield
    _process._exit()


def nowhere() -> Lease:
    return Lease(["127.0.0.1:1"])


def break_down(session: Session) -> None:
    """Ends its thread by an error that nobody has foreseen."""
    session._post(lambda: 1 // 0)  # type: ignore[arg-type]
    session._thread.join(10)
    assert not session._thread.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_session_that_has_ended_by_itself_is_replaced() -> None:
    lease, other, late = nowhere(), nowhere(), nowhere()
    former = lease.session
    assert other.session is former
    break_down(former)
    session = lease.session
    assert session is not former
    assert session._thread.is_alive()
    assert late.session is session
    # Whoever has not noticed yet counts as one of its users nevertheless, and ends it with its own hold.
    lease.close()
    late.close()
    assert session._thread.is_alive()
    other.close()
    assert not session._thread.is_alive()


def test_a_client_may_be_closed_after_the_process_has_closed_its_sessions() -> None:
    lease = nowhere()
    session = lease.session
    _process._exit()
    lease.close()
    assert not session._thread.is_alive()


def test_calls_through_a_session_that_has_ended_are_refused() -> None:
    lease = nowhere()
    session = lease.session
    lease.close()
    assert session.call(Call("Release", b"", 0)).exception(10) is not None


def test_a_process_that_has_no_thread_or_socket_left_is_told_so_and_may_call_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = nowhere()

    def refuse_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def refuse_socket() -> None:
        raise OSError(errno.EMFILE, "too many open files")

    for owner, name, refuse in ((threading.Thread, "start", refuse_thread), (socket, "socketpair", refuse_socket)):
        with monkeypatch.context() as refusing:
            refusing.setattr(owner, name, refuse)
            with pytest.raises(Unavailable, match="no session can be begun"):
                _ = lease.session
    assert lease.session._thread.is_alive()
