"""One node, one process."""

from __future__ import annotations

import gc
import itertools
import signal
import subprocess
import sys
import threading
import time
import uuid
from typing import Any

import pytest

import turnstile
from turnstile import (
    AlreadyGranted,
    Connection,
    CostOverLimit,
    DeadlineExceeded,
    InvalidInput,
    NotNow,
    NotOpen,
    RateLimit,
    Turnstile,
    WrongType,
    _process,
)
from turnstile._waiting import Held

from .support import wait_until

SPACING = 0.3


def limited(name: str, count: int = 1, window: float = SPACING) -> Connection:
    return Connection("test", name, rate_limit=RateLimit(count, window))


def test_calls_are_a_window_apart_and_have_their_results(client: Turnstile, name: str) -> None:
    starts: list[float] = []

    def call() -> int:
        starts.append(time.monotonic())
        return len(starts)

    assert [client.throttle(limited(name), call) for _ in range(3)] == [1, 2, 3]
    assert all(later - earlier >= SPACING for earlier, later in itertools.pairwise(starts))


def test_the_original_shape_is_taken(client: Turnstile, name: str) -> None:
    shape = {"platform": "test", "connection": name, "niceness": 0, "rateLimit": {"requestCount": 1, "windowSeconds": 60}}
    assert client.throttle(shape, lambda: "answer") == "answer"
    assert client.try_throttle(shape, lambda: "answer") is None


