"""A process that forks while its session is in use, and its children."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from turnstile import AsyncTurnstile, Connection, NotNow, RateLimit, Turnstile, throttle
from turnstile._session import Session
from turnstile._waiting import Waiting

from .support import MEASURED, NodeProcess, wait_until
from .test_asyncio import metric, queued

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def fork(child: Callable[[], None]) -> int:
    """Runs this in a child, whose exit code is 0 when it raised nothing."""
    pid = os.fork()
    if pid:
        return pid
    try:
        child()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def exit_code(pid: int, within: float = 10) -> int:
    """How a child has ended."""
    ends_at = time.monotonic() + within
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > ends_at:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"the child has hung for {within} s")
        time.sleep(0.01)


def test_a_fork_in_mid_stream_hangs_nobody_and_disturbs_nobody(node: NodeProcess, name: str) -> None:
    busy = Connection("test", name, rate_limit=RateLimit(1_000_000, 1))
    with Turnstile([node.address]) as client:
        is_over = threading.Event()
        made: list[int] = []
        errors: list[BaseException] = []

        def call() -> None:
            try:
                calls = 0
                while not is_over.is_set():
                    client.acquire(busy, timeout=5).done()
                    calls += 1
                made.append(calls)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        session = client._lease.session
        for _ in range(20):

            def child() -> None:
                assert client.throttle(busy, lambda: "child") == "child"
                assert client._lease.session is not session

            assert exit_code(fork(child)) == 0
        is_over.set()
        for thread in threads:
            thread.join(10)
        assert not errors
        assert len(made) == 4
        # The parent has lost nothing: it speaks by the session that it began with.
        assert client._lease.session is session
        assert session._conversation._session == 1
        MEASURED.append(f"20 forks while {sum(made)} calls were made")


def test_a_waiter_of_the_parent_is_served_after_a_fork_and_the_child_costs_it_nothing(node: NodeProcess, name: str) -> None:
    connection = Connection("test", name, rate_limit=RateLimit(1, 1))
    with Turnstile([node.address]) as client:
        held = client.acquire(connection)
        served = threading.Event()
        waiter = threading.Thread(target=lambda: client.throttle(connection, served.set))
        waiter.start()
        wait_until(lambda: metric(node, "turnstile_queued_requests") == 1, what="somebody who waits")

        def child() -> None:
            # A permit from before the fork is the parent's.
            held.give_back()
            client.close()

        assert exit_code(fork(child)) == 0
        assert not served.is_set()
        assert served.wait(5)
        waiter.join(10)
        held.done()
        assert metric(node, "turnstile_grants_total") == 2
        assert metric(node, "turnstile_returned_slots_total") == 0


def test_a_parent_that_dies_is_gone_for_the_node_though_its_child_lives(node: NodeProcess, name: str) -> None:
    connection = Connection("test", name, rate_limit=RateLimit(1, 60))
    read, write = os.pipe()

    def parent() -> None:
        client = Turnstile([node.address])
        client.acquire(connection).done()
        threading.Thread(target=lambda: client.acquire(connection), daemon=True).start()
        wait_until(lambda: metric(node, "turnstile_queued_requests") == 1, what="somebody who waits")
        os.write(write, b"%d" % fork(signal.pause))
        signal.pause()

    pid = fork(parent)
    # So that there is an end when the child ends before it has said anything.
    os.close(write)
    said = os.read(read, 20)
    assert said, f"the parent has ended with {exit_code(pid)}"
    grandchild = int(said)
    try:
        os.kill(pid, signal.SIGKILL)
        assert exit_code(pid) == -signal.SIGKILL
        # Sooner than by its silence, which the node would notice after about 4 s.
        wait_until(lambda: metric(node, "turnstile_queued_requests") == 0, within=2, what="an empty queue")
        wait_until(lambda: metric(node, "turnstile_sessions") == 0, within=2, what="the end of the session")
    finally:
        os.kill(grandchild, signal.SIGKILL)
        os.close(read)


def test_what_was_not_yet_said_at_the_fork_holds_up_nobody_in_the_child() -> None:
    session = Session(["127.0.0.1:1"])
    waiting = Waiting.of(Connection("test", "fork", rate_limit=RateLimit(1, 60)))
    session.ask(waiting)

    def child() -> None:
        session.abandon()
        session.ask(Waiting.of(Connection("test", "fork", rate_limit=RateLimit(1, 60))))

    is_held, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        with waiting.future._condition:
            is_held.set()
            is_over.wait()

    # A thread that is about to wait at this moment: nobody in the child will release its lock.
    holder = threading.Thread(target=hold)
    holder.start()
    assert is_held.wait(10)
    try:
        assert exit_code(fork(child), within=3) == 0
    finally:
        is_over.set()
        holder.join()
        session.abandon()


def test_decorated_functions_are_throttled_over_parent_and_children(client: Turnstile, name: str) -> None:
    @throttle(name, rate=RateLimit(1, 60), client=client)
    def once() -> str:
        return "ran"

    assert once() == "ran"

    def child() -> None:
        assert once() is None

    children = [fork(child) for _ in range(4)]
    assert [exit_code(pid) for pid in children] == [0] * 4
    assert once() is None


def test_a_loop_that_forks_goes_on_and_its_child_runs_one_of_its_own(node: NodeProcess, name: str) -> None:
    connection = Connection("test", name, rate_limit=RateLimit(1, 1))

    async def main() -> None:
        async with AsyncTurnstile([node.address]) as client:

            async def once() -> float:
                async with client.acquire(connection) as permit:
                    return permit.waited

            assert await once() < 1
            waiter = asyncio.create_task(once())
            await queued(node, 1)
            child = fork(lambda: asyncio.run(asyncio.wait_for(client.throttle(connection, once_more), 8)))
            assert await waiter < 1.5
            assert await asyncio.to_thread(exit_code, child) == 0
            assert metric(node, "turnstile_grants_total") == 3

    async def once_more() -> None: ...

    asyncio.run(main())


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_client_is_handed_to_a_process_however_that_is_started(shared_node: NodeProcess, name: str, method: str) -> None:
    connection = Connection("test", name, rate_limit=RateLimit(1, 60))
    with Turnstile([shared_node.address]) as client, ProcessPoolExecutor(1, get_context(method)) as pool:
        client.acquire(connection).done()
        refused = pool.submit(Turnstile.acquire, client, connection, max_wait=1).exception(30)
        assert isinstance(refused, NotNow)
        assert 50 < refused.retry_after < 61


def test_a_child_of_a_child_has_a_session_of_its_own(client: Turnstile, name: str) -> None:
    connection = Connection("test", name, rate_limit=RateLimit(3, 60))
    client.acquire(connection).done()

    def child() -> None:
        client.acquire(connection).done()
        assert exit_code(fork(lambda: client.acquire(connection).done())) == 0

    assert exit_code(fork(child)) == 0
    assert client.try_acquire(connection) is None