def test_a_function_that_raises_runs_once_and_its_slot_stays_used(client: Turnstile, name: str) -> None:
    calls = []

    def fails() -> None:
        calls.append(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        client.throttle(limited(name, window=60), fails)
    assert len(calls) == 1
    assert client.try_acquire(limited(name, window=60)) is None


def test_a_real_none_is_told_apart_by_the_permit(client: Turnstile, name: str) -> None:
    assert client.try_throttle(limited(name, window=60), lambda: None) is None
    assert client.try_acquire(limited(name, window=60)) is None
    with client.acquire(limited(name + "-other", window=60)) as permit:
        assert permit.waited < 1


def test_a_slot_that_was_given_back_is_free_again(client: Turnstile, name: str) -> None:
    connection = limited(name, window=60)
    with client.acquire(connection) as permit:
        assert permit.start_within is not None
        assert 0 < permit.start_within <= 0.1
        permit.give_back()
        permit.give_back()
    with client.acquire(connection, timeout=5):
        assert client.try_acquire(connection) is None


def test_who_is_not_served_in_time_is_told_so(client: Turnstile, name: str) -> None:
    connection = limited(name, window=60)
    client.acquire(connection).done()
    with pytest.raises(NotNow) as refused:
        client.acquire(connection, max_wait=1)
    assert 58 < refused.value.retry_after < 61
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        client.acquire(connection, timeout=0.2)
    assert 0.2 <= time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"cost": 0}, "cost"), ({"niceness": -1}, "niceness"), ({"timeout": 0}, "timeout"), ({"request_id": b"short"}, "request_id")],
)
def test_a_wrong_argument_is_named(client: Turnstile, name: str, arguments: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        client.acquire(limited(name), **arguments)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_a_permit_that_is_dropped_has_ended_once(client: Turnstile, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Held] = []
    monkeypatch.setattr(client._lease.session, "done", ended.append)
    with client.acquire(limited(name, count=2)):
        pass
    assert len(ended) == 1
    client.acquire(limited(name, count=2))
    gc.collect()
    assert len(ended) == 2


async def waits() -> None: ...


@pytest.mark.parametrize("fn", [None, 7, waits])
def test_what_can_not_be_called_is_named_before_a_slot_is_used(client: Turnstile, name: str, fn: Any) -> None:
    connection = limited(name, window=60)
    for throttled in (client.throttle, client.try_throttle):
        with pytest.raises(WrongType) as refused:
            throttled(connection, fn)
        assert refused.value.field == "fn"
    assert client.try_acquire(connection) is not None


def test_a_cost_over_the_limit_is_refused_at_once(client: Turnstile, name: str) -> None:
    with pytest.raises(CostOverLimit) as refused:
        client.acquire(limited(name, count=2), cost=3)
    assert refused.value.field == "cost"


def test_the_more_urgent_goes_first(client: Turnstile, name: str) -> None:
    connection = limited(name, window=1)
    order: list[int] = []
    client.acquire(connection).done()

    def wait(niceness: int) -> None:
        with client.acquire(connection, niceness=niceness):
            order.append(niceness)

    threads = [threading.Thread(target=wait, args=(niceness,)) for niceness in (9, 0, 5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(client._lease.session._conversation._waiting) == 3, what="a queue of three")
    assert order == []
    for thread in threads:
        thread.join(10)
    assert order == [0, 5, 9]


def test_a_request_is_granted_once_under_its_id(client: Turnstile, name: str) -> None:
    connection, request_id = limited(name, count=5, window=60), uuid.uuid4()
    permit = client.acquire(connection, request_id=request_id)
    assert permit.request_id == request_id
    permit.done()
    with pytest.raises(AlreadyGranted):
        client.acquire(connection, request_id=request_id)


def test_who_is_interrupted_leaves_the_queue(client: Turnstile, name: str) -> None:
    connection = limited(name, window=60)
    client.acquire(connection).done()

    class Interrupt(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupt

    former = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Interrupt):
            client.acquire(connection)
    finally:
        signal.signal(signal.SIGALRM, former)
    wait_until(lambda: client._lease.session._conversation.is_idle, what="an empty queue")


def test_a_call_after_the_session_has_ended_with_the_process_is_told_so() -> None:
    program = """
import atexit, turnstile
# Registered before the session's own, so it runs after it.
atexit.unregister(turnstile._process._exit)
client = turnstile.Turnstile(["127.0.0.1:1"])
def late():
    try:
        client.acquire({"platform": "a", "connection": "b", "rateLimit": {"requestCount": 1, "windowSeconds": 1}})
    except turnstile.Closed:
        print("closed")
atexit.register(late)
atexit.register(turnstile._process._exit)
print(client.try_throttle({"platform": "a", "connection": "b", "rateLimit": {"requestCount": 1, "windowSeconds": 1}}, lambda: 1))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.split() == ["None", "closed"]


def test_tokens_are_estimated_and_reconciled(client: Turnstile, name: str) -> None:
    model = Connection("test", name, rate_limit=[RateLimit(100, 60), RateLimit(1000, 60, "tokens")])
    with client.acquire(model, tokens=900) as permit:
        assert client.try_acquire(model, tokens=200) is None
        assert permit.reconcile(100).refunded.tokens == 800
        with pytest.raises(NotOpen):
            permit.reconcile(100)
    assert client.try_acquire(model, tokens=200) is not None
    with client.acquire(limited(name + "-plain", window=60)) as permit, pytest.raises(NotOpen):
        permit.reconcile(5)


def test_a_try_takes_what_is_free_and_no_more(client: Turnstile, name: str) -> None:
    connection = limited(name, count=2, window=60)
    assert [client.try_throttle(connection, lambda: "ran") for _ in range(4)] == ["ran", "ran", None, None]


def test_a_try_takes_part_in_the_queue_of_nobody(client: Turnstile, name: str) -> None:
    connection = limited(name, count=2, window=1.5)
    client.acquire(connection).done()
    served: list[str] = []

    def wait(who: str, cost: int) -> None:
        with client.acquire(connection, cost=cost, timeout=10):
            served.append(who)

    conversation = client._lease.session._conversation
    waiters = [threading.Thread(target=wait, args=who) for who in (("first", 2), ("second", 1))]
    for waiter in waiters:
        before = len(conversation._waiting)
        waiter.start()
        wait_until(lambda before=before: len(conversation._waiting) > before, what="one more who waits")  # type: ignore[misc]
    tries = 0
    # One unit is free, which the first of those who wait is to have together with the next one.
    while waiters[0].is_alive():
        assert client.try_acquire(connection) is None
        tries += 1
    for waiter in waiters:
        waiter.join(10)
    assert tries > 10
    assert served == ["first", "second"]


def test_all_clients_of_a_process_share_one_session(client: Turnstile, name: str) -> None:
    other = Turnstile(client.nodes)
    client.acquire(limited(name)).done()
    other.acquire(limited(name)).done()
    assert other._lease.session is client._lease.session
    other.close()
    with pytest.raises(turnstile.Closed):
        other.acquire(limited(name))
    assert client.throttle(limited(name), lambda: 1) == 1


def test_a_client_that_is_closed_while_its_first_call_begins_begins_nothing(name: str) -> None:
    mine = Turnstile(["127.0.0.1:1"])
    ended: list[BaseException] = []

    def begin() -> None:
        try:
            mine.try_throttle(limited(name), lambda: None)
        except turnstile.TurnstileError as error:
            ended.append(error)

    caller = threading.Thread(target=begin)
    with _process._sessions.lock:
        caller.start()
        wait_until(lambda: sys._current_frames()[caller.ident or 0].f_code.co_name == "session", what="a call that waits for the lock")
        # As by a close that has just had it.
        mine._lease._is_closed = True
    caller.join(10)
    assert [type(error) for error in ended] == [turnstile.Closed]


def test_a_session_that_is_closed_ends_whoever_waits(name: str, client: Turnstile) -> None:
    connection = limited(name, window=60)
    mine = Turnstile(["localhost:" + client.nodes[0].rpartition(":")[2]])
    mine.acquire(connection).done()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            mine.acquire(connection)
        except turnstile.TurnstileError as error:
            ended.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    session = mine._lease.session
    wait_until(lambda: not session._conversation.is_idle, what="somebody who waits")
    mine.close()
    waiter.join(5)
    assert [type(error) for error in ended] == [turnstile.Closed]
    assert not session._thread.is_alive()
